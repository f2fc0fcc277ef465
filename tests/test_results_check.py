"""Which committed runs are trained again by ``make results-check``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.results_check import random_share
from xsam.atomic import write_json
from xsam.grid import Grid
from xsam.grid.grid import ReportSpec
from xsam.store import GridFolder, write_run


def write(results: Path, grid: str, place: int, numerics: str | None, status: str = "done") -> str:
    name = f"{place:016x}"
    row = {"run_id": name, "status": status, "finished_at": datetime(2026, 1, 1, tzinfo=UTC)}
    folder = GridFolder(results, grid)
    if not folder.grid_json.exists():
        report = ReportSpec(("model",), ("optimizer",), "test_accuracy", "final")
        write_json(folder.grid_json, Grid(grid, "vision", {}, report, ()).to_json())
    write_run(folder, {**row, **({"param_numerics": numerics} if numerics else {})})
    return f"{grid}/{name}"


def test_finished_portable_runs_are_drawn_and_the_same_ones_each_time(tmp_path: Path) -> None:
    wanted = {write(tmp_path, grid, place, "portable") for grid in ("a", "b") for place in range(20)}
    write(tmp_path, "a", 100, None)
    write(tmp_path, "a", 101, "portable", "diverged")
    found = random_share(tmp_path, 0.25, seed=0)
    assert len(set(found)) == 10
    assert set(found) <= wanted
    assert found == random_share(tmp_path, 0.25, seed=0) != random_share(tmp_path, 0.25, seed=1)
    assert set(random_share(tmp_path, 1.0, seed=0)) == wanted
    assert len(random_share(tmp_path, 0.001, seed=0)) == 1
    assert set(random_share(tmp_path, 1.0, 0, ["b"])) == {one for one in wanted if one.startswith("b/")}


def test_results_without_portable_runs_have_nothing_to_draw(tmp_path: Path) -> None:
    write(tmp_path, "a", 1, None)
    with pytest.raises(SystemExit, match="no finished run with numerics: portable"):
        random_share(tmp_path, 0.5, seed=0)
