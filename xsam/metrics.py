"""Metrics as objects: all that tables, verdicts, figures and the store need to know of a number beside its value.

A task declares its metrics once (``xsam.tasks.Task``); nothing reads their meaning from their names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from xsam.parameters import Parameters, nearest

RULES = ("final", "last5_mean", "best_val", "best_test")
HIGHER, LOWER, NEITHER = "higher", "lower", "neither"
VALIDATION = "val_"  # begins the names of what is measured on the validation part
_TRAINING = ("train_loss", "lr", "alpha", "forwards", "backwards")
_TIMES = ("seconds", "train_seconds", "eval_seconds", "search_seconds")


@dataclass(frozen=True)
class Metric:
    """One quantity that is measured of a run.

    Attributes:
        name: what grids and columns call it (``"test_accuracy"``).
        label: what people call it (``"test accuracy"``).
        better: ``"higher"``, ``"lower"``, or ``"neither"`` for a number that is no merit (an epoch).
        unit: ``"%"``, ``"s"``; empty for a number without one.
        decimals: how many of them tables show.
        lowest, highest: what it can be at all.
        chance: the value of a model that has learnt nothing, from a run's parameters; None where that is not known.
        rules: of ``RULES``, the selection rules under which it is stored, each in a column ``<name>_<rule>``; empty for
            a metric that is not chosen by one, whose column has its name.
        chosen_by: the one rule that it is always under, for a metric named so (``"test_accuracy_final"``).
        has_signature: whether a text column ``<name>_signature`` says how it was computed.

    Example:
        >>> accuracy = Metric("test_accuracy", "test accuracy", unit="%", highest=100, rules=("final", "best_val"))
        >>> accuracy.columns, accuracy.text(81.237), accuracy.text(-0.001, sign=True)
        (('test_accuracy_final', 'test_accuracy_best_val'), '81.24', '+0.00')
    """

    name: str
    label: str
    better: str = HIGHER
    unit: str = ""
    decimals: int = 2
    lowest: float = -math.inf
    highest: float = math.inf
    chance: Callable[[Parameters], float] | None = None
    rules: tuple[str, ...] = ()
    chosen_by: str = ""
    has_signature: bool = False

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller value is the better one."""
        return self.better == LOWER

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table ``runs`` that hold its values."""
        return tuple(map(self.column, self.rules)) or (self.name,)

    @property
    def signature(self) -> str:
        """The column of the text that says how it was computed."""
        return f"{self.name}_signature"

    @property
    def title(self) -> str:
        """The label with its unit: ``"test accuracy (%)"``."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def column(self, rule: str) -> str:
        """The column of the table ``runs`` that holds it under ``rule``."""
        return f"{self.name}_{rule}" if self.rules else self.name

    def text(self, value: float, sign: bool = False) -> str:
        """``value`` with the metric's decimals, and its plus where ``sign`` asks for it; never a minus zero."""
        return f"{round(value, self.decimals) + 0.0:{'+' if sign else ''}.{self.decimals}f}"


COST_METRICS = (
    Metric("forwards", "forward passes", LOWER, decimals=0, lowest=0),
    Metric("backwards", "backward passes", LOWER, decimals=0, lowest=0),
    Metric("wall_seconds", "wall time", LOWER, unit="s", lowest=0),
)


def shown(run_metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """What a table may be about: a task's own metrics, and what its runs cost."""
    return (*run_metrics, *COST_METRICS)


def stored_columns(metrics: Iterable[Metric]) -> tuple[str, ...]:
    """The columns of the table ``runs`` that hold ``metrics``: each one's values, then the texts of how they were made.

    >>> stored_columns([Metric("test_bleu", "BLEU", rules=("final",), has_signature=True)])
    ('test_bleu_final', 'test_bleu_signature')
    """
    listed = tuple(metrics)
    values = [name for metric in listed for name in metric.columns]
    return (*values, *(metric.signature for metric in listed if metric.has_signature))


def known(metrics: Iterable[Metric]) -> dict[str, Metric]:
    """Every name by which a table may ask for one of ``metrics``.

    Beside its own name a metric has one for each of its rules (``"test_accuracy_final"``): the same quantity, chosen by
    that rule whatever the table's is.
    """
    found: dict[str, Metric] = {}
    for metric in metrics:
        found[metric.name] = metric
        for rule in metric.rules:
            name = metric.column(rule)
            found[name] = replace(metric, name=name, rules=(), chosen_by=rule, has_signature=False)
    return found


def find(metrics: Iterable[Metric], name: str) -> Metric:
    """The metric that a table calls ``name``; raises ``ValueError`` with the nearest name that there is.

    >>> find([Metric("test_loss", "test loss", better="lower", rules=("final",))], "test_loss_final").lower_is_better
    True
    """
    names = known(metrics)
    if name not in names:
        raise ValueError(f"unknown metric {name!r}{nearest(name, names)}")
    return names[name]


def watched(row: Mapping[str, Any]) -> dict[str, float]:
    """What may be seen of an epoch before its run has ended: training, validation and cost, nothing of test data.

    Whoever stops or changes an experiment by what a display shows must not have chosen on the test set. So what is
    shown is listed here, and a column that nobody thought of is not. Numbers that are not finite are left out.

    >>> watched({"epoch": 0, "train_loss": 0.5, "val_accuracy": 90.0, "val_loss": math.nan, "test_accuracy": 89.0})
    {'train_loss': 0.5, 'val_accuracy': 90.0}
    """
    shown = {name: value for name, value in row.items() if name in (*_TRAINING, *_TIMES) or name.startswith(VALIDATION)}
    return {name: float(value) for name, value in shown.items() if value is not None and math.isfinite(value)}


def validation_of(metric: str, measured: Iterable[str]) -> str | None:
    """Which of the ``measured`` quantities of the validation part stands for ``metric`` while a run is trained.

    The one of the same kind; the first where there is none of it, and None where nothing is measured there.

    >>> validation_of("test_loss_final", ["train_loss", "val_accuracy", "val_loss"])
    'val_loss'
    >>> validation_of("test_sacrebleu", ["val_bleu", "val_loss"]), validation_of("test_loss", ["train_loss"])
    ('val_bleu', None)
    """
    names = [name for name in measured if name.startswith(VALIDATION)]
    return next((name for name in names if name.removeprefix(VALIDATION) in metric), names[0] if names else None)
