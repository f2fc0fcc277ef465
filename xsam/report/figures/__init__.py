"""Figures of a grid, readable at column width by everyone, as SVG, PDF and PNG with the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from xsam.report.analysis import GridReport
from xsam.report.figures.cost import accuracy_against_cost
from xsam.report.figures.curves import alpha_curves, learning_curves
from xsam.report.figures.sharpness import sharpness_figures
from xsam.report.figures.style import content
from xsam.report.figures.sweeps import sweep_curves

__all__ = ["figure_files", "figures_of"]

_SUFFIXES = ("svg", "pdf", "png")


def figures_of(report: GridReport) -> Iterator[tuple[str, Figure]]:
    """Name and figure of everything that a grid's first table can show as one."""
    analysis = report.analyses[0]
    yield from learning_curves(analysis.table, report.epochs)
    yield from alpha_curves(analysis.table, report.epochs)
    yield from sweep_curves(analysis.table)
    yield from accuracy_against_cost(analysis.table)
    yield from sharpness_figures(report.sharpness, report.runs)


def figure_files(report: GridReport) -> Iterator[tuple[str, bytes]]:
    """File name and content of every figure of a grid in every format."""
    for name, figure in figures_of(report):
        for suffix in _SUFFIXES:
            yield f"{name}.{suffix}", content(figure, suffix)
