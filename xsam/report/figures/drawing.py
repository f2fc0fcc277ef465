"""Panels of lines, and maps of what was measured of sharpness, as matplotlib draws them."""

from __future__ import annotations

import math
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator, NullLocator

from xsam.report.close_up import close_up, outside
from xsam.report.figures.apart import apart
from xsam.report.figures.style import COLOURS, add_legend, by_factors, look, new_figure, new_pair, styled, ticks
from xsam.report.panel import BANDS, CURVES, POINTS, Line, Panel, thinned
from xsam.report.sharpness import HEAT, Map

_LONGEST = 7  # marks on an axis at the values measured
_CLOSE = 0.08  # of the axis: numbers of neighbouring marks would touch
_NAME, _WHOLE = 28, 54  # characters of a row's name in a line, and of what stands over the whole figure
_ROW, _ROOM = 0.15, 1.1  # inches: a line of a row's name, and what title and axis take


def panel_figure(panel: Panel) -> Figure:
    """The panel's lines with bands or error bars of one standard deviation; bars and marks at one x stand side by side.

    Where a value far off presses the others together (:func:`xsam.report.close_up.close_up`), the part where they lie
    is grey, and drawn once more below. Marks that only stand one after the other are rows, each with its name.
    """
    if panel.is_counted:
        return _rows(panel)
    near = close_up(panel)
    with styled():
        if near is None:
            figure, axes = new_figure(panel.title, panel.x, panel.y)
        else:
            figure, axes, below = new_pair(panel.title, panel.x, panel.y, _enlarged(panel, near))
            axes.axhspan(*near, color="black", alpha=0.12, linewidth=0, zorder=0)
            _fill(below, panel, small=True)
            below.set_ylim(*near)
        _fill(axes, panel, small=near is not None)
        add_legend(figure, axes)
    return figure


def _enlarged(panel: Panel, near: tuple[float, float]) -> str:
    count = outside(panel, near)
    low, high = (f"{end:.3g}".replace("-", "−") for end in near)
    return f"enlarged: {low} to {high}; {count} mean{'s lie' if count > 1 else ' lies'} outside"


def _rows(panel: Panel) -> Figure:
    sides = [line for line in panel.lines if not line.is_level]
    names = ["\n".join(fill(part, _NAME) for part in line.label.split(": ")) for line in sides]
    near = close_up(panel)
    with styled():
        figure, axes = new_figure("", "", "", _ROOM + _ROW * sum(1 + name.count("\n") for name in names))
        figure.suptitle(fill(panel.title, _WHOLE), fontsize=8)  # over the names too, where there is more room
        levels = [f"dotted: {line.label}" for line in panel.lines if line.is_level]
        figure.supxlabel("\n".join(fill(text, _WHOLE) for text in (panel.y, *levels)), fontsize=8)
        for line in panel.lines:
            style = look(line.place) | {"linestyle": "none"}
            if line.is_level:
                axes.axvline(line.mean[0], color=style["color"], linestyle=":")
                axes.axvspan(
                    line.mean[0] - line.spread[0], line.mean[0] + line.spread[0], color="black", alpha=0.1, lw=0
                )
            else:
                axes.errorbar(line.mean, line.x, xerr=line.spread, capsize=2, **style)
        axes.set_yticks([line.x[0] for line in sides], names)
        axes.set_ylim(len(sides) + 0.6, 0.4)
        if near is not None:
            by_factors(axes, beyond=max(map(abs, near)), apart=0.2)
        axes.grid(False, axis="y")
    return figure


def _fill(axes: Axes, panel: Panel, small: bool) -> None:
    size: dict[str, Any] = {"markersize": 2.5, "capsize": 1.2} if small else {"capsize": 2}
    for line in apart(panel):
        _draw(axes, line, panel, size)
    _mark_x(axes, panel)


