"""How long a run is and what its learning rate is at each step: pure functions of the number of steps done."""

from __future__ import annotations

import math

from xsam.parameters import Parameters
from xsam.tasks.common import loop_option


class Schedule:
    """Length and learning rates of a run.

    - ``cosine``: lr (1 + cos(pi e / E)) / 2 in the 0-based epoch e of E; constant within an epoch, 0 after the last.
    - ``multistep``: lr times ``decay_factor`` for each of the ``milestones``, in percent of the epochs, that the epoch
      has reached.
    - ``inverse_sqrt``: lr sqrt(W / u) at step u (Vaswani et al., 2017), as fairseq has it.
    - In the warm-up's W steps, in all schedules: linear from ``warmup_start``, the rate of step 0, to the schedule's.

    Args:
        params: the run's parameters.
        steps_per_epoch: of the problem.

    Attributes:
        updates: steps of the whole run.
        epochs: epochs that it begins; with ``max_updates`` the last one may be cut short.

    Example:
        >>> schedule = Schedule({"lr": 0.1, "epochs": 2, "schedule": "cosine", "warmup_updates": 2}, steps_per_epoch=3)
        >>> [round(schedule.rate(update), 3) for update in range(schedule.updates)]
        [0.0, 0.05, 0.1, 0.05, 0.05, 0.05]
    """

    def __init__(self, params: Parameters, steps_per_epoch: int) -> None:
        self._params = params
        self._steps = steps_per_epoch
        self._peak = float(params["lr"])  # type: ignore[arg-type]
        self._horizon = int(loop_option(params, "epochs"))
        in_steps, in_epochs = loop_option(params, "warmup_updates"), loop_option(params, "warmup_epochs")
        self._warmup = int(in_steps or in_epochs * steps_per_epoch)
        most = loop_option(params, "max_updates")
        self.updates = self._horizon * steps_per_epoch if most is None else min(self._horizon * steps_per_epoch, most)
        self.epochs = -(-self.updates // steps_per_epoch)

    def steps_of(self, epoch: int) -> int:
        """Steps of 0-based ``epoch``."""
        return min(self._steps, self.updates - epoch * self._steps)

    def rate(self, update: int) -> float:
        """Learning rate of the step that ``update`` steps precede."""
        target = self._scheduled(update)
        if update >= self._warmup:
            return target
        start = float(loop_option(self._params, "warmup_start"))
        return start + update * ((target - start) / self._warmup)

    def _scheduled(self, update: int) -> float:
        epoch = update // self._steps
        match loop_option(self._params, "schedule"):
            case "cosine":
                return 0.5 * self._peak * (1 + math.cos(math.pi * epoch / self._horizon))
            case "multistep":
                milestones = loop_option(self._params, "milestones")
                reached = sum(100 * epoch >= percent * self._horizon for percent in milestones)
                return self._peak * math.pow(loop_option(self._params, "decay_factor"), reached)
            case "inverse_sqrt" if update >= self._warmup:
                return self._peak * math.sqrt(self._warmup) * math.pow(update, -0.5)
        return self._peak
