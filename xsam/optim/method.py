"""What a method is in grids: its parameters, which values go together, what a step costs, when it is active.

Needs the standard library alone, as the registry of the methods does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from xsam.optim._step.declare import parameters_of as parameters_of_class
from xsam.optim.bases import Table
from xsam.parameters import Parameter, ParameterError, Parameters, Value, real, whole

if TYPE_CHECKING:
    from xsam.optim._step.base import SharpnessAware


def resolve_common(given: dict[str, Value]) -> dict[str, Value]:
    """Replace ``rho_per_step`` by the total radius that it means, and check the base's parameters together."""
    if given.get("nesterov") and given["momentum"] == 0:
        raise ParameterError("nesterov needs momentum above 0, not 0", "nesterov", "momentum")
    start, end = real(given.get("active_from", 0.0)), real(given.get("active_until", 1.0))
    if start >= end:
        raise ParameterError(
            f"active_from must be below active_until ({end:g}), not {start:g}", "active_from", "active_until"
        )
    params = dict(given)
    per_step = params.pop("rho_per_step", None)
    if per_step is not None:
        params["rho"] = real(per_step) * whole(params.get("ascent_steps", 1))
    return params


def ascent_passes(params: Parameters) -> Fraction:
    """Of a method whose step takes a pass for each ascent step, and one at the end of them."""
    return Fraction(whole(params.get("ascent_steps", 1)) + 1)


def one_pass(params: Parameters) -> Fraction:
    """Of a method whose step costs what the base's does.

    >>> one_pass({})
    Fraction(1, 1)
    """
    return Fraction(1)


@dataclass(frozen=True)
class Method:
    """A way to train: a base optimizer alone (``alone`` names it) or one that wraps a base.

    Attributes:
        target: ``module:Class``, or the class itself, whose declared options are the method's parameters.
        alone: the base that is all there is.
        tags: what the method counts as where reports speak of kinds of methods: ``"sam_family"``, or ``"control"`` for
            one that is there to be compared with and that nobody proposes.
        resolve: turns the values that were given, and defaults, into the parameters of a run; raises ``ValueError``
            where they do not fit together.
        passes: see :func:`xsam.optim.pass_counts.passes_per_step`.
        total: backward passes of so many steps, where they are not ``passes`` times the steps, rounded up.
        normalisation: whether it needs a model with normalisation layers.
        in_rows: steps several models at once, as rows of one tensor: ``module:Class``, ``"itself"`` where the method's
            own class does, or None where its update cannot be written so.
    """

    target: str | type[SharpnessAware]
    alone: str | None = None
    tags: tuple[str, ...] = ("sam_family",)
    resolve: Callable[[dict[str, Value]], dict[str, Value]] = resolve_common
    passes: Callable[[Parameters], Fraction] = ascent_passes
    total: Callable[[Parameters, int], int] | None = None
    normalisation: bool = False
    in_rows: str | None = None

    @cached_property
    def parameters(self) -> Table:
        """The method's own parameters, under all their names: the options of its class and what stands for them."""
        if self.alone:
            return {}
        return {**dict(_in_order(parameters_of_class(self.target), self.passes is one_pass)), **ACTIVE_PART}

    @property
    def family(self) -> bool:
        """Whether it is one of the sharpness-aware methods that are proposed, to which claims about them apply."""
        return "sam_family" in self.tags

    @property
    def class_name(self) -> str:
        """The name of its class."""
        return self.target.partition(":")[2] if isinstance(self.target, str) else self.target.__name__


def _in_order(options: Table, single: bool) -> Iterator[tuple[str, Parameter]]:
    """The options of a class, those that all methods have first, each with its alternative behind it."""
    for name in sorted(options, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)):
        if name == "rng" and single:  # there is no other pass whose dropout masks could differ
            continue
        parameter = options[name]
        alternative = dict(ALTERNATIVES).get(name)
        if alternative is not None and parameter.default is None:
            parameter = replace(parameter, nullable=False, unset=True)
        yield name, parameter
        if alternative is not None:
            yield alternative, _SECONDS[alternative]


_FIRST = ("rho", "ascent_steps", "rng")

# Which part of a run a method takes; an optimizer hears of it in steps.
ACTIVE_PART = {
    "active_from": Parameter(
        "float",
        0.0,
        at_least=0,
        below=1,
        omit_at_default=True,
        help="share of the run's steps that the base takes alone before the method is active",
    ),
    "active_until": Parameter(
        "float",
        1.0,
        above=0,
        at_most=1,
        omit_at_default=True,
        help="share of the run's steps after which the method is active no longer",
    ),
}

# Two ways to say one thing: whichever the user gave last counts, the other one follows from it.
ALTERNATIVES = (("rho", "rho_per_step"), ("probe_radius", "probe_ratio"))
_SECONDS = {
    "rho_per_step": Parameter(
        "float", at_least=0, unset=True, help="length of one ascent step; rho = k * rho_per_step"
    ),
    "probe_ratio": Parameter(
        "float", at_least=0, unset=True, help="probe_radius / rho at k = 1; 2 where neither is given"
    ),
}


def active_steps(params: Parameters, steps: int) -> range:
    """The steps of a run of so many, in which its method is active.

    >>> active_steps({"active_from": 0.75}, 10), active_steps({}, 10)
    (range(8, 10), range(0, 10))
    """
    start, end = (Fraction(str(params.get(name, ACTIVE_PART[name].default))) for name in ACTIVE_PART)
    return range(round(start * steps), round(end * steps))
