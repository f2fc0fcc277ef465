"""How every figure looks, and how it becomes bytes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from io import BytesIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xsam.report.panels import COLOURS as COLOURS

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
LINES = ("-", "--", "-.", ":")
WIDTH, HEIGHT = 3.4, 2.6  # inches: one column of a two-column paper
_DPI = 200
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
    """Inside it texts and colour bars are made in the style of figures."""
    return matplotlib.rc_context(_SETTINGS)


def new_figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """An empty figure of one column's width."""
    with styled():
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(title)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
    return figure, axes


def finish(axes: Axes) -> None:
    """Add the legend, below the drawing where it is long."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        with styled():
            axes.legend(handles, labels, frameon=False, ncols=1 if len(labels) < 9 else 2)


def content(figure: Figure, suffix: str) -> bytes:
    """The figure as ``"svg"``, ``"pdf"`` or ``"png"``: the same bytes for the same figure."""
    buffer = BytesIO()
    with styled():
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # what it laid out stays, and no format lays it out again
        figure.savefig(buffer, format=suffix, dpi=_DPI, metadata=_METADATA[suffix])
    return buffer.getvalue()


def look(place: int) -> dict[str, Any]:
    """Colour, marker and line of the ``place``-th of a figure's sides; no two of the first 28 look the same."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": LINES[place // len(COLOURS) % len(LINES)],
    }
