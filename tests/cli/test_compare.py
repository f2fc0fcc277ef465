"""``xsam-bench compare`` on two folders of real runs, one of them with changed rows."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from tests.cli.conftest import LABEL
from tests.conftest import Bench
from xsam.atomic import write_json
from xsam.grid import Grid
from xsam.store import GridFolder, read, write_run


def settle(results: Path, optimizer: str, accuracy: float, step: float) -> None:
    """Let an optimizer's stored accuracies be these: the first seed's, and how much more each further one has."""
    folder = GridFolder(results, "small")
    for path in folder.singles("runs").iterdir():
        (row,) = pq.read_table(path).to_pylist()
        if row["optimizer"] == optimizer:
            write_run(folder, {**row, "test_accuracy_final": accuracy + step * row["seed"]})


def test_cells_that_moved_and_cells_that_did_not(stored: Bench) -> None:
    settle(stored.results, LABEL, 80.0, 2.0)
    other = stored.folder / "[red]other <results>"
    shutil.copytree(stored.results, other)
    settle(other, LABEL, 75.0, 2.1)
    assert "2 identical" in stored("compare", "results", "results")
    said = stored("compare", "results", other, status=1)
    assert said.startswith(f"results → {other}\n")
    assert said.splitlines()[-1] == "1 identical, 1 worse"
    found = {one["verdict"]: one for one in json.loads(stored("compare", "results", other, "--json", status=1))}
    assert set(found) == {"identical", "worse"}
    worse = found["worse"]
    assert LABEL in worse["cell"]
    assert worse["pairs"] == 3
    runs = [read(one).query("method == 'xsam'").set_index("seed") for one in (stored.results, other)]
    difference = (runs[1]["test_accuracy_final"] - runs[0]["test_accuracy_final"]).mean()
    assert abs(worse["difference"] - difference) < 1e-9
    assert worse["low"] < difference < worse["high"] < 0
    assert worse["parameters"] == {}
    assert "1 equivalent" in stored("compare", "results", other, "--margin", "50")


def test_parameters_that_differ_are_named(stored: Bench) -> None:
    other = stored.folder / "longer"
    shutil.copytree(stored.results, other)
    path = GridFolder(other, "small").grid_json
    planned = Grid.load(path)
    runs = tuple(replace(run, params={**run.params, "epochs": 7}) for run in planned.runs)
    write_json(path, replace(planned, runs=runs).to_json())
    said = stored("compare", "results", other)
    assert "parameters differ: epochs: 2 before, 7 after (2 cells)" in said
    assert said.splitlines()[-1] == "2 missing", "the stored runs are those of other parameters"


def test_folders_without_a_common_cell_are_bad_input(stored: Bench) -> None:
    (stored.folder / "empty").mkdir()
    for arguments in (("results", "nowhere"), ("empty", "results")):
        process = stored.start("compare", *arguments)
        output, error = process.communicate(timeout=120)
        assert (process.returncode, output, error.count("\n")) == (2, "", 1), error
        assert "no grids here" in error
