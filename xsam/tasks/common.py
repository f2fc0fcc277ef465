"""Parameters of the training loop, the same for every task, and what must hold between them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from xsam.parameters import Parameter, Parameters

LOOP_PARAMETERS: Mapping[str, Parameter] = {
    "seed": Parameter("int", 0, at_least=0, help="initial weights, data split, label noise and data order"),
    "epochs": Parameter("int", 30, at_least=1, help="passes over the training part"),
    "pass_budget": Parameter(
        "int",
        at_least=1,
        unset=True,
        help="instead of epochs: epochs = pass_budget / the method's forward-backward passes a step, rounded down",
    ),
    "max_updates": Parameter(
        "int",
        None,
        at_least=1,
        nullable=True,
        omit_at_default=True,
        help="end after this many steps, in mid-epoch too; the schedule stays that of all epochs",
    ),
    "schedule": Parameter(
        "str",
        "cosine",
        choices=("cosine", "constant", "multistep", "inverse_sqrt"),
        help="learning rate over the epochs; inverse_sqrt: over the steps",
    ),
    "milestones": Parameter(
        "ints",
        (50, 75),
        at_least=1,
        at_most=99,
        omit_at_default=True,
        help="multistep: when the rate is multiplied by decay_factor, in percent of the epochs",
    ),
    "decay_factor": Parameter(
        "float", 0.1, above=0, below=1, omit_at_default=True, help="multistep: the factor at each milestone (gamma)"
    ),
    "warmup_epochs": Parameter(
        "int", 0, at_least=0, omit_at_default=True, help="epochs in which the rate rises linearly to the schedule's"
    ),
    "warmup_updates": Parameter(
        "int", 0, at_least=0, omit_at_default=True, help="the same in steps, instead of warmup_epochs"
    ),
    "warmup_start": Parameter(
        "float", 0.0, at_least=0, omit_at_default=True, help="learning rate of the first step of the warm-up"
    ),
    "precision": Parameter(
        "str",
        "fp32",
        choices=("fp32", "tf32", "bf16", "fp16"),
        omit_at_default=True,
        help="of forward passes, evaluation too: float32 throughout; tf32 in a GPU's matrix products and convolutions; "
        "autocast to bf16, or fp16 with a gradient scaler",
    ),
    "compile": Parameter(
        "bool", False, omit_at_default=True, help="torch.compile for the model, one graph for each shape of batch"
    ),
    "accumulation": Parameter(
        "int", 1, at_least=1, omit_at_default=True, help="parts in which a batch goes through the model"
    ),
    "max_grad_norm": Parameter("float", None, above=0, nullable=True, help="clip the update's gradient to this norm"),
    "ema_decay": Parameter(
        "float",
        None,
        above=0,
        below=1,
        nullable=True,
        omit_at_default=True,
        help="evaluate an exponential moving average of the weights and BatchNorm statistics; null: none",
    ),
    "devices": Parameter(
        "int", 1, at_least=1, omit_at_default=True, help="processes that train one run, each on its share of a batch"
    ),
    "threads": Parameter("int", 1, at_least=1, help="CPU threads of a run; they can change the last bits of a sum"),
}


# Two ways to say one thing: whichever the user gave last counts.
LOOP_ALTERNATIVES = (("epochs", "pass_budget"), ("warmup_epochs", "warmup_updates"))


def loop_option(params: Parameters, name: str) -> Any:
    """A loop parameter's value in a run; its default where the run does not use it or is older than the parameter.

    >>> loop_option({"epochs": 5}, "epochs"), loop_option({"epochs": 5}, "precision")
    (5, 'fp32')
    """
    return params.get(name, LOOP_PARAMETERS[name].default)


def unused_loop_parameters(params: Parameters) -> frozenset[str]:
    """Names of loop parameters that make no difference to the run ``params``.

    >>> sorted(unused_loop_parameters({"schedule": "cosine"}))
    ['decay_factor', 'milestones', 'warmup_start']
    """
    unused: set[str] = set()
    if loop_option(params, "schedule") != "multistep":
        unused |= {"milestones", "decay_factor"}
    if not _warms_up(params):
        unused |= {"warmup_start"}
    return frozenset(unused)


def check_loop_parameters(params: Parameters) -> None:
    """Raise ``ValueError`` (one line) for loop parameters that are each valid and do not go together.

    >>> check_loop_parameters({"schedule": "inverse_sqrt"})
    Traceback (most recent call last):
    ...
    ValueError: schedule inverse_sqrt falls from the end of the warm-up: give warmup_updates or warmup_epochs
    """
    if loop_option(params, "schedule") == "inverse_sqrt" and not _warms_up(params):
        raise ValueError(
            "schedule inverse_sqrt falls from the end of the warm-up: give warmup_updates or warmup_epochs"
        )
    milestones = loop_option(params, "milestones")
    if any(later <= earlier for earlier, later in itertools.pairwise(milestones)):
        raise ValueError(f"milestones must rise, not {list(milestones)}")


def _warms_up(params: Parameters) -> bool:
    return bool(loop_option(params, "warmup_epochs") or loop_option(params, "warmup_updates"))
