"""What runs cost, in passes of their batches through the model; from the formulas of the methods, before any data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from xsam.grid.spec import RunSpec
from xsam.optim import pass_counts
from xsam.optim._step.search import alpha_grid, most_probes
from xsam.optim.optimizer_config import OptimizerConfig
from xsam.parameters import real
from xsam.tasks import get_task
from xsam.tasks.run_config import RunConfig


@dataclass(frozen=True)
class PassCount:
    """Passes of one batch; the same counts as the columns ``forwards`` and ``backwards`` (evaluation is in neither)."""

    forwards: int
    backwards: int

    def __add__(self, other: PassCount) -> PassCount:
        return PassCount(self.forwards + other.forwards, self.backwards + other.backwards)


def passes_of(run: RunSpec, steps_per_epoch: int | None = None) -> PassCount | None:
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
        PassCount(forwards=1890, backwards=1260)
    """
    steps_per_epoch = steps_per_epoch or get_task(run.task).steps_per_epoch(run.config)
    if steps_per_epoch is None:
        return None
    steps = steps_of(run.config, steps_per_epoch)
    backwards = pass_counts.backward_passes(run.method, run.params, steps)
    probes = searches_of(run.config, steps_per_epoch) * probes_of(run.config.optimizer)
    return PassCount(backwards + probes, backwards)


def total_passes(runs: Iterable[RunSpec]) -> PassCount | None:
    """The passes of all runs; None where those of one of them are not known."""
    alike: dict[tuple[object, ...], list[RunSpec]] = {}
    for run in runs:
        but_seed = tuple(item for item in run.params.items() if item[0] != "seed")
        alike.setdefault((run.task, run.method, but_seed), []).append(run)
    total = PassCount(0, 0)
    for same in alike.values():
        passes = passes_of(same[0])
        if passes is None:
            return None
        total += PassCount(len(same) * passes.forwards, len(same) * passes.backwards)
    return total


def steps_of(run: RunConfig, steps_per_epoch: int) -> int:
    """Steps of the whole run."""
    steps, most = run.training.epochs * steps_per_epoch, run.training.max_updates
    return steps if most is None else min(steps, most)


def searches_of(run: RunConfig, steps_per_epoch: int) -> int:
    """Alpha searches of the whole run."""
    return pass_counts.alpha_searches(run.optimizer.params, steps_of(run, steps_per_epoch), steps_per_epoch)


def probes_of(optimizer: OptimizerConfig) -> int:
    """Forward passes of one alpha search; 0 for a method that has none."""
    params = optimizer.params
    if "alpha_max" not in params:
        return 0
    return _probes(str(params["search"]), real(params["alpha_max"]), real(params["alpha_step"]))


@lru_cache
def _probes(search: str, alpha_max: float, alpha_step: float) -> int:
    return most_probes(search, len(alpha_grid(alpha_max, alpha_step)))
