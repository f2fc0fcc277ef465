"""What can be trained. A task says which parameters a run has; a problem is one run's model, data and measurements.

A new task is one folder beside this file and one entry in ``TASKS``. This module imports no torch: a grid is planned
from ``Task`` alone, and a problem is opened only by the worker that trains it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from xsam.metrics import Metric
from xsam.parameters import nearest
from xsam.registries import Registry
from xsam.tasks.run_config import RunConfig

if TYPE_CHECKING:
    import torch
    from torch import nn

    from xsam.optim._step.rows import Layout, Losses
    from xsam.optim.bases import Base

Metrics = dict[str, float]
Run = TypeVar("Run", bound=RunConfig)


class Task(Protocol[Run]):
    """What a grid needs to know of a task before anything is trained.

    What :meth:`unused`, :meth:`check` and :meth:`steps_per_epoch` answer must not depend on ``run.seed``: a grid
    asks once for all seeds of a cell.

    Attributes:
        name: the grid's ``task:``.
        numerics: raised by hand whenever the same spec gives other numbers than before (part of every run id).
        config: the class of its runs' configurations, whose fields are the task's parameters, ``model`` and ``dataset``
            and the training loop's among them; those of the optimizers are in ``xsam.optim.registry``.
        provider: the module that prepares its data sets and knows where they are (``xsam.tasks.data.Provider``).
        own_data: a module that finds data sets of one's own (``xsam.tasks.own.Finder``); tasks without it have none.
        bases: what the names of base optimizers mean here (``xsam.optim.bases.BASES``, or changes of it).
        default_base: the base optimizer of a method that is given none.
        metric: the metric that tables show where the grid names none, one of ``run_metrics``.
        epoch_metrics: what :meth:`Problem.evaluate` measures, each in the column of its name in the table ``epochs``.
        run_metrics: what :meth:`Problem.summarise` and :meth:`Finishing.finish` give, in columns of the table ``runs``
            (:attr:`xsam.metrics.Metric.columns`, and a text where a metric has a signature).
    """

    name: str
    numerics: int
    config: type[Run]
    provider: str
    bases: Mapping[str, Base]
    default_base: str
    metric: Metric
    epoch_metrics: Sequence[Metric]
    run_metrics: Sequence[Metric]

    def unused(self, run: Run) -> frozenset[str]:
        """Names of the task's own parameters that ``run`` does not use (``hidden`` of a ResNet)."""

    def check(self, run: Run) -> None:
        """Raise ``ParameterError`` (one line) for values that are each valid and do not go together."""

    def libraries(self, run: Run) -> frozenset[str]:
        """Libraries besides torch, or extras of this distribution, that ``run`` cannot be trained without."""

    def steps_per_epoch(self, run: Run) -> int | None:
        """Optimizer steps in one epoch of ``run``; None where only the prepared data tell."""

    def open(self, run: Run, data_dir: Path, device: torch.device) -> Problem:
        """Build model and data of one run on ``device``; heavy data stay in memory for the worker's next runs.

        Everything random is drawn from generators keyed by ``run.seed`` (``xsam.tasks.seeding``), never from the
        method, so that the same seed pairs runs across optimizers. Raises ``DataMissing`` where data are not prepared.
        """


class Problem(Protocol):
    """One run's model, data and measurements; everything that the training loop asks of a task.

    Attributes:
        model: the network to train, in training mode, already on the device.
        network: what :meth:`loss` calls; ``model`` at first, which the training loop may wrap (in
            ``DistributedDataParallel``).
        steps_per_epoch: optimizer steps in one epoch.
        data_checksum: hex digest of the data that the run sees, before subsets and noise.
    """

    model: nn.Module
    network: nn.Module
    steps_per_epoch: int
    data_checksum: str

    def batch(self, epoch: int, step: int) -> Any:
        """The batch of 0-based ``step`` of ``epoch``: a pure function of the seed, the epoch and the step."""

    def loss(self, batch: Any) -> torch.Tensor:
        """Mean training loss of ``batch`` at the current weights (a scalar with its graph); called once a pass.

        Takes what :meth:`batch` returns, or a part of it.
        """

    def parts(self, batch: Any, count: int) -> list[tuple[Any, float]]:
        """``batch`` in at most ``count`` parts, none empty, each with its weight.

        The mean of the parts' losses, by these weights, is the batch's loss; the weights' sum is 1.
        """

    def evaluate(self) -> Metrics:
        """Metrics at the current weights (``Task.epoch_metrics``; NaN for a split that does not exist).

        Leaves the model in training mode and the global random state as it was.
        """

    def summarise(self, history: Sequence[Mapping[str, float]]) -> Metrics:
        """The columns of ``Task.run_metrics`` from a run's epochs' rows, under every selection rule."""


