"""Differences between two ways of training, paired by seed: how large, how sure, and what could have been seen."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

CONFIDENCE = 0.95
POWER = 0.8
FEWEST_PAIRS = 3
FEWEST_SIGN_FLIPS = 6  # with 5 pairs the smallest two-sided p is 1/16
MOST_SIGN_FLIPS = 40  # both halves of 2^20 sums fit in memory
FEWEST_BOOTSTRAP = 10
RESAMPLES = 9999
_HALVINGS = 60  # of an interval, to the last bit of a double
_NO_SPREAD = 1e-12  # of the values' size: what subtracting two doubles leaves

BETTER, WORSE, UNDECIDED, TOO_FEW = "better", "worse", "undecided", "too few seeds"


@dataclass(frozen=True)
class Difference:
    """A mean paired difference, its intervals and its tests.

    Attributes:
        mean: mean over the pairs; ``None`` without pairs.
        low, high: the t interval's ends; ``None`` below ``FEWEST_PAIRS`` pairs.
        n: the number of pairs.
        std: sample standard deviation of the differences; ``None`` below two pairs.
        p: two-sided p of the paired t test; ``None`` below ``FEWEST_PAIRS``, and where all differences are the same
            number other than 0, of which no test can say how it would vary.
        sign_flip_p: exact two-sided p under all changes of sign; ``None`` outside 6 to 40 pairs.
        bca_low, bca_high: the BCa bootstrap interval's ends; ``None`` below ``FEWEST_BOOTSTRAP`` pairs, and without
            spread.
        detectable: the smallest true difference that a test of level 0.05 with this many pairs and this standard
            deviation finds with probability ``POWER``; ``None`` below ``FEWEST_PAIRS``.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    std: float | None = None
    p: float | None = None
    sign_flip_p: float | None = None
    bca_low: float | None = None
    bca_high: float | None = None
    detectable: float | None = None


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Difference:
    """``values`` minus ``reference`` (seed → value) over the seeds that both have, with everything that n allows.

    The interval is mean ± t(0.975, n - 1) · s / √n with s the sample standard deviation of the differences; it has 95%
    coverage for one comparison. Several comparisons are adjusted by :func:`holm`.

    Example:
        >>> found = paired_difference({0: 2.0, 1: 3.0, 2: 5.0}, {0: 1.0, 1: 2.0, 2: 3.0, 9: 5.0})
        >>> found.n, round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (3, 1.333, -0.101, 2.768)
    """
    seeds = sorted(values.keys() & reference.keys())
    differences = [values[seed] - reference[seed] for seed in seeds]
    n = len(differences)
    mean = statistics.fmean(differences) if differences else None
    if mean is None or n < 2:
        return Difference(mean, None, None, n)
    size = max(abs(value) for seed in seeds for value in (values[seed], reference[seed]))
    std = statistics.stdev(differences)
    std = std if std > _NO_SPREAD * size else 0.0
    if n < FEWEST_PAIRS:
        return Difference(mean, None, None, n, std)
    half = _t_quantile(n) * std / math.sqrt(n)
    bca_low, bca_high = bca_interval(differences) if n >= FEWEST_BOOTSTRAP and std else (None, None)
    return Difference(
        mean,
        mean - half,
        mean + half,
        n,
        std,
        _t_p(mean, std, n, size),
        sign_flip_p(differences) if FEWEST_SIGN_FLIPS <= n <= MOST_SIGN_FLIPS else None,
        bca_low,
        bca_high,
        _noncentrality(n) * std / math.sqrt(n),
    )


