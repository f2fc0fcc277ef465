"""What a launcher does, whoever it is: checks, submits, tells, cancels. The names are in :mod:`xsam.plugins.kinds`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from xsam.grid.spec import RunSpec
from xsam.launch.status import FINISHED, RunStatus
from xsam.plugins.kinds import LAUNCHERS
from xsam.runner import jobs
from xsam.runner.jobs import JobSystem
from xsam.runner.numerics import instructions
from xsam.runner.order import WorkOrder, utc_now
from xsam.store.layout import GridFolder
from xsam.tasks.run_config import PORTABLE

Show = Callable[[Sequence[RunStatus]], None]
Tell = Callable[[str], None]
Survey = tuple[GridFolder, Sequence[RunStatus]]

NEVER = "never started"


class LaunchError(Exception):
    """A launcher cannot do what it was asked to; the message is one line for the user."""


@dataclass(frozen=True)
class Options:
    """What the user says about a launch.

    Attributes:
        jobs: workers, or jobs, at a time; None: as many as the launcher finds right.
        device: torch's name of the device.
        profile: a file that describes the cluster.
        cores: CPU cores that this process may use.
        detach: start what trains, and return.
    """

    jobs: int | None = None
    device: str = "auto"
    profile: Path | None = None
    cores: int = 1
    detach: bool = False


class Finding(NamedTuple):
    """Something that a launcher needs of this machine: its name, whether it works, what was found, what to do."""

    name: str
    works: bool
    facts: str
    advice: str = ""


class Launch(Protocol):
    """What was submitted."""

    @property
    def said(self) -> str:
        """A line about it for the user; empty: nothing to say."""

    def follow(self, runs: Sequence[RunSpec], show: Show, tell: Tell) -> list[RunStatus]:
        """Wait until every one of ``runs`` is settled, or the user does not want to wait; returns their last states.

        Args:
            runs: those of the launch, and others that were finished before.
            show: called with every look at them.
            tell: called with lines for the user.

        Raises:
            WorkersFail: what trains ends without getting on.
        """


class Launcher(JobSystem, Protocol):
    """Somebody who has runs trained.

    Workers take runs by lease and write what they find by themselves: a launcher starts them, tells more of them than
    the files do, and ends them.
    """

    @property
    def here(self) -> bool:
        """Whether what it starts trains on this machine."""

    def check(self, grid: str, runs: Sequence[RunSpec], options: Options) -> None:
        """Raise :class:`LaunchError` where these runs of ``grid`` cannot be launched so, before anything is written."""

    def submit(self, order: WorkOrder, runs: Sequence[RunSpec], options: Options) -> Launch:
        """Have ``runs``, those of ``order``, trained. Raises :class:`LaunchError` or ``OSError``."""

    def status(self, surveys: Sequence[Survey]) -> list[list[RunStatus]]:
        """The same states, with ``why`` and ``lost`` of unfinished runs where it knows more than the files say."""

    def cancel(self, folder: GridFolder, runs: Sequence[RunSpec]) -> str:
        """End what trains these runs of a grid, saved; returns in words how much that was."""

    def findings(self) -> Iterator[Finding]:
        """What it needs of this machine, looked at."""


def launcher(name: str) -> Launcher:
    """The launcher of this name.

    >>> launcher("local").here, launcher("slurm").here
    (True, False)
    """
    try:
        return cast(Launcher, jobs.system(name))
    except ValueError as error:
        raise LaunchError(str(error)) from None


def explain(surveys: Sequence[Survey]) -> list[list[RunStatus]]:
    """What the files say of runs, explained by what every launcher knows besides."""
    told: list[list[RunStatus]] = [list(states) for _, states in surveys]
    for name in LAUNCHERS:
        told = launcher(name).status([(folder, states) for (folder, _), states in zip(surveys, told, strict=True)])
    return [[replace(one, why=NEVER) if _untouched(one) else one for one in states] for states in told]


def _untouched(state: RunStatus) -> bool:
    return state.state not in (*FINISHED, "running") and not state.attempts and not state.why


def cancel(folder: GridFolder, runs: Sequence[RunSpec]) -> str:
    """End what trains these runs, whoever started it; in words, how much that was. Raises :class:`LaunchError`."""
    # This machine last: what waits in a queue could otherwise start in place of what has ended here.
    return ", ".join(
        launcher(name).cancel(folder, runs) for name in sorted(LAUNCHERS, key=lambda name: launcher(name).here)
    )


def apart(order: WorkOrder, runs: Sequence[RunSpec]) -> list[WorkOrder]:
    """The order's part for each kind of instructions that ``runs`` have, since a worker's process has one of them.

    Each part is a launch of its own, the first of them the order's. Portable runs train on the CPU.
    """
    shares: dict[str, list[str]] = {}
    for one in runs:
        shares.setdefault(instructions(one.config.training.numerics), []).append(one.run_id)
    launches = [order.launch, *(new_launch() for _ in shares)]
    return [
        replace(order.part(run_ids), launch=launch, device="cpu" if setting == PORTABLE else order.device)
        for (setting, run_ids), launch in zip(shares.items(), launches, strict=False)
    ]


def chosen(runs: Sequence[RunSpec], run_ids: Sequence[str]) -> list[RunSpec]:
    """Those of ``runs`` with one of these ids."""
    wanted = set(run_ids)
    return [one for one in runs if one.run_id in wanted]


def new_launch() -> str:
    """A name that no other launch has."""
    return f"{utc_now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
