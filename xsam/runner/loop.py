"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import math
import time
from typing import Any, Protocol

import torch

from xsam.runner.checkpoint import Position
from xsam.runner.distributed import ALONE, ProcessGroup
from xsam.runner.schedule import Schedule
from xsam.runner.stop import Interrupted
from xsam.runner.trainer import Trainer
from xsam.tasks.run_config import RunConfig


class Callbacks(Protocol):
    """What the loop tells to, and asks of, whoever runs it."""

    def stop_requested(self) -> bool:
        """Whether to save and stop at this step boundary."""

    def checkpoint_due(self, position: Position) -> bool:
        """Whether to save now: in an epoch, or between two, where ``position.step`` is 0."""

    def save(self, position: Position) -> None:
        """Write a checkpoint."""

    def step_done(self, position: Position, loss: torch.Tensor) -> None:
        """After every step; ``loss`` is still on the device."""

    def epoch_done(self, position: Position) -> None:
        """After every epoch; the new row is ``position.history[-1]``."""


class Clock:
    """Adds wall time to a position's current epoch, so that a resumed run counts all its parts."""

    def __init__(self, position: Position, trainer: Trainer) -> None:
        self._position, self._trainer = position, trainer
        self._last = time.perf_counter()
        self._searched = self._search_seconds()

    def tick(self, part: str | None = None) -> None:
        """Add the time since the last tick to ``seconds`` and to ``part``, less the searches in it, which are apart."""
        now, searched = time.perf_counter(), self._search_seconds()
        self._add("seconds", now - self._last)
        self._add("search_seconds", searched - self._searched)
        if part is not None:
            self._add(part, now - self._last - (searched - self._searched))
        self._last, self._searched = now, searched

    def skip(self) -> None:
        """Leave out the time since the last tick: what was done in it is not training."""
        self._last, self._searched = time.perf_counter(), self._search_seconds()

    def _add(self, part: str, seconds: float) -> None:
        self._position.times[part] = self._position.times.get(part, 0.0) + seconds

    def _search_seconds(self) -> float:
        return getattr(self._trainer.optimizer, "search_seconds", 0.0)


def train(
    trainer: Trainer, run: RunConfig, position: Position, callbacks: Callbacks, group: ProcessGroup = ALONE
) -> str:
    """Train from ``position`` to the end; returns ``"done"``, or ``"diverged"`` when an epoch's loss is not finite.

    Every process of ``group`` runs through this, and all of them stop and save at the same steps.

    Raises:
        Interrupted: a stop was requested; the checkpoint is saved.
    """
    problem, optimizer = trainer.problem, trainer.optimizer
    clock = Clock(position, trainer)
    schedule = Schedule(run.training, run.optimizer.lr, problem.steps_per_epoch)
    searches = run.optimizer.searches_each_epoch

    while position.epoch < schedule.epochs:
        before = position.epoch * problem.steps_per_epoch
        steps = schedule.steps_of(position.epoch)
        if searches and position.step == 0:
            trainer.request_alpha_search()
        while position.step < steps:
            rate = schedule.rate(before + position.step)
            for param_group in optimizer.param_groups:
                param_group["lr"] = rate
            loss = trainer.step(problem.batch(position.epoch, position.step))
            position.loss_sum = position.loss_sum + loss
            position.step += 1
            callbacks.step_done(position, loss)
            stop, save = group.agree(callbacks.stop_requested(), callbacks.checkpoint_due(position))
            if stop or save:
                clock.tick("train_seconds")
                callbacks.save(position)
                clock.tick()
            if stop:
                raise Interrupted
        row: dict[str, Any] = {
            "epoch": position.epoch,
            "step": before + steps,
            "train_loss": float(position.loss_sum) / steps,
            "lr": schedule.rate(before + steps - 1),
            "alpha": getattr(optimizer, "alpha", None),
            "forwards": optimizer.forwards,
            "backwards": optimizer.backwards,
        }
        clock.tick("train_seconds")
        diverged = not math.isfinite(row["train_loss"])
        if not diverged:
            row |= trainer.evaluate()
        clock.tick("eval_seconds")
        position.history.append({**row, **position.times})
        position.epoch, position.step = position.epoch + 1, 0
        position.loss_sum, position.times = 0.0, {}
        callbacks.epoch_done(position)
        clock.skip()
        if diverged:
            return "diverged"
        stop, save = group.agree(callbacks.stop_requested(), callbacks.checkpoint_due(position))
        stop = stop and position.epoch < schedule.epochs
        if stop or save:
            callbacks.save(position)
            clock.tick()
        if stop:
            raise Interrupted
    return "done"
