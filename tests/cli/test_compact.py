"""``xsam-bench compact`` on real runs, beside workers that train, and killed for real."""

from __future__ import annotations

import signal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import GRID
from tests.conftest import Bench
from tests.waiting import wait_until
from xsam.store import GridFolder, read

MANY = 40


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
@pytest.mark.faults
def test_runs_that_go_on_are_left_alone(bench: Bench) -> None:
    grid = bench.write_grid(GRID)
    bench.gate.hold()
    bench("run", grid, "--jobs", 1, "--detach")
    (first,) = bench.gate.wait()
    bench.gate.hold(passing=[first])
    wait_until(lambda: set(bench.gate.held()) - {first}, "the second run")
    said = bench("compact")
    bench.gate.open()
    bench("run", grid)  # waits for the worker
    assert "unfinished alone" in said
    bench("compact")
    runs, epochs = content(bench.results)
    assert list(runs["status"]) == ["done"] * 6
    assert list(runs["attempts"]) == [1] * 6
    assert epochs.groupby("run_id").size().eq(2).all()


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


MOMENTS = {
    "the runs written": ("os.rename", "*.runs.parquet.*"),
    "the runs merged": ("os.remove", "*/runs/*.parquet"),
    "some of them removed": ("os.remove", f"*/runs/{MANY // 2:016d}.parquet"),
    "the epochs written": ("os.rename", "*.epochs.parquet.*"),
    "some of them removed, too": ("os.remove", f"*/epochs/{MANY // 2:016d}.parquet"),
}


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_compaction_that_is_killed_loses_nothing(stored: Bench, moment: str) -> None:
    folder = GridFolder(stored.results, "small")
    multiply(folder, MANY)
    before = content(stored.results)
    assert len(before[0]) == MANY + 6
    stored.gate.hold_before(*MOMENTS[moment])
    process = stored.start("compact")
    ((pid,),) = stored.gate.wait().values()
    assert pid == process.pid
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stored.gate.open()
    same(before, content(stored.results))
    stored("compact")
    same(before, content(stored.results))
    assert singles(stored.results) == []
    assert not list(folder.root.glob(".*.tmp")), "what the killed one had begun to write is gone"
