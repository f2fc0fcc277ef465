"""One number for many cells: means, interquartile means, probabilities of improvement, profiles and ranks.

The definitions of Agarwal et al. (2021, "Deep reinforcement learning at the edge of the statistical precipice"; their
library rliable is no longer maintained) and of Demšar (2006). A *cell* is a model on a data set; a method has one
array of scores a cell, a value a seed.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from xsam.stats.bisection import bisection
from xsam.stats.paired import ALPHA, Difference, t_quantile
from xsam.stats.resampling import stratified_bootstrap

_NO_SPREAD = 1e-12  # of the values' size: what subtracting two doubles leaves
FEWEST_DATA_SETS = 5  # below, Friedman's test has next to no power (Demšar, 2006)


def mean_over_cells(cells: Sequence[Difference], shared_runs: bool = False) -> Difference:
    """The mean over cells of the mean paired difference in each, every cell weighing the same.

    Where the cells' runs are their own, the variance is Σ sᵢ²/nᵢ over the number of cells squared, with Satterthwaite's
    degrees of freedom: the t interval of a mean of independent means. Where cells share runs (several numbers of ascent
    steps against one baseline), their means are not independent: the difference is averaged over the cells within each
    seed that all cells have, and the seeds are compared.

    Args:
        cells: the difference in each cell; at least two pairs each.
        shared_runs: whether a run stands in several cells.

    Returns:
        ``n`` is the number of pairs of the smallest cell, ``std / √n`` the standard error. Failures are those of all
        cells, and their pairs are ranked together.

    Example:
        >>> from xsam.stats import paired_difference
        >>> base = {0: 80.0, 1: 80.0, 2: 80.0}
        >>> found = mean_over_cells([paired_difference(one, base) for one in ({0: 81.0, 1: 81.4, 2: 80.9},
        ...                                                                   {0: 80.2, 1: 79.8, 2: 80.3})])
        >>> round(found.mean, 2), round(found.low, 2), round(found.high, 2)
        (0.6, 0.3, 0.9)
    """
    from scipy.special import stdtr

    parts = [dict(zip(cell.seeds, cell.values, strict=True)) for cell in cells]
    lost = (sum(cell.failed for cell in cells), sum(cell.reference_failed for cell in cells))
    ranked = _ranked_together(cells, shared_runs) if any(lost) else ()
    if shared_runs and len(parts) > 1:
        seeds = sorted(set.intersection(*(set(part) for part in parts)))
        parts = [{seed: statistics.fmean(part[seed] for part in parts) for seed in seeds}]
    fewest = min((len(part) for part in parts), default=0)
    if fewest < 2:
        return Difference(None, None, None, fewest, None, None, None, (), (), *lost, ranked)
    mean = statistics.fmean(statistics.fmean(part.values()) for part in parts)
    variances = [statistics.variance(part.values()) / len(part) / len(parts) ** 2 for part in parts]
    error, size = math.sqrt(math.fsum(variances)), max(abs(value) for part in parts for value in part.values())
    if error <= _NO_SPREAD * size:
        p = float(abs(mean) <= _NO_SPREAD * size)
        return Difference(mean, mean, mean, fewest, 0.0, p, 0.0, (), (), *lost, ranked)
    degrees = math.fsum(variances) ** 2 / math.fsum(
        variance**2 / (len(part) - 1) for variance, part in zip(variances, parts, strict=True)
    )
    half = t_quantile(degrees, ALPHA) * error
    p = float(2 * stdtr(degrees, -abs(mean) / error))
    std = error * math.sqrt(fewest)
    return Difference(mean, mean - half, mean + half, fewest, std, p, None, (), (), *lost, ranked, degrees)


def _ranked_together(cells: Sequence[Difference], shared_runs: bool) -> tuple[float, ...]:
    if not shared_runs:
        return tuple(value for cell in cells for value in (cell.ranked or cell.values))
    # What a seed shows over all cells; a failure outweighs every number, and one on each side leaves nothing to say.
    columns = zip(*(cell.ranked or cell.values for cell in cells), strict=False)
    sums = (math.fsum(column) if all(map(math.isfinite, column)) else _infinite(column) for column in columns)
    return tuple(sums)


def _infinite(values: Iterable[float]) -> float:
    found = {value for value in values if math.isinf(value)}
    return found.pop() if len(found) == 1 else 0.0


def bootstrap_mean_over_cells(
    cells: Sequence[Difference], resamples: int = 2000, over_cells: bool = False
) -> tuple[float, float]:
    """The stratified bootstrap interval of :func:`mean_over_cells`: pairs are resampled inside each cell.

    >>> from xsam.stats import paired_difference
    >>> cells = [paired_difference({0: 1.0, 1: 1.4, 2: 0.9}, {0: 0.2, 1: 0.1, 2: 0.3})] * 2
    >>> low, high = bootstrap_mean_over_cells(cells)
    >>> low < 0.9 < high
    True
    """
    import numpy as np

    arrays = [np.asarray(cell.values, dtype=float) for cell in cells]
    if over_cells:
        low, high = stratified_bootstrap(
            arrays, lambda drawn: sum(one.mean() for one in drawn) / len(drawn), resamples, over_cells=True
        )
        return float(low), float(high)
    generator = np.random.default_rng(0)
    means = [one[generator.integers(0, len(one), (resamples, len(one)))].mean(axis=1) for one in arrays]
    low, high = np.quantile(np.mean(means, axis=0), [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


def interquartile_mean(scores: Iterable[Sequence[float]]) -> float:
    """The mean of the middle half of all runs of all cells (the 25% trimmed mean of Agarwal et al., section 4.3).

    The runs of a cell enter as they are: give scores that are comparable across cells, such as differences to a
    baseline. As in their library, ⌊n/4⌋ runs are left out at each end.

    >>> interquartile_mean([[1, 2, 1, 2], [2, 2, 1, 1]])
    1.5
    """
    listed = sorted(float(value) for cell in scores for value in cell)
    if not listed:
        raise ValueError("an interquartile mean needs a score")
    cut = len(listed) // 4
    return statistics.fmean(listed[cut : len(listed) - cut])


def probability_of_improvement(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """The probability that a run of ours beats one of theirs in the same cell, the mean over cells.

    In a cell it is the share of all pairs of runs that ours wins, a tie counting half (the Mann-Whitney U statistic
    over n·m; Agarwal et al., section 4.3). Failed runs enter as ``-inf``.

    >>> ours, theirs = [[1, 2, 1, 2], [2, 2, 1, 1]], [[1, 2, 3], [1, 2, 3]]
    >>> round(probability_of_improvement(ours, theirs), 4)
    0.3333
    """
    if not len(ours) or len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} cells of ours beside {len(theirs)} of theirs: the same cells are needed")
    shares = []
    for mine, other in zip(ours, theirs, strict=True):
        wins = sum((one > two) + (one == two) / 2 for one in mine for two in other)
        shares.append(wins / (len(mine) * len(other)))
    return statistics.fmean(shares)


def performance_profile(scores: Sequence[Sequence[float]], thresholds: Sequence[float]) -> tuple[float, ...]:
    """Threshold → the share of all runs of all cells above it (the score distribution of Agarwal et al., section 4.2).

    >>> performance_profile([[1, 2, 1, 2], [2, 2, 1, 1]], [0, 1, 2])
    (1.0, 0.5, 0.0)
    """
    listed = [float(value) for cell in scores for value in cell]
    if not listed:
        raise ValueError("a performance profile needs a score")
    return tuple(sum(value > threshold for value in listed) / len(listed) for threshold in thresholds)


def profile_band(
    scores: Sequence[Sequence[float]], thresholds: Sequence[float], resamples: int = 2000
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The pointwise 95% band of :func:`performance_profile`, by the stratified bootstrap.

    >>> low, high = profile_band([[1, 2, 1, 2], [2, 2, 1, 1]], [0, 1, 2])
    >>> low[0] == high[0] == 1.0 and low[1] < 0.5 < high[1]
    True
    """
    import numpy as np

    marks = np.asarray(thresholds, dtype=float)
    generator = np.random.default_rng(0)
    above = np.zeros((resamples, len(marks)))
    for cell in scores:  # how often a resample has each run of the cell, times whether that run is above
        times = generator.multinomial(len(cell), [1 / len(cell)] * len(cell), resamples)
        above += times @ (np.asarray(cell, dtype=float)[:, None] > marks)
    low, high = np.quantile(above / sum(map(len, scores)), [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    return tuple(map(float, low)), tuple(map(float, high))


@dataclass(frozen=True)
class RankComparison:
    """Friedman's test of several methods over data sets, and which of them can be told apart.

    Attributes:
        ranks: method → its mean rank; 1 is the best, equals share theirs.
        p: Friedman's p of the hypothesis that all methods are equals.
        critical_difference: mean ranks that differ by less cannot be told apart (Nemenyi, at 0.05).
        cliques: the largest groups of methods that cannot be told apart, each from the best; one method makes none.
        data_sets: how many.
    """

    ranks: Mapping[Any, float]
    p: float
    critical_difference: float
    cliques: tuple[tuple[Any, ...], ...]
    data_sets: int


def compare_ranks(rows: Sequence[Mapping[Any, float]], lower_is_better: bool = False) -> RankComparison | None:
    """Friedman's test with Nemenyi's critical difference (Demšar, 2006): methods over data sets, a value each.

    Args:
        rows: for each data set, method → value; all methods in each.
        lower_is_better: of the values.

    Returns:
        ``None`` below ``FEWEST_DATA_SETS`` data sets or three methods.

    Example:
        >>> rows = [{"sgd": 70.0, "sam": 71.0 + i / 10, "xsam": 71.5 + i / 10} for i in range(8)]
        >>> found = compare_ranks(rows)
        >>> found.ranks["xsam"], round(found.critical_difference, 2), found.cliques
        (1.0, 1.17, (('xsam', 'sam'), ('sam', 'sgd')))
    """
    if len(rows) < FEWEST_DATA_SETS or len(rows[0]) < 3:
        return None
    ranks = mean_ranks(rows, lower_is_better)
    k = len(ranks)
    critical = _range_quantile(k) * math.sqrt(k * (k + 1) / (12 * len(rows)))
    return RankComparison(ranks, _friedman(rows, ranks), critical, _cliques(ranks, critical), len(rows))


def _friedman(rows: Sequence[Mapping[Any, float]], ranks: Mapping[Any, float]) -> float:
    """Friedman's p by chi-squared, with the correction for equals; ``scipy.stats`` takes a second to import."""
    from scipy.special import chdtrc

    k = len(ranks)
    equals = sum(size**3 - size for row in rows for size in Counter(row.values()).values())
    spread = k * (k + 1) - equals / (len(rows) * (k - 1))
    if not spread:  # all are equal everywhere
        return 1.0
    return float(
        chdtrc(k - 1, 12 * len(rows) * math.fsum((rank - (k + 1) / 2) ** 2 for rank in ranks.values()) / spread)
    )


@lru_cache
def _range_quantile(k: int) -> float:
    """What the range of ``k`` standard normal numbers exceeds with probability ``ALPHA``: Nemenyi's quantile times √2.

    The range is at most q with probability k ∫ φ(z) (Φ(z) − Φ(z − q))ᵏ⁻¹ dz, by the trapezoidal rule, whose error on
    so smooth an integrand is of the order of rounding.
    """
    import numpy as np
    from scipy.special import ndtr

    z = np.linspace(-8.0, 8.0, 801)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])

    def share_within(q: float) -> float:
        return k * float(density @ (ndtr(z) - ndtr(z - q)) ** (k - 1))

    return bisection(lambda q: share_within(q) < 1 - ALPHA, 0.0, 16.0)


def _cliques(ranks: Mapping[Any, float], critical: float) -> tuple[tuple[Any, ...], ...]:
    ordered = sorted(ranks, key=lambda method: ranks[method])
    found: list[tuple[Any, ...]] = []
    last = 0
    for start, method in enumerate(ordered):
        end = sum(ranks[other] - ranks[method] <= critical for other in ordered[start:]) + start
        if end - start > 1 and end > last:
            found.append(tuple(ordered[start:end]))
            last = end
    return tuple(found)


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
