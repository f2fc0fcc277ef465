"""What would stand at one place of a figure, moved sideways a little: bars and marks do not cover each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from xsam.report.panel import CURVES, POINTS, Line, Panel

_STEP, _WIDTH = 0.08, 0.55  # of the gap between two x: from one bar at one x to the next, and all of them at the most
_MARK = 0.02  # of the range of all x: from one mark at one x to the next


def apart(panel: Panel) -> Sequence[Line]:
    """The panel's lines: curves with bars side by side, and so the marks of one and the same x; all else as it is.

    Example:
        >>> lines = Line(0, "sam", [1.0], [94.0], [0.5]), Line(1, "xsam", [1.0], [94.2], [0.4])
        >>> [line.x.round(2).tolist() for line in apart(Panel("k", CURVES, "", "k", "accuracy (%)", lines))]
        [[0.96], [1.04]]
    """
    if panel.kind == CURVES and any(np.any(np.asarray(line.spread) > 0) for line in panel.lines):
        return _bars(panel)
    return _marks(panel) if panel.kind == POINTS else panel.lines


def _bars(panel: Panel) -> list[Line]:
    at = sorted({float(value) for line in panel.lines for value in line.x if not math.isnan(value)})
    scaled = np.log(at) if panel.log_x else np.asarray(at)
    gap = float(np.diff(scaled).min()) if len(at) > 1 else 1.0
    count = sum(not line.is_level for line in panel.lines)
    step = gap * min(_STEP, _WIDTH / max(1, count - 1))
    lines: list[Line] = []
    by = -step * (count - 1) / 2
    for line in panel.lines:
        if line.is_level:
            lines.append(line)
            continue
        x = np.asarray(line.x, dtype=float)
        lines.append(replace(line, x=x * math.exp(by) if panel.log_x else x + by))
        by += step
    return lines


def _marks(panel: Panel) -> list[Line]:
    alike = Counter(float(line.x[0]) for line in panel.lines if not line.is_level)
    step = _MARK * (max(alike, default=0.0) - min(alike, default=0.0))
    before: Counter[float] = Counter()
    lines: list[Line] = []
    for line in panel.lines:
        if line.is_level:
            lines.append(line)
            continue
        x = float(line.x[0])
        lines.append(replace(line, x=[x + step * (before[x] - (alike[x] - 1) / 2)]))
        before[x] += 1
    return lines
