"""What this machine has for benchmarks, each part looked at once and as cheaply as it allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from xsam.doctor import machine, places
from xsam.doctor.item import Item, Needs
from xsam.grid.spec import RunSpec
from xsam.launch.launcher import launcher
from xsam.plugins.kinds import LAUNCHERS
from xsam.tasks import get_task
from xsam.tasks.data import data_sets

__all__ = ["Item", "Needs", "examine", "needs_of"]


def needs_of(runs: Iterable[RunSpec]) -> Needs:
    """What these runs cannot be trained without.

    Example:
        >>> from xsam.grid import load_grid
        >>> needs_of(load_grid(Path("configs/quickstart.yaml")).runs).data
        frozenset({'digits'})
    """
    runs = list(runs)
    libraries = {"torch"}.union(*(get_task(run.task).libraries(run.config) for run in runs))
    cores = (run.config.training.threads * run.config.training.devices for run in runs)
    return Needs(frozenset(libraries), frozenset(data_sets(run.params for run in runs)), max(cores, default=1))


def examine(results: Path, data: Path, cores: int, needs: Needs | None = None) -> Iterator[Item]:
    """Look at everything in turn: Python, libraries, GPU, launchers, folders, data sets.

    Args:
        results, data: the folders; they need not exist.
        cores: CPU cores that this process may use.
        needs: what has to be there; ``None``: nothing. Of translation's libraries, which take seconds to import, only
            the presence is looked at unless they are needed.

    Example:
        >>> next(examine(Path("results"), Path("data"), cores=2)).name
        'python'
    """
    needs = needs or Needs()
    yield from machine.items(cores, needs)
    for name in LAUNCHERS:
        yield from (Item(*finding) for finding in launcher(name).findings())
    yield from places.items(results, data, needs)
