"""Where a monotone question changes its answer; ``scipy.optimize`` takes a quarter of a second to import."""

from __future__ import annotations

from collections.abc import Callable

_HALVINGS = 60  # of an interval, to the last bit of a double


def bisection(too_low: Callable[[float], bool], low: float, high: float) -> float:
    """The smallest number between ``low`` and ``high`` that is not too low, to the last bits of a double.

    >>> bisection(lambda x: x * x < 2, 0, 2)
    1.4142135623730951
    """
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_low(middle) else (low, middle)
    return high
