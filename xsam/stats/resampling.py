"""Tests and intervals by resampling: changes of sign, signed ranks with failed runs as the worst, bootstraps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

MOST_SIGN_FLIPS = 40  # both halves of 2^20 sums fit in memory
RESAMPLES = 9999
MONTE_CARLO = 99_999


def sign_flip_p(differences: Sequence[float]) -> float:
    """The share of all changes of sign whose sum is as far from 0 as the one seen (Fisher's randomization test).

    Exact and two-sided up to ``MOST_SIGN_FLIPS`` differences: the sums of two halves are counted against each other,
    so that n differences cost 2^(n/2) sums (``scipy.stats.permutation_test`` takes 2^n). Above that, the share in
    ``MONTE_CARLO`` seeded changes and the one seen (Phipson & Smyth, 2010: never 0).

    >>> sign_flip_p([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    0.03125
    """
    import numpy as np

    # Sums that are equal on paper differ in their last bits.
    seen = abs(math.fsum(differences)) - 1e-12 * math.fsum(map(abs, differences))
    if len(differences) > MOST_SIGN_FLIPS:
        signs = np.random.default_rng(0).integers(0, 2, (MONTE_CARLO, len(differences))) * 2 - 1
        return float(1 + np.sum(np.abs(signs @ np.asarray(differences)) >= seen)) / (MONTE_CARLO + 1)
    half = len(differences) // 2
    # Both in order: looking up neighbours one after the other stays in the cache.
    left, right = (_signed_sums(part) for part in (differences[:half], differences[half:]))
    above = len(right) - np.searchsorted(right, seen - left, side="left")
    # With all signs changed a sum is the same to the bit but for its sign: as many lie as far below 0.
    return min(1.0, 2 * int(np.sum(above)) / 2.0 ** len(differences))


def signed_rank_p(differences: Sequence[float]) -> float:
    """Wilcoxon's signed-rank test, two-sided, exact under ties; differences may be infinite.

    An infinite difference is a pair in which one run failed: it has the highest rank, shared among such pairs. Zeros
    take part in the ranking and in nothing else (Pratt, 1959). The p is that of all changes of sign of the ranks.

    >>> signed_rank_p([0.2, 0.4, 0.1, 0.3, 0.5, 0.6]), signed_rank_p([0.2, 0.4, 0.1, 0.3, 0.5, -math.inf])
    (0.03125, 0.4375)
    """
    sizes = [abs(value) for value in differences]
    signed = [
        math.copysign(sum(other < size for other in sizes) + (sum(other == size for other in sizes) + 1) / 2, value)
        for value, size in zip(differences, sizes, strict=True)
        if value
    ]
    return sign_flip_p(signed) if signed else 1.0


def bca_interval(values: Sequence[float], alpha: float = 0.05) -> tuple[float, float]:
    """The bias-corrected and accelerated bootstrap interval of a mean (Efron, 1987).

    It takes ``RESAMPLES`` seeded resamples. The values must not all be the same. The numbers are those of
    ``scipy.stats.bootstrap``; of our own, since that draws the same resamples anew each time, and its keyword for the
    generator depends on its version.

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
    tail = bias + ndtri([alpha / 2, 1 - alpha / 2])
    low, high = np.quantile(means, ndtr(bias + tail / (1 - acceleration * tail)))
    return float(low), float(high)


def stratified_bootstrap(
    cells: Sequence[Any],
    statistic: Callable[[Sequence[Any]], Any],
    resamples: int = 2000,
    alpha: float = 0.05,
    over_cells: bool = False,
    seed: int = 0,
) -> tuple[Any, Any]:
    """Percentile interval of ``statistic(cells)``, resampling runs inside each cell (Agarwal et al., 2021, section 4).

    Args:
        cells: one array a cell, of its runs along the first axis (paired differences, or a row a seed): what is
            resampled together stays together. Cells may differ in their number of runs.
        statistic: of a list of such arrays; a number or an array.
        resamples, seed: how many resamples, by which generator.
        alpha: one minus the coverage.
        over_cells: resample the cells as well, which answers for cells that were never run.

    Returns:
        Lower and upper ends, each of the statistic's shape. With few runs a cell they are narrow by the factor
        √((n - 1)/n), as any bootstrap's: decisions are made by :func:`xsam.stats.mean_over_cells`.

    Example:
        >>> low, high = stratified_bootstrap([[1.0, 2.0, 3.0], [5.0, 6.0]], lambda cells: sum(map(sum, cells)))
        >>> float(low) < 17 < float(high)
        True
    """
    import numpy as np

    arrays = [np.asarray(cell, dtype=float) for cell in cells]
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        chosen = generator.integers(0, len(arrays), len(arrays)) if over_cells else range(len(arrays))
        found.append(
            statistic([arrays[one][generator.integers(0, len(arrays[one]), len(arrays[one]))] for one in chosen])
        )
    low, high = np.quantile(np.asarray(found, dtype=float), [alpha / 2, 1 - alpha / 2], axis=0)
    return low, high


@lru_cache(maxsize=4)
def _resamples(n: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, n, (RESAMPLES, n))


def _signed_sums(values: Sequence[float]) -> Any:
    """The sums under all changes of sign, in order."""
    import numpy as np

    sums: Any = np.zeros(1)
    for value in values:
        sums = np.sort(np.concatenate([sums - value, sums + value]), kind="stable")  # merges two that are in order
    return sums
