"""Several runs' multilayer perceptrons as the rows of one tensor, each with batches of its own.

A batched product is that of each run's own matrices, which have the same shapes and begin at the same places of a cache
line, and all else is exact, or done row by row: the bits of a run are the same whichever others it is stacked with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xsam.optim._step.rows import Layout
from xsam.tasks import Metrics
from xsam.tasks.vision.problem import VisionProblem

_LINE = 16  # elements of a cache line
_AHEAD = 1 << 20  # elements of images that are made ready at a time: they stay in a core's outer cache


class StackedProblems:
    """The models of ``problems``, which are of one cell: of equal shapes, with batches of equal sizes.

    Attributes:
        layout: of a row.
        weights: n×width; a copy, see :meth:`take` and :meth:`give`.
    """

    def __init__(self, problems: Sequence[VisionProblem], label_smoothing: float = 0.0) -> None:
        self._problems = problems
        self._models = [problem.model for problem in problems]
        self.layout = Layout([parameter.shape for parameter in self._models[0].parameters()])
        first = next(self._models[0].parameters())
        self.weights = nn.Parameter(torch.zeros(len(problems), self.layout.width, dtype=first.dtype))
        self._label_smoothing = label_smoothing
        self._memory: dict[tuple[str, int, int], Tensor] = {}
        self._ahead: _Ahead | None = None
        self.take()

    @torch.no_grad()
    def take(self) -> None:
        """Copy the models' weights into the rows."""
        for row, model in zip(self.weights, self._models, strict=True):
            row.copy_(self.layout.row_of(parameter.detach() for parameter in model.parameters()))

    @torch.no_grad()
    def give(self) -> None:
        """Copy the rows into the models."""
        for row, model in zip(self.weights, self._models, strict=True):
            for parameter, view in zip(model.parameters(), self.layout.views(row), strict=True):
                parameter.copy_(view)

    def batch(self, epoch: int, step: int) -> StackedBatch:
        """Every run's batch of this step."""
        first = self._problems[0]
        if not first.plain:
            parts = [problem.batch(epoch, step) for problem in self._problems]
            images = torch.stack([own.flatten(1) for own, _ in parts])
            return self._batch_of(images, torch.stack([labels for _, labels in parts]))
        if self._ahead is None or not self._ahead.has(epoch, step):
            self._ahead = self._made_ready(epoch, step)
        start = (step - self._ahead.first) * first.batch_size
        chosen = slice(start, start + first.batch_size)
        return self._batch_of(self._ahead.images[:, chosen], self._ahead.labels[:, chosen])

    def _batch_of(self, images: Tensor, labels: Tensor) -> StackedBatch:
        room = self.room("images", *images.shape[1:]).copy_(images)
        return StackedBatch(self, room, labels, self._label_smoothing)

    def _made_ready(self, epoch: int, step: int) -> _Ahead:
        """The images of ``step`` and of some that follow, gathered and normalised together."""
        first = self._problems[0]
        elements = len(self._problems) * first.batch_size * first.train.images[0].numel()
        last = min(step + max(1, _AHEAD // elements), first.steps_per_epoch)
        parts = [problem.stored(epoch, step, last) for problem in self._problems]
        images = first.normalise(torch.cat([own for own, _ in parts]))
        labels = torch.stack([labels for _, labels in parts])
        return _Ahead(epoch, step, last, images.view(*labels.shape, -1), labels)

    @torch.no_grad()
    def evaluate(self) -> list[Metrics]:
        """What :meth:`VisionProblem.evaluate` tells of each problem, of the weights in its row."""
        found: list[dict[str, float]] = [{} for _ in self._problems]
        for name in ("val", "test"):
            for metrics, measured in zip(found, self._measure(name), strict=True):
                metrics |= {f"{name}_{metric}": value for metric, value in measured.items()}
        return [*found]

    def _measure(self, name: str) -> list[dict[str, float]]:
        first = self._problems[0]
        # The test part is the same for every seed.
        parts = [getattr(each, name) for each in (self._problems[:1] if name == "test" else self._problems)]
        size, count = len(parts[0]), len(self._problems)
        if not size:
            return [{"accuracy": math.nan, "loss": math.nan} for _ in range(count)]
        sums = torch.zeros(2, count, dtype=torch.float64)
        for start in range(0, size, first.eval_batch_size):
            taken = [part.slice(start, start + first.eval_batch_size) for part in parts]
            images = first.normalise(torch.stack([own for own, _ in taken]).flatten(0, 1)).view(
                len(parts), len(taken[0][1]), -1
            )
            labels = torch.stack([labels for _, labels in taken]).expand(count, -1)
            room = self.room("evaluated", *images.shape[1:]).copy_(images)
            scores = StackedBatch(self, room, labels, 0.0).scores(self.weights)
            losses = -torch.log_softmax(scores, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
            right = scores.max(1).indices == labels
            sums += torch.stack((losses.sum(1).double(), right.sum(1).double()))
        return [
            {"accuracy": 100 * correct / size, "loss": loss / size}
            for loss, correct in zip(*sums.tolist(), strict=True)
        ]

    def room(self, name: str, height: int, width: int) -> Tensor:
        """Memory for n matrices of this shape, the same at every call with this name and shape."""
        key = (name, height, width)
        found = self._memory.get(key)
        if found is None:
            count, size = len(self.weights), height * width
            memory = torch.zeros(count, -(-size // _LINE) * _LINE, dtype=self.weights.dtype)
            found = self._memory[key] = memory[:, :size].unflatten(1, (height, width))
        return found


class _Ahead(NamedTuple):
    """The batches of the steps ``first`` … ``last`` − 1 of an epoch, one after the other: n×K·B×D and n×K·B."""

    epoch: int
    first: int
    last: int
    images: Tensor
    labels: Tensor

    def has(self, epoch: int, step: int) -> bool:
        return epoch == self.epoch and self.first <= step < self.last


class StackedBatch:
    """A batch for each row (:class:`xsam.optim._step.rows.Losses`): images n×B×D and labels n×B.

    Scores are kept as n×classes×B: an operation over the classes then runs along the images, several at a time, where
    over a last dimension of ten it would take an image at a time, which cost more than all products of a small model.
    """

    def __init__(self, stacked: StackedProblems, images: Tensor, labels: Tensor, label_smoothing: float) -> None:
        self._room, self._layout = stacked.room, stacked.layout
        self._images, self._labels, self._smoothing = images, labels.unsqueeze(1), label_smoothing
        self._target: Tensor | None = None

    def scores(self, weights: Tensor) -> Tensor:
        """What the rows' models say of their images, n×classes×B."""
        return self._forward(self._layout.views(weights))[-1]

    def losses(self, weights: Tensor) -> Tensor:
        """Mean cross entropy of each row, n."""
        return self._losses(self.scores(weights))

    def gradient(self, weights: Tensor, out: Tensor) -> Tensor:
        """The same, with gradients in ``out``."""
        views, gradients = self._layout.views(weights), self._layout.views(out)
        layers = self._forward(views)
        scores = layers[-1]
        probabilities = torch.softmax(scores, dim=1).sub_(self._targets(scores))
        slopes = self._room("slope", *scores.shape[1:])  # of each layer's output n×outputs×B, as the scores are
        torch.mul(probabilities, 1.0 / scores.shape[2], out=slopes)
        torch.sum(slopes, 2, out=gradients[-1])
        self._layout.clear_gaps(out)
        for number in range(len(views) // 2 - 1, -1, -1):
            inputs = layers[number]
            torch.bmm(slopes, inputs, out=gradients[2 * number])
            if number:
                before = self._room(f"slope {number}", *inputs.shape[1:])
                torch.bmm(slopes.transpose(1, 2), views[2 * number], out=before)
                torch.ops.aten.threshold_backward.grad_input(before, inputs, 0, grad_input=before)
                torch.sum(before, 1, out=gradients[2 * number - 1])
                slopes = before.transpose(1, 2)
        return self._losses(scores)

    def _forward(self, views: Sequence[Tensor]) -> list[Tensor]:
        """What each layer is given, n×B×inputs, and the scores, n×classes×B."""
        layers = [self._images]
        for number in range(len(views) // 2 - 1):
            matrices, biases = views[2 * number], views[2 * number + 1]
            result = self._room(f"layer {number}", layers[-1].shape[1], matrices.shape[1])
            torch.baddbmm(biases.unsqueeze(1), layers[-1], matrices.transpose(1, 2), out=result)
            layers.append(result.relu_())
        scores = self._room("scores", views[-2].shape[1], layers[-1].shape[1])
        torch.baddbmm(views[-1].unsqueeze(2), views[-2], layers[-1].transpose(1, 2), out=scores)
        return [*layers, scores]

    def _losses(self, scores: Tensor) -> Tensor:
        log = torch.log_softmax(scores, dim=1)
        plain = -log.gather(1, self._labels).squeeze(1).mean(1)
        if not self._smoothing:
            return plain
        even = -log.sum(1).mean(1) / log.shape[1]
        return (1.0 - self._smoothing) * plain + self._smoothing * even

    def _targets(self, scores: Tensor) -> Tensor:
        if self._target is None:
            target = torch.full(scores.shape, self._smoothing / scores.shape[1], dtype=scores.dtype)
            peak = torch.full((), 1.0 - self._smoothing, dtype=scores.dtype).expand(self._labels.shape)
            self._target = target.scatter_add_(1, self._labels, peak)
        return self._target
