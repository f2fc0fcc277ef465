"""A plug-in is trained by workers, stored, reported and reproduced; a launch keeps what it began with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xsam.grid import load_grid
from xsam.plugins import PluginError, unload
from xsam.runner.order import WorkOrder
from xsam.store import read

Edit = Callable[[str, str], None]


def bench(place: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "xsam.cli.main", *arguments],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_from_a_file_of_ones_own_to_its_report(place: Path, edit: Edit) -> None:
    bench(place, "run", "mine.yaml", "--jobs", "1")
    rows = read(place / "results")
    assert set(rows["param_shrink"].dropna()) == {0.5}
    plugin = json.loads(rows["provenance"][0])["plugins"]["my_sam"]
    assert (plugin["version"], plugin["reference"], len(plugin["sha256"])) == ("1", "./my_sam.py", 64)
    measured = read(place / "results", "sharpness")
    assert set(measured["measure"]) == {"my_norms/weights", "my_norms/loss"}
    assert (measured["value"] > 0).all()
    run_id = rows[rows["method"] == "my_sam"]["run_id"].iloc[0]

    missing = bench(place, "reproduce", run_id, status=2).stderr
    assert missing == (
        f"xsam-bench: run {run_id} uses the plug-in my_sam (version 1), which is not loaded: "
        "xsam-bench --plugin FILE (it was ./my_sam.py) …\n"
    )
    assert "identical" in bench(place, "--plugin", "./my_sam.py", "reproduce", run_id).stdout

    edit('"""A method of my own."""', '"""Another text."""')
    again = bench(place, "run", "mine.yaml")
    assert "nothing to do, 4 done" in again.stdout
    assert again.stderr == (
        "xsam-bench: mine: the plug-in my_sam (./my_sam.py) has changed, and 4 stored runs of the same version '1' are "
        "kept; where it computes other numbers, raise its version, and they are trained again\n"
    )
    (place / "my_sam.py").unlink()  # who reads results needs no code
    bench(place, "report", "--out", "reports")
    assert "my_sam" in (place / "reports" / "mine" / "table.md").read_text(encoding="utf-8")


def test_a_launch_keeps_the_plug_ins_that_it_began_with(place: Path, edit: Edit) -> None:
    grid = load_grid(place / "mine.yaml")
    order = WorkOrder(place / "results", grid.name, tuple(run.run_id for run in grid.runs), place, "launch")
    order.write_snapshot(grid.runs)
    edit("mul_(self.shrink)", "zero_()")
    unload("my_sam")
    order.load_plugins()
    kept = (order.place / "plugins" / "my_sam" / "my_sam.py").read_text(encoding="utf-8")
    assert "mul_(self.shrink)" in kept
    unload("my_sam")
    (order.place / "plugins" / "my_sam" / "my_sam.py").write_text(kept + "# changed", encoding="utf-8")
    with pytest.raises(PluginError, match="the plug-in my_sam has changed since this launch began"):
        order.load_plugins()


@pytest.mark.slow
def test_a_launcher_of_a_plug_in_starts_the_workers(place: Path) -> None:
    toy = Path(__file__).parents[1] / "extension" / "toy_launcher.py"
    declared = "from xsam.plugins import Plugin\nplugin = Plugin('toy', version='1')\nplugin.launcher('toy', TOY)\n"
    (place / "toy.py").write_text(f"{toy.read_text(encoding='utf-8')}\n{declared}", encoding="utf-8")
    assert "no launcher 'toy'" in bench(place, "run", "mine.yaml", "--launcher", "toy", status=2).stderr
    said = bench(place, "--plugin", "toy.py", "run", "mine.yaml", "--launcher", "toy").stdout
    assert "mine: 4 toy jobs" in said
    assert "mine: 4 done" in said
