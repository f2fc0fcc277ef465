"""Whether the directions that SAM and XSAM step along point at the highest loss nearby."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xsam.optim._step import options
from xsam.sharpness._frozen import BatchNorm
from xsam.sharpness._hessian import LossFunction
from xsam.sharpness._neighbourhood import AscentPlane, Surface, cosine, surface

STEPS = 20


class DirectionQuality(NamedTuple):
    """How good one direction is, on one batch.

    Attributes:
        ascent_steps: k.
        direction: ``"local"``: the first gradient g_0; ``"sam"``: g_k; ``"xsam"``: v(alpha*); ``"wide_sam"``: the
            gradient that SAM finds with the radius alpha* · rho; ``"best"``: by projected gradient ascent.
        rise: L(theta + probe_radius · d) − L(theta), with d the unit vector.
        cosine_best: cosine of the angle to the best direction.
        cosine_xsam: that to v(alpha*).
        alpha: alpha* of these k steps, from the grid 0, 0.1, ..., 2.
        in_plane: length of the best direction's projection on the plane of v0 and v1; 1: it lies in it.
        psi_cosine: of the angle between v0 and v1.
    """

    ascent_steps: int
    direction: str
    rise: float
    cosine_best: float
    cosine_xsam: float
    alpha: float
    in_plane: float
    psi_cosine: float


def direction_quality(
    model: nn.Module,
    loss_fn: LossFunction,
    batch: Any,
    rho: float,
    probe_radius: float | None = None,
    ascent_steps: Sequence[int] = (1, 2, 3, 5),
    *,
    starts: int = 2,
    batchnorm: BatchNorm = "batch",
    seed: int = 0,
) -> list[DirectionQuality]:
    """Compare the directions of one training step with the best one, for several numbers k of ascent steps.

    The best direction is the highest point that projected gradient ascent (20 steps) finds at the distance
    ``probe_radius``, starting from g_0, from each k's g_k and v(alpha*), and from ``starts`` random directions; it is
    the same for all k. Directions and radii are those of Chen & Zhou, ICLR 2026, arXiv 2603.10048.

    Args:
        model, loss_fn, batchnorm, seed: as for :mod:`xsam.sharpness.spectrum`.
        batch: one that the optimizer would step on.
        rho: total radius of the ascent.
        probe_radius: at which directions are compared, and alpha is searched; None: 2 rho.
        ascent_steps: the k to look at.
        starts: random starts.

    Returns:
        Five for each k.

    Example:
        >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
        <...>
        >>> model, batch = nn.Linear(3, 1), torch.eye(3)
        >>> rows = direction_quality(model, lambda model, batch: model(batch).square().mean(), batch, 0.1)
        >>> [row.direction for row in rows if row.ascent_steps == 5]
        ['local', 'sam', 'xsam', 'wide_sam', 'best']
    """
    options.number("rho", rho, above=0)
    radius = options.number("probe_radius", 2 * rho if probe_radius is None else probe_radius, above=0)
    for k in ascent_steps:
        options.whole_number("ascent_steps", k, at_least=1)
    generator = torch.Generator().manual_seed(seed)
    with surface(model, loss_fn, [batch], None, batchnorm) as around:
        loss, local = around.gradient()
        found = [_Step.of(around, local, rho, radius, k) for k in ascent_steps]
        mine = [local, *(step.candidates[name] for step in found for name in ("sam", "xsam"))]
        random = [around.random(generator) for _ in range(starts)]
        best = around.worst(radius, [*mine, *random], STEPS, on_sphere=True).offset
        return [row for step in found for row in step.rows(around, best, radius, loss)]


class _Step(NamedTuple):
    """The directions of a step with k ascents."""

    k: int
    alpha: float
    ascent: AscentPlane
    candidates: dict[str, Tensor]

    @classmethod
    def of(cls, around: Surface, local: Tensor, rho: float, radius: float, k: int) -> _Step:
        ascent = around.ascend(rho, k)
        alpha, _ = around.best_alpha(ascent, radius)
        (towards,) = ascent.directions((alpha,))
        # With alpha* = 0 the wide ascent has no radius, and its gradient is the local one.
        wide = around.ascend(alpha * rho, k).gradient
        return cls(k, alpha, ascent, {"local": local, "sam": ascent.gradient, "xsam": towards, "wide_sam": wide})

    def rows(self, around: Surface, best: Tensor, radius: float, loss: float) -> list[DirectionQuality]:
        share, psi = in_plane(best, self.ascent), float(self.ascent.plane.cosine)
        directions = {**self.candidates, "best": best}
        return [
            DirectionQuality(
                ascent_steps=self.k,
                direction=name,
                rise=around.loss(direction * (radius / max(float(direction.norm()), 1e-30))) - loss,
                cosine_best=cosine(direction, best),
                cosine_xsam=cosine(direction, self.candidates["xsam"]),
                alpha=self.alpha,
                in_plane=share,
                psi_cosine=psi,
            )
            for name, direction in directions.items()
        ]


def in_plane(vector: Tensor, ascent: AscentPlane) -> float:
    """Length of the projection of ``vector``'s unit vector on the plane of v0 and v1."""
    basis, _ = torch.linalg.qr(torch.stack(ascent.units, dim=1).double())
    return float((basis.T @ vector.double()).norm() / vector.double().norm())
