"""Several runs' trainers, whose weights and optimizers are the rows of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from xsam.grid.spec import RunSpec
from xsam.optim import registry
from xsam.optim._step import rows
from xsam.runner import randomness
from xsam.runner.schedule import Schedule
from xsam.runner.trainer import Trainer
from xsam.tasks import Metrics, Stacked, Vectorising, get_task
from xsam.tasks.seeding import derive


class Together:
    """The trainers of several seeds of one cell, all at the same step.

    Args:
        specs: the runs.
        trainers: their trainers, restored or fresh.

    Attributes:
        optimizer: of all rows.
    """

    def __init__(self, specs: Sequence[RunSpec], trainers: Sequence[Trainer]) -> None:
        first, task = specs[0], get_task(specs[0].task)
        assert isinstance(task, Vectorising)
        self.trainers = trainers
        self.seeds = [derive(spec.seed, "training") for spec in specs]
        self.stacked: Stacked = task.stack([spec.config for spec in specs], [each.problem for each in trainers])
        model = nn.Module()
        model.weights = self.stacked.weights
        self.optimizer: Any = registry.build(
            first.method,
            first.params,
            model,
            bases=task.bases,
            steps=Schedule(
                first.config.training, first.config.optimizer.lr, trainers[0].problem.steps_per_epoch
            ).updates,
            in_rows=True,
        )
        states = [each.optimizer.state_dict() for each in trainers]
        if any(each.optimizer.taken for each in trainers):
            self.optimizer.load_state_dict(rows.join(states, self.optimizer, self.stacked.layout))

    def step(self, epoch: int, step: int) -> torch.Tensor:
        """One step of every run; returns its losses at the weights before."""
        batch = self.stacked.batch(epoch, step)
        loss = rows.step(self.optimizer, batch, self.stacked.weights, self.stacked.layout, self.seeds)
        if self.trainers[0].averages:
            self.stacked.give()
            for trainer in self.trainers:
                trainer.update_average()
        return loss.double()

    def evaluate(self) -> Sequence[Metrics]:
        """Every problem's metrics, of the averaged weights where the runs have them; after :meth:`give`."""
        if self.trainers[0].averages:
            return [trainer.evaluate() for trainer in self.trainers]
        return self.stacked.evaluate()

    def give(self) -> None:
        """Bring every trainer to where its row is, as if it had trained by itself."""
        self.stacked.give()
        state = self.optimizer.state_dict()
        for row, trainer in enumerate(self.trainers):
            method = type(trainer.optimizer).__name__
            trainer.optimizer.load_state_dict(rows.split(state, self.optimizer, self.stacked.layout, row, method))

    def seed(self, row: int) -> None:
        """Bring the process's random state to that of a row's run, which no step draws from."""
        randomness.seed(self.seeds[row])