@runtime_checkable
class Finishing(Protocol):
    """A problem that measures once, when training is over, and keeps what it needs for that on the way."""

    def state(self) -> dict[str, Any]:
        """What it keeps (tensors and plain values), for a checkpoint."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`."""

    def finish(self, folder: Path) -> Mapping[str, float | str]:
        """The measurements (``Task.run_metrics``); whatever people may want to read goes into ``folder``.

        Leaves the model in training mode with the weights that it had.
        """


class Stacked(Protocol):
    """The models and batches of several problems of one cell, as the rows of one tensor.

    Attributes:
        layout: of a row.
        weights: n×width.
    """

    layout: Layout
    weights: nn.Parameter

    def take(self) -> None:
        """Copy the problems' weights into the rows."""

    def give(self) -> None:
        """Copy the rows into the problems' models."""

    def batch(self, epoch: int, step: int) -> Losses:
        """Every problem's batch of 0-based ``step`` of ``epoch``."""

    def evaluate(self) -> Sequence[Metrics]:
        """Every problem's metrics (:meth:`Problem.evaluate`), of the weights in the rows."""


@runtime_checkable
class Vectorising(Protocol):
    """A task that can train several seeds of a cell together (``vectorise: seeds``)."""

    def check_vectorised(self, run: Any) -> None:
        """Raise ``ParameterError`` (one line) for a run that it cannot, or need not, train so."""

    def stack(self, runs: Sequence[Any], problems: Sequence[Any]) -> Stacked:
        """The problems of several seeds of one cell, to be trained together."""


DIFFERENCE = "bleu_difference"  # the metric of evaluations that compare two runs; their details say ``with`` which


@dataclass(frozen=True)
class Evaluation:
    """One metric of some weights of a finished run on a test set.

    Attributes:
        test_set: its name.
        weights: which of the run's weights: a selection rule (``"final"``, ``"best_val"``).
        metric: what was measured, in the units of the task's own metric of this name.
        examples: how many sentences or images.
        checksum: of the test set's content, ``+unverified`` behind it where it is not known to be the published one.
        signature: how a score was computed, for those that have one.
        details: further settings that it hangs on, as JSON values.
    """

    test_set: str
    weights: str
    metric: str
    value: float
    examples: int
    checksum: str
    signature: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Evaluating(Protocol):
    """A problem that measures finished weights on test sets which were no part of the run."""

    def evaluate_on(self, test_set: str, data_dir: Path, folder: Path) -> Sequence[Evaluation]:
        """Every score of each of the run's kept weights on ``test_set``: a name, or files of one's own.

        What people may want to read goes into ``folder``. Leaves the model as it was. Raises ``DataMissing`` for a set
        that is not prepared, and ``ValueError`` (one line) for one that the model cannot be evaluated on.
        """


@runtime_checkable
class Comparing(Protocol):
    """A problem that can tell, of the outputs of two runs on one test set, what the choice of its examples explains."""

    def compare_on(self, test_set: str, mine: Path, other: Path) -> Sequence[Evaluation]:
        """The differences of the run whose outputs are in ``mine`` from the one in ``other``; none where one has none.

        ``test_set`` is a name as evaluations are stored under.
        """


@runtime_checkable
class Translating(Protocol):
    """A problem whose finished weights translate text."""

    def translations(
        self, batches: Iterable[Sequence[str]], weights: str, beam: int | None, length_penalty: float | None
    ) -> Iterator[list[str]]:
        """The plain translations of each batch of raw sentences, in their order, as the batches come."""


class DataMissing(Exception):
    """A data set that is not on disk; the message names the command that prepares it."""


TASKS: Registry[str | Task[Any]] = Registry(
    "task", {"vision": "xsam.tasks.vision:TASK", "translation": "xsam.tasks.translation:TASK"}
)


def get_task(name: str) -> Task[Any]:
    """The task called ``name``; raises ``ValueError`` with the nearest valid name."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}{nearest(name, TASKS)}")
    found = TASKS[name]
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        task: Task[Any] = getattr(import_module(module), attribute)
        return task
    return found
