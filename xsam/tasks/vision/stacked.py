"""Several runs' multilayer perceptrons as the rows of one tensor, each with batches of its own.

Products of matrices are taken run by run, with the same shapes and from the same places of a cache line, and all else
is exact, or done row by row: the bits of a run are the same whichever others it is stacked with.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xsam.optim._step.rows import Layout
from xsam.tasks.vision.problem import VisionProblem

_LINE = 16  # elements of a cache line


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
        parts = [problem.batch(epoch, step) for problem in self._problems]
        images = self.room("images", len(parts[0][1]), parts[0][0][0].numel())
        for row, (own, _) in zip(images, parts, strict=True):
            row.copy_(own.flatten(1))
        return StackedBatch(self, images, torch.stack([labels for _, labels in parts]), self._label_smoothing)

    def room(self, name: str, height: int, width: int) -> Tensor:
        """Memory for n matrices of this shape, the same at every call with this name and shape."""
        key = (name, height, width)
        found = self._memory.get(key)
        if found is None:
            count, size = len(self.weights), height * width
            memory = torch.zeros(count, -(-size // _LINE) * _LINE, dtype=self.weights.dtype)
            found = self._memory[key] = memory[:, :size].unflatten(1, (height, width))
        return found


class StackedBatch:
    """A batch for each row (:class:`xsam.optim._step.rows.Losses`): images n×B×D and labels n×B."""

    def __init__(self, stacked: StackedProblems, images: Tensor, labels: Tensor, label_smoothing: float) -> None:
        self._room, self._layout = stacked.room, stacked.layout
        self._images, self._labels, self._smoothing = images, labels.unsqueeze(2), label_smoothing
        self._target: Tensor | None = None

    def losses(self, weights: Tensor) -> Tensor:
        """Mean cross entropy of each row, n."""
        scores = self._forward(weights)[-1]
        return self._losses(F.log_softmax(scores.contiguous(), dim=2))

    def gradient(self, weights: Tensor, out: Tensor) -> Tensor:
        """The same, with gradients in ``out``."""
        layers = self._forward(weights)
        scores = layers[-1].contiguous()
        slope = torch.softmax(scores, dim=2).sub_(self._targets(scores)).mul_(1.0 / scores.shape[1])
        slopes = self._room("slope", *scores.shape[1:]).copy_(slope)
        views, gradients = self._layout.views(weights), self._layout.views(out)
        self._layout.clear_gaps(out)
        for number in range(len(views) // 2 - 1, -1, -1):
            inputs = layers[number]
            for own, given, result in zip(slopes, inputs, gradients[2 * number], strict=True):
                torch.mm(own.t(), given, out=result)
            gradients[2 * number + 1].copy_(slopes.sum(1))
            if number:
                before = self._room(f"slope {number}", *inputs.shape[1:])
                for own, matrix, result in zip(slopes, views[2 * number], before, strict=True):
                    torch.mm(own, matrix, out=result)
                slopes = torch.ops.aten.threshold_backward.grad_input(before, inputs, 0, grad_input=before)
        return self._losses(F.log_softmax(scores, dim=2))

    def _forward(self, weights: Tensor) -> list[Tensor]:
        """What each layer is given, and the scores."""
        views = self._layout.views(weights)
        layers = [self._images]
        last = len(views) // 2 - 1
        for number in range(last + 1):
            matrices, biases = views[2 * number], views[2 * number + 1]
            result = self._room(f"layer {number}", layers[-1].shape[1], matrices.shape[1])
            for given, matrix, bias, row in zip(layers[-1], matrices, biases, result, strict=True):
                torch.addmm(bias, given, matrix.t(), out=row)
            layers.append(result if number == last else result.relu_())
        return layers

    def _losses(self, log: Tensor) -> Tensor:
        plain = -log.gather(2, self._labels).squeeze(2).mean(1)
        if not self._smoothing:
            return plain
        even = -log.sum(2).mean(1) / log.shape[2]
        return (1.0 - self._smoothing) * plain + self._smoothing * even

    def _targets(self, scores: Tensor) -> Tensor:
        if self._target is None:
            even = torch.full_like(scores, self._smoothing / scores.shape[2])
            peak = torch.zeros_like(scores).scatter_(2, self._labels, 1.0 - self._smoothing)
            self._target = even.add_(peak) if self._smoothing else peak
        return self._target
