"""The mean loss around the weights: values, gradients, ascents, and the way to the worst point of a ball."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xsam.optim._step import foreach
from xsam.optim._step.ascent import Metric, ascend
from xsam.optim._step.buffers import Buffers
from xsam.optim._step.distributed import Replicas
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.objective import Objective
from xsam.optim._step.passes import Passes
from xsam.optim._step.plane import Plane
from xsam.optim._step.precision import LossScale
from xsam.optim._step.search import SEARCHES, alpha_grid
from xsam.optim._step.weights import Weights
from xsam.sharpness._frozen import BatchNorm, frozen
from xsam.sharpness._hessian import LossFunction, closures

ALPHAS = alpha_grid(2.0, 0.1)


class Point(NamedTuple):
    """A place near the weights: its loss, and the flat vector from the weights to it."""

    loss: float
    offset: Tensor


class AscentPlane(NamedTuple):
    """What k ascent steps span.

    Attributes:
        direction: a flat vector along v0, from the weights to where the ascent led.
        gradient: g_k, the flat gradient there, along v1.
        plane: the plane of the two.
    """

    direction: Tensor
    gradient: Tensor
    plane: Plane

    @property
    def units(self) -> tuple[Tensor, Tensor]:
        """v0 and v1."""
        first, second = foreach.divisor(self.plane.norms)
        return self.direction / first, self.gradient / second

    def directions(self, alphas: tuple[float, ...]) -> list[Tensor]:
        """v(alpha) for each alpha: flat unit vectors."""
        return [a * self.direction + b * self.gradient for a, b in self.plane.weights(alphas, 1.0)]


class Surface:
    """The mean loss of some batches as a function of a flat offset from the weights; made by :func:`surface`.

    Attributes:
        size: elements of an offset.
        forwards, backwards: passes so far, each over all batches.
    """

    def __init__(self, passes: Passes, parameters: Tensors) -> None:
        self._passes = passes
        self._parameters = parameters
        self.size = sum(parameter.numel() for parameter in parameters)

    @property
    def forwards(self) -> int:
        """Forward passes so far."""
        return self._passes.forwards

    @property
    def backwards(self) -> int:
        """Backward passes so far."""
        return self._passes.backwards

    def loss(self, offset: Tensor | None = None) -> float:
        """The loss at ``offset``; None: at the weights."""
        self._go(offset)
        return self._passes.probe()

    def gradient(self, offset: Tensor | None = None) -> tuple[float, Tensor]:
        """The loss and its flat gradient at ``offset``."""
        self._go(offset)
        loss = float(self._passes.gradient())
        return loss, self._flat([parameter.grad for parameter in self._parameters])

    def ascend(self, rho: float, steps: int) -> AscentPlane:
        """k steps of normalised ascent from the weights, as SAM and XSAM take them."""
        self._go(None)
        ascent = ascend(self._passes, self._parameters, rho, steps, old_direction=[])
        parts = dict(zip(ascent.active, ascent.direction, strict=True))
        direction = self._flat([parts.get(parameter) for parameter in self._parameters])
        gradient = self._flat([parameter.grad for parameter in self._parameters])
        return AscentPlane(direction, gradient, Plane.of([direction], ascent.direction_norm, [gradient]))

    def ascend_by(self, metric: Metric, rho: float) -> float:
        """The loss after one ascent step of another metric than the Euclidean one."""
        self._go(None)
        ascend(self._passes, self._parameters, rho, 1, metric=metric)
        return self._passes.probe()

    def best_alpha(self, ascent: AscentPlane, radius: float, alphas: tuple[float, ...] = ALPHAS) -> tuple[float, float]:
        """alpha* of these alphas at this radius, found as XSAM's grid search finds it, and the loss there."""
        units = ascent.directions(alphas)
        losses = SEARCHES["grid"](lambda index: self.loss(radius * units[index]), len(alphas))
        best = max(losses, key=losses.__getitem__)
        return alphas[best], losses[best]

    def worst(self, radius: float, starts: Sequence[Tensor], steps: int, *, on_sphere: bool = False) -> Point:
        """The highest point that projected gradient ascent finds in the ball of ``radius``, from every start.

        A step follows the normalised gradient, at first as far as the radius, at last a twentieth of it, and is brought
        back into the ball.

        Args:
            starts: flat vectors that are scaled to the radius; the ascent starts there.
            steps: of each ascent.
            on_sphere: whether to stay at the distance ``radius``.
        """
        best: Point | None = None
        for start in starts:
            offset = start * (radius / _length(start))
            for step in range(steps + 1):
                loss, gradient = self.gradient(offset)
                if best is None or loss > best.loss:
                    best = Point(loss, offset)
                reach = radius * max(1.0 - step / steps, 0.05)
                offset = offset + gradient * (reach / _length(gradient))
                norm = float(foreach.norm([offset]))
                if on_sphere or norm > radius:
                    offset = offset * (radius / max(norm, 1e-30))
        assert best is not None, "there is a start"
        return best

    def random(self, generator: torch.Generator) -> Tensor:
        """A flat unit vector, uniform on the sphere; drawn on the CPU so that every device sees the same."""
        vector = torch.randn(self.size, generator=generator, dtype=torch.float64)
        return self._flat([(vector / vector.norm())])

    def flat_weights(self) -> Tensor:
        """The weights themselves as a flat vector."""
        self._go(None)
        return self._flat([parameter.detach() for parameter in self._parameters])

    def split(self, flat: Tensor) -> list[Tensor]:
        """A flat vector as views in the parameters' shapes."""
        pieces = torch.split(flat, [parameter.numel() for parameter in self._parameters])
        return [piece.view(each.shape) for piece, each in zip(pieces, self._parameters, strict=True)]

    def _go(self, offset: Tensor | None) -> None:
        self._passes.weights.restore()
        if offset is not None:
            parts = [
                part.to(parameter.dtype) for part, parameter in zip(self.split(offset), self._parameters, strict=True)
            ]
            self._passes.weights.move(self._parameters, parts, torch.ones((), dtype=offset.dtype, device=offset.device))

    def _flat(self, tensors: Sequence[Tensor | None]) -> Tensor:
        like = self._parameters[0]
        wide = torch.float64 if any(each.dtype is torch.float64 for each in self._parameters) else torch.float32
        if len(tensors) == 1 and tensors[0] is not None and tensors[0].numel() == self.size:
            return tensors[0].detach().reshape(-1).to(like.device, wide, copy=True)
        return torch.cat(
            [
                torch.zeros(parameter.numel(), dtype=wide, device=like.device)
                if tensor is None
                else tensor.detach().reshape(-1).to(wide)
                for tensor, parameter in zip(tensors, self._parameters, strict=True)
            ]
        )


@contextmanager
def surface(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    weights: Sequence[float] | None,
    batchnorm: BatchNorm,
) -> Iterator[Surface]:
    """The loss around ``model``'s weights; afterwards all is as before (:func:`~xsam.sharpness._frozen.frozen`)."""
    with frozen(model, batchnorm) as parameters, torch.no_grad():
        losses, shares = closures(model, loss_fn, batches, weights)
        replicas = Replicas(model, "global")
        passes = Passes(
            Objective(losses, shares),
            parameters,
            Weights(),
            Buffers(),
            model,
            "shared",
            scale=LossScale(None, replicas),
            replicas=replicas,
        )
        with passes:
            passes.weights.save(parameters)
            try:
                yield Surface(passes, parameters)
            finally:
                passes.weights.restore()


def cosine(first: Tensor, second: Tensor) -> float:
    """The cosine of the angle between two flat vectors; 0 where one of them is zero."""
    first, second = first.double(), second.double()  # so that one of a vector with itself is 1
    return float(torch.dot(first, second)) / (_length(first) * _length(second))


def _length(vector: Tensor) -> float:
    return float(foreach.divisor(foreach.norm([vector])))
