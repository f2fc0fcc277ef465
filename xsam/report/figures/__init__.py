"""Figures of a grid, readable at column width by everyone, as SVG, PDF and PNG with the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from matplotlib.figure import Figure

from xsam.report.figures.drawing import map_figure, panel_figure
from xsam.report.figures.effects import effects_files
from xsam.report.figures.style import content
from xsam.report.panel import Panel
from xsam.report.sharpness import Map

__all__ = ["effects_files", "figure_files", "figures_of"]

_SUFFIXES = ("svg", "pdf", "png")


def figures_of(chosen: Iterable[Panel | Map]) -> Iterator[tuple[str, Figure]]:
    """Name and figure of what :func:`xsam.report.selection.selected` chose."""
    for shown in chosen:
        yield shown.name, map_figure(shown) if isinstance(shown, Map) else panel_figure(shown)


def figure_files(chosen: Iterable[Panel | Map]) -> Iterator[tuple[str, bytes]]:
    """File name and content of every chosen figure in every format."""
    for name, figure in figures_of(chosen):
        for suffix in _SUFFIXES:
            yield f"{name}.{suffix}", content(figure, suffix)
