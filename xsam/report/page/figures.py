"""Figures of the page as JSON values without colours, which the page gives them by its theme."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from xsam.report.close_up import close_up
from xsam.report.page.compact import numbers
from xsam.report.panel import Panel
from xsam.report.sharpness import HEAT, Map


def page_figures(chosen: Iterable[Panel | Map]) -> Iterator[dict[str, Any]]:
    """Each figure that :func:`xsam.report.selection.selected` chose.

    All have ``name``, ``kind``, ``title``, ``x`` and ``y`` (axis titles). Panels have ``log``, ``rows`` (whether each
    side is a row with its name), ``beyond`` (from where the rows' axis goes by factors, or null) and ``lines``: place,
    label, x, mean, spread each, and the lower and upper ends of a band that is not mean ± spread. Maps have ``unit``,
    ``at`` (x and y) and ``z`` (a list of rows); a ``"heat"`` also has ``path`` (x and y of a line on it), a ``"plane"``
    ``limits`` (of its colours, or null), ``radii`` and ``marks`` (name → radius, name → x and y).
    """
    for shown in chosen:
        yield _map(shown) if isinstance(shown, Map) else _panel(shown)


def _panel(panel: Panel) -> dict[str, Any]:
    near = close_up(panel)
    return {
        "name": panel.name,
        "kind": panel.kind,
        "title": panel.title,
        "x": panel.x,
        "y": panel.y,
        "log": panel.log_x,
        "rows": panel.is_counted,
        "beyond": max(map(abs, near)) if panel.is_counted and near is not None else None,
        "within": [None if math.isinf(end) else end for end in panel.within],
        "lines": [
            [line.place, line.label, numbers(line.x, 8), numbers(line.mean), numbers(line.spread)]
            + [numbers(end) for end in line.ends or ()]
            for line in panel.lines
        ],
    }


def _map(shown: Map) -> dict[str, Any]:
    at = [numbers(each) for each in shown.at]
    content = {
        "name": shown.name,
        "kind": shown.kind,
        "title": shown.title,
        "x": shown.x,
        "y": shown.y,
        "unit": shown.unit,
        "at": at,
        "z": [numbers(line) for line in shown.values],
    }
    if shown.kind == HEAT:
        return {**content, "path": [at[0], numbers(shown.path)]}
    return {
        **content,
        "limits": None if shown.limits is None else numbers(shown.limits),
        "radii": dict(zip(shown.radii, numbers(list(shown.radii.values())), strict=True)),
        "marks": {name: numbers(place) for name, place in shown.marks.items()},
    }
