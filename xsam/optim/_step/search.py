"""Searches for the greatest value of a function on 0 ... count - 1, in few evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from functools import partial

Probe = Callable[[int], float]


Asking = Generator[int, float, None]  # yields the index that it wants to know, and is sent the value there


def everywhere_asking(count: int) -> Asking:
    """Ask for every index."""
    index = 0
    while index < count:
        yield index
        index += 1


def bracket_asking(count: int) -> Asking:
    """See :func:`bracket`."""
    values: dict[int, float] = {}

    def value(index: int) -> Generator[int, float, float]:
        if index >= count:  # the indices are filled up to one less than a Fibonacci number
            return -math.inf
        if index not in values:
            values[index] = yield index
        return values[index] if math.isfinite(values[index]) else -math.inf

    shorter, length = 1, 2  # the greatest is among the length - 1 indices from start
    while length - 1 < count:
        shorter, length = length, shorter + length
    start = 0
    while length > 2:
        left, right = start + length - shorter - 1, start + shorter - 1
        on_the_left = yield from value(left)
        on_the_right = yield from value(right)
        if on_the_left < on_the_right:
            start = left + 1
        shorter, length = length - shorter, shorter
    yield from value(start)


def _answer(asking: Asking, value_at: Probe) -> dict[int, float]:
    values: dict[int, float] = {}
    index = next(asking, None)
    while index is not None:
        values[index] = value_at(index)
        try:
            index = asking.send(values[index])
        except StopIteration:
            index = None
    return dict(sorted(values.items()))


def everywhere(value_at: Probe, count: int) -> dict[int, float]:
    """The value at every index."""
    return _answer(everywhere_asking(count), value_at)


def bracket(value_at: Probe, count: int) -> dict[int, float]:
    """The values that a Fibonacci search (Kiefer, 1953) for the greatest one looked at, in the order of their indices.

    The greatest of all is among them where values rise up to it and fall behind it. It takes at most n evaluations
    for fewer than F(n + 2) indices: 7 for 21. A value that is not finite counts as smaller than any other.

    Example:
        >>> bracket(lambda index: -abs(index - 13), 21)
        {7: -6, 10: -3, 12: -1, 13: 0, 14: -1, 15: -2, 20: -7}
    """
    return _answer(bracket_asking(count), value_at)


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
STEPS: Mapping[str, Callable[[int], Asking]] = {"grid": everywhere_asking, "bracket": bracket_asking}
