"""How long runs take here: a few steps of each kind, one search, one evaluation, and the rest by multiplication."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xsam.grid.cost import probes_of, searches_of, steps_of
from xsam.grid.spec import RunSpec
from xsam.parameters import Parameters
from xsam.runner.checkpoint import Position
from xsam.runner.loop import train
from xsam.runner.run import fresh_trainer
from xsam.runner.stop import Interrupted
from xsam.runner.trainer import Trainer
from xsam.tasks import get_task
from xsam.tasks.run_config import RunConfig

WARM_UP_STEPS = 2
STEPS = 10
SECONDS = 10.0  # a slow kind of run is timed on fewer steps

# Of no influence on how long a step takes.
_IDLE = {"seed", "epochs", "pass_budget", "max_updates", "schedule", "milestones", "warmup_epochs", "warmup_updates"}

Kind = tuple[Any, ...]


@dataclass(frozen=True)
class Timing:
    """Seconds of one kind of run on one device.

    Attributes:
        step: of a step without a search, in the mean.
        search: of an alpha search; 0 where there is none.
        evaluation: of an evaluation after an epoch.
        steps_per_epoch: of the run.
    """

    step: float
    search: float
    evaluation: float
    steps_per_epoch: int

    def seconds(self, run: RunConfig) -> float:
        """The whole run's, without its start and its checkpoints.

        >>> Timing(step=0.1, search=2.0, evaluation=3.0, steps_per_epoch=10).seconds(RunConfig.of({"epochs": 5}))
        20.0
        """
        steps = steps_of(run, self.steps_per_epoch)
        searches = searches_of(run, self.steps_per_epoch)
        epochs = -(-steps // self.steps_per_epoch)
        return steps * self.step + searches * self.search + epochs * self.evaluation


def calibrate(
    runs: Sequence[RunSpec], data_dir: Path, device_name: str, tell: Callable[[str], None]
) -> tuple[str, dict[str, Timing]]:
    """Time one run of each kind among ``runs``; nothing is written.

    Runs are of one kind where they differ only in what cannot change the time of a step, such as seed, radius and
    learning rate. A run over several devices is timed on one.

    Args:
        runs: the runs.
        data_dir: where prepared data are.
        device_name: torch's name of the device, or "auto".
        tell: called with a line before each kind.

    Returns:
        What the device is called, and run id → timing.

    Raises:
        DataMissing: a data set is not prepared.
    """
    timings: dict[Kind, Timing] = {}
    evaluations: dict[Kind, float] = {}
    device = torch.device("cpu")
    kinds = {run.run_id: _kind(run, run.params) for run in runs}
    for run in runs:
        kind = kinds[run.run_id]
        if kind in timings:
            continue
        tell(f"timing {len(timings) + 1}/{len(set(kinds.values()))}: {_name(run)}")
        trainer = fresh_trainer(run, data_dir, device_name)
        device = trainer.device
        step, search = _time_steps(trainer, run)
        own = {name: value for name, value in run.params.items() if name in get_task(run.task).config.parameters()}
        problem = _kind(run, own)[1:]
        if problem not in evaluations:
            evaluations[problem] = _time_evaluation(trainer)
        timings[kind] = Timing(step, search, evaluations[problem], trainer.problem.steps_per_epoch)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return name, {run.run_id: timings[kinds[run.run_id]] for run in runs}


def _kind(run: RunSpec, params: Parameters) -> Kind:
    """What the time of a step depends on: of fractional values whether they are set at all, and how many probes."""
    facts = {name: _fact(name, value) for name, value in params.items() if name not in _IDLE}
    return (run.method, run.task, tuple(sorted(facts.items())), probes_of(run.config.optimizer))


def _fact(name: str, value: object) -> object:
    return str(value) if name == "val_fraction" or not isinstance(value, float) else str(value != 0)


def _name(run: RunSpec) -> str:
    shown = (run.params["model"], run.params["dataset"], run.optimizer, run.params.get("ascent_steps"))
    return " ".join(str(value) for value in shown if value is not None)


def _time_steps(trainer: Trainer, run: RunSpec) -> tuple[float, float]:
    """Mean seconds of a step, and of a search, in the training loop itself."""
    _loop(trainer, run, WARM_UP_STEPS)
    if run.config.optimizer.searches:
        trainer.request_alpha_search()
    callbacks = _loop(trainer, run, STEPS)
    return callbacks.step_seconds, callbacks.search_seconds


def _loop(trainer: Trainer, run: RunSpec, steps: int) -> _Stopwatch:
    callbacks = _Stopwatch(trainer, min(steps, trainer.problem.steps_per_epoch))
    try:
        train(trainer, run.config, Position(), callbacks)
    except Interrupted:
        return callbacks
    raise AssertionError("the callbacks stops every run in its first epoch")


def _time_evaluation(trainer: Trainer) -> float:
    started = time.perf_counter()
    trainer.evaluate()
    _wait(trainer.device)
    return time.perf_counter() - started


class _Stopwatch:
    """Times steps and then stops the loop (a :class:`~xsam.runner.loop.Callbacks` that saves nothing)."""

    def __init__(self, trainer: Trainer, steps: int) -> None:
        self._trainer, self._wanted = trainer, steps
        self._steps, self._searches, self._last_search = 0, 0, getattr(trainer.optimizer, "last_search", None)
        _wait(trainer.device)
        self._searched_before = self._searched()
        self._started = self._now = time.perf_counter()

    @property
    def search_seconds(self) -> float:
        return (self._searched() - self._searched_before) / self._searches if self._searches else 0.0

    @property
    def step_seconds(self) -> float:
        return (self._now - self._started - (self._searched() - self._searched_before)) / self._steps

    def step_done(self, position: Position, loss: torch.Tensor) -> None:
        _wait(self._trainer.device)
        self._now = time.perf_counter()
        self._steps += 1
        search = getattr(self._trainer.optimizer, "last_search", None)
        self._searches += search is not self._last_search
        self._last_search = search

    def stop_requested(self) -> bool:
        slow = self._now - self._started >= SECONDS and self._steps > 1
        return self._steps >= self._wanted or slow

    def checkpoint_due(self, position: Position) -> bool:
        return False

    def save(self, position: Position) -> None:
        """Nothing is kept."""

    def epoch_done(self, position: Position) -> None:
        """Never called: the loop stops before."""

    def _searched(self) -> float:
        return getattr(self._trainer.optimizer, "search_seconds", 0.0)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
