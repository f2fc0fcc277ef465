"""What the files say about every run of a grid: the truth that all front ends share."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xsam import store
from xsam.atomic import read_text
from xsam.damage import OnDamage, ignore
from xsam.grid.spec import RunSpec
from xsam.metrics import VALIDATION
from xsam.runner import lease
from xsam.store.layout import GridFolder

if TYPE_CHECKING:
    from xsam.store.ends import Finished

STATES = ("done", "diverged", "failed", "running", "interrupted", "pending")
FINISHED = ("done", "diverged", "failed")
_TOLD = ("epoch", "epochs", "done", "loss", "eta_seconds")


@dataclass(frozen=True)
class RunStatus:
    """One run's state (one of ``STATES``), and what is known beyond it.

    Attributes:
        attempts: how many workers have started the run so far.
        launch: the launch whose worker holds it.
        progress: epoch, epochs, done (fraction), loss, eta_seconds and what the last epoch was like in validation; of
            running and interrupted runs.
        error: the traceback of a failed run.
        why: in words, why a run is not finished, where the cluster tells more than the state.
        lost: something ended the run's job, and no other will do the run: it waits for a new ``run``.
    """

    run: RunSpec
    state: str
    attempts: int = 0
    launch: str | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    why: str = ""
    lost: bool = False

    @property
    def last_line(self) -> str:
        """The last line of the traceback, which says what went wrong."""
        return self.error.strip().splitlines()[-1] if self.error else ""

    def to_json(self) -> dict[str, Any]:
        """As ``status --json`` and ``plan --json`` show it."""
        return {
            **self.run.to_json(),
            "status": self.state,
            "attempts": self.attempts,
            "progress": self.progress,
            "error": self.error,
            "why": self.why,
        }


def status(folder: GridFolder, run: RunSpec) -> RunStatus:
    """Look one run up; a damaged row counts as none."""
    result = store.finished(folder, run.run_id, ignore)
    return _unfinished(folder, run) if result is None else _finished(run, result)


def _finished(run: RunSpec, result: Finished) -> RunStatus:
    return RunStatus(run, result.status, result.attempts, error=result.error)


def _unfinished(folder: GridFolder, run: RunSpec) -> RunStatus:
    number, record, held = lease.current(folder.leases(run.run_id))
    if held and record is not None:
        return RunStatus(run, "running", number, record.launch, _progress(folder, run))
    if folder.checkpoint(run.run_id).exists():
        return RunStatus(run, "interrupted", number, progress=_progress(folder, run))
    return RunStatus(run, "pending", number)


def held(folder: GridFolder, run_id: str) -> bool:
    """Whether a living worker holds the run."""
    return lease.current(folder.leases(run_id))[2]


def survey(
    folder: GridFolder, runs: Sequence[RunSpec], on_damage: OnDamage = ignore, keep_index: bool = True
) -> list[RunStatus]:
    """Look all runs up, in order. What no worker has touched, most of a large new grid, costs nothing.

    Args:
        folder: the grid's folder.
        runs: its runs.
        on_damage: called with each damaged row file, which counts as none.
        keep_index: see :func:`xsam.store.ends.stored_runs`.
    """
    touched = folder.started()
    ends = store.finished_runs(folder, on_damage, keep_index) if folder.has_rows("runs") else {}
    states = []
    for run in runs:
        if run.run_id in ends:
            states.append(_finished(run, ends[run.run_id]))
        elif run.run_id in touched:
            states.append(_unfinished(folder, run))
        else:
            states.append(RunStatus(run, "pending"))
    return states


def summary(states: Iterable[RunStatus]) -> str:
    """One line: how many runs are in each state."""
    counts = Counter(one.state for one in states)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "no runs"


def name_of(run: RunSpec) -> str:
    """A run as people call it: its place in the matrix."""
    axes = {"optimizer": run.optimizer, **run.axes}
    return " ".join(
        str(value) if axis in ("model", "dataset", "optimizer") else f"{axis}={value}" for axis, value in axes.items()
    )


def _progress(folder: GridFolder, run: RunSpec) -> dict[str, Any]:
    """What the run's worker last told, but for test data, of which earlier versions told; nothing if unreadable."""
    try:
        content = json.loads(read_text(folder.progress(run.run_id)))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or not all(_number(content.get(name)) for name in ("epoch", "epochs", "done")):
        return {}
    told = {name: value for name, value in content.items() if name in _TOLD or name.startswith(VALIDATION)}
    return {name: value for name, value in told.items() if value is None or _number(value)}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
