"""The verbs for stored runs, on a copy of measured ones: compacted files, and single ones where something merged."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from xsam.cli.main import app
from xsam.cli.terminal import BadInput
from xsam.grid import Grid
from xsam.store import GridFolder, read
from xsam.store.layout import TABLES
from xsam.store.rows import write_evaluations

MEASURED = Path(__file__).parents[2] / "results" / "sharpness"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    shutil.copytree(MEASURED, tmp_path / "results" / "sharpness")
    return tmp_path / "results"


def bench(*arguments: object, status: int = 0) -> Result:
    done = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output + repr(done.exception)
    return done


def refused(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert isinstance(done.exception, BadInput), done.output
    return str(done.exception)


def ids(results: Path) -> list[str]:
    return [run.run_id for run in Grid.load(GridFolder(results, "sharpness").grid_json).runs]


def test_runs_lists_and_filters(results: Path) -> None:
    assert bench("runs", "--ids", "--results", results).output.split() == ids(results)
    chosen = json.loads(bench("runs", "sharpness", "--only", "optimizer=xsam", "--json", "--results", results).output)
    assert chosen
    assert {one["optimizer"] for one in chosen} == {"xsam"}
    assert {one["status"] for one in chosen} == {"done"}
    assert "no such run" in bench("runs", "--status", "failed", "--results", results).output
    assert refused("runs", "--status", "dnoe", "--results", results) == "unknown status 'dnoe'; did you mean 'done'?"
    assert "no run of sharpness has" in refused("runs", "sharpness", "--only", "seed=99", "--results", results)


def test_show_has_parameters_metrics_cost_and_origin(results: Path) -> None:
    run_id = ids(results)[0]
    row = read(results).set_index("run_id").loc[run_id]
    shown = json.loads(bench("show", run_id[:10], "--json", "--results", results).output)
    assert shown["run_id"] == run_id
    assert shown["metrics"]["test_accuracy_final"] == row["test_accuracy_final"]
    assert shown["cost"]["backwards"] == row["backwards"]
    assert shown["provenance"]["data_checksum"] == json.loads(row["provenance"])["data_checksum"]
    text = bench("show", run_id, "--results", results).output
    assert text.startswith(f"sharpness {run_id} ")
    assert "test_accuracy_final" in text


def test_a_removed_run_is_missing_from_every_table(results: Path) -> None:
    run_id, *others = ids(results)
    assert refused("rm", run_id, "--results", results).endswith("Nobody is there to answer: give --yes")
    bench("rm", run_id, "--yes", "--results", results)
    for table in ("runs", "epochs", "sharpness"):
        assert set(read(results, table)["run_id"]) == set(others)
    bench("rm", run_id, "--yes", "--results", results)  # a removal that was killed is done again
    assert json.loads(bench("runs", "--json", "--results", results).output)[0]["status"] == "pending"


def test_a_grid_is_removed_whole_and_a_wrong_name_not_at_all(results: Path) -> None:
    assert refused("rm", "sharpnes", "--yes", "--results", results).endswith(
        "no run and no grid 'sharpnes'; did you mean 'sharpness'?"
    )
    bench("rm", "sharpness", "--yes", "--results", results)
    assert list(results.iterdir()) == []


def test_merge_brings_back_what_is_missing_and_changes_nothing_else(results: Path, tmp_path: Path) -> None:
    score = {"test_set": "test", "weights": "final", "metric": "accuracy", "value": 90.0, "examples": 10}
    evaluated = ids(results)[0]
    write_evaluations(GridFolder(results, "sharpness"), evaluated, [score])
    before = {table: read(results, table) for table in TABLES}
    assert list(before["evaluations"]["run_id"]) == [evaluated]
    other, count = tmp_path / "other", len(ids(results))
    assert f"added {count} runs" in bench("merge", results, other).output
    bench("rm", ids(other)[0], "--yes", "--results", other)
    assert f"added 1 runs; {count - 1} were there already" in bench("merge", results, other).output
    for table, frame in before.items():
        pd.testing.assert_frame_equal(read(other, table), frame)
    assert f"{count} were there already" in bench("merge", results, other).output
    assert "are one folder" in refused("merge", results, results)


def test_runs_that_differ_in_both_are_said_and_stay(results: Path, tmp_path: Path) -> None:
    from xsam.store.rows import write_run
    from xsam.store.schema import arrow_schema

    other = tmp_path / "other"
    bench("merge", results, other)
    folder, run_id = GridFolder(other, "sharpness"), ids(other)[0]
    frame = read(other, columns=["finished_at", "status", "test_accuracy_final"]).set_index("run_id")
    row = {"run_id": run_id, "status": "done", "finished_at": frame.loc[run_id, "finished_at"].to_pydatetime()}
    assert "test_accuracy_final" in arrow_schema("runs").names
    write_run(folder, {**row, "test_accuracy_final": 1.0})
    said = bench("merge", results, other, status=1).output
    assert f"  {run_id} differs" in said
    assert read(other).set_index("run_id").loc[run_id, "test_accuracy_final"] == 1.0


def test_export_writes_the_same_numbers(results: Path, tmp_path: Path) -> None:
    frame = read(results)
    bench("export", "--csv", tmp_path / "runs.csv", "--results", results)
    table = pd.read_csv(tmp_path / "runs.csv")
    assert list(table["run_id"]) == list(frame["run_id"])
    assert list(table["test_accuracy_final"]) == list(frame["test_accuracy_final"])
    assert json.loads(table["param_hidden"][0]) == list(frame["param_hidden"][0])
    bench("export", "--table", "epochs", "--arrow", tmp_path / "epochs.arrow", "--results", results)
    assert len(pd.read_feather(tmp_path / "epochs.arrow")) == len(read(results, "epochs"))
    printed = bench("export", "--csv", "-", "--results", results).output
    assert len(pd.read_csv(io.StringIO(printed))) == len(frame)
    assert refused("export", "--results", results) == "give one of --csv FILE and --arrow FILE"


def test_an_export_of_no_runs_has_the_columns_of_one(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    said = bench("export", "--csv", tmp_path / "runs.csv", "--results", tmp_path / "results").output
    assert said == f"wrote 0 rows of runs to {tmp_path / 'runs.csv'}\n"
    table = pd.read_csv(tmp_path / "runs.csv")
    assert len(table) == 0
    assert {"run_id", "status", "test_accuracy_final"} <= set(table)


def test_the_version_is_one_line() -> None:
    from xsam import __version__

    assert bench("--version").output == f"xsam-bench {__version__}\n"
