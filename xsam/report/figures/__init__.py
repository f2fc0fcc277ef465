"""Figures of a grid, readable at column width by everyone, as SVG, PDF and PNG with the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from xsam.report.analysis import GridReport
from xsam.report.figures.drawing import map_figure, panel_figure
from xsam.report.figures.style import content
from xsam.report.panels import panels_of
from xsam.report.sharpness import labelled, measured_maps, measured_panels

__all__ = ["figure_files", "figures_of"]

_SUFFIXES = ("svg", "pdf", "png")


def figures_of(report: GridReport) -> Iterator[tuple[str, Figure]]:
    """Name and figure of everything that a grid's first table can show as one."""
    for panel in panels_of(report.analyses[0].table, report.epochs):
        yield panel.name, panel_figure(panel)
    if not report.sharpness.empty:
        rows = labelled(report.sharpness, report.runs)
        for panel in measured_panels(rows):
            yield panel.name, panel_figure(panel)
        for shown in measured_maps(rows):
            yield shown.name, map_figure(shown)


def figure_files(report: GridReport) -> Iterator[tuple[str, bytes]]:
    """File name and content of every figure of a grid in every format."""
    for name, figure in figures_of(report):
        for suffix in _SUFFIXES:
            yield f"{name}.{suffix}", content(figure, suffix)
