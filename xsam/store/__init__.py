"""Parquet in, data frames out: where a grid's files are, how they are written, how they are read.

Light to import, since workers ask for paths before anything else: pandas and pyarrow are imported when rows are read or
written.

    >>> from pathlib import Path
    >>> from xsam.store import GridFolder, read
    >>> GridFolder(Path("results"), "quickstart").grid_json.as_posix()
    'results/quickstart/grid.json'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xsam.store.layout import GridFolder, grids

if TYPE_CHECKING:
    from xsam.store.compaction import compact as compact
    from xsam.store.ends import finished as finished
    from xsam.store.ends import finished_runs as finished_runs
    from xsam.store.frames import read as read
    from xsam.store.rows import write_epochs as write_epochs
    from xsam.store.rows import write_evaluations as write_evaluations
    from xsam.store.rows import write_run as write_run
    from xsam.store.rows import write_sharpness as write_sharpness

_LAZY = {
    "compact": "compaction",
    "finished": "ends",
    "finished_runs": "ends",
    "read": "frames",
    "write_epochs": "rows",
    "write_evaluations": "rows",
    "write_run": "rows",
    "write_sharpness": "rows",
}
__all__ = [
    "GridFolder",
    "compact",
    "finished",
    "finished_runs",
    "grids",
    "read",
    "write_epochs",
    "write_evaluations",
    "write_run",
    "write_sharpness",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"xsam.store.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
