"""Which epoch's weights are tested, and a run's final metrics. Needs the standard library alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from xsam.metrics import LOWER, NEITHER, Metric
from xsam.tasks import Metrics


def _score(name: str, label: str) -> Metric:
    """A score of the test set's translations, with the weights of either rule."""
    rules = ("final", "best_val")
    return Metric(name, label, lowest=0, highest=100, rules=rules, has_signature=True)


def _validated(name: str, label: str) -> Metric:
    return Metric(name, label, lowest=0, highest=100)


TEST_BLEU = _score("test_bleu", "BLEU")
EPOCH_METRICS = (
    _validated("val_bleu", "validation BLEU"),
    Metric("val_loss", "validation loss", LOWER, decimals=4, lowest=0),
)
RUN_METRICS = (
    TEST_BLEU,
    _score("test_sacrebleu", "sacreBLEU"),
    _score("test_chrf", "chrF"),
    _validated("val_bleu_best", "best validation BLEU"),
    Metric("best_val_epoch", "epoch of the best validation BLEU", NEITHER, decimals=0, lowest=0),
)


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """The 0-based epoch with the highest validation BLEU, the earliest of equals.

    >>> best_epoch([{"val_bleu": 1.0}, {"val_bleu": 3.0}, {"val_bleu": 3.0}])
    1
    """
    bleu = [row["val_bleu"] for row in history]
    return max(range(len(bleu)), key=bleu.__getitem__)


def summarise(history: Sequence[Mapping[str, float]]) -> Metrics:
    """What a run's epochs say (the tests come from ``TranslationProblem.finish``); NaN without an epoch."""
    if not history:
        return {"val_bleu_best": math.nan, "best_val_epoch": math.nan}
    best = best_epoch(history)
    return {"val_bleu_best": history[best]["val_bleu"], "best_val_epoch": float(best)}
