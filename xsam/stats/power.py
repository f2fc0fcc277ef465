"""How large a difference a number of seeds can show, and how many seeds a difference needs.

All of it is the exact power of the paired t test (noncentral t) and of the two one-sided tests, for normal differences
of a known standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from xsam.stats.bisection import bisection

POWER = 0.8
MOST_SEEDS = 9999
_NODES = 400  # of the integral over the standard deviation that an experiment finds


def t_test_power(n: int, effect: float, std: float, alpha: float = 0.05) -> float:
    """The probability that ``n`` pairs show a true difference ``effect``: two-sided t test of level ``alpha``.

    The share of findings in the wrong direction is not counted. ``statsmodels.stats.power.TTestPower`` counts it; the
    numbers agree to 1e-4 from a power of 0.3 on.

    >>> round(t_test_power(5, 1.0, 0.7), 3)
    0.671
    """
    if n < 2:
        return 0.0
    if not std:
        return float(effect != 0)
    from scipy.special import nctdtr

    return float(1 - nctdtr(n - 1, abs(effect) * math.sqrt(n) / std, _quantile(n - 1, alpha)))


def detectable_difference(n: int, std: float, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest true difference that ``n`` pairs show with probability ``power``.

    >>> round(detectable_difference(5, 0.55), 2), round(detectable_difference(8, 0.55), 2)
    (0.93, 0.64)
    """
    return _noncentrality(n, alpha, power) * std / math.sqrt(n)


def equivalence_power(n: int, margin: float, std: float, effect: float = 0.0, alpha: float = 0.05) -> float:
    """The probability that the interval of ``n`` pairs lies inside ± ``margin`` when the true difference is ``effect``.

    The interval misses the truth with probability ``alpha``, so these are two one-sided tests of level ``alpha`` / 2
    each (Schuirmann, 1987).

    >>> round(equivalence_power(10, 0.5, 0.4), 2)
    0.88
    """
    if n < 2:
        return 0.0
    if not std:
        return float(abs(effect) < margin)
    import numpy as np
    from scipy.special import ndtr

    # Over the standard deviation that is found, the mean must lie in what margin the interval's half width leaves.
    room = margin * math.sqrt(n) / std - _quantile(n - 1, alpha) * _found_spreads(n)
    shift = effect * math.sqrt(n) / std
    return float(np.mean(np.where(room > 0, ndtr(room - shift) - ndtr(-room - shift), 0.0)))


def seeds_needed(
    effect: float, std: float, margin: float | None = None, alpha: float = 0.05, power: float = POWER
) -> int | None:
    """How many pairs decide, with probability ``power``, were the true difference ``effect``.

    A difference other than 0 can be shown to be one; one within the margin can be shown to be within it; the smaller
    number counts. It is an answer to "how many seeds would this have taken", of an experiment that is planned anew;
    the spread is taken as known.

    Returns:
        At least 3; ``None`` where more than ``MOST_SEEDS`` would be needed.

    Example:
        >>> seeds_needed(0.5, 0.4), seeds_needed(0.02, 0.4, margin=0.3), seeds_needed(0.0, 0.4)
        (8, 22, None)
    """
    found = [_fewest(lambda n: t_test_power(n, effect, std, alpha), power)] if effect else []
    if margin is not None and abs(effect) < margin:
        found.append(_fewest(lambda n: equivalence_power(n, margin, std, effect, alpha), power))
    return min((one for one in found if one is not None), default=None)


def _fewest(power_of: Callable[[int], float], power: float) -> int | None:
    """The smallest number of pairs with this power, which grows with their number."""
    low, high = 2, 3
    while power_of(high) < power:
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


@lru_cache(maxsize=4096)
def _found_spreads(n: int) -> Any:
    """Quantiles of the standard deviation that ``n`` values of standard deviation 1 show."""
    import numpy as np
    from scipy.special import chdtri

    shares = (np.arange(_NODES) + 0.5) / _NODES
    return np.sqrt(chdtri(n - 1, 1 - shares) / (n - 1))


@lru_cache(maxsize=4096)
def _quantile(degrees: int, alpha: float) -> float:
    from scipy.special import stdtrit  # scipy.stats takes half a second to import

    return -float(stdtrit(degrees, alpha / 2))


@lru_cache(maxsize=4096)
def _noncentrality(n: int, alpha: float, power: float) -> float:
    """The noncentrality at which the two-sided paired t test of ``n`` pairs has this power."""
    from scipy.special import nctdtr

    critical = _quantile(n - 1, alpha)
    # The other tail has less than 1e-6 at this power, too little for the library's function to be sure of.
    return bisection(lambda middle: bool(1 - nctdtr(n - 1, middle, critical) < power), 0.0, 2 * critical + 10)
