"""From a run's epochs to its final metrics, under every selection rule. Needs the standard library alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from xsam.metrics import LOWER, NEITHER, RULES, Metric
from xsam.parameters import Parameters
from xsam.registries import recorded
from xsam.tasks import Metrics
from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS

# Further test sets, by the data set whose classes they have; each has the metric <name>_accuracy.
EVAL_SETS: Mapping[str, str] = {name: dataset.trained_on for name, dataset in EVALUATION_SETS.items()}


def _chance(params: Parameters) -> float:
    """The accuracy of guessing (%), one class as likely as another."""
    name = str(params["dataset"])
    known = DATASETS.get(name)
    return 100 / (recorded.classes[name] if known is None else known.classes)


def _accuracy(name: str, label: str, rules: tuple[str, ...] = ()) -> Metric:
    return Metric(name, label, unit="%", lowest=0, highest=100, chance=_chance, rules=rules)


def _loss(name: str, label: str, rules: tuple[str, ...] = ()) -> Metric:
    return Metric(name, label, LOWER, decimals=4, lowest=0, rules=rules)


TEST_ACCURACY = _accuracy("test_accuracy", "test accuracy", RULES)
_TEST_LOSS = _loss("test_loss", "test loss", ("final",))
EPOCH_METRICS = (
    _accuracy("val_accuracy", "validation accuracy"),
    _loss("val_loss", "validation loss"),
    TEST_ACCURACY,
    _TEST_LOSS,
)
HISTORY_METRICS = (
    TEST_ACCURACY,
    _TEST_LOSS,
    _accuracy("val_accuracy_best", "best validation accuracy"),
    Metric("best_val_epoch", "epoch of the best validation accuracy", NEITHER, decimals=0, lowest=0),
)
RUN_METRICS = (*HISTORY_METRICS, *(_accuracy(f"{name}_accuracy", f"accuracy on {name}") for name in EVAL_SETS))
_COLUMNS = tuple(name for metric in HISTORY_METRICS for name in metric.columns)


def summarise(history: Sequence[Mapping[str, float]]) -> Metrics:
    """The columns of ``HISTORY_METRICS`` of a run whose epochs have the metrics ``history``, in order.

    ``final`` is the last epoch; ``last5_mean`` the mean of the last five (of all, where there are fewer); ``best_val``
    the test accuracy at the epoch with the best validation accuracy, the earliest of equals (``best_val_epoch``, from
    0); ``best_test`` the maximum. Without a validation part what needs one is NaN; without an epoch all is.

    >>> row = {"val_accuracy": 50.0, "val_loss": 1.0, "test_accuracy": 49.0, "test_loss": 1.1}
    >>> summarise([row])["test_accuracy_best_val"]
    49.0
    """
    if not history:
        return dict.fromkeys(_COLUMNS, math.nan)
    test = [row["test_accuracy"] for row in history]
    val = [row["val_accuracy"] for row in history]
    validated = not any(map(math.isnan, val))
    best = max(range(len(val)), key=val.__getitem__)
    last = test[-5:]
    return {
        "test_accuracy_final": test[-1],
        "test_accuracy_last5_mean": math.fsum(last) / len(last),
        "test_accuracy_best_val": test[best] if validated else math.nan,
        "test_accuracy_best_test": max(test),
        "test_loss_final": history[-1]["test_loss"],
        "val_accuracy_best": val[best] if validated else math.nan,
        "best_val_epoch": float(best) if validated else math.nan,
    }
