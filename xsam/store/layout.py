"""Where a grid's files are. Paths alone, but for :func:`grids`, ``has_rows``, ``started`` and ``make_launches``."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TABLES = ("runs", "epochs", "sharpness", "evaluations")


@dataclass(frozen=True)
class GridFolder:
    """The folder of the grid ``name`` under the folder ``results``.

    Example:
        >>> GridFolder(Path("results"), "fashion").run_file("0123456789abcdef").as_posix()
        'results/fashion/runs/0123456789abcdef.parquet'
    """

    results: Path
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "results", Path(self.results))  # a text will do

    @property
    def root(self) -> Path:
        """The grid's folder."""
        return self.results / self.name

    @property
    def grid_json(self) -> Path:
        """The validated grid."""
        return self.root / "grid.json"

    @property
    def launches(self) -> Path:
        """What launchers write: job files and the output of workers."""
        return self.root / "launch"

    def make_launches(self, launch: str = "") -> Path:
        """Make :attr:`launches`, or the folder of one launch in it, for its owner alone; returns it.

        It holds pickles: whoever may write them may run code as the owner.
        """
        folder = self.launches / launch
        folder.mkdir(parents=True, exist_ok=True)
        for one in {self.launches, folder}:
            if one.stat().st_mode & 0o077:
                one.chmod(0o700)
        return folder

    def singles(self, table: str) -> Path:
        """The folder of ``table``'s files of one run each."""
        return self.root / table

    def compacted(self, table: str) -> Path:
        """The file of ``table``'s compacted rows."""
        return self.root / f"{table}.parquet"

    def table_file(self, table: str, run_id: str) -> Path:
        """The rows of one run in ``table`` (one of ``TABLES``)."""
        return self.singles(table) / f"{run_id}.parquet"

    def run_file(self, run_id: str) -> Path:
        """The run's row: spec, final metrics, status, cost, provenance."""
        return self.table_file("runs", run_id)

    def epochs_file(self, run_id: str) -> Path:
        """The run's rows of one epoch each."""
        return self.table_file("epochs", run_id)

    def sharpness_file(self, run_id: str) -> Path:
        """The run's rows of one measurement each."""
        return self.table_file("sharpness", run_id)

    def outputs(self, run_id: str) -> Path:
        """The folder of what a finished run leaves for people to read (translations)."""
        return self.root / "outputs" / run_id

    def has_rows(self, table: str) -> bool:
        """Whether ``table`` may have rows, from one look at the disk."""
        return any(map(os.path.lexists, (self.singles(table), self.compacted(table))))

    def started(self) -> set[str]:
        """Ids of the runs that a worker has ever touched, from one look at the disk."""
        names = os.listdir(self.states) if self.states.is_dir() else ()
        return {name for name in names if not name.startswith(".")}

    @property
    def states(self) -> Path:
        """What runs need while they are trained, a folder a run."""
        return self.root / "state"

    @property
    def damaged(self) -> Path:
        """Where damaged files are set aside."""
        return self.root / "damaged"

    def state(self, run_id: str) -> Path:
        """The folder of what a run needs while it is trained."""
        return self.states / run_id

    def checkpoint(self, run_id: str) -> Path:
        """The run's checkpoint."""
        return self.state(run_id) / "checkpoint.pt"

    def log(self, run_id: str) -> Path:
        """The run's log."""
        return self.state(run_id) / "log.txt"

    def progress(self, run_id: str) -> Path:
        """How far the run is, for those who watch."""
        return self.state(run_id) / "progress.json"

    def untracked(self, run_id: str) -> Path:
        """Why the run's record with a tracker is not whole; there is no file where nothing is wrong."""
        return self.state(run_id) / "untracked.txt"

    def leases(self, run_id: str) -> Path:
        """The folder of the run's lease."""
        return self.state(run_id) / "lease"


def grids(results: Path) -> list[GridFolder]:
    """The grids under ``results`` (folders with a ``grid.json``), sorted by name; none where there is no folder."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(results) as entries:
        names = sorted(entry.name for entry in entries)
        return [GridFolder(results, name) for name in names if os.path.lexists(results / name / "grid.json")]
    return []
