"""``--json``: standard output is one document that a program reads, whatever happens; people read standard error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_tune import GRID as TUNED
from tests.conftest import Bench
from xsam.store import read

PARTLY = (
    "name: partly\ntask: vision\nmatrix: {dataset: [fashion_mnist, digits], optimizer: [sgd], seed: [0]}\n"
    "params: {model: mlp, hidden: [8], epochs: 1}\n"
)


def told(bench: Bench, *arguments: object, status: int = 0) -> tuple[Any, str]:
    """The document on standard output, and what people see."""
    process = bench.start(*arguments, "--json")
    output, error = process.communicate(timeout=300)
    assert process.returncode == status, output + error
    return json.loads(output), error


def damaged_data(bench: Bench) -> None:
    """A data set that is there, and fails every run."""
    folder = bench.folder / "data" / "fashion_mnist"
    folder.mkdir(parents=True)
    for name in ("manifest.json", "train-28.npy", "train-labels.npy", "test-28.npy", "test-labels.npy"):
        (folder / name).write_bytes(b"not what it should be")


def test_run_tells_counts_ids_failures_and_logs(bench: Bench) -> None:
    damaged_data(bench)
    grid = bench.write_grid(PARTLY)
    content, seen = told(bench, "run", grid, "--jobs", 1, status=1)
    assert "1 done, 1 failed" in seen
    rows = read(bench.results).set_index("run_id")
    assert content["grid"] == "partly"
    assert {name: count for name, count in content["counts"].items() if count} == {"done": 1, "failed": 1}
    assert content["failed"] == list(rows.index[rows["status"] == "failed"])
    assert {one["run_id"]: one["status"] for one in content["runs"]} == dict(rows["status"])
    assert "Traceback" in next(one["error"] for one in content["runs"] if one["status"] == "failed")
    for one in content["runs"]:
        assert (bench.folder / one["log"]).is_file()
    again, seen = told(bench, "run", grid, status=1)
    assert "nothing to do" in seen
    assert again["counts"] == content["counts"]


def test_bad_input_leaves_standard_output_empty(stored: Bench) -> None:
    for arguments in (("run", "none.yaml"), ("tune", "grid.yaml"), ("report", "smal"), ("compact", "smal")):
        process = stored.start(*arguments, "--json")
        output, error = process.communicate(timeout=120)
        assert (process.returncode, output, error.count("\n")) == (2, "", 1), arguments


def test_report_tells_what_it_wrote_and_what_is_missing(stored: Bench) -> None:
    content, seen = told(stored, "report", "--no-figures", "--no-page")
    assert "wrote" in seen
    (grid,) = content["grids"]
    assert (grid["grid"], grid["tables"], grid["missing"], grid["failed"]) == ("small", ["table"], [], [])
    assert grid["counts"] == {"done": 6, "diverged": 0, "failed": 0, "missing": 0}
    paths = {stored.folder / path for path in content["written"]}
    assert paths == {path for path in (stored.folder / "reports").rglob("*") if path.is_file()}

    lost = read(stored.results)["run_id"][0]
    stored("rm", lost, "--yes")
    content, _ = told(stored, "report", "--check", "--no-figures", "--no-page", status=1)
    assert content["grids"][0]["missing"] == [lost]
    assert "reports/small/table.md" in content["stale"]
    assert content["written"] == []


def test_compact_tells_what_it_merged_and_names_damaged_files(stored: Bench) -> None:
    run_ids = list(read(stored.results)["run_id"])
    path = stored.results / "small" / "runs" / f"{run_ids[0]}.parquet"
    path.write_bytes(b"damaged")
    content, seen = told(stored, "compact", status=1)
    assert "merged the files of 5 runs" in seen
    (grid,) = content["grids"]
    assert (grid["grid"], grid["merged"], grid["unfinished"]) == ("small", 5, run_ids[:1])
    assert [Path(one).name for one in content["damaged"]] == [path.name]
    assert all((stored.folder / file).is_file() for file in grid["files"])


@pytest.mark.slow
def test_tune_tells_its_choice_or_why_there_is_none(bench: Bench) -> None:
    small = TUNED.replace("[1024, 1024]", "[8]").replace("max_extensions: 1", "max_extensions: 0")
    content, seen = told(bench, "tune", bench.write_grid(small))
    assert "wrote" in seen
    assert content["grid"] == "small@tune"
    assert content["error"] is None
    assert content["counts"]["done"] == 8
    (cell,) = content["tuning"]["cells"]
    assert cell["trials"][cell["chosen"]]["params"]["lr"] in (1e-3, 1e-2)
    assert (bench.folder / "grid_tuned.yaml").read_text() == Path(bench.folder / content["written"][0]).read_text()

    wild = small.replace("name: small", "name: wild").replace("[1.0e-3, 1.0e-2]", "[1.0e+30, 1.0e+31]")
    content, seen = told(bench, "tune", bench.write_grid(wild.replace("[8]", "[8, 8]"), "wild.yaml"), status=1)
    assert "without diverging or failing" in content["error"]
    assert content["error"] in seen
    assert content["tuning"] is None
    assert content["counts"]["diverged"] == 8
