import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_task import read_columns

from xsam.store import (
    GridFolder,
    compact,
    finished,
    finished_runs,
    grids,
    read,
    write_epochs,
    write_run,
    write_sharpness,
)
from xsam.store.ends import Finished
from xsam.store.schema import arrow_schema

Row = Callable[..., dict[str, Any]]


def edit(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Rewrite a parquet file as another version would have written it."""
    pq.write_table(change(pq.read_table(path)), path)


def test_grids_are_the_folders_with_a_grid_json(folder: GridFolder) -> None:
    (folder.results / "not-a-grid").mkdir()
    second = GridFolder(folder.results, "another")
    second.root.mkdir()
    second.grid_json.write_text('{"report": {"rule": "final"}}')
    assert grids(folder.results) == [second, folder]
    assert grids(folder.results / "nowhere") == []


def test_all_grids_or_the_named_ones_are_read_in_a_fixed_order(folder: GridFolder, row: Row) -> None:
    other = GridFolder(folder.results, "another")
    other.root.mkdir()
    other.grid_json.write_text('{"report": {"rule": "final"}}')
    for grid, run_id in ((folder, "b2"), (folder, "a1"), (other, "c3")):
        write_run(grid, row(run_id))
    frame = read(folder.results)
    assert list(zip(frame["grid"], frame["run_id"], strict=True)) == [
        ("another", "c3"),
        (folder.name, "a1"),
        (folder.name, "b2"),
    ]
    assert list(read(folder.results, grids=["another"])["run_id"]) == ["c3"]
    with pytest.raises(ValueError, match=r"no grid 'anothr' in .*did you mean 'another'"):
        read(folder.results, grids=["anothr"])
    with pytest.raises(FileNotFoundError, match="no such results folder"):
        read(folder.results / "nowhere")


@pytest.mark.parametrize("table", ["runs", "epochs", "sharpness"])
def test_no_rows_are_an_empty_frame_with_all_columns(folder: GridFolder, table: str) -> None:
    frame = read(folder.results, table)
    assert len(frame) == 0
    assert list(frame.columns) == read_columns(table)


def test_a_renamed_grid_folder_names_its_rows(folder: GridFolder, row: Row) -> None:
    write_run(folder, row("a1"))
    folder.root.rename(folder.results / "renamed")
    assert list(read(folder.results)["grid"]) == ["renamed"]


def state(folder: GridFolder, run_id: str) -> str | None:
    """The run's status by both ways of asking, which must agree."""
    end = finished(folder, run_id)
    assert end == finished_runs(folder).get(run_id)
    return None if end is None else end.status


def test_a_single_file_wins_over_what_was_compacted_whatever_the_clocks_of_their_writers(
    folder: GridFolder, row: Row
) -> None:
    write_run(folder, row("a1", hours=1, status="failed"))
    compact(folder)
    assert state(folder, "a1") == "failed"
    write_run(folder, row("a1", hours=2, status="done"))
    assert list(read(folder.results)["status"]) == ["done"]
    assert state(folder, "a1") == "done"
    write_run(folder, row("a1", hours=0, status="diverged"))  # by a host whose clock is behind
    assert list(read(folder.results)["status"]) == ["diverged"]
    assert state(folder, "a1") == "diverged"
    compact(folder)
    assert state(folder, "a1") == "diverged"


def test_finished_knows_single_compacted_and_absent_runs(folder: GridFolder, row: Row) -> None:
    assert state(folder, "a1") is None
    write_run(folder, row("a1", status="diverged"))
    assert state(folder, "a1") == "diverged"
    compact(folder)
    write_run(folder, row("b2"))
    assert [state(folder, run_id) for run_id in ("a1", "b2", "c3")] == ["diverged", "done", None]
    compact(folder)
    assert [state(folder, run_id) for run_id in ("a1", "b2", "c3")] == ["diverged", "done", None]
    assert list(finished_runs(folder)) == ["a1", "b2"]


def test_finished_tells_how_a_run_ended(folder: GridFolder, row: Row) -> None:
    end = row("a1", hours=3, status="failed", error="Traceback\nValueError: x", attempts=2, launch="b", deaths=3)
    write_run(folder, end)
    for _ in range(2):  # from the single file, then compacted
        found = finished(folder, "a1")
        assert found is not None
        assert found._asdict() == {name: end[name] for name in Finished._fields}
        compact(folder)
    write_run(folder, row("b2"))
    assert finished_runs(folder)["b2"][2:] == (0, None, None, None)


def test_new_epochs_replace_the_compacted_ones_of_their_run_only(folder: GridFolder, row: Row) -> None:
    for run_id in ("a1", "b2"):
        write_epochs(folder, run_id, [{"epoch": epoch, "train_loss": 1.0} for epoch in range(3)])
        write_run(folder, row(run_id))
    compact(folder)
    write_epochs(folder, "a1", [{"epoch": 0, "train_loss": 2.0, "alpha": 1.3}])
    frame = read(folder.results, "epochs")
    assert list(zip(frame["run_id"], frame["epoch"], frame["train_loss"], strict=True)) == [
        ("a1", 0, 2.0),
        *(("b2", epoch, 1.0) for epoch in range(3)),
    ]


def test_a_file_of_an_older_version_is_read_under_the_current_schema(folder: GridFolder, row: Row) -> None:
    write_run(folder, row("a1", seed=4, param_rho=0.5, test_accuracy_final=91.0))
    write_run(folder, row("b2", seed=5, param_rho=0.25))

    def older(table: pa.Table) -> pa.Table:
        table = table.drop_columns(["test_accuracy_best_val", "param_scale"])
        table = table.set_column(table.column_names.index("param_rho"), "param_rho", pa.array([1], pa.int32()))
        table = table.append_column("param_gone", pa.array(["x"]))
        table = table.append_column("test_accuracy", pa.array([12.0]))  # under the rule that the grid had then
        return table.replace_schema_metadata({"xsam_table": "runs", "xsam_version": "0"})

    edit(folder.run_file("a1"), older)
    for _ in range(2):  # from single files, then compacted
        frame = read(folder.results)
        assert list(frame.columns) == read_columns("runs")
        assert list(frame["param_rho"]) == [1.0, 0.25]
        assert list(frame["seed"]) == [4, 5]
        assert frame["test_accuracy_best_val"].isna().all()
        assert frame.loc[0, "test_accuracy"] == 91.0
        compact(folder)
    assert pq.read_table(folder.compacted("runs"))["param_gone"].to_pylist() == ["x", None]


def test_a_file_reads_the_same_whatever_it_says_of_its_empty_columns(folder: GridFolder, row: Row) -> None:
    write_run(folder, row("a1", seed=4, param_hidden=[], param_augment=False))
    write_epochs(folder, "a1", [{"epoch": 0, "alpha": None}, {"epoch": 1, "alpha": 1.5}])
    write_epochs(folder, "b2", [])
    for path, table in ((folder.run_file("a1"), "runs"), (folder.epochs_file("a1"), "epochs")):
        assert pq.read_table(path).column_names == arrow_schema(table).names
        frame = read(folder.results, table)
        for options in ({"write_statistics": False}, {"row_group_size": 1}):
            pq.write_table(pq.read_table(path), path, **options)
            pd.testing.assert_frame_equal(read(folder.results, table), frame)


def test_files_that_cannot_be_read_are_one_error_with_their_name(folder: GridFolder, row: Row) -> None:
    write_run(folder, row("a1"))
    path = write_run(folder, row("b2"))
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    for look in (lambda: read(folder.results), lambda: finished(folder, "b2"), lambda: compact(folder)):
        with pytest.raises(ValueError, match=r"runs/b2\.parquet: damaged"):
            look()
    assert folder.run_file("a1").exists()
    path.write_bytes(good)
    edit(path, lambda table: table.replace_schema_metadata({"xsam_table": "runs", "xsam_version": "99"}))
    with pytest.raises(ValueError, match=r"b2\.parquet: written in format 99 by a newer xsam-bench"):
        read(folder.results)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(ValueError, match=r"b2\.parquet: not a table of runs"):
        read(folder.results)
    with pytest.raises(ValueError, match=r"b2\.parquet: not a table of runs: it lacks the column run_id"):
        finished_runs(folder)
    path.write_bytes(good)
    edit(path, lambda table: table.set_column(8, "seed", pa.array(["five"])))
    with pytest.raises(ValueError, match=r"b2\.parquet: column seed does not fit int64"):
        read(folder.results)


def test_writers_at_once_lose_no_row_and_readers_never_see_half_of_one(folder: GridFolder, row: Row) -> None:
    failures: list[BaseException] = []

    def write(worker: int) -> None:
        try:
            for number in range(12):
                write_run(folder, row(f"w{worker}n{number}", test_accuracy_final=float(number)))
                write_run(folder, row("shared", hours=number, test_accuracy_final=float(worker)))
        except BaseException as error:  # handed to the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    seen: set[str] = set()
    while any(thread.is_alive() for thread in threads):
        now = set(read(folder.results)["run_id"])
        assert seen <= now
        seen = now
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(read(folder.results)["run_id"]) == {f"w{w}n{n}" for w in range(4) for n in range(12)} | {"shared"}


WRITER = """
import datetime, sys
from pathlib import Path
import xsam.tasks as tasks
tasks.TASKS = {"toy": "toy_task:TASK"}
from xsam.store import GridFolder, write_run
folder = GridFolder(Path(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
for number in range(10**9):
    now = datetime.datetime.now(datetime.UTC)
    write_run(folder, {"run_id": "a1", "status": "done", "finished_at": now, "seed": number, "error": "x" * 200_000})
"""


def test_a_killed_writer_never_leaves_a_row_that_cannot_be_read(folder: GridFolder) -> None:
    for attempt in range(4):
        command = [sys.executable, "-c", WRITER, str(folder.results), folder.name]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        try:
            writer.wait(0.03 * (attempt + 1))
        except subprocess.TimeoutExpired:
            writer.kill()
        writer.wait()
        writer.stdout.close()
        frame = read(folder.results)
        assert len(frame) <= 1
        assert state(folder, "a1") in ("done", None)


def test_sharpness_rows_are_read(folder: GridFolder) -> None:
    rows = [{"measure": "trace", "value": 12.5, "error": 0.5, "epoch": 9}, {"measure": "top_eigenvalue", "value": 3.0}]
    write_sharpness(folder, "a1", rows)
    frame = read(folder.results, "sharpness")
    assert list(frame["measure"]) == ["trace", "top_eigenvalue"]
    assert list(frame["value"]) == [12.5, 3.0]
    assert list(frame["error"].isna()) == [False, True]


def test_a_metric_is_read_under_the_rule_that_the_grid_has_now(folder: GridFolder, row: Row) -> None:
    write_run(folder, row("a1", test_accuracy_final=91.0, test_accuracy_best_val=89.0))
    write_run(folder, row("b2", test_accuracy_final=92.0))
    assert list(read(folder.results)["test_accuracy"]) == [91.0, 92.0]
    folder.grid_json.write_text('{"report": {"rule": "best_val"}}')
    frame = read(folder.results, columns=["test_accuracy"])
    assert "test_accuracy_best_val" not in frame
    assert frame.loc[0, "test_accuracy"] == 89.0
    assert pd.isna(frame.loc[1, "test_accuracy"])
    folder.grid_json.write_text("{}")
    with pytest.raises(ValueError, match=r"grid\.json: cannot be read"):
        read(folder.results)
