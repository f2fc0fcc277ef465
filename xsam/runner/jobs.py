"""What a worker needs of the launchers: which job it belongs to, and whether another's still runs.

A lease names the launcher whose job its holder is in, since no other can tell what has become of a job. All else that
a launcher does is :class:`xsam.launch.launcher.Launcher`; this part is what runs stand on, and imports none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple, Protocol, cast

from xsam.parameters import nearest
from xsam.plugins.kinds import LAUNCHERS


class Job(NamedTuple):
    """One start of a launcher's job; all empty for a process that is in none.

    Attributes:
        launcher: the launcher's name.
        number: its name of the job.
        restart: how often the job was started again.
    """

    launcher: str = ""
    number: str = ""
    restart: int = 0


class JobSystem(Protocol):
    """What workers need of a launcher."""

    def own_job(self) -> tuple[str, int] | None:
        """Number and restart of the job that this process is in; None where it is in none of this launcher's."""

    def alive(self, number: str, restart: int) -> bool | None:
        """Whether that start of a job still runs; None where that cannot be told."""


def system(name: str) -> JobSystem:
    """The launcher ``name``; ``ValueError`` with the nearest name where there is none.

    >>> system("local").own_job() is None
    True
    """
    if name not in LAUNCHERS:
        raise ValueError(f"no launcher {name!r}{nearest(name, LAUNCHERS)}")
    found = LAUNCHERS[name]
    if not isinstance(found, str):
        return cast(JobSystem, found)
    module, _, attribute = found.partition(":")
    return cast(JobSystem, getattr(import_module(module), attribute))


def own_job() -> Job:
    """The job that this process is in."""
    for name in LAUNCHERS:
        if (found := system(name).own_job()) is not None:
            return Job(name, *found)
    return Job()


def alive(job: Job) -> bool | None:
    """Whether this start of a job still runs; None where that cannot be told, as of a launcher unknown here."""
    return system(job.launcher).alive(job.number, job.restart) if job.launcher in LAUNCHERS else None
