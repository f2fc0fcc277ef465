"""Panels as matplotlib draws them."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xsam.report.figures.style import finish, look, new_figure
from xsam.report.panels import BANDS, POINTS, Line, Panel


def panel_figure(panel: Panel) -> Figure:
    """The panel's lines with bands or error bars of one standard deviation."""
    figure, axes = new_figure(panel.title, panel.x, panel.y)
    for line in panel.lines:
        _draw(axes, line, panel.kind)
    if panel.log_x:
        axes.set_xscale("log")
    finish(axes)
    return figure


def _draw(axes: Axes, line: Line, kind: str) -> None:
    style = look(line.place)
    if kind == BANDS:
        low, high = (
            [mean + sign * spread for mean, spread in zip(line.mean, line.spread, strict=True)] for sign in (-1, 1)
        )
        axes.plot(line.x, line.mean, color=style["color"], linestyle=style["linestyle"], label=line.label)
        axes.fill_between(line.x, low, high, color=style["color"], alpha=0.18, linewidth=0)
    elif line.is_level:
        axes.axhline(line.mean[0], color=style["color"], linestyle=":", label=line.label)
    else:
        style["linestyle"] = "none" if kind == POINTS else style["linestyle"]
        axes.errorbar(line.x, line.mean, line.spread, capsize=2, label=line.label, **style)
