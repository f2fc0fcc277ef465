"""The loss on planes and arcs through the weights, as numbers; ``xsam.report.figures`` draws them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xsam.optim._step import options
from xsam.sharpness._frozen import BatchNorm
from xsam.sharpness._hessian import LossFunction
from xsam.sharpness._neighbourhood import ALPHAS, Surface, surface

Line = tuple[float, ...]


class LossPlane(NamedTuple):
    """The loss on a grid of points theta + x·a + y·b.

    Attributes:
        x, y: coordinates along a and b.
        losses: a row for each y, a column for each x.
        marks: name → where a direction's point is (``"v0"``, ``"v1"``, ``"v(alpha*)"``); of a random plane none.
        radii: name → radius of a circle around the weights (``"rho"``, ``"rho_m"``); of a random plane none.
    """

    x: Line
    y: Line
    losses: tuple[Line, ...]
    marks: Mapping[str, tuple[float, float]]
    radii: Mapping[str, float]


class AlphaProfile(NamedTuple):
    """The loss on the arc theta + probe_radius · v(alpha).

    Attributes:
        alphas, losses: of each probed point.
        loss: at theta.
    """

    alphas: Line
    losses: Line
    loss: float


def ascent_plane(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    rho: float,
    probe_radius: float | None = None,
    ascent_steps: int = 1,
    *,
    points: int = 25,
    weights: Sequence[float] | None = None,
    batchnorm: BatchNorm = "batch",
) -> LossPlane:
    """The loss on the plane of v0 and v1, as in figure 1 of Chen & Zhou, ICLR 2026, arXiv 2603.10048.

    The first axis is along v0, the second is orthogonal to it on v1's side; it spans 1.2 · ``probe_radius`` to each
    side. v0 is marked at rho (where the ascent led, had it been straight), v1 and v(alpha*) at the probe radius.

    Args:
        model, loss_fn, batches, weights, batchnorm: as for :mod:`xsam.sharpness.spectrum`.
        rho, ascent_steps: of the ascent.
        probe_radius: None: 2 rho.
        points: in each axis.
    """
    options.number("rho", rho, above=0)
    options.whole_number("points", points, at_least=2)
    radius = options.number("probe_radius", 2 * rho if probe_radius is None else probe_radius, above=0)
    with surface(model, loss_fn, batches, weights, batchnorm) as around:
        ascent = around.ascend(rho, ascent_steps)
        alpha, _ = around.best_alpha(ascent, radius)
        first, gradient = ascent.units
        across = gradient - torch.dot(first, gradient) * first
        second = across / across.norm().clamp(min=1e-30)
        marked = {"v0": rho * first, "v1": radius * gradient, "v(alpha*)": radius * ascent.directions((alpha,))[0]}
        line = _line(1.2 * radius, points)
        return LossPlane(
            x=line,
            y=line,
            losses=_losses(around, first, second, line),
            marks={name: (float(place @ first), float(place @ second)) for name, place in marked.items()},
            radii={"rho": rho, "rho_m": radius},
        )


def random_plane(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    *,
    extent: float = 1.0,
    points: int = 25,
    weights: Sequence[float] | None = None,
    batchnorm: BatchNorm = "eval",
    seed: int = 0,
) -> LossPlane:
    """The loss on a plane of two random directions, normalised filter by filter.

    Each filter (each row of a matrix) of a random direction has the norm of the weights' own filter, and vectors such
    as biases do not move, so that planes of different networks compare (Li et al., NeurIPS 2018, arXiv 1712.09913).

    Args:
        model, loss_fn, batches, weights, batchnorm, seed: as for :mod:`xsam.sharpness.spectrum`.
        extent: the coordinates' range to each side.
        points: in each axis.
    """
    options.number("extent", extent, above=0)
    options.whole_number("points", points, at_least=2)
    generator = torch.Generator().manual_seed(seed)
    with surface(model, loss_fn, batches, weights, batchnorm) as around:
        first, second = (_filter_normalised(around, generator) for _ in range(2))
        line = _line(extent, points)
        return LossPlane(line, line, _losses(around, first, second, line), marks={}, radii={})


def alpha_profile(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    rho: float,
    probe_radius: float | None = None,
    ascent_steps: int = 1,
    *,
    alphas: Line = ALPHAS,
    weights: Sequence[float] | None = None,
    batchnorm: BatchNorm = "batch",
) -> AlphaProfile:
    """The losses among which XSAM's search chooses alpha*, L(theta + probe_radius · v(alpha)).

    Arguments are those of :func:`ascent_plane`.

    Example:
        >>> model = nn.Linear(3, 1)
        >>> profile = alpha_profile(model, lambda model, batch: model(batch).square().mean(), [torch.eye(3)], 0.1)
        >>> len(profile.losses)
        21
    """
    options.number("rho", rho, above=0)
    radius = options.number("probe_radius", 2 * rho if probe_radius is None else probe_radius, above=0)
    with surface(model, loss_fn, batches, weights, batchnorm) as around:
        loss = around.loss()
        units = around.ascend(rho, ascent_steps).directions(alphas)
        return AlphaProfile(alphas, tuple(around.loss(radius * unit) for unit in units), loss)


def _losses(around: Surface, first: Tensor, second: Tensor, line: Line) -> tuple[Line, ...]:
    return tuple(tuple(around.loss(x * first + y * second) for x in line) for y in line)


def _line(extent: float, points: int) -> Line:
    return tuple(torch.linspace(-extent, extent, points, dtype=torch.float64).tolist())


def _filter_normalised(around: Surface, generator: torch.Generator) -> Tensor:
    direction, weights = around.random(generator), around.flat_weights()
    for part, weight in zip(around.split(direction), around.split(weights), strict=True):
        if weight.dim() < 2:
            part.zero_()
            continue
        rows, norms = part.view(len(part), -1), weight.view(len(weight), -1).norm(dim=1, keepdim=True)
        rows *= norms / rows.norm(dim=1, keepdim=True).clamp(min=1e-30)
    return direction