def mean_interval(values: Iterable[float]) -> tuple[float, float] | None:
    """The 95% t interval of a mean; ``None`` below ``FEWEST_PAIRS`` values.

    >>> low, high = mean_interval([1.0, 2.0, 3.0])
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    listed = list(values)
    if len(listed) < FEWEST_PAIRS:
        return None
    mean = statistics.fmean(listed)
    half = _t_quantile(len(listed)) * statistics.stdev(listed) / math.sqrt(len(listed))
    return mean - half, mean + half


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p values adjusted for their number by Holm's step-down method (1979); ``None`` stays and does not count.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = highest
    return adjusted


def verdict(difference: Difference, adjusted_p: float | None, lower_is_better: bool = False) -> str:
    """What a difference shows at the level 0.05: one of ``BETTER``, ``WORSE``, ``UNDECIDED``, ``TOO_FEW``.

    >>> found = paired_difference({0: 2.0, 1: 3.1, 2: 4.0}, {0: 1.0, 1: 2.0, 2: 3.0})
    >>> verdict(found, found.p), verdict(found, found.p, lower_is_better=True), verdict(found, 0.06)
    ('better', 'worse', 'undecided')
    """
    if difference.mean is None or difference.n < FEWEST_PAIRS:
        return TOO_FEW
    if adjusted_p is None or adjusted_p > 1 - CONFIDENCE + 1e-12 or difference.mean == 0:
        return UNDECIDED
    return BETTER if (difference.mean < 0) == lower_is_better else WORSE


def sign_flip_p(differences: Sequence[float]) -> float:
    """The share of all 2^n changes of sign whose mean is as far from 0 as the one seen (exact, two-sided).

    The sums of the two halves are counted against each other, so that n pairs cost 2^(n/2) sums.

    >>> sign_flip_p([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    0.03125
    """
    import numpy as np

    half = len(differences) // 2
    left, right = _signed_sums(differences[:half]), np.sort(_signed_sums(differences[half:]))
    # Sums that are equal on paper differ in their last bits.
    seen = abs(math.fsum(differences)) - 1e-12 * math.fsum(map(abs, differences))
    above = len(right) - np.searchsorted(right, seen - left, side="left")
    below = np.searchsorted(right, -seen - left, side="right")
    return min(1.0, int(np.sum(above) + np.sum(below)) / 2.0 ** len(differences))


def bca_interval(values: Sequence[float]) -> tuple[float, float]:
    """The bias-corrected and accelerated bootstrap interval of a mean (Efron, 1987).

    It takes ``RESAMPLES`` seeded resamples. The values must not all be the same.

    >>> low, high = bca_interval([0.1, 0.4, 0.2, 0.3, 0.9, 0.2, 0.1, 0.5, 0.3, 0.2])
    >>> 0.2 < low < 0.32 < high < 0.6
    True
    """
    import numpy as np
    from scipy.special import ndtr, ndtri

    data = np.asarray(values, dtype=float)
    means = data[_resamples(len(data))].mean(axis=1)
    centre = data.mean()
    bias = ndtri((np.mean(means < centre) + np.mean(means <= centre)) / 2)
    influence = (data - centre) / (len(data) - 1)  # the jackknife's means around their mean, reversed
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    tail = bias + ndtri([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = np.quantile(means, ndtr(bias + tail / (1 - acceleration * tail)))
    return float(low), float(high)


def mean_ranks(rows: Iterable[Mapping[Any, float]], lower_is_better: bool = False) -> dict[Any, float]:
    """Column → mean rank over ``rows`` (column → value), 1 the best, equals sharing the mean of their ranks.

    Every row must have the same columns.

    >>> mean_ranks([{"sgd": 1.0, "sam": 3.0, "xsam": 2.0}, {"sgd": 1.0, "sam": 2.0, "xsam": 2.0}])
    {'sgd': 3.0, 'sam': 1.25, 'xsam': 1.75}
    """
    ranks: dict[Any, list[float]] = {}
    for row in rows:
        for column, value in row.items():
            ahead = sum((other < value) if lower_is_better else (other > value) for other in row.values())
            equal = sum(other == value for other in row.values())
            ranks.setdefault(column, []).append(ahead + (equal + 1) / 2)
    return {column: statistics.fmean(found) for column, found in ranks.items()}


def _t_p(mean: float, std: float, n: int, size: float) -> float | None:
    from scipy.special import stdtr

    if not std:
        return 1.0 if abs(mean) <= _NO_SPREAD * size else None
    return float(2 * stdtr(n - 1, -abs(mean) / (std / math.sqrt(n))))


@lru_cache
def _t_quantile(n: int) -> float:
    from scipy.special import stdtrit  # scipy.stats takes half a second to import

    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))


@lru_cache
def _noncentrality(n: int) -> float:
    """The noncentrality at which the two-sided paired t test of ``n`` pairs has the power ``POWER``."""
    from scipy.special import nctdtr  # scipy.optimize takes a quarter of a second to import

    critical = _t_quantile(n)
    # The other tail has less than 1e-6 at this power, too little for the library's function to be sure of.
    low, high = 0.0, 2 * critical + 10
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - nctdtr(n - 1, middle, critical) < POWER else (low, middle)
    return high


@lru_cache(maxsize=4)
def _resamples(n: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, n, (RESAMPLES, n))


def _signed_sums(values: Sequence[float]) -> Any:
    import numpy as np

    sums: Any = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums
