import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from xsam.store import (
    GridFolder,
    compact,
    compaction,
    finished_runs,
    frames,
    read,
    write_epochs,
    write_run,
    write_sharpness,
)
from xsam.store.layout import TABLES

Row = Callable[..., dict[str, Any]]


def fill(folder: GridFolder, row: Row) -> None:
    """Two runs compacted before, one of them done again, two new ones, and one that is still training."""
    for run_id in ("a1", "b2"):
        write_epochs(folder, run_id, [{"epoch": epoch, "train_loss": 1.0} for epoch in range(2)])
        write_sharpness(folder, run_id, [{"measure": "trace", "value": 1.0}])
        write_run(folder, row(run_id, status="failed"))
    compact(folder)
    for number, run_id in enumerate(("b2", "c3", "d4")):
        write_epochs(folder, run_id, [{"epoch": epoch, "train_loss": 2.0 + number} for epoch in range(3)])
        write_run(folder, row(run_id, hours=1 + number))
    write_sharpness(folder, "a1", [{"measure": "trace", "value": 5.0}])
    write_epochs(folder, "e5", [{"epoch": 0, "train_loss": 9.0}])


def content(folder: GridFolder) -> list[pd.DataFrame]:
    return [read(folder.results, table) for table in TABLES]


def same(first: list[pd.DataFrame], second: list[pd.DataFrame]) -> None:
    for one, other in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(one, other)


def singles(folder: GridFolder) -> list[str]:
    return sorted(str(path.relative_to(folder.root)) for path in folder.root.glob("*/*.parquet"))


def test_compaction_changes_the_files_and_no_row(folder: GridFolder, row: Row) -> None:
    fill(folder, row)
    before = content(folder)
    assert list(before[0]["status"]) == ["failed", "done", "done", "done"]
    assert compact(folder) == 3
    assert singles(folder) == ["epochs/e5.parquet"]
    same(before, content(folder))
    ends = {run_id: end.status for run_id, end in finished_runs(folder).items()}
    assert ends == {"a1": "failed", "b2": "done", "c3": "done", "d4": "done"}


def test_compaction_of_nothing_new_writes_nothing(folder: GridFolder, row: Row) -> None:
    assert compact(folder) == 0
    assert not folder.compacted("runs").exists()
    fill(folder, row)
    compact(folder)
    tables = [table for table in TABLES if folder.has_rows(table)]
    versions = {table: folder.compacted(table).stat().st_ino for table in tables}
    assert compact(folder) == 0
    assert versions == {table: folder.compacted(table).stat().st_ino for table in tables}


def die_at(folder: GridFolder, fatal: int) -> None:
    """Compact, and die as by ``kill -9`` at the step ``fatal`` to the disk, half of them after it took effect."""
    steps = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == fatal and steps % 2:
                os._exit(9)
            try:
                return function(*args, **keywords)
            finally:
                if steps == fatal:
                    os._exit(9)

        return call

    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    compact(folder)
    os._exit(0)


def test_a_compaction_killed_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, folder: GridFolder, row: Row
) -> None:
    fill(folder, row)
    before = content(folder)
    context = multiprocessing.get_context("fork")
    for step in range(1, 100):
        copy = GridFolder(tmp_path / f"copy {step}", folder.name)
        shutil.copytree(folder.results, copy.results)
        process = context.Process(target=die_at, args=(copy, step))
        process.start()
        process.join()
        same(before, content(copy))
        assert finished_runs(copy) == finished_runs(folder)
        compact(copy)
        same(before, content(copy))
        assert singles(copy) == ["epochs/e5.parquet"]
        if process.exitcode == 0:
            break
        assert process.exitcode == 9
    assert step > 15


@pytest.mark.parametrize("moment", ["before it is read", "after it was read"])
def test_a_row_that_a_worker_writes_during_compaction_survives(
    folder: GridFolder, row: Row, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    write_run(folder, row("a1", status="failed"))
    original = frames.grid_table

    def interrupted(*args: Any, **keywords: Any) -> Any:
        if moment == "before it is read":
            write_run(folder, row("a1", hours=1))
        table = original(*args, **keywords)
        if moment == "after it was read":
            write_run(folder, row("a1", hours=1))
        return table

    with monkeypatch.context() as patched:
        patched.setattr(compaction, "grid_table", interrupted)
        compact(folder)
    assert list(read(folder.results)["status"]) == ["done"]


def hold(folder: GridFolder, ready: Any, release: Any) -> None:
    with compaction._alone(folder):
        ready.set()
        release.wait(60)


def test_two_compactions_of_one_grid_do_not_run_at_once(folder: GridFolder, row: Row) -> None:
    write_run(folder, row("a1"))
    context = multiprocessing.get_context("fork")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(folder, ready, release))
    other.start()
    assert ready.wait(60)
    with pytest.raises(ValueError, match="another process is compacting this grid"):
        compact(folder)
    other.kill()  # the lock goes with its process
    other.join()
    assert compact(folder) == 1
