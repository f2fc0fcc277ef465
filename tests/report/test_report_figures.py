"""Figures: what is drawn, and the same bytes each time."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from tests.report.fixtures.make import RESULTS
from xsam.grid.grid import Grid
from xsam.report.analysis import GridReport, analyse, load_report
from xsam.report.figures import figures_of
from xsam.report.figures.panels import panel_figure
from xsam.report.figures.style import content, look
from xsam.report.panels import band_of, curves_of, file_names, sweep_panels

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
    names = [name for name, _ in figures_of(report)]
    assert [name for name in names if name in NAMES] == NAMES


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
    (axes,) = panel_figure(panels[0]).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["sgd", "sam", "xsam"]


CODE = """
import hashlib, sys
from pathlib import Path
from xsam.report.analysis import load_report
from xsam.report.figures import figures_of
from xsam.report.figures.style import content
name, figure = next(figures_of(load_report(Path(sys.argv[1])).grids[0]))
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
    _, figure = next(figures_of(report))
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
