"""Two ways of training compared seed by seed: the mean difference, its interval and tests, and the runs that failed.

Pairs are made by seed, since runs of one seed begin with the same weights, data order and split: what the seed adds to
both cancels in the difference.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from xsam.stats.power import detectable_difference
from xsam.stats.resampling import MOST_SIGN_FLIPS, bca_interval, sign_flip_p, signed_rank_p

CONFIDENCE = 0.95
ALPHA = 0.05  # 1 - CONFIDENCE, without its rounding
FEWEST_PAIRS = 3
FEWEST_SIGN_FLIPS = 6  # with 5 pairs the smallest two-sided p is 1/16
FEWEST_BOOTSTRAP = 10
_NO_SPREAD = 1e-12  # of the values' size: what subtracting two doubles leaves


@dataclass(frozen=True)
class Difference:
    """A mean paired difference with everything that its number of pairs allows.

    Attributes:
        mean: mean over the pairs; ``None`` without pairs.
        low, high: the ends of the 95% t interval; ``None`` below ``FEWEST_PAIRS`` pairs.
        n: the number of pairs in which both runs have a value.
        std: sample standard deviation of the differences; ``None`` below two pairs.
        p: two-sided p of the paired t test; ``None`` below ``FEWEST_PAIRS``. Without any spread 0 or 1: the differences
            are one number, and it is 0 or is not.
        detectable: the smallest true difference that a test of level 0.05 with this many pairs and this standard
            deviation finds with a probability of 80%; ``None`` below ``FEWEST_PAIRS``.
        values: the differences, in the order of ``seeds``.
        seeds: those of the pairs.
        failed: how many runs of this side diverged, failed or collapsed.
        reference_failed: the same of the side that is subtracted.
        ranked: the differences that the rank test sees, in which a failed run is worse than any other: infinite where
            one side failed, 0 where both did. Empty where no run failed.
        degrees: degrees of freedom of ``std``; ``n`` - 1 where it is ``None``.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    std: float | None = None
    p: float | None = None
    detectable: float | None = None
    values: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    failed: int = 0
    reference_failed: int = 0
    ranked: tuple[float, ...] = ()
    degrees: float | None = None

    @property
    def has_failures(self) -> bool:
        """Whether a run of either side failed, so that the mean is one of survivors."""
        return bool(self.failed or self.reference_failed)

    @cached_property
    def sign_flip_p(self) -> float | None:
        """Exact two-sided p under all changes of sign; ``None`` outside 6 to 40 pairs."""
        return sign_flip_p(self.values) if FEWEST_SIGN_FLIPS <= self.n <= MOST_SIGN_FLIPS else None

    @cached_property
    def rank_p(self) -> float | None:
        """Two-sided p of the signed-rank test with failed runs as the worst; ``None`` where none failed."""
        return signed_rank_p(self.ranked) if self.ranked else None

    @property
    def bca_low(self) -> float | None:
        """The lower end of the BCa bootstrap interval; ``None`` below ``FEWEST_BOOTSTRAP`` pairs or without spread."""
        return None if self._bca is None else self._bca[0]

    @property
    def bca_high(self) -> float | None:
        """Its upper end."""
        return None if self._bca is None else self._bca[1]

    @cached_property
    def _bca(self) -> tuple[float, float] | None:
        return bca_interval(self.values) if self.n >= FEWEST_BOOTSTRAP and self.std else None

    def bounds(self, alpha: float) -> tuple[float, float]:
        """The ends of the t interval that misses the true mean with probability ``alpha``, half on each side.

        Needs ``FEWEST_PAIRS`` pairs. ``bounds(2 * a)`` are the two one-sided bounds of level ``a``.
        """
        if self.mean is None or self.std is None:
            raise ValueError("an interval needs two pairs")
        degrees = self.n - 1 if self.degrees is None else self.degrees
        half = t_quantile(degrees, alpha) * self.std / math.sqrt(self.n) if self.std else 0.0
        return self.mean - half, self.mean + half


