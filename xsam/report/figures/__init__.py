"""Figures of a grid, readable at column width by everyone, as SVG, PDF and PNG with the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from xsam.report.analysis import GridReport
from xsam.report.figures.drawing import map_figure, panel_figure
from xsam.report.figures.effects import effects_files
from xsam.report.figures.style import content
from xsam.report.selection import MOST, selected
from xsam.report.sharpness import Map

__all__ = ["effects_files", "figure_files", "figures_of"]

_SUFFIXES = ("svg", "pdf", "png")


def figures_of(report: GridReport, most: int | None = MOST) -> Iterator[tuple[str, Figure]]:
    """Name and figure of what :func:`xsam.report.selection.selected` chooses."""
    for shown in selected(report, most)[0]:
        yield shown.name, map_figure(shown) if isinstance(shown, Map) else panel_figure(shown)


def figure_files(report: GridReport, most: int | None = MOST) -> Iterator[tuple[str, bytes]]:
    """File name and content of every figure of a grid in every format."""
    for name, figure in figures_of(report, most):
        for suffix in _SUFFIXES:
            yield f"{name}.{suffix}", content(figure, suffix)
