"""What the best of several tries is worth, and what fewer tries would have found."""

from __future__ import annotations

import math
from collections.abc import Sequence


def expected_best(values: Sequence[float], lower_is_better: bool = False) -> list[float]:
    """What the best of 1, 2, … of these trials is in the mean over all orders in which they could have come.

    It is the expected validation performance of Dodge et al. ("Show Your Work", EMNLP 2019), without replacement: what
    a smaller budget would have found.

    >>> expected_best([1.0, 2.0, 6.0]), expected_best([1.0, 2.0, 6.0], lower_is_better=True)
    ([3.0, 4.666666666666667, 6.0], [3.0, 1.3333333333333333, 1.0])
    """
    ranked = sorted(values, reverse=lower_is_better)
    n = len(ranked)
    return [
        sum(value * math.comb(place, m - 1) for place, value in enumerate(ranked)) / math.comb(n, m)
        for m in range(1, n + 1)
    ]
