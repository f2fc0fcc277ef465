"""How every figure looks, and how it becomes bytes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from io import BytesIO
from textwrap import fill
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from xsam.report.panel import COLOURS as COLOURS

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
LINES = ("-", "--", "-.", ":")
WIDTH, HEIGHT = 3.4, 2.6  # inches: one column of a two-column paper
_FURTHER = 1.8  # inches: how much higher a figure is by a drawing below the first
_DPI = 200
_TITLE, _SIDE, _LABEL = 44, 34, 48  # characters that fit into a line above, beside and below the axes
_BESIDE = 0.04  # of an axis of factors: left free beyond its ends, so that no mark is cut
_TICKS = 6  # on either axis at most, so that numbers of five digits keep apart
_LEGEND: dict[str, Any] = {"frameon": False, "borderaxespad": 0, "columnspacing": 1.2, "handletextpad": 0.5}
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "svg.hashsalt": "xsam-bench",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "text.usetex": False,
    "text.parse_math": False,  # a label with two dollar signs is a label
    "path.simplify": False,
}
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


def styled() -> AbstractContextManager[None]:
    """Inside it figures are made, with their lines, texts and colour bars in one style."""
    return matplotlib.rc_context(_SETTINGS)


def new_figure(title: str, x: str, y: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty figure of one column's width; long texts go on in a next line."""
    figure, (axes,) = _empty(title, x, height)
    axes.set_ylabel(fill(y, _SIDE))
    return figure, axes


def new_pair(title: str, x: str, y: str, below: str) -> tuple[Figure, Axes, Axes]:
    """Like :func:`new_figure`, with a second drawing below the first, over the same x and called ``below``."""
    figure, (first, second) = _empty(title, x, HEIGHT, _FURTHER)
    first.set_ylabel(fill(y, _SIDE))
    second.set_ylabel(fill(y, int(_SIDE * _FURTHER / HEIGHT)))
    second.set_title(fill(below, _LABEL), loc="left", fontsize=_SETTINGS["legend.fontsize"])
    return figure, first, second


def blank_figure(width: float, height: float, left: float) -> tuple[Figure, Axes]:
    """Axes of ``height`` inches in a figure of ``width``, with ``left`` inches beside them for texts."""
    below, around = 0.42, 0.08
    whole = height + below + around
    figure = Figure(figsize=(width, whole))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((left / width, below / whole, (width - left - around) / width, height / whole))
    return figure, axes


def _empty(title: str, x: str, *heights: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(heights), height_ratios=heights)
    drawn: list[Axes] = []
    for place in range(len(heights)):
        axes = figure.add_subplot(grid[place], sharex=drawn[0] if drawn else None)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(ticks())
        drawn.append(axes)
    for axes in drawn[:-1]:
        axes.tick_params(labelbottom=False)
    drawn[0].set_title(fill(title, _TITLE))
    drawn[-1].set_xlabel(fill(x, _TITLE))
    return figure, drawn


def ticks(*, whole: bool = False) -> MaxNLocator:
    """Where numbers stand on an axis: few enough to keep apart, and with ``whole`` only whole ones."""
    return MaxNLocator(_TICKS, steps=[1, 2, 5, 10] if whole else [1, 2, 2.5, 5, 10], integer=whole)


def by_factors(axes: Axes, beyond: float, apart: float) -> None:
    """Let x go by factors where it is larger than ``beyond``, on either side of 0; what lies far off stays in sight.

    Marks keep ``apart`` by this share of the axis, 0 and the largest values first.
    """
    ends = axes.get_xlim()
    axes.set_xscale("symlog", linthresh=beyond, linscale=2)
    scale = axes.xaxis.get_transform()
    first, last = scale.transform(ends)
    beside = _BESIDE * (last - first)
    low, high = scale.inverted().transform((first - beside, last + beside))
    axes.set_xlim(low, high)
    sides = (sign * 10**power * tick for power in range(-2, 4) for tick in (1, 2, 5) for sign in (1, -1))
    marked: dict[float, float] = {}  # value → where it stands on the axis, as a share of its length
    for tick in (0, *sorted((tick for tick in sides if low <= tick <= high), key=abs, reverse=True)):
        at = axes.transLimits.transform(axes.transScale.transform((tick, 0)))[0]
        if all(abs(at - other) > apart for other in marked.values()):
            marked[tick] = at
    axes.xaxis.set_major_locator(FixedLocator(sorted(marked)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0"))
    axes.xaxis.set_minor_locator(NullLocator())


def add_legend(figure: Figure, axes: Axes) -> None:
    """Put the legend of ``axes`` below them, in as many columns as fit; the figure grows by it, the axes stay."""
    handles, labels = axes.get_legend_handles_labels()
    height = figure.get_figheight()
    names = [fill(label, _LABEL) for label in labels]
    for rows in range(1, len(names) + 1):
        columns = -(-len(names) // rows)  # no more than these rows need, so that their lengths differ little
        legend = figure.legend(handles, names, loc="outside lower center", ncols=columns, **_LEGEND)
        box = legend.get_window_extent()
        if box.width <= figure.bbox.width or columns == 1:
            figure.set_size_inches(WIDTH, height + box.height / figure.dpi)
            return
        legend.remove()


def content(figure: Figure, suffix: str) -> bytes:
    """The figure as ``"svg"``, ``"pdf"`` or ``"png"``: the same bytes for the same figure."""
    buffer = BytesIO()
    with styled():
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
            figure.set_layout_engine(None)  # what it laid out stays; with an engine, formats draw thrice
        figure.savefig(buffer, format=suffix, dpi=_DPI, metadata=_METADATA[suffix])
    return buffer.getvalue()


def look(place: int) -> dict[str, Any]:
    """Colour, marker and line of the ``place``-th of a figure's sides; no two of the first 28 look the same."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": LINES[place // len(COLOURS) % len(LINES)],
    }
