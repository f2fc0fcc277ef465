"""Which part of a figure is drawn once more, larger: what lies together, where a value far off presses it flat."""

from __future__ import annotations

import math
import statistics

from xsam.report.panel import BANDS, Panel

_HIDDEN = 0.2  # of the whole height: what takes less of it cannot be told apart
_BESIDE = 0.1  # of the part's own height, left free above and below

_Bar = tuple[float, float]  # mean and spread


def close_up(panel: Panel) -> tuple[float, float] | None:
    """The ends of the part to draw once more, larger; ``None`` where the whole range hides nothing.

    It begins with the half of the means that lie nearest together, and takes in the next one as long as that is no
    farther off than the part is high, bars included: an arm that collapsed leaves a gap many times as high. Where the
    part then is less than a fifth of everything, it is drawn by itself. Bands have none: a curve over the epochs
    comes from far below by its nature.

    Args:
        panel: lines with error bars, or marks.

    Returns:
        Lower and upper end in the unit of the panel's values, within ``panel.within``.

    Example:
        >>> from xsam.report.panel import CURVES, Line
        >>> sam, xsam = (Line(at, "", [1, 3, 10], [94.0, 94.5, end], [0.2] * 3) for at, end in enumerate([10.0, 94.8]))
        >>> [round(end, 1) for end in close_up(Panel("k", CURVES, "", "k", "accuracy (%)", (sam, xsam)))]
        [93.8, 95.0]
        >>> close_up(Panel("k", CURVES, "", "k", "accuracy (%)", (xsam,)))
    """
    bars = sorted(
        (float(mean), float(spread))
        for line in panel.lines
        for mean, spread in zip(line.mean, line.spread, strict=True)
        if math.isfinite(mean)
    )
    if panel.kind == BANDS or not bars:
        return None
    part = _together(bars)
    beside = max(_BESIDE * (part[-1][0] - part[0][0]), statistics.median(spread for _, spread in part))
    low, high = (min(max(end, panel.within[0]), panel.within[1]) for end in (part[0][0] - beside, part[-1][0] + beside))
    return (low, high) if 0 < high - low < _HIDDEN * _height(bars) else None


def outside(panel: Panel, ends: tuple[float, float]) -> int:
    """How many means the part between ``ends`` leaves out."""
    low, high = ends
    return sum(not low <= mean <= high for line in panel.lines for mean in line.mean if math.isfinite(mean))


def _together(bars: list[_Bar]) -> list[_Bar]:
    """The part of the sorted ``bars`` that the nearest half grows to."""
    half = len(bars) // 2 + 1
    first = min(range(len(bars) - half + 1), key=lambda start: bars[start + half - 1][0] - bars[start][0])
    last = first + half - 1
    while first > 0 or last < len(bars) - 1:
        below = bars[first][0] - bars[first - 1][0] if first > 0 else math.inf
        above = bars[last + 1][0] - bars[last][0] if last < len(bars) - 1 else math.inf
        height = _height(bars[first : last + 1])
        if height and min(below, above) > height:  # of equal ones without spread nothing could be seen larger
            break
        first, last = (first - 1, last) if below <= above else (first, last + 1)
    return bars[first : last + 1]


def _height(bars: list[_Bar]) -> float:
    """From the lowest end of a bar to the highest."""
    return max(mean + spread for mean, spread in bars) - min(mean - spread for mean, spread in bars)