def _mark_x(axes: Axes, panel: Panel) -> None:
    """Factors, and a few numbers that lie apart, are marked where something was measured; others at round numbers."""
    at = sorted({float(value) for line in panel.lines for value in line.x if not math.isnan(value)})
    few = panel.kind == CURVES and 1 < len(at) <= _LONGEST and np.diff(at).min() > _CLOSE * (at[-1] - at[0])
    if panel.log_x:
        axes.set_xscale("log")
    if panel.log_x or few:
        shown = at[thinned(len(at), _LONGEST)]
        axes.set_xticks(shown, [f"{value:,g}" for value in shown])
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(ticks(whole=all(value.is_integer() for value in at)))


def _draw(axes: Axes, line: Line, panel: Panel, size: dict[str, Any]) -> None:
    style = look(line.place)
    kind = panel.kind
    mean, spread = np.asarray(line.mean, dtype=float), np.asarray(line.spread, dtype=float)
    low, high = (np.clip(end, *panel.within) for end in line.ends or (mean - spread, mean + spread))
    if kind == BANDS:
        axes.plot(line.x, line.mean, color=style["color"], linestyle=style["linestyle"], label=line.label)
        axes.fill_between(line.x, low, high, color=style["color"], alpha=0.18, linewidth=0)
    elif line.is_level:
        axes.axhline(mean[0], color=style["color"], linestyle=":", label=line.label)
        axes.axhspan(low[0], high[0], color=style["color"], alpha=0.1, linewidth=0)
    elif kind == CURVES and not np.any(high > low):  # nothing to draw bars of, in the legend neither
        axes.plot(line.x, mean, label=line.label, **style)
    else:
        style["linestyle"] = "none" if kind == POINTS else style["linestyle"]
        axes.errorbar(line.x, mean, np.abs([mean - low, high - mean]), label=line.label, **style, **size)


_LEVELS = 20
_MARKS = COLOURS[1], COLOURS[6], COLOURS[3]  # those that stand out from viridis
_LINES = "--", "-"


def map_figure(shown: Map) -> Figure:
    """A heat map with the line on it, or the contours of a plane with its circles and directions."""
    with styled():
        figure, axes = new_figure(shown.title, shown.x, shown.y)
        axes.grid(False)
        (_heat if shown.kind == HEAT else _plane)(figure, axes, shown)
        add_legend(figure, axes)
    return figure


def _heat(figure: Figure, axes: Axes, shown: Map) -> None:
    x, y = shown.at
    positions = np.arange(len(x))
    image = axes.pcolormesh(positions, y, shown.values, shading="nearest", cmap="viridis", rasterized=True)
    axes.plot(positions, shown.path, color="white", marker="o", markeredgecolor="black", clip_on=False, zorder=3)
    axes.set_xticks(positions, [f"{each:g}" for each in x])
    figure.colorbar(image, label=shown.unit)


def _plane(figure: Figure, axes: Axes, shown: Map) -> None:
    axes.set_aspect("equal")
    low, high = shown.limits or (float(np.nanmin(shown.values)), float(np.nanmax(shown.values)))
    levels = MaxNLocator(_LEVELS).tick_values(low, high)
    drawn = axes.contourf(*shown.at, shown.values, levels=levels, cmap="viridis")
    axes.contour(*shown.at, shown.values, levels=levels, colors="white", linewidths=0.3)
    figure.colorbar(drawn, label=shown.unit)
    axes.plot(0, 0, color="white", marker="x")
    for line, (name, radius) in zip(_LINES, shown.radii.items(), strict=False):
        axes.add_patch(Circle((0, 0), radius, fill=False, color="white", linestyle=line))
        axes.annotate(
            name, (0, -radius), (0, 1), textcoords="offset points", color="white", ha="center", va="bottom", fontsize=7
        )
    for colour, (name, place) in zip(_MARKS, shown.marks.items(), strict=False):
        axes.annotate("", place, (0, 0), arrowprops={"arrowstyle": "->", "color": colour, "shrinkA": 0, "shrinkB": 0})
        axes.plot(*place, color=colour, marker="o", linestyle="", label=name)
