"""What a launch asks of its workers: its order, the snapshot of its runs, and what settles a run.

Nothing here imports torch, and nothing that another launch writes changes an order: the runs are a snapshot of the
launch's own, and a failure settles a run unless the order was made to try that very failure again. No two clocks are
compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xsam.atomic import write_json
from xsam.damage import ignore
from xsam.grid.diagnostics import Diagnostics
from xsam.grid.spec import RunSpec
from xsam.plugins.kinds import TRACKERS
from xsam.plugins.load import load_staged, stage
from xsam.store.layout import GridFolder
from xsam.tasks import own

if TYPE_CHECKING:
    from xsam.store.ends import Finished

SNAPSHOT = "runs.json"


@dataclass(frozen=True)
class WorkOrder:
    """What a launch hands to each of its workers.

    Attributes:
        results: the results folder; ``grid`` names the grid in it.
        run_ids: the runs to do, in order, all of one setting of ``numerics``; the launch's snapshot says what each is.
        data_dir: where prepared data are.
        launch: id of the launch.
        again: run id → launch of its failed row, of the failures that this launch tries again (``""``: a row that is
            older than launches' ids). Any other failure settles a run.
        checkpoint_seconds: longest time between two checkpoints within an epoch.
        device: torch's name of the device, or "auto" for the first GPU where there is one.
        diagnostics: what to measure of the runs while they train; None: nothing.
        devices: processes that do each run together, which are the tasks of one job (the parameter ``devices``).
        keep_checkpoints: leave the last checkpoint of a finished run where it is.
        track: the tracker that keeps records of the runs (:mod:`xsam.track`); empty: none.
    """

    results: Path
    grid: str
    run_ids: tuple[str, ...]
    data_dir: Path
    launch: str
    again: Mapping[str, str] = field(default_factory=dict)
    checkpoint_seconds: float = 120.0
    device: str = "auto"
    diagnostics: Diagnostics | None = None
    devices: int = 1
    keep_checkpoints: bool = False
    track: str = ""

    @property
    def folder(self) -> GridFolder:
        """The grid's folder."""
        return GridFolder(self.results, self.grid)

    @property
    def place(self) -> Path:
        """The launch's own folder: its snapshot, job files, and the output of its workers."""
        return self.folder.launches / self.launch

    def part(self, run_ids: Sequence[str]) -> WorkOrder:
        """The same order for some of its runs."""
        again = {run_id: self.again[run_id] for run_id in run_ids if run_id in self.again}
        return replace(self, run_ids=tuple(run_ids), again=again)

    def write_snapshot(self, runs: Iterable[RunSpec]) -> None:
        """Keep what the order's runs are, before anybody works on it.

        The launch's folder is for its owner alone: it holds pickles, and whoever may write them may run code.
        """
        self.folder.make_launches(self.launch)
        wanted = set(self.run_ids)
        own = [run for run in runs if run.run_id in wanted]
        measured = frozenset[str]() if self.diagnostics is None else self.diagnostics.plugins
        tracker = TRACKERS.owner(self.track)
        used = {name for run in own for name in run.plugins} | measured | ({tracker} if tracker else set())
        plugins = stage(used, self.place)
        content = {"runs": [run.to_json() for run in own], **({"plugins": plugins} if plugins else {})}
        write_json(self.place / SNAPSHOT, content)

    def snapshot(self) -> dict[str, RunSpec]:
        """Run id → run, of all runs of the launch; a broken file is one ``ValueError`` that names it."""
        path = self.place / SNAPSHOT
        try:
            runs = {run.run_id: run for run in map(RunSpec.from_json, self._kept()["runs"])}
            missing = set(self.run_ids) - runs.keys()
            if missing:
                raise ValueError(f"it lacks the run {min(missing)}")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not the runs of this launch ({error}); give the command again") from None
        return runs

    def load_plugins(self) -> None:
        """Load the plug-ins of the launch's runs, as they were when it began; raises ``PluginError``."""
        load_staged(self._kept().get("plugins", ()), self.place)

    def enter_data(self, runs: Iterable[RunSpec]) -> None:
        """Make the user's own data sets known that ``runs`` use, with the content that they were planned with.

        Raises ``DataMissing`` and :class:`~xsam.tasks.own.OwnDataChanged`, which say what to do.
        """
        wanted = {tuple(run.data.items()) for run in runs if run.data}
        if wanted:
            own.enter(self.data_dir)
            for one in wanted:
                own.check(dict(one), self.data_dir)

    def _kept(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.place / SNAPSHOT).read_text(encoding="utf-8"))
        return content


def tried_again(ends: Mapping[str, Finished], run_ids: Iterable[str], retry_failed: bool) -> dict[str, str]:
    """What a new launch tries again (:attr:`WorkOrder.again`).

    That is runs given up since their workers died, and, with ``retry_failed``, those that failed with a traceback.

    Args:
        ends: how the grid's runs ended.
        run_ids: the launch's runs.
    """
    failed = {run_id: ends[run_id] for run_id in run_ids if run_id in ends and ends[run_id].status == "failed"}
    return {run_id: end.launch or "" for run_id, end in failed.items() if retry_failed or end.deaths}


def settled(order: WorkOrder, run_id: str) -> bool:
    """Whether this launch has nothing left to do for the run: it is done, diverged, or failed and not to be retried."""
    from xsam.store import finished

    result = finished(order.folder, run_id, ignore)
    return result is not None and _settles(result, run_id, order)


def settled_runs(order: WorkOrder, ends: Mapping[str, Finished]) -> set[str]:
    """Ids of all runs of the grid that are :func:`settled`, given how they ended."""
    return {run_id for run_id, result in ends.items() if _settles(result, run_id, order)}


def _settles(result: Finished, run_id: str, order: WorkOrder) -> bool:
    return result.status != "failed" or order.again.get(run_id) != (result.launch or "")


class Progress:
    """Whether a launch gets on. Progress is a run that was settled or a checkpoint that moved, and nothing else.

    Args:
        order: the launch's, or a part of it.
    """

    def __init__(self, order: WorkOrder) -> None:
        self._order = order
        self._settled: set[str] = set()
        self._marks: dict[str, str] = {}
        self.made()

    def made(self) -> bool:
        """Whether there was progress since the last call (since the object was made, at the first)."""
        made = False
        for run_id in self._order.run_ids:
            if run_id in self._settled:
                continue
            if settled(self._order, run_id):
                self._settled.add(run_id)
                made = True
                continue
            mark = mark_of(self._order.folder.checkpoint(run_id))
            if mark and mark != self._marks.get(run_id, ""):
                self._marks[run_id] = mark
                made = True
        return made


def mark_of(checkpoint: Path) -> str:
    """What tells one version of a run's checkpoint from the next; empty where there is none."""
    try:
        stat = checkpoint.stat()
    except OSError:
        return ""
    return f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"


def utc_now() -> datetime:
    """The time that rows carry."""
    return datetime.now(UTC)
