"""The optimizers by their names in grids: what each is called, which parameters it takes, how it is built.

Needs the standard library alone; torch and the method's own module are imported when an optimizer is built. A new
method is one file beside this one, which declares its parameters, and one line in ``METHODS``. From there follow its
parameters in grids, its columns in the store, its name in ``xsam`` and ``xsam.optim``, and its part in reports and
tests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, Any

from xsam.optim.bases import BASES, Base
from xsam.optim.method import ACTIVE_PART, Method, active_steps, one_pass, resolve_common
from xsam.parameters import Parameter, ParameterError, Parameters, Value, real, whole
from xsam.registries import Registry

if TYPE_CHECKING:
    from torch import nn
    from torch.amp.grad_scaler import GradScaler

    from xsam.optim._step.base import SharpnessAware


def _resolve_momentum_sam(given: dict[str, Value]) -> dict[str, Value]:
    """Refuse a base without a momentum buffer."""
    if given.get("momentum") == 0:
        raise ParameterError(
            "momentum_sam perturbs along the base's momentum: momentum must be above 0, not 0", "momentum"
        )
    return resolve_common(given)


def _resolve_xsam(given: dict[str, Value]) -> dict[str, Value]:
    """Replace ``probe_ratio`` by the probe radius: ratio * (the radius at k = 1), which does not grow with k."""
    largest, step = real(given["alpha_max"]), real(given["alpha_step"])
    if step > largest:
        raise ParameterError(
            f"alpha_step must be at most alpha_max ({largest:g}), not {step:g}", "alpha_step", "alpha_max"
        )
    single = given.get("rho_per_step")
    params = resolve_common(given)
    ratio = params.pop("probe_ratio", None)
    if params.get("probe_radius") is None:
        params["probe_radius"] = real(2.0 if ratio is None else ratio) * real(
            params["rho"] if single is None else single
        )
    return params


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
    keywords = {name: params[name] for name in entry.parameters if name in params and name not in ACTIVE_PART}
    if any(name in params and params[name] != part.default for name, part in ACTIVE_PART.items()):
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
