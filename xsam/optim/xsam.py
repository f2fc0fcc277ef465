"""XSAM: explicit sharpness-aware minimization, which searches for the direction to the maximum of the loss."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import Ascent, MultiStepMethod, ascend, with_gradients
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Scalar, Tensors
from xsam.optim._step.passes import Passes, clear_gradients
from xsam.optim._step.plane import AnyPlane, plane_of
from xsam.optim._step.search import SEARCHES, alpha_grid

STEPS_BETWEEN_SEARCHES = 500  # where nobody says when; an epoch of 50,000 images in batches of 100
FALLBACK_ALPHA = 1.0  # SAM's direction, where the very first search finds no finite loss


class AlphaSearch(NamedTuple):
    """What one search for alpha saw.

    Attributes:
        alphas: the probed values.
        losses: L(theta + probe_radius * v(alpha)) for each of them; the mean over all processes that train the model.
        cosine: of the angle between v0 and v1; with local perturbations, between this process's own.
    """

    alphas: tuple[float, ...]
    losses: tuple[float, ...]
    cosine: float


class XSAM(MultiStepMethod):
    """Explicit sharpness-aware minimization: step along the direction in a plane that raises the loss most.

    After k ascent steps of SAM, v0 is the direction from the weights theta to where they led, and v1 that of the
    gradient g_k found there. With psi the angle between them,

        v(alpha) = [sin((1 - alpha) psi) v0 + sin(alpha psi) v1] / sin psi

    and the base optimizer steps from theta with ||g_k|| v(alpha). At some steps alpha is searched: the one of 0,
    alpha_step, ..., alpha_max with the greatest L(theta + probe_radius v(alpha)) on that step's batch. alpha = 1 is
    SAM. Chen & Zhou, "Revisiting Sharpness-Aware Minimization: A More Faithful and Effective Implementation", ICLR
    2026, arXiv 2603.10048. A step costs k + 1 forward and backward passes, a search a forward pass for each probed
    alpha. ``rng="fresh"`` probes each alpha under other dropout masks, which makes the search noisy.

    The paper searches once an epoch: call :meth:`request_alpha_search` at the start of each, or let ``search_every`` be
    the number of batches in one. With neither, alpha is searched every 500 steps.

    Attributes:
        alpha: the value in use; None before the first search.
        last_search: the latest :class:`AlphaSearch`; None before the first.
        search_seconds: wall time of this object's searches so far, which is not part of its saved state.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = XSAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, model=model)
        >>> for epoch in range(2):
        ...     optimizer.request_alpha_search()
        ...     for batch in torch.ones(3, 4, 2):
        ...         loss = optimizer.step(lambda: model(batch).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (54, 12)
    """

    _works_on_parts = True

    probe_radius: float | None = option(
        default=None, at_least=0, help="radius rho_m of the search, which may be changed too; None: 2 rho"
    )
    alpha: float | None = option(
        default=None,
        at_least=0,
        help="a fixed value, searched only on request; None: searched, and first of all at the first step",
    )
    alpha_max: float = option(default=2.0, above=0, help="largest alpha probed")
    alpha_step: float = option(default=0.1, above=0, help="distance between probed alphas")
    search_every: int | None = option(
        default=None,
        at_least=1,
        help="search at each n-th step (steps 0, n, 2n, ...) and on request; None: on request, or every 500 steps "
        "where none ever comes. The number of batches in an epoch (``len(loader)``) is the paper's choice",
    )
    scale: Literal["ascent", "local"] = option(
        default="ascent", help="length of the update: ``ascent`` is ||g_k||, ``local`` is ||g_0||"
    )
    search: Literal["grid", "bracket"] = option(
        default="grid",
        omit_at_default=True,
        help="``grid`` probes every alpha; ``bracket`` closes in on the maximum by Fibonacci search, with 7 probes "
        "instead of 21. It finds the grid's maximum where the loss rises to it and falls behind it",
    )

    def _prepare(self) -> None:
        super()._prepare()
        if self.probe_radius is None:
            self.probe_radius = 2 * self.rho
        if self.alpha_step > self.alpha_max:
            raise ValueError(f"alpha_step must be at most alpha_max ({self.alpha_max:g}), not {self.alpha_step:g}")
        self.last_search: AlphaSearch | None = None
        self.search_seconds = 0.0
        self._alphas = alpha_grid(self.alpha_max, self.alpha_step)
        # Somebody else says when to search, be it never: then no search comes by itself.
        self._on_request = self.alpha is not None
        self._direction: Tensors = []
        self._requested = False
        self._steps = 0
        self._searches = 0
        self._steps_since_search = 0

    def request_alpha_search(self) -> None:
        """Have alpha searched at the next step, and from now on only by this and by ``search_every``."""
        self._requested = True
        self._on_request = True

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        ascent = ascend(passes, parameters, self.rho, self.ascent_steps, old_direction=self._direction)
        _, gradient = with_gradients(ascent.active)
        plane = plane_of(ascent.direction, ascent.direction_norm, gradient)
        searching = self._search_is_due()
        if searching:
            self._search(passes, ascent, gradient, plane)
        else:
            self._steps_since_search += 1
        passes.weights.restore()
        length = plane.gradient_norm if self.scale == "ascent" else ascent.local_norm
        on_direction, on_gradient = self._coefficients(plane, length)
        foreach.combine_(gradient, on_gradient, ascent.direction, on_direction)
        if searching:  # its probes have cleared them
            for parameter, part in zip(ascent.active, gradient, strict=True):
                parameter.grad = part
        self._direction = ascent.direction
        self._steps += 1
        return ascent.loss

    def _coefficients(self, plane: AnyPlane, length: Tensor) -> tuple[Scalar, ...]:
        """What the direction and the gradient are multiplied by in the update of this length."""
        assert self.alpha is not None
        (pair,) = plane.weights((self.alpha,), length)
        return pair

    def _search_is_due(self) -> bool:
        if self._requested or self.alpha is None:
            return True
        if self.search_every is not None:
            return self._steps % self.search_every == 0
        return not self._on_request and self._steps_since_search + 1 >= STEPS_BETWEEN_SEARCHES

    def _search(self, passes: Passes, ascent: Ascent, gradient: Tensors, plane: AnyPlane) -> None:
        """Probe alphas and keep the first with the greatest finite loss; without one alpha stays."""
        cosine = float(plane.cosine)  # waits for the device, as the last probe does: the time between is the search's
        started = time.perf_counter()
        clear_gradients(ascent.active)  # out of reach of a closure that calls zero_grad()
        assert self.probe_radius is not None
        steps = plane.weights(self._alphas, self.probe_radius)

        def loss_at(index: int) -> float:
            on_direction, on_gradient = steps[index]
            passes.weights.restore()
            passes.weights.move(ascent.active, ascent.direction, on_direction)
            passes.weights.move(ascent.active, gradient, on_gradient)
            return passes.probe()

        losses = SEARCHES[self.search](loss_at, len(self._alphas))
        finite = [index for index in losses if math.isfinite(losses[index])]
        if finite:
            self.alpha = self._alphas[max(finite, key=losses.__getitem__)]
        elif self.alpha is None:
            self.alpha = FALLBACK_ALPHA
        probed = tuple(self._alphas[index] for index in losses)
        self.last_search = AlphaSearch(probed, tuple(losses.values()), cosine)
        self.search_seconds += time.perf_counter() - started
        self._requested = False
        self._searches += 1
        self._steps_since_search = 0

    def _own_state(self) -> dict[str, Any]:
        return {
            **super()._own_state(),
            "probe_radius": self.probe_radius,
            "alpha": self.alpha,
            "last_search": None if self.last_search is None else self.last_search._asdict(),
            "requested": self._requested,
            "steps": self._steps,
            "searches": self._searches,
            "steps_since_search": self._steps_since_search,
            "on_request": self._on_request,
        }

    def _added_state(self, own: Mapping[str, Any]) -> dict[str, Any]:
        return {**super()._added_state(own), "on_request": True}  # as it was before searches came by themselves

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        super()._load_own_state(own)
        self.probe_radius = own["probe_radius"]
        self.alpha = own["alpha"]
        self.last_search = None if own["last_search"] is None else AlphaSearch(**own["last_search"])
        self._requested = own["requested"]
        self._steps = own["steps"]
        self._searches = own["searches"]
        self._steps_since_search = own["steps_since_search"]
        self._on_request = own["on_request"]
