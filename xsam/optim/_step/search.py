"""Searches for the greatest value of a function on 0 ... count - 1, in few evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

Probe = Callable[[int], float]


def everywhere(value_at: Probe, count: int) -> dict[int, float]:
    """The value at every index."""
    return {index: value_at(index) for index in range(count)}


def bracket(value_at: Probe, count: int) -> dict[int, float]:
    """The values that a Fibonacci search (Kiefer, 1953) for the greatest one looked at, in the order of their indices.

    The greatest of all is among them where values rise up to it and fall behind it. It takes at most n evaluations
    for fewer than F(n + 2) indices: 7 for 21. A value that is not finite counts as smaller than any other.

    Example:
        >>> bracket(lambda index: -abs(index - 13), 21)
        {7: -6, 10: -3, 12: -1, 13: 0, 14: -1, 15: -2, 20: -7}
    """
    values: dict[int, float] = {}

    def value(index: int) -> float:
        if index >= count:  # the indices are filled up to one less than a Fibonacci number
            return -math.inf
        if index not in values:
            values[index] = value_at(index)
        return values[index] if math.isfinite(values[index]) else -math.inf

    shorter, length = 1, 2  # the greatest is among the length - 1 indices from start
    while length - 1 < count:
        shorter, length = length, shorter + length
    start = 0
    while length > 2:
        left, right = start + length - shorter - 1, start + shorter - 1
        if value(left) < value(right):
            start = left + 1
        shorter, length = length - shorter, shorter
    value(start)
    return dict(sorted(values.items()))


def alpha_grid(largest: float, step: float) -> tuple[float, ...]:
    """0, step, 2 step, ... up to ``largest``, as the decimal numbers that were meant (0.3, not 0.30000000000000004).

    Example:
        >>> alpha_grid(0.5, 0.1)
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """
    return tuple(round(i * step, 10) for i in range(math.floor(largest / step + 1e-9) + 1))


def most_probes(search: str, count: int) -> int:
    """How often ``search`` looks at most, where the values rise to their maximum and fall behind it.

    Example:
        >>> most_probes("grid", 21), most_probes("bracket", 21)
        (21, 7)
    """
    return max(len(SEARCHES[search](partial(_hill, peak), count)) for peak in range(count))


def _hill(peak: int, index: int) -> float:
    return -abs(index - peak)


SEARCHES: Mapping[str, Callable[[Probe, int], dict[int, float]]] = {"grid": everywhere, "bracket": bracket}
