"""Panels as matplotlib draws them."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from xsam.report.figures.style import add_legend, look, new_figure, styled, ticks
from xsam.report.panels import BANDS, POINTS, Line, Panel, thinned

_LONGEST = 7  # marks on an axis of factors


def panel_figure(panel: Panel) -> Figure:
    """The panel's lines with bands or error bars of one standard deviation."""
    with styled():
        figure, axes = new_figure(panel.title, panel.x, panel.y)
        for line in panel.lines:
            _draw(axes, line, panel.kind)
        _mark_x(axes, panel)
        add_legend(figure, axes)
    return figure


def _mark_x(axes: Axes, panel: Panel) -> None:
    """Factors are marked where something was measured, whole numbers at whole numbers."""
    at = sorted({float(value) for line in panel.lines for value in line.x if not math.isnan(value)})
    if panel.log_x:
        axes.set_xscale("log")
        shown = at[thinned(len(at), _LONGEST)]
        axes.set_xticks(shown, [f"{value:g}" for value in shown])
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(ticks(whole=all(value.is_integer() for value in at)))


def _draw(axes: Axes, line: Line, kind: str) -> None:
    style = look(line.place)
    if kind == BANDS:
        low, high = (
            [mean + sign * spread for mean, spread in zip(line.mean, line.spread, strict=True)] for sign in (-1, 1)
        )
        axes.plot(line.x, line.mean, color=style["color"], linestyle=style["linestyle"], label=line.label)
        axes.fill_between(line.x, low, high, color=style["color"], alpha=0.18, linewidth=0)
    elif line.is_level:
        mean, spread = line.mean[0], line.spread[0]
        axes.axhline(mean, color=style["color"], linestyle=":", label=line.label)
        axes.axhspan(mean - spread, mean + spread, color=style["color"], alpha=0.1, linewidth=0)
    else:
        style["linestyle"] = "none" if kind == POINTS else style["linestyle"]
        axes.errorbar(line.x, line.mean, line.spread, capsize=2, label=line.label, **style)
