"""The figure of declared comparisons: each difference with its interval, beside the margin."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.report.fixtures.make import RESULTS
from xsam.grid.compare import Declared
from xsam.grid.grid import Grid
from xsam.report.analysis import analyse, load_grid
from xsam.report.figures.drawing import panel_figure
from xsam.report.paired_panels import MOST, paired_panels
from xsam.report.panel import POINTS, Line, Panel, places_of
from xsam.store import GridFolder, read


@pytest.fixture(scope="module")
def grid() -> Grid:
    return load_grid(GridFolder(RESULTS, "toy"))


def test_every_declared_comparison_stands_at_its_place_with_its_interval_and_the_margin(grid: Grid) -> None:
    compare = (Declared("sam", "sgd", ("model", "dataset"), 0.2),)
    found = analyse(grid, replace(grid.report, compare=compare), read(RESULTS))
    (panel,) = paired_panels(found.table, found.primary)
    assert panel.kind == POINTS
    nothing, *lines = panel.lines
    assert nothing.is_level
    assert (list(nothing.mean), list(nothing.spread)) == ([0.0], [0.2])
    assert [line.label for line in lines] == ["sam − sgd: mlp / digits", "sam − sgd: mlp / fashion_mnist"]
    assert [list(line.x) for line in lines] == [[1.0], [2.0]]
    for line, one in zip(lines, found.primary, strict=True):
        assert line.mean[0] == one.difference.mean
        assert one.difference.low is not None
        assert line.mean[0] - line.spread[0] == pytest.approx(one.difference.low)
    assert {line.place for line in lines} == {places_of(["sgd", "sam"])["sam"]}, "that of sam everywhere"
    assert nothing.place != lines[0].place


def test_nothing_is_drawn_of_comparisons_without_an_interval_or_without_any(grid: Grid) -> None:
    found = analyse(grid, grid.report, read(RESULTS))
    assert list(paired_panels(found.table, found.primary)) == []


def test_many_comparisons_are_several_figures(grid: Grid) -> None:
    compare = (Declared("sam", "sgd", ("model", "dataset")),)
    found = analyse(grid, replace(grid.report, compare=compare), read(RESULTS))
    panels = list(paired_panels(found.table, found.primary * MOST))
    assert [panel.name for panel in panels] == ["differences-1", "differences-2"]
    assert [len(panel.lines) - 1 for panel in panels] == [MOST, MOST]
    assert all(math.isnan(panel.lines[0].x[0]) and panel.lines[0].label == "no difference" for panel in panels)


def test_a_mark_far_off_stands_whole_within_its_axis() -> None:
    means = (-1.1, -0.9, 0.2, 0.1, 62.0)
    rows = [Line(0, f"xsam − sam: {place}", [float(place)], [mean], [0.1]) for place, mean in enumerate(means, 1)]
    figure = panel_figure(Panel("differences", POINTS, "", "comparison", "accuracy, difference (%)", tuple(rows)))
    (axes,) = figure.axes
    assert axes.get_xscale() == "symlog"
    figure.draw_without_rendering()
    points = axes.transAxes.inverted().transform(axes.transData.transform([(mean, 1) for mean in means]))[:, 0]
    assert points.min() > 0.02
    assert points.max() < 0.98
