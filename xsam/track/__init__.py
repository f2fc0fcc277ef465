"""Records of runs for the programs that people watch experiments with: one small interface, chosen by ``run --track``.

A record stands beside the results folder and is written while a run is trained: nothing is sent anywhere, and nothing
of it goes into ids, rows or checkpoints. Its epochs hold what may be seen of a run that is not over
(:func:`xsam.metrics.watched`), and test numbers come with its end alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

from xsam.parameters import nearest
from xsam.plugins.kinds import TRACKERS as TRACKERS


class TrackerMissing(Exception):
    """There is no such tracker, or its library is not installed; the message is one line that says what to do."""


@dataclass(frozen=True)
class TrackedRun:
    """What a record says of its run.

    Attributes:
        run_id: its id, the same at every start.
        grid: the grid's name.
        name: what people call it.
        params: its parameters, with optimizer, method, model, data set and seed among them.
    """

    run_id: str
    grid: str
    name: str
    params: Mapping[str, Any]


class Tracker(Protocol):
    """The record of one run. What it raises is said in the run's log, and training goes on without it.

    A tracker is made from the folder of its records and the name of a grid, by the front end too, before any run: what
    runs of a grid share, it makes then, and raises where it cannot work.
    """

    def start(self, run: TrackedRun) -> None:
        """Begin the record, or go on with that of an earlier start; a run's former epochs are logged again after it."""

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record an epoch (from 0); one that the record has already must not stand in it twice."""

    def finish(self, status: str, metrics: Mapping[str, float]) -> None:
        """End the record: ``"done"`` with the test set's numbers, ``"diverged"``, ``"failed"``, or ``"stopped"``."""


def place_of(results: Path, name: str) -> Path:
    """The folder of the tracker's records, beside the results folder.

    >>> place_of(Path("work/results"), "mlflow").as_posix()
    'work/results-tracking/mlflow'
    """
    return results.parent / f"{results.name}-tracking" / name


def open_tracker(name: str, results: Path, grid: str) -> Tracker:
    """A tracker for one run of ``grid``, or to see that it works; raises :class:`TrackerMissing` and its own errors."""
    kind = _kind(name)
    missing = [library for library in getattr(kind, "libraries", ()) if find_spec(library) is None]
    if missing:
        raise TrackerMissing(f"--track {name}: {missing[0]} is not installed: pip install 'xsam-bench[{name}]'")
    place = place_of(results, name)
    place.mkdir(parents=True, exist_ok=True)
    return kind(place, grid)


def file_name(run: TrackedRun) -> str:
    """A name for the files of a run's record, whatever its model is called.

    >>> file_name(TrackedRun("0123", "g", "hub/net sam seed 0", {}))
    'hub_net_sam_seed_0-0123'
    """
    return f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', run.name)}-{run.run_id}"


def _kind(name: str) -> Callable[[Path, str], Tracker]:
    if name not in TRACKERS:
        raise TrackerMissing(f"--track {name}: there is no such tracker{nearest(name, TRACKERS)}")
    found = TRACKERS[name]
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        found = getattr(import_module(module), attribute)
    return cast(Callable[[Path, str], Tracker], found)
