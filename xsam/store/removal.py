"""Taking runs out of a results folder: the row first, so that no row is ever left without what belongs to it."""

from __future__ import annotations

import shutil
from collections.abc import Collection

from xsam.store.compaction import forget
from xsam.store.layout import TABLES, GridFolder


def remove_runs(folder: GridFolder, run_ids: Collection[str]) -> None:
    """Remove everything of these runs; may be killed at any point and done again.

    Raises ``ValueError`` where a file cannot be read, or another process is compacting the grid.
    """
    for table in TABLES:
        for run_id in run_ids:
            folder.table_file(table, run_id).unlink(missing_ok=True)
    forget(folder, run_ids, TABLES)
    for run_id in run_ids:
        for place in (folder.state(run_id), folder.outputs(run_id)):
            shutil.rmtree(place, ignore_errors=True)


def remove_grid(folder: GridFolder) -> None:
    """Remove a grid's whole folder; its ``grid.json`` goes first, and with it the grid."""
    folder.grid_json.unlink(missing_ok=True)
    shutil.rmtree(folder.root)
