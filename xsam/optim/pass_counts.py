"""How many passes and alpha searches the steps of a run take, before anything is run."""

from __future__ import annotations

import math
from fractions import Fraction

from xsam.optim.method import ACTIVE_PART, active_steps
from xsam.optim.registry import METHODS
from xsam.parameters import Parameters, whole


def passes_per_step(method: str, params: Parameters) -> Fraction:
    """Forward-backward passes over its batch that a step of ``method`` takes, in the mean over a run.

    Steps of a run in which the method is not active (``active_from``, ``active_until``) take one.

    Forwards without a backward, the probes of XSAM's alpha searches, are not among them: a run's column ``forwards``
    has them, beside ``backwards``, which counts these passes.

    Example:
        >>> passes_per_step("sam", {"ascent_steps": 3}), passes_per_step("looksam", {"refresh_every": 5})
        (Fraction(4, 1), Fraction(6, 5))
    """
    start, end = (Fraction(str(params.get(name, ACTIVE_PART[name].default))) for name in ACTIVE_PART)
    return 1 + (end - start) * (METHODS[method].passes(params) - 1)


def backward_passes(method: str, params: Parameters, steps: int) -> int:
    """Backward passes of a whole run of so many steps.

    >>> backward_passes("sam", {"ascent_steps": 1, "active_from": 0.75}, 10)
    12
    """
    active, entry = len(active_steps(params, steps)), METHODS[method]
    within = math.ceil(active * entry.passes(params)) if entry.total is None else entry.total(params, active)
    return steps - active + within


def searches(params: Parameters) -> bool:
    """Whether a run ever searches for alpha: it is not fixed, or searched every so many steps all the same.

    >>> searches({"rho": 0.1}), searches({"alpha": 1.3, "search_every": None}), searches({"alpha": None})
    (False, False, True)
    """
    return "alpha" in params and (params["alpha"] is None or params.get("search_every") is not None)


def searches_each_epoch(params: Parameters) -> bool:
    """Whether the training loop asks for an alpha search at the start of every epoch (the paper's schedule)."""
    return "alpha" in params and params["alpha"] is None and params.get("search_every") is None


def alpha_searches(params: Parameters, steps: int, steps_per_epoch: int) -> int:
    """Alpha searches of a run of so many steps, which asks for one at the start of every epoch or has an interval.

    What is asked for before the method is active is done at its first step.

    >>> alpha_searches({"alpha": None}, 10, 4), alpha_searches({"alpha": None, "active_from": 0.5}, 10, 4)
    (3, 2)
    """
    active, every = active_steps(params, steps), params.get("search_every")
    if not active or not searches(params):
        return 0
    if every is not None:
        return math.ceil(len(active) / whole(every))
    return math.ceil(active.stop / steps_per_epoch) - active.start // steps_per_epoch
