"""``xsam-bench compact`` on real runs, beside workers that train, and killed for real."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import GRID
from tests.conftest import Bench
from xsam.store import GridFolder, read

MANY = 400


def content(results: Path) -> list[pd.DataFrame]:
    return [read(results, table) for table in ("runs", "epochs")]


def same(first: list[pd.DataFrame], second: list[pd.DataFrame]) -> None:
    for one, other in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(one, other)


def singles(results: Path) -> list[Path]:
    return sorted(results.glob("*/*/*.parquet"))


def test_compaction_says_what_it_did_and_changes_no_row(stored: Bench) -> None:
    before = content(stored.results)
    assert "did you mean 'small'?" in stored("compact", "smal", status=2)
    assert len(singles(stored.results)) == 2 * 6
    assert stored("compact") == "small: merged the files of 6 runs\n"
    assert singles(stored.results) == []
    same(before, content(stored.results))
    assert stored("compact", "small") == "small: merged the files of 0 runs\n"
    assert "small: 6 done" in stored("status")


@pytest.mark.slow
def test_runs_that_go_on_are_left_alone(bench: Bench) -> None:
    grid = bench.write_grid(GRID.replace("epochs: 2", "epochs: 40"))
    bench("run", grid, "--jobs", 1, "--detach")
    deadline = time.monotonic() + 120
    while not singles(bench.results):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    said = bench("compact")
    bench("run", grid)  # waits for the worker
    assert "unfinished alone" in said
    bench("compact")
    runs, epochs = content(bench.results)
    assert list(runs["status"]) == ["done"] * 6
    assert list(runs["attempts"]) == [1] * 6
    assert epochs.groupby("run_id").size().eq(40).all()


def multiply(folder: GridFolder, count: int) -> None:
    """Copy one run's files to as many further runs."""
    for table in ("runs", "epochs"):
        path = next(folder.singles(table).glob("*.parquet"))
        rows = pq.read_table(path)
        place = rows.schema.get_field_index("run_id")
        for number in range(count):
            ids = pa.array([f"{number:016d}"] * len(rows), pa.string())
            pq.write_table(
                rows.set_column(place, rows.schema.field(place), ids), path.with_name(f"{number:016d}.parquet")
            )


def writing(folder: GridFolder) -> bool:
    return any(folder.root.glob(".*.parquet.*.tmp"))


def merged(folder: GridFolder) -> bool:
    return folder.compacted("runs").exists()


def removing(folder: GridFolder) -> bool:
    return len(singles(folder.results)) < 2 * (MANY + 6)


@pytest.mark.slow
def test_a_compaction_that_is_killed_loses_nothing(stored: Bench) -> None:
    multiply(GridFolder(stored.results, "small"), MANY)
    before = content(stored.results)
    assert len(before[0]) == MANY + 6
    moments: list[Callable[[GridFolder], bool]] = [lambda _: True, writing, merged, removing]
    for number, moment in enumerate(moments):
        folder = GridFolder(stored.folder / f"copy {number}", "small")
        shutil.copytree(stored.results, folder.results)
        process = stored.start("compact", "--results", folder.results)
        while process.poll() is None and not moment(folder):
            time.sleep(0.0002)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.communicate()
        same(before, content(folder.results))
        stored("compact", "--results", folder.results)
        same(before, content(folder.results))
        assert singles(folder.results) == []
        assert not writing(folder), "what the killed one had begun to write is gone"
