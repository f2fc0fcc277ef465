"""A model and everything that changes with it while it trains."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from xsam.grid.spec import RunSpec
from xsam.optim import registry
from xsam.runner import randomness
from xsam.runner.average import WeightAverage
from xsam.runner.distributed import ALONE, ProcessGroup
from xsam.runner.precision import autocast, grad_scaler
from xsam.runner.schedule import Schedule
from xsam.tasks import Evaluating, Evaluation, Finishing, Metrics, Problem, get_task

GRAPHS = 64  # training, probing and evaluation, each with a few sizes of batch


class Trainer:
    """One run's problem and optimizer, with gradient scaler, weight average and replicas where the run has them.

    Args:
        spec: the run.
        problem: its problem, freshly opened.
        group: the processes that train it together.
    """

    def __init__(self, spec: RunSpec, problem: Problem, group: ProcessGroup = ALONE) -> None:
        training = spec.config.training
        self.problem = problem
        self.device = next(problem.model.parameters()).device
        self._group = group
        self._accumulation = training.accumulation
        self._precision = training.precision
        if training.compile:
            _compile(problem.model)
        if group.size > 1:
            problem.network = DistributedDataParallel(problem.model)
        self._scaler = grad_scaler(self._precision, self.device)
        self.optimizer = registry.build(
            spec.method,
            spec.params,
            problem.network,
            self._scaler,
            get_task(spec.task).bases,
            Schedule(training, spec.config.optimizer.lr, problem.steps_per_epoch).updates,
        )
        decay = training.ema_decay
        self._average = None if decay is None else WeightAverage(problem.model, decay)

    def step(self, batch: Any) -> torch.Tensor:
        """One optimizer step on ``batch``; returns its mean loss at the weights before, still on the device."""
        count = self._accumulation * self._group.size
        loss = self._step_in_parts(batch, count) if count > 1 else self.optimizer.step(partial(self._loss, batch, 1.0))
        self.update_average()
        return self._group.mean(loss.double())

    def update_average(self) -> None:
        """Take the weights into their average, where the run has one."""
        if self._average is not None:
            self._average.update()

    @property
    def averages(self) -> bool:
        """Whether the run has an average of its weights."""
        return self._average is not None

    def _step_in_parts(self, batch: Any, count: int) -> torch.Tensor:
        parts = self.problem.parts(batch, count)
        mine = parts[self._group.rank :: self._group.size] or [(parts[0][0], 0.0)]
        weight = sum(share for _, share in mine)
        # Replicas are averaged with equal weights, whatever their shares of the batch.
        factor = weight * self._group.size if self._group.size > 1 else 1.0
        closures = [partial(self._loss, part, factor) for part, _ in mine]
        shares = [share for _, share in mine] if weight else None
        return self.optimizer.step(closures, shares)

    def request_alpha_search(self) -> None:
        """Have alpha searched at the next step; of a method that searches."""
        optimizer: Any = self.optimizer
        optimizer.request_alpha_search()

    def _loss(self, part: Any, factor: float) -> torch.Tensor:
        with autocast(self._precision, self.device):
            loss = self.problem.loss(part)
        return loss if factor == 1.0 else loss * factor

    def evaluate(self) -> Metrics:
        """The problem's metrics, of the averaged weights where the run has them; none but on the group's rank 0."""
        if self._group.rank:
            return {}
        with self.evaluated():
            return self.problem.evaluate()

    def finish(self, folder: Path) -> Mapping[str, float | str]:
        """What the problem measures once at the end, of the weights that :meth:`evaluate` looks at."""
        if not isinstance(self.problem, Finishing):
            return {}
        with self.evaluated():
            return self.problem.finish(folder)

    def evaluate_on(self, test_set: str, data_dir: Path, folder: Path) -> Sequence[Evaluation]:
        """What the problem measures on a further test set, of the weights that :meth:`evaluate` looks at."""
        if not isinstance(self.problem, Evaluating):
            raise ValueError(f"{type(self.problem).__name__} cannot be evaluated on further test sets")
        with self.evaluated():
            return self.problem.evaluate_on(test_set, data_dir, folder)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Inside, the model is as :meth:`evaluate` looks at it: averaged weights, the run's precision."""
        averaged = self._average.applied() if self._average is not None else nullcontext()
        with self.apart(), averaged, autocast(self._precision, self.device):
            yield

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Look at the model without changing the run.

        Inside, the problem's network is its bare model, which one process may call without the others; afterwards the
        random states are what they were.
        """
        network, self.problem.network = self.problem.network, self.problem.model
        try:
            with randomness.kept():
                yield
        finally:
            self.problem.network = network

    def state_dict(self) -> dict[str, Any]:
        """All that training needs to go on as if it had not stopped, but for the random states."""
        return {
            "model": self.problem.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
            "average": None if self._average is None else self._average.state(),
            "problem": self.problem.state() if isinstance(self.problem, Finishing) else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict` of the same run."""
        self.problem.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
        if self._average is not None:
            self._average.load(state["average"])
        if isinstance(self.problem, Finishing):
            self.problem.load_state(state["problem"])


def _compile(model: torch.nn.Module) -> None:
    """Compile ``model`` in place, so that its state's names stay, with a graph for each shape of batch.

    Neither a graph for any shape, made at the second one, nor an uncompiled fallback may come in: which batches a
    process has seen before would change the last bits.
    """
    from torch._dynamo import config  # takes a second
    from torch._inductor import config as kernels

    # The cache's keys leave out the instructions that torch was told to use (ATEN_CPU_CAPABILITY): the graphs of
    # another choice would be taken, and compute garbage.
    capability = torch.backends.cpu.get_cpu_capability()
    os.environ.setdefault(
        "TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor-{os.getuid()}-{capability}"
    )
    kernels.deterministic = torch.are_deterministic_algorithms_enabled()
    config.recompile_limit = GRAPHS
    config.fail_on_recompile_limit_hit = True
    model.compile(dynamic=False)
