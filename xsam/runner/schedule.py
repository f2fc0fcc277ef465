"""How long a run is and what its learning rate is at each step: pure functions of the number of steps done."""

from __future__ import annotations

import math

from xsam.tasks.run_config import TrainingConfig


class Schedule:
    """Length and learning rates of a run.

    - ``cosine``: lr (1 + cos(pi e / E)) / 2 in the 0-based epoch e of E; constant within an epoch, 0 after the last.
    - ``multistep``: lr times ``decay_factor`` for each of the ``milestones``, in percent of the epochs, that the epoch
      has reached.
    - ``inverse_sqrt``: lr sqrt(W / u) at step u (Vaswani et al., 2017), as fairseq has it.
    - In the warm-up's W steps, in all schedules: linear from ``warmup_start``, the rate of step 0, to the schedule's.

    Args:
        training: what the run says of it.
        lr: the peak learning rate.
        steps_per_epoch: of the problem.

    Attributes:
        updates: steps of the whole run.
        epochs: epochs that it begins; with ``max_updates`` the last one may be cut short.

    Example:
        >>> schedule = Schedule(TrainingConfig(epochs=2, warmup_updates=2), lr=0.1, steps_per_epoch=3)
        >>> [round(schedule.rate(update), 3) for update in range(schedule.updates)]
        [0.0, 0.05, 0.1, 0.05, 0.05, 0.05]
    """

    def __init__(self, training: TrainingConfig, lr: float, steps_per_epoch: int) -> None:
        self._training, self._peak, self._steps = training, lr, steps_per_epoch
        self._warmup = training.warmup_updates or training.warmup_epochs * steps_per_epoch
        whole, most = training.epochs * steps_per_epoch, training.max_updates
        self.updates = whole if most is None else min(whole, most)
        self.epochs = -(-self.updates // steps_per_epoch)

    def steps_of(self, epoch: int) -> int:
        """Steps of 0-based ``epoch``."""
        return min(self._steps, self.updates - epoch * self._steps)

    def rate(self, update: int) -> float:
        """Learning rate of the step that ``update`` steps precede."""
        target = self._scheduled(update)
        if update >= self._warmup:
            return target
        start = self._training.warmup_start
        return start + update * ((target - start) / self._warmup)

    def _scheduled(self, update: int) -> float:
        epoch = update // self._steps
        match self._training.schedule:
            case "cosine":
                return 0.5 * self._peak * (1 + math.cos(math.pi * epoch / self._training.epochs))
            case "multistep":
                milestones = self._training.milestones
                reached = sum(100 * epoch >= percent * self._training.epochs for percent in milestones)
                return self._peak * math.pow(self._training.decay_factor, reached)
            case "inverse_sqrt" if update >= self._warmup:
                return self._peak * math.sqrt(self._warmup) * math.pow(update, -0.5)
        return self._peak
