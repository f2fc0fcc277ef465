"""Which epoch's weights are tested, and a run's final metrics. Needs the standard library alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from xsam.tasks import Metrics

SCORES = ("test_bleu", "test_sacrebleu", "test_chrf")
RULES = ("final", "best_val")
SIGNATURES = tuple(f"{score}_signature" for score in SCORES)

# test_bleu is the task's metric, a column already; all of SCORES are filled under the grid's rule.
RUN_METRICS = (
    *SCORES[1:],
    *(f"{score}_{rule}" for score in SCORES for rule in RULES),
    *SIGNATURES,
    "val_bleu_best",
    "best_val_epoch",
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
