"""Measurements of sharpness of a run, as rows of the table ``sharpness``."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from xsam.grid.diagnostics import PER_DIRECTION, Diagnostics
from xsam.plugins.kinds import DIAGNOSTICS
from xsam.sharpness import (
    NotConverged,
    alpha_profile,
    ascent_plane,
    direction_quality,
    measures,
    random_plane,
    spectral_density,
    top_eigenpairs,
    trace,
)
from xsam.tasks import Problem

Row = dict[str, Any]


def diagnose(wanted: Diagnostics, problem: Problem, epoch: int) -> list[Row]:
    """Measure the problem's model at its current weights; leaves it and the random state as they were.

    The loss is the mean of the first batches of epoch 0, the same ones at every measurement and for every optimizer of
    a seed. What a measurement cost is in its first row: passes over a batch (``forwards``, ``backwards``), products
    with the Hessian over all batches (``products``), and ``seconds``. A measurement that does not converge is one row
    without a value, whose ``details`` say why.

    Args:
        wanted: what to measure.
        problem: the run's.
        epoch: the 0-based epoch that is finished.
    """
    batches = [problem.batch(0, step) for step in range(min(wanted.batches, problem.steps_per_epoch))]
    rows: list[Row] = []
    for name in wanted.measure:
        meter = _Meter(problem)
        started = time.perf_counter()
        try:
            found = list(_measured(name, wanted, problem.model, meter, batches))
        except NotConverged as error:
            found = [_row(name, None, reason=str(error))]
        found[0] |= {**meter.cost(), "seconds": time.perf_counter() - started}
        rows += [{**row, "epoch": epoch} for row in found]
    return rows


class _Meter:
    """The loss of a batch, with every pass counted."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._forwards = 0
        self._backwards = 0
        self.products = 0

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        loss = self._problem.loss(batch)
        self._forwards += 1
        if loss.requires_grad:
            loss.register_hook(self._count_backward)
        return loss

    def cost(self) -> dict[str, int]:
        """Columns of a row."""
        return {"forwards": self._forwards, "backwards": self._backwards, "products": self.products}

    def _count_backward(self, gradient: Tensor) -> None:
        self._backwards += 1


def _hessian(wanted: Diagnostics, model: nn.Module, loss: _Meter, batches: list[Any]) -> Iterator[Row]:
    count = min(wanted.eigenvalues, sum(each.numel() for each in model.parameters() if each.requires_grad))
    found = top_eigenpairs(model, loss, batches, count)
    estimate, error = trace(model, loss, batches, samples=wanted.samples)
    loss.products += found.products + wanted.samples
    for rank, (value, bound) in enumerate(zip(found.values.tolist(), found.errors.tolist(), strict=True), start=1):
        yield _row("top_eigenvalue" if rank == 1 else f"eigenvalue_{rank}", value, bound)
    yield _row("trace", estimate, error, samples=wanted.samples)


def _density(wanted: Diagnostics, model: nn.Module, loss: _Meter, batches: list[Any]) -> Iterator[Row]:
    found = spectral_density(model, loss, batches)
    loss.products += found.nodes.numel()
    yield _row("density", None, nodes=found.nodes.tolist(), weights=found.weights.tolist())


def _measures(wanted: Diagnostics, model: nn.Module, loss: _Meter, batches: list[Any]) -> Iterator[Row]:
    for name, (value, error) in measures(model, loss, batches, wanted.rho, samples=wanted.samples).items():
        yield _row(name, value, error, rho=wanted.rho)


def _directions(wanted: Diagnostics, model: nn.Module, loss: _Meter, batches: list[Any]) -> Iterator[Row]:
    for step, batch in enumerate(batches[: wanted.steps]):
        for found in direction_quality(model, loss, batch, wanted.rho, wanted.radius, wanted.ascent_steps, seed=step):
            place = {"step": step, "ascent_steps": found.ascent_steps}
            for name in ("rise", "cosine_best", "cosine_xsam"):
                yield _row(f"{PER_DIRECTION}{name}", getattr(found, name), direction=found.direction, **place)
            if found.direction == "xsam":
                for name in ("alpha", "in_plane", "psi_cosine"):
                    yield _row(f"{PER_DIRECTION}{name}", getattr(found, name), **place)


def _alpha(wanted: Diagnostics, model: nn.Module, loss: _Meter, batches: list[Any]) -> Iterator[Row]:
    for k in wanted.ascent_steps:
        found = alpha_profile(model, loss, batches[:1], wanted.rho, wanted.radius, k)
        best = max(zip(found.losses, found.alphas, strict=True))[1]
        yield _row(f"{PER_DIRECTION}alpha_profile", best, ascent_steps=k, **found._asdict())


def _planes(wanted: Diagnostics, model: nn.Module, loss: _Meter, batches: list[Any]) -> Iterator[Row]:
    for k in wanted.ascent_steps:
        plane = ascent_plane(model, loss, batches[:1], wanted.rho, wanted.radius, k)
        yield _row("ascent_plane", None, ascent_steps=k, **plane._asdict())
    yield _row("random_plane", None, **random_plane(model, loss, batches)._asdict())


_MEASUREMENTS: Mapping[str, Callable[[Diagnostics, nn.Module, _Meter, list[Any]], Iterator[Row]]] = {
    "hessian": _hessian,
    "density": _density,
    "measures": _measures,
    "directions": _directions,
    "alpha": _alpha,
    "planes": _planes,
}


def _measured(name: str, wanted: Diagnostics, model: nn.Module, loss: _Meter, batches: list[Any]) -> Iterator[Row]:
    if name in _MEASUREMENTS:
        yield from _MEASUREMENTS[name](wanted, model, loss, batches)
        return
    if name not in DIAGNOSTICS:
        raise ValueError(f"the diagnostic {name!r} is a plug-in's that is not loaded")
    numbers = DIAGNOSTICS[name](model=model, loss=loss, batches=batches)
    if not numbers:
        yield _row(name, None, reason="it measured nothing")
    for part, value in numbers.items():
        yield _row(f"{name}/{part}", float(value))


def _row(measure: str, value: float | None, error: float | None = None, **details: Any) -> Row:
    return {"measure": measure, "value": value, "error": error, "details": json.dumps(_finite(details))}


def _finite(content: Any) -> Any:
    """``content`` with floats of seven digits, and null for what JSON cannot say."""
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float):
        return float(f"{content:.7g}") if math.isfinite(content) else None
    return content
