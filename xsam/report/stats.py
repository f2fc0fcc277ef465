"""The statistics under their former address; everything is in :mod:`xsam.stats`."""

from xsam.stats import (
    BETTER,
    CONFIDENCE,
    FEWEST_BOOTSTRAP,
    FEWEST_PAIRS,
    FEWEST_SIGN_FLIPS,
    TOO_FEW,
    UNDECIDED,
    WORSE,
    Difference,
    holm,
    mean_interval,
    mean_ranks,
    paired_difference,
)

__all__ = [
    "BETTER",
    "CONFIDENCE",
    "FEWEST_BOOTSTRAP",
    "FEWEST_PAIRS",
    "FEWEST_SIGN_FLIPS",
    "TOO_FEW",
    "UNDECIDED",
    "WORSE",
    "Difference",
    "holm",
    "mean_interval",
    "mean_ranks",
    "paired_difference",
    "verdict",
]


def verdict(difference: Difference, adjusted_p: float | None, lower_is_better: bool = False) -> str:
    """What a difference shows at the level 0.05: one of ``BETTER``, ``WORSE``, ``UNDECIDED``, ``TOO_FEW``."""
    if difference.mean is None or difference.n < FEWEST_PAIRS:
        return TOO_FEW
    if adjusted_p is None or adjusted_p > 1 - CONFIDENCE + 1e-12 or difference.mean == 0:
        return UNDECIDED
    return BETTER if (difference.mean < 0) == lower_is_better else WORSE
