"""The methods that need more than their own code to step several models at once as rows of one tensor.

Each row has its own search, its own alpha and its own noise; see :mod:`xsam.optim._step.rows`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import Ascent
from xsam.optim._step.foreach import Scalar, Tensors
from xsam.optim._step.passes import Passes
from xsam.optim._step.plane import AnyPlane, Plane
from xsam.optim._step.rows import InRows, RowPasses
from xsam.optim._step.search import STEPS, Asking
from xsam.optim.random_sam import RandomSAM
from xsam.optim.xsam import FALLBACK_ALPHA, XSAM, AlphaSearch


class RandomSAMInRows(InRows, RandomSAM):
    """RandomSAM of several runs, the noise of each drawn as its own run draws it."""

    per_row = ("seed",)

    def _prepare(self) -> None:
        super()._prepare()
        self._seeds: list[int] | None = None

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        rows = cast(RowPasses, passes)
        (parameter,) = parameters
        seeds = [seed % 2**53 for seed in rows.seeds] if self._seeds is None else self._seeds
        noise = torch.zeros_like(parameter, requires_grad=False)
        for seed, row in zip(seeds, noise, strict=True):
            views = rows.layout.views(row)
            foreach.copy_(views, self._noise.like(views, seed, self._steps))
        passes.weights.save(parameters)
        passes.weights.move(parameters, [noise], foreach.quotient(self.rho, foreach.norm([noise])))
        loss = passes.gradient()
        passes.weights.restore()
        self._seeds = seeds
        self._steps += 1
        return loss

    def _own_state(self) -> dict[str, Any]:
        return {**super()._own_state(), "seed": self._seeds}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        super()._load_own_state(own)
        seeds = own["seed"]
        self._seeds = None if seeds is None or None in seeds else list(seeds)


class XSAMInRows(InRows, XSAM):
    """XSAM of several runs: one search for all, in which each probes the alphas that it wants to know.

    Attributes:
        alphas: the value in use in each row; empty before the first search.
        last_searches: the latest search of each row; empty before the first.
    """

    per_row = ("alpha", "last_search", "forwards")

    def _prepare(self) -> None:
        super()._prepare()
        self._fixed = self.alpha
        self.alphas: list[float | None] = []
        self.last_searches: list[AlphaSearch | None] = []
        self._further: list[int] = []  # probes of each row

    def _coefficients(self, plane: AnyPlane, length: Tensor) -> tuple[Scalar, ...]:
        assert isinstance(plane, Plane)
        count = len(plane.cosine)
        if not self.alphas:
            self.alphas = [self._fixed] * count
        chosen = [((FALLBACK_ALPHA if alpha is None else alpha),) for alpha in self.alphas]
        pairs = [_plane_of(plane, row).weights(alphas, length[row, 0])[0] for row, alphas in enumerate(chosen)]
        return _columns(pairs, plane)

    def _search(self, passes: Passes, ascent: Ascent, gradient: Tensors, plane: AnyPlane) -> None:
        assert isinstance(plane, Plane)
        rows = cast(RowPasses, passes)
        started = time.perf_counter()
        assert self.probe_radius is not None
        count = len(plane.cosine)
        steps = [_plane_of(plane, row).weights(self._alphas, self.probe_radius) for row in range(count)]
        found: list[dict[int, float]] = [{} for _ in range(count)]
        asking = [STEPS[self.search](len(self._alphas)) for _ in range(count)]
        wanted: list[int | None] = [next(each, None) for each in asking]
        before = rows.forwards
        while any(index is not None for index in wanted):
            pairs = [steps[row][0 if index is None else index] for row, index in enumerate(wanted)]
            on_direction, on_gradient = _columns(pairs, plane)
            passes.weights.restore()
            passes.weights.move(ascent.active, ascent.direction, on_direction)
            passes.weights.move(ascent.active, gradient, on_gradient)
            losses = rows.losses()
            for row, (index, loss) in enumerate(zip(wanted, losses, strict=True)):
                if index is not None:
                    found[row][index] = loss
                    wanted[row] = _answered(asking[row], loss)
        rows.forwards = before  # of each row its own are counted
        if not self.alphas:
            self.alphas = [self._fixed] * count
        self._further = self._further or [0] * count
        self.last_searches = []
        for row, losses_of in enumerate(found):
            ordered = dict(sorted(losses_of.items()))
            finite = [index for index in ordered if math.isfinite(ordered[index])]
            if finite:
                self.alphas[row] = self._alphas[max(finite, key=ordered.__getitem__)]
            elif self.alphas[row] is None:
                self.alphas[row] = FALLBACK_ALPHA
            self._further[row] += len(ordered)
            probed = tuple(self._alphas[index] for index in ordered)
            self.last_searches.append(AlphaSearch(probed, tuple(ordered.values()), plane.cosine[row].item()))
        self.alpha = self.alphas[0]
        self.search_seconds += time.perf_counter() - started
        self._requested = False
        self._searches += 1
        self._steps_since_search = 0

    def _own_state(self) -> dict[str, Any]:
        own = super()._own_state()
        if not self.alphas:
            return own
        further = self._further or [0] * len(self.alphas)
        searches = self.last_searches or [None] * len(self.alphas)
        return {
            **own,
            "alpha": list(self.alphas),
            "last_search": [None if each is None else each._asdict() for each in searches],
            "forwards": [self.forwards + each for each in further],
        }

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        fewest = min(own["forwards"])
        searches = [None if each is None else AlphaSearch(**each) for each in own["last_search"]]
        super()._load_own_state({**own, "forwards": fewest, "alpha": own["alpha"][0], "last_search": None})
        self.alphas, self.last_searches = list(own["alpha"]), searches
        self._further = [each - fewest for each in own["forwards"]]


def _plane_of(plane: Plane, row: int) -> Plane:
    """The plane of one row."""
    return Plane(plane.norms[:, row, 0], plane.cosine[row, 0])


def _columns(pairs: list[tuple[Any, ...]], plane: Plane) -> tuple[Tensor, Tensor]:
    """The scales of directions and of gradients, n×1 each."""
    both = torch.tensor(pairs, dtype=plane.norms.dtype)
    return both[:, :1], both[:, 1:]


def _answered(asking: Asking, value: float) -> int | None:
    try:
        return asking.send(value)
    except StopIteration:
        return None
