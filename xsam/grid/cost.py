"""What runs cost, in passes of their batches through the model; from the formulas of the methods, before any data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from xsam.grid.spec import RunSpec
from xsam.optim import registry
from xsam.optim._step.search import alpha_grid, most_probes
from xsam.parameters import Parameters
from xsam.tasks import get_task
from xsam.tasks.common import loop_option


@dataclass(frozen=True)
class Passes:
    """Passes of one batch; the same counts as the columns ``forwards`` and ``backwards`` (evaluation is in neither)."""

    forwards: int
    backwards: int

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forwards + other.forwards, self.backwards + other.backwards)


def passes_of(run: RunSpec, steps_per_epoch: int | None = None) -> Passes | None:
    """The passes of one run from its first step to its last.

    Args:
        run: the run.
        steps_per_epoch: where it is known; None: asked of the task.

    Returns:
        None where only the prepared data tell how many steps an epoch has. With ``search="bracket"`` the forwards are
        an upper limit.

    Example:
        >>> from pathlib import Path
        >>> from xsam.grid import load_grid, select
        >>> (run,) = select(load_grid(Path("configs/quickstart.yaml")), ["optimizer=xsam", "seed=0"])
        >>> passes_of(run)                    # 30 epochs of 21 steps, 2 passes each; 21 probes an epoch
        Passes(forwards=1890, backwards=1260)
    """
    steps_per_epoch = steps_per_epoch or get_task(run.task).steps_per_epoch(run.params)
    if steps_per_epoch is None:
        return None
    steps = steps_of(run.params, steps_per_epoch)
    backwards = math.ceil(steps * registry.passes_per_step(run.method, run.params))
    return Passes(backwards + searches_of(run.params, steps_per_epoch) * probes_of(run.params), backwards)


def total_passes(runs: Iterable[RunSpec]) -> Passes | None:
    """The passes of all runs; None where those of one of them are not known."""
    alike: dict[tuple[object, ...], list[RunSpec]] = {}
    for run in runs:
        but_seed = tuple(item for item in run.params.items() if item[0] != "seed")
        alike.setdefault((run.task, run.method, but_seed), []).append(run)
    total = Passes(0, 0)
    for same in alike.values():
        passes = passes_of(same[0])
        if passes is None:
            return None
        total += Passes(len(same) * passes.forwards, len(same) * passes.backwards)
    return total


def steps_of(params: Parameters, steps_per_epoch: int) -> int:
    """Steps of the whole run."""
    steps = int(loop_option(params, "epochs")) * steps_per_epoch
    most = loop_option(params, "max_updates")
    return steps if most is None else min(steps, int(most))


def searches_of(params: Parameters, steps_per_epoch: int) -> int:
    """Alpha searches of the whole run."""
    every = params.get("search_every")
    if every is None and not registry.searches_each_epoch(params):
        return 0
    return math.ceil(steps_of(params, steps_per_epoch) / (int(every) if every is not None else steps_per_epoch))  # type: ignore[arg-type]


def probes_of(params: Parameters) -> int:
    """Forward passes of one alpha search; 0 for a method that has none."""
    if "alpha_max" not in params:
        return 0
    return _probes(str(params["search"]), float(params["alpha_max"]), float(params["alpha_step"]))  # type: ignore[arg-type]


@lru_cache
def _probes(search: str, alpha_max: float, alpha_step: float) -> int:
    return most_probes(search, len(alpha_grid(alpha_max, alpha_step)))