def paired_difference(
    values: Mapping[int, float],
    reference: Mapping[int, float],
    failed: Collection[int] = (),
    reference_failed: Collection[int] = (),
    lower_is_better: bool = False,
) -> Difference:
    """``values`` minus ``reference`` (seed → value) over the seeds that both have.

    The interval is mean ± t(0.975, n - 1) · s / √n with s the sample standard deviation of the differences; it has 95%
    coverage for one comparison of normal differences. Families of comparisons are decided by
    :func:`xsam.stats.decide_family`.

    Args:
        values, reference: seed → value. A collapsed run may have one; a diverged run has none.
        failed, reference_failed: the seeds of each side whose run diverged, failed or collapsed
            (:func:`xsam.stats.collapsed`). They are the worst in the rank test, whatever their value. A seed that one
            side has neither a value nor a failure for was not run and makes no pair.
        lower_is_better: which way is worse.

    Example:
        >>> found = paired_difference({0: 2.0, 1: 3.0, 2: 5.0}, {0: 1.0, 1: 2.0, 2: 3.0, 9: 5.0})
        >>> found.n, round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (3, 1.333, -0.101, 2.768)
        >>> lost = paired_difference({0: 2.0, 1: 3.0}, {0: 1.0, 1: 2.0, 2: 3.0}, failed=[2])
        >>> lost.n, lost.ranked, lost.rank_p
        (2, (1.0, 1.0, -inf), 1.0)
    """
    seeds = tuple(sorted(values.keys() & reference.keys()))
    differences = tuple(values[seed] - reference[seed] for seed in seeds)
    n = len(differences)
    lost = (frozenset(failed), frozenset(reference_failed))
    ranked = _ranked(values, reference, *lost, lower_is_better) if any(lost) else ()
    rest = (differences, seeds, len(lost[0]), len(lost[1]), ranked)
    mean = statistics.fmean(differences) if differences else None
    if mean is None or n < 2:
        return Difference(mean, None, None, n, None, None, None, *rest)
    size = max(abs(value) for seed in seeds for value in (values[seed], reference[seed]))
    std = statistics.stdev(differences)
    std = std if std > _NO_SPREAD * size else 0.0
    if n < FEWEST_PAIRS:
        return Difference(mean, None, None, n, std, None, None, *rest)
    half = t_quantile(n - 1, ALPHA) * std / math.sqrt(n)
    return Difference(
        mean,
        mean - half,
        mean + half,
        n,
        std,
        _t_p(mean, std, n, size),
        detectable_difference(n, std),
        *rest,
    )


def _ranked(
    values: Mapping[int, float],
    reference: Mapping[int, float],
    failed: frozenset[int],
    reference_failed: frozenset[int],
    lower_is_better: bool,
) -> tuple[float, ...]:
    worst = math.inf if lower_is_better else -math.inf
    seeds = (values.keys() | failed) & (reference.keys() | reference_failed)
    found = []
    for seed in sorted(seeds):
        if seed in failed and seed in reference_failed:
            found.append(0.0)
        elif seed in failed or seed in reference_failed:
            found.append(worst if seed in failed else -worst)
        else:
            found.append(values[seed] - reference[seed])
    return tuple(found)


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
    half = t_quantile(len(listed) - 1, ALPHA) * statistics.stdev(listed) / math.sqrt(len(listed))
    return mean - half, mean + half


def collapsed(
    values: Mapping[int, float],
    chance: float | None = None,
    lower_is_better: bool = False,
    multiple: float = 1.5,
) -> frozenset[int]:
    """The seeds of an arm whose runs collapsed: they finished, and have learnt nothing or lost what they had learnt.

    A run collapsed where its value is below ``multiple`` × chance, or below half of its arm's median (where lower is
    better: above twice the median). The first finds arms that collapsed as a whole, the second single runs.

    Args:
        values: seed → value of the arm's finished runs.
        chance: what guessing reaches (100 / classes for an accuracy in percent); ``None`` where there is no such level.
            With few classes, where ``multiple`` × chance is above 50, the first criterion is not used.
        lower_is_better: of the metric.
        multiple: the stated multiple of chance.

    Example:
        >>> sorted(collapsed({0: 93.1, 1: 92.8, 2: 31.0}, chance=10)), sorted(collapsed({0: 11.0, 1: 10.0}, chance=10))
        ([2], [0, 1])
    """
    if not values:
        return frozenset()
    median = statistics.median(values.values())
    if lower_is_better:
        return frozenset(seed for seed, value in values.items() if value > 2 * median > 0)
    by_chance = 0.0 if chance is None or multiple * chance > 50 else multiple * chance
    return frozenset(seed for seed, value in values.items() if value < max(by_chance, median / 2))


def _t_p(mean: float, std: float, n: int, size: float) -> float:
    from scipy.special import stdtr

    if not std:
        return 1.0 if abs(mean) <= _NO_SPREAD * size else 0.0
    return float(2 * stdtr(n - 1, -abs(mean) / (std / math.sqrt(n))))


@lru_cache(maxsize=4096)
def t_quantile(degrees: float, alpha: float) -> float:
    """The point that |t| with ``degrees`` of freedom passes with probability ``alpha``.

    >>> round(t_quantile(4, 0.05), 3)
    2.776
    """
    from scipy.special import stdtrit  # scipy.stats takes half a second to import

    return -float(stdtrit(degrees, alpha / 2))
