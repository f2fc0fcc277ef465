"""What of a run's rows must not depend on where, when, beside what and how often it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from xsam.store import read

Numbers = tuple[pd.DataFrame, pd.DataFrame]  # of the runs, and of their epochs

# The columns that tell of one training alone, by how their names end.
CIRCUMSTANCES = (
    *("grid", "launch", "attempts", "deaths", "resumed_from_step", "note", "started_at", "finished_at"),
    *("seconds", "peak_memory_bytes", "provenance"),
)


def numbers(results: Path, grids: Sequence[str] | None = None) -> Numbers:
    """The runs and their epochs, in order of their ids, without what tells of one training alone."""
    tables = [read(results, table, grids=grids) for table in ("runs", "epochs")]
    runs, epochs = (table[[name for name in table.columns if not name.endswith(CIRCUMSTANCES)]] for table in tables)
    return runs.sort_values("run_id", ignore_index=True), epochs.sort_values(["run_id", "epoch"], ignore_index=True)


def assert_same_numbers(results: Path, expected: Numbers, grid: str | None = None) -> None:
    """Bit for bit."""
    for found, wanted in zip(numbers(results, None if grid is None else [grid]), expected, strict=True):
        pd.testing.assert_frame_equal(found, wanted, check_exact=True)
