import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from xsam.grid.grid import Grid
from xsam.report import write
from xsam.report.analysis import analyse, load_grid_report, load_report
from xsam.report.formats import markdown
from xsam.report.sections import sheets
from xsam.store import GridFolder, compact, write_run
from xsam.tasks.vision import NUMERICS, VisionTask

FILES = ["table.md", "table.tex", "cost.tex", "table.html", "table.csv", "differences.csv", "cost.csv"]
FILES_OF_SEVERAL = [*FILES[:2], "differences.tex", *FILES[2:]]  # where cells are compared


def write_report(results: Path, out: Path, names: list[str] | None = None) -> list[Path]:
    return write.write_report(results, out, names, figures=False, page=False)


def stale(results: Path, out: Path) -> list[Path]:
    return write.stale(write.render(load_report(results), figures=False, page=False), out)


def stored(results: Path, grid: Grid, frame: pd.DataFrame) -> None:
    folder = GridFolder(results, grid.name)
    folder.root.mkdir(parents=True)
    folder.grid_json.write_text(json.dumps(grid.to_json()))
    for row in frame[frame["grid"] == "toy"].to_dict("records"):
        values = {str(name): None if pd.isna(value) else value for name, value in row.items()}
        write_run(folder, {**values, "finished_at": row["finished_at"].to_pydatetime(), "grid": grid.name})


def small(make_grid: Callable[..., Grid], name: str) -> Grid:
    return make_grid([("sam", "sam", {})], {"optimizer": ("sam",)}, (), ("optimizer",), seeds=2, name=name)


@pytest.fixture
def results(tmp_path: Path, multi_step: tuple[Grid, pd.DataFrame], make_grid: Callable[..., Grid]) -> Path:
    folder = tmp_path / "the results"
    stored(folder, *multi_step)
    stored(folder, small(make_grid, "toy@1a2b"), multi_step[1].head(0))
    return folder


def test_every_grid_has_its_files_and_the_index_lists_them(
    results: Path, tmp_path: Path, multi_step: tuple[Grid, pd.DataFrame]
) -> None:
    out = tmp_path / "the reports"
    written = write_report(results, out)
    names = [f"toy/{name}" for name in FILES_OF_SEVERAL]
    names += [*(f"toy@1a2b/{name}" for name in FILES), "README.md"]
    assert [path.relative_to(out).as_posix() for path in written] == names
    grid, frame = multi_step
    assert (out / "toy" / "table.md").read_text(encoding="utf-8") == markdown(sheets(analyse(grid, grid.report, frame)))
    assert (out / "README.md").read_text().splitlines()[4:6] == [
        "- [toy](toy/table.md): 12 of 24 runs done, 4 failed, 3 diverged",
        "- [toy@1a2b](toy%401a2b/table.md): 0 of 2 runs done",
    ]
    assert str(tmp_path) not in "".join(path.read_text(encoding="utf-8") for path in written)


def test_named_grids_alone_are_written_without_an_index(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "reports"
    written = write_report(results, out, ["toy"])
    assert sorted(written) == sorted(path for path in out.rglob("*") if path.is_file())
    assert sorted(path.name for path in written) == sorted(FILES_OF_SEVERAL)


def test_stale_names_what_would_change_and_writes_nothing(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "reports"
    assert len(stale(results, out)) == len(FILES) + len(FILES_OF_SEVERAL) + 1
    assert not out.exists()
    write_report(results, out)
    assert stale(results, out) == []
    (out / "toy" / "table.csv").write_text("edited")
    (out / "toy" / "cost.csv").unlink()
    (out / "toy" / "figure.svg").write_text("of someone else")
    assert stale(results, out) == [out / "toy" / "table.csv", out / "toy" / "cost.csv"]
    assert (out / "toy" / "table.csv").read_text() == "edited"
    write_report(results, out)
    assert stale(results, out) == []
    assert (out / "toy" / "figure.svg").exists()


def test_compaction_and_another_process_give_the_same_bytes(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VisionTask, "numerics", NUMERICS)  # as in the other process
    out = tmp_path / "reports"
    write_report(results, out)
    compact(GridFolder(results, "toy"))
    code = (
        "import pathlib, sys; from xsam.report.analysis import load_report; "
        "from xsam.report.write import render, stale; "
        "results, out = map(pathlib.Path, sys.argv[1:]); "
        "print(stale(render(load_report(results), figures=False, page=False), out))"
    )
    command = [sys.executable, "-c", code, os.path.relpath(results, tmp_path), "reports"]
    environment = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert answer.stdout.strip() == "[]"


def test_bad_input_is_one_clear_error(results: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no grids here"):
        write_report(tmp_path / "empty", tmp_path / "reports")
    with pytest.raises(ValueError, match=r"no grid 'toyy' in .*did you mean 'toy'"):
        write_report(results, tmp_path / "reports", ["toyy"])
    (results / "toy").rename(results / "other")
    with pytest.raises(ValueError, match=r"other/grid\.json: holds the grid 'toy'; name its folder so"):
        load_grid_report(GridFolder(results, "other"))
    grid = json.loads((results / "toy@1a2b" / "grid.json").read_text())
    grid["runs"][0]["params"]["rho"] = 9.0
    (results / "toy@1a2b" / "grid.json").write_text(json.dumps(grid))
    with pytest.raises(ValueError, match=r"grid\.json: not a grid that this version can read .*changed by hand"):
        write_report(results, tmp_path / "reports", ["toy@1a2b"])
    assert not (tmp_path / "reports").exists()


def test_rows_of_another_grid_copied_into_a_folder_are_strangers(
    results: Path, make_row: Callable[..., dict[str, Any]]
) -> None:
    folder = GridFolder(results, "toy@1a2b")
    write_run(folder, make_row("0123456789abcdef", "done", 50.0, grid=folder.name))
    assert load_grid_report(folder).analyses[0].table.strangers == ("0123456789abcdef",)
