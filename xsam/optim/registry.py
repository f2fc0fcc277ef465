"""The optimizers by their names in grids: what each is called, which parameters it takes, how it is built.

Needs the standard library alone; torch and the method's own module are imported when an optimizer is built. A new
method is one file beside this one, which declares its parameters, and one line in ``METHODS``. From there follow its
parameters in grids, its columns in the store, its name in ``xsam`` and ``xsam.optim``, and its part in reports and
tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from xsam.optim._step.declare import parameters_of as parameters_of_class
from xsam.optim.bases import BASES as BASES
from xsam.optim.bases import Base as Base
from xsam.optim.bases import Table
from xsam.parameters import Parameter, ParameterError, Parameters, Value, real, whole
from xsam.registries import Registry

if TYPE_CHECKING:
    from torch import nn
    from torch.amp.grad_scaler import GradScaler

    from xsam.optim._step.base import SharpnessAware


def _resolve(given: dict[str, Value]) -> dict[str, Value]:
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


def _ascent_passes(params: Parameters) -> Fraction:
    return Fraction(whole(params.get("ascent_steps", 1)) + 1)


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
        passes: see :func:`passes_per_step`.
        total: backward passes of so many steps, where they are not ``passes`` times the steps, rounded up.
        normalisation: whether it needs a model with normalisation layers.
        in_rows: steps several models at once, as rows of one tensor: ``module:Class``, ``"itself"`` where the method's
            own class does, or None where its update cannot be written so.
    """

    target: str | type[SharpnessAware]
    alone: str | None = None
    tags: tuple[str, ...] = ("sam_family",)
    resolve: Callable[[dict[str, Value]], dict[str, Value]] = _resolve
    passes: Callable[[Parameters], Fraction] = _ascent_passes
    total: Callable[[Parameters, int], int] | None = None
    normalisation: bool = False
    in_rows: str | None = None

    @cached_property
    def parameters(self) -> Table:
        """The method's own parameters, under all their names: the options of its class and what stands for them."""
        if self.alone:
            return {}
        return {**dict(_in_order(parameters_of_class(self.target), self.passes is one_pass)), **_PART}

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
_PART = {
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


def _resolve_momentum_sam(given: dict[str, Value]) -> dict[str, Value]:
    """Refuse a base without a momentum buffer."""
    if given.get("momentum") == 0:
        raise ParameterError(
            "momentum_sam perturbs along the base's momentum: momentum must be above 0, not 0", "momentum"
        )
    return _resolve(given)


def _resolve_xsam(given: dict[str, Value]) -> dict[str, Value]:
    """Replace ``probe_ratio`` by the probe radius: ratio * (the radius at k = 1), which does not grow with k."""
    largest, step = real(given["alpha_max"]), real(given["alpha_step"])
    if step > largest:
        raise ParameterError(
            f"alpha_step must be at most alpha_max ({largest:g}), not {step:g}", "alpha_step", "alpha_max"
        )
    single = given.get("rho_per_step")
    params = _resolve(given)
    ratio = params.pop("probe_ratio", None)
    if params.get("probe_radius") is None:
        params["probe_radius"] = real(2.0 if ratio is None else ratio) * real(
            params["rho"] if single is None else single
        )
    return params


def one_pass(params: Parameters) -> Fraction:
    """Of a method whose step costs what the base's does.

    >>> one_pass({})
    Fraction(1, 1)
    """
    return Fraction(1)


def _four_passes(params: Parameters) -> Fraction:
    return Fraction(4)


def _looksam_passes(params: Parameters) -> Fraction:
    return 1 + Fraction(1, whole(params["refresh_every"]))


def _eigen_passes(params: Parameters) -> Fraction:
    return 2 + Fraction(2 * whole(params["power_steps"]), whole(params["eigen_every"]))


def _eigen_total(params: Parameters, steps: int) -> int:
    return 2 * steps + 2 * whole(params["power_steps"]) * math.ceil(steps / whole(params["eigen_every"]))


ITSELF = "itself"  # see :attr:`Method.in_rows`

METHODS: Registry[Method] = Registry(
    "optimizer",
    {
        "sgd": Method("xsam.optim._step.alone:BaseAlone", alone="sgd", tags=(), passes=one_pass, in_rows=ITSELF),
        "adam": Method("xsam.optim._step.alone:BaseAlone", alone="adam", tags=(), passes=one_pass, in_rows=ITSELF),
        "adamw": Method("xsam.optim._step.alone:BaseAlone", alone="adamw", tags=(), passes=one_pass, in_rows=ITSELF),
        "sam": Method("xsam.optim.sam:SAM", in_rows=ITSELF),
        "asam": Method("xsam.optim.asam:ASAM", in_rows=ITSELF),
        "gsam": Method("xsam.optim.gsam:GSAM", in_rows=ITSELF),
        "wsam": Method("xsam.optim.wsam:WSAM", in_rows=ITSELF),
        "looksam": Method("xsam.optim.looksam:LookSAM", passes=_looksam_passes, in_rows=ITSELF),
        "friendly_sam": Method("xsam.optim.friendly_sam:FriendlySAM", in_rows=ITSELF),
        "fisher_sam": Method("xsam.optim.fisher_sam:FisherSAM", in_rows=ITSELF),
        "momentum_sam": Method(
            "xsam.optim.momentum_sam:MomentumSAM", resolve=_resolve_momentum_sam, passes=one_pass, in_rows=ITSELF
        ),
        "lookbehind_sam": Method("xsam.optim.lookbehind_sam:LookbehindSAM", in_rows=ITSELF),
        "stable_sam": Method("xsam.optim.stable_sam:StableSAM", in_rows=ITSELF),
        "sam_on": Method("xsam.optim.sam_on:SAMON", normalisation=True),
        "le_sam": Method("xsam.optim.le_sam:LESAM", in_rows=ITSELF),
        "zsharp": Method("xsam.optim.zsharp:ZSharp"),
        "eigen_sam": Method("xsam.optim.eigen_sam:EigenSAM", passes=_eigen_passes, total=_eigen_total),
        "gam": Method("xsam.optim.gam:GAM", passes=_four_passes, in_rows=ITSELF),
        "random_sam": Method(
            "xsam.optim.random_sam:RandomSAM",
            tags=("control",),
            passes=one_pass,
            in_rows="xsam.optim.in_rows:RandomSAMInRows",
        ),
        "xsam": Method("xsam.optim.xsam:XSAM", resolve=_resolve_xsam, in_rows="xsam.optim.in_rows:XSAMInRows"),
    },
)


BASE = Parameter("str", "sgd", help="the base optimizer that a method wraps")


def parameters_of(method: str, base: str, bases: Mapping[str, Base] = BASES) -> dict[str, Parameter]:
    """Every parameter that ``method`` on ``base`` uses, those of the base first; ``bases`` says what its name means."""
    return {**bases[base].parameters, **METHODS[method].parameters}


def passes_per_step(method: str, params: Parameters) -> Fraction:
    """Forward-backward passes over its batch that a step of ``method`` takes, in the mean over a run.

    Steps of a run in which the method is not active (``active_from``, ``active_until``) take one.

    Forwards without a backward, the probes of XSAM's alpha searches, are not among them: a run's column ``forwards``
    has them, beside ``backwards``, which counts these passes.

    Example:
        >>> passes_per_step("sam", {"ascent_steps": 3}), passes_per_step("looksam", {"refresh_every": 5})
        (Fraction(4, 1), Fraction(6, 5))
    """
    start, end = (Fraction(str(params.get(name, _PART[name].default))) for name in _PART)
    return 1 + (end - start) * (METHODS[method].passes(params) - 1)


def active_steps(params: Parameters, steps: int) -> range:
    """The steps of a run of so many, in which its method is active.

    >>> active_steps({"active_from": 0.75}, 10), active_steps({}, 10)
    (range(8, 10), range(0, 10))
    """
    start, end = (Fraction(str(params.get(name, _PART[name].default))) for name in _PART)
    return range(round(start * steps), round(end * steps))


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


def build(
    method: str,
    params: Parameters,
    model: nn.Module,
    grad_scaler: GradScaler | None = None,
    bases: Mapping[str, Base] = BASES,
    steps: int | None = None,
    in_rows: bool = False,
) -> SharpnessAware:
    """Build the optimizer of a run for ``model`` from the run's resolved parameters.

    Args:
        method: a name in ``METHODS``.
        params: resolved parameters (others than the optimizer's are ignored); ``base`` names the base optimizer.
        model: the model to train; parameters that need no gradient are left out.
        grad_scaler: of a run in float16.
        bases: what the names of base optimizers mean (the task's).
        steps: of the whole run, which a method that is active in a part of it has to know.
        in_rows: for the one parameter of ``model`` whose rows are several models (:attr:`Method.in_rows`).

    Raises:
        ValueError: a method that is active in a part of the run, and no ``steps``.
    """
    entry = METHODS[method]
    base_entry = bases[entry.alone or str(params["base"])]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    base = _load(base_entry.target)(trainable, **base_entry.keywords(params))
    keywords = {name: params[name] for name in entry.parameters if name in params and name not in _PART}
    if any(name in params and params[name] != part.default for name, part in _PART.items()):
        if steps is None:
            raise ValueError(f"{method} is active in a part of the run: how many steps the run has is to be known")
        active = active_steps(params, steps)
        keywords |= {"sam_start": active.start, "sam_until": active.stop}
    if params.get("max_grad_norm") is not None:
        keywords["max_grad_norm"] = params["max_grad_norm"]
    target = entry.in_rows if in_rows and entry.in_rows != ITSELF else entry.target
    optimizer: SharpnessAware = _load(target)(base, model=model, grad_scaler=grad_scaler, **keywords)
    return optimizer


def _load(target: Any) -> Any:
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
