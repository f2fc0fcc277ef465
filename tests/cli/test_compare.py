"""``xsam-bench compare`` on two folders of real runs, one of them with changed rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from tests.cli.conftest import LABEL
from tests.conftest import Bench
from xsam.store import GridFolder, read, write_run


def change(results: Path, optimizer: str, drop: float) -> None:
    """Lower the stored accuracies of an optimizer, by a little less for each further seed."""
    folder = GridFolder(results, "small")
    for path in folder.singles("runs").iterdir():
        (row,) = pq.read_table(path).to_pylist()
        if row["optimizer"] == optimizer:
            write_run(folder, {**row, "test_accuracy_final": row["test_accuracy_final"] - drop + 0.1 * row["seed"]})


def test_cells_that_moved_and_cells_that_did_not(stored: Bench) -> None:
    other = stored.folder / "[red]other <results>"
    shutil.copytree(stored.results, other)
    change(other, LABEL, 20.0)
    assert "2 identical" in stored("compare", "results", "results", "--check")
    said = stored("compare", "results", other, "--check", status=1)
    assert said.startswith(f"results → {other}\n")
    assert said.splitlines()[-1] == "1 identical, 1 worse"
    found = {one["verdict"]: one for one in json.loads(stored("compare", "results", other, "--json"))}
    assert set(found) == {"identical", "worse"}
    worse = found["worse"]
    assert LABEL in worse["cell"]
    assert worse["pairs"] == 3
    runs = [read(one).query("method == 'xsam'").set_index("seed") for one in (stored.results, other)]
    difference = (runs[1]["test_accuracy_final"] - runs[0]["test_accuracy_final"]).mean()
    assert abs(worse["difference"] - difference) < 1e-9
    assert worse["low"] < difference < worse["high"] < 0


def test_folders_without_a_common_cell_are_bad_input(stored: Bench) -> None:
    (stored.folder / "empty").mkdir()
    for arguments in (("results", "nowhere"), ("empty", "results")):
        process = stored.start("compare", *arguments)
        output, error = process.communicate(timeout=120)
        assert (process.returncode, output, error.count("\n")) == (2, "", 1), error
        assert "no grids here" in error
