"""Figures: what is drawn, and the same bytes each time."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.patches import Rectangle

from tests.report.fixtures.make import RESULTS
from xsam.grid.grid import Grid
from xsam.report.analysis import GridReport, analyse, load_report
from xsam.report.close_up import close_up
from xsam.report.figures import figures_of
from xsam.report.figures.drawing import panel_figure
from xsam.report.figures.style import content, look
from xsam.report.panel import CURVES, POINTS, Line, Panel, file_names
from xsam.report.panels import band_of, cost_panels, curves_of, sweep_panels
from xsam.report.selection import selected
from xsam.report.text import baseline_side, side_label

NAMES = [
    *("learning-curve-mlp-digits", "learning-curve-mlp-fashion-mnist"),
    *("alpha-mlp-digits", "alpha-mlp-fashion-mnist"),
    *("cost-backwards-mlp-digits", "cost-backwards-mlp-fashion-mnist"),
    *("cost-wall-seconds-mlp-digits", "cost-wall-seconds-mlp-fashion-mnist"),
]


@pytest.fixture(scope="module")
def report() -> GridReport:
    return load_report(RESULTS).grids[0]


def test_a_grid_has_its_figures(report: GridReport) -> None:
    names = [name for name, _ in figures_of(selected(report, None)[0])]
    assert sorted(name for name in names if name in NAMES) == sorted(NAMES)


def test_marks_of_one_cost_stand_next_to_each_other_and_one_cost_for_all_is_no_figure(report: GridReport) -> None:
    costs = {"sgd": 150.0, "sam": 300.0, "xsam": 300.0, "gsam": 300.0}
    lines = tuple(Line(at, name, [x], [90.0 + at], [1.0]) for at, (name, x) in enumerate(costs.items()))
    (axes,) = panel_figure(Panel("cost", POINTS, "", "backward passes", "accuracy (%)", lines)).axes
    drawn = [float(bars[0].get_xdata()[0]) for bars in axes.containers]
    assert drawn == pytest.approx([150.0, 297.0, 300.0, 303.0])
    table = report.analyses[0].table
    alike = replace(table, cells={place: cell for place, cell in table.cells.items() if cell.label != "sgd"})
    assert [len(list(cost_panels(one))) for one in (table, alike)] == [4, 0], "SGD costs half as much"


def test_bands_are_mean_and_deviation_over_the_seeds(report: GridReport) -> None:
    cell = report.analyses[0].table.cells[("mlp", "digits"), ("sam",)]
    band = band_of(cell, curves_of(report.epochs, "test_accuracy"))
    assert band is not None
    at, mean, spread = band
    finals = np.array(list(cell.values.values()))
    assert list(at) == [1, 2, 3]
    assert mean == pytest.approx([finals.mean() - 2, finals.mean() - 1, finals.mean()])
    assert spread == pytest.approx([finals.std(ddof=1)] * 3)


def test_ascent_steps_are_a_curve_and_a_base_without_them_a_line(multi_step: tuple[Grid, pd.DataFrame]) -> None:
    grid, frame = multi_step
    panels = list(sweep_panels(analyse(grid, grid.report, frame).table))
    assert [panel.name for panel in panels] == ["ascent-steps-mlp"], "res|net has no side with two numbers of steps"
    assert [line.is_level for line in panels[0].lines] == [True, False, False]
    (legend,) = panel_figure(panels[0]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["sgd", "sam", "xsam"]


def wide_panel(count: int, label: str, x: tuple[float, ...] = (1.0, 2.0, 3.0), log_x: bool = False) -> Panel:
    """A low drawing of so many lines over ``x``, the first of which does not depend on it."""
    level = Line(0, f"{label} 0", [math.nan], [50.0], [2.0])
    lines = (Line(each, f"{label} {each}", x, [50.0 + each] * len(x), [1.0] * len(x)) for each in range(1, count))
    return Panel("wide", CURVES, f"trained by {label}" * 2, "rho", "test_accuracy_final (%)", (level, *lines), log_x)


@pytest.mark.parametrize(("count", "label"), [(1, "sgd"), (4, "sam"), (28, "friendly_sam"), (5, "long " * 14)])
def test_legends_lie_beside_the_drawing_and_every_text_in_the_picture(count: int, label: str) -> None:
    figure = panel_figure(wide_panel(count, label))
    content(figure, "png")
    (axes,), (legend,) = figure.axes, figure.legends
    assert len(legend.get_texts()) == count
    assert not legend.get_window_extent().overlaps(axes.get_tightbbox())
    drawn, whole = figure.get_tightbbox(), figure.bbox_inches
    assert drawn is not None
    assert min(drawn.x0 - whole.x0, drawn.y0 - whole.y0, whole.x1 - drawn.x1, whole.y1 - drawn.y1) >= 0


def test_a_legend_takes_nothing_from_the_drawing() -> None:
    heights = []
    for count in (2, 28):
        figure = panel_figure(wide_panel(count, "friendly_sam"))
        content(figure, "png")
        heights.append(figure.axes[0].get_window_extent().height)
    assert heights[1] == pytest.approx(heights[0], rel=0.1)


def test_radii_are_marked_where_they_were_measured_and_steps_at_whole_numbers() -> None:
    (radii,) = panel_figure(wide_panel(3, "sam", (0.02, 0.05, 0.5), log_x=True)).axes
    assert [text.get_text() for text in radii.get_xticklabels()] == ["0.02", "0.05", "0.5"]
    assert list(radii.get_xticks(minor=True)) == []
    (steps,) = panel_figure(wide_panel(3, "sam")).axes
    assert all(float(at).is_integer() for at in steps.get_xticks())


def test_a_side_that_is_level_shows_its_deviation_too() -> None:
    (axes,) = panel_figure(wide_panel(1, "sgd")).axes
    (band,) = axes.patches
    assert isinstance(band, Rectangle)
    assert (band.get_y(), band.get_height()) == (48, 4)


def steps_panel(last: float, spread: float = 0.3) -> Panel:
    """Three arms over the steps, one of which ends at ``last``."""
    ends = (last, 94.6, 95.1)
    x = (1.0, 3.0, 10.0)
    lines = (Line(at, f"arm {at}", x, [94.2 + 0.1 * at, 94.4, end], [spread] * 3) for at, end in enumerate(ends))
    return Panel("k", CURVES, "mlp", "ascent steps", "accuracy (%)", tuple(lines), within=(0.0, 100.0))


def test_arms_beside_one_that_collapsed_are_drawn_once_more_and_larger() -> None:
    panel = steps_panel(10.0)
    near = close_up(panel)
    assert near is not None
    assert 93.5 < near[0] < 94.2
    assert 95.1 < near[1] < 95.6
    figure = panel_figure(panel)
    whole, part = figure.axes
    assert whole.get_ylim()[0] < 10.0 < 95.1 < whole.get_ylim()[1]
    assert part.get_ylim() == pytest.approx(near)
    assert len(part.containers) == len(whole.containers) == 3
    assert part.get_title(loc="left") == f"enlarged: {near[0]:.3g} to {near[1]:.3g}; 1 mean lies outside"
    assert part.get_xlabel() == "ascent steps"
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 3
    content(figure, "png")
    assert not legend.get_window_extent().overlaps(part.get_tightbbox())
    for axes in (whole, part):
        containers = [one for one in axes.containers if isinstance(one, ErrorbarContainer)]
        first, second, third = (bars.lines[0].get_xdata() for bars in containers)
        assert all(first < second), "bars at one x stand side by side"
        assert all(second < third)
        assert second == pytest.approx([1.0, 3.0, 10.0])
        assert third[0] < first[1], "and apart from those at the next"


@pytest.mark.parametrize("panel", [steps_panel(93.0), steps_panel(90.0, spread=4.0), steps_panel(94.0, spread=0.0)])
def test_a_range_that_hides_nothing_is_drawn_once(panel: Panel) -> None:
    assert close_up(panel) is None
    assert len(panel_figure(panel).axes) == 1


def test_sides_are_named_without_what_they_do_not_use(multi_step: tuple[Grid, pd.DataFrame]) -> None:
    grid, frame = multi_step
    turned = replace(grid.report, rows=("model",), columns=("optimizer", "ascent_steps"), baseline="")
    table = analyse(grid, turned, frame).table
    assert [side_label(table, column) for column in table.columns if column[0] == "sgd"] == ["sgd"]
    assert "sam / 2" in [side_label(table, column) for column in table.columns]
    assert baseline_side(table) == side_label(table, table.columns[0])


CODE = """
import hashlib, sys
from pathlib import Path
from xsam.report.analysis import load_report
from xsam.report.figures import figures_of
from xsam.report.selection import selected
from xsam.report.figures.style import content
name, figure = next(figures_of(selected(load_report(Path(sys.argv[1])).grids[0])[0]))
print([hashlib.sha256(content(figure, suffix)).hexdigest() for suffix in ("svg", "pdf", "png")])
"""


def test_every_format_has_the_same_bytes_in_another_process() -> None:
    hashes = []
    for zone, seed in (("Asia/Tokyo", "1"), ("UTC", "2")):
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", CODE, str(RESULTS)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        hashes.append(done.stdout.splitlines()[-1])
    assert hashes[0] == hashes[1]


def test_formats_are_what_they_say_and_labels_are_drawn_as_they_are(report: GridReport) -> None:
    _, figure = next(figures_of(selected(report)[0]))
    svg = content(figure, "svg")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert b"<dc:date>" not in svg
    assert content(figure, "pdf").startswith(b"%PDF-")
    assert content(figure, "png").startswith(b"\x89PNG")


def test_sides_look_different_and_files_have_safe_names_of_their_own() -> None:
    assert len({tuple(look(place).items()) for place in range(28)}) == 28
    names = file_names("curve", [("../../etc",), ("a/b",), ("a b",), ("中",), ()])
    assert len(set(names.values())) == 5
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names.values())
