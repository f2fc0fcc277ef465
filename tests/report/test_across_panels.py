"""The figures over all cells: profiles of paired differences with their band, ranks with the critical difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from xsam.grid.grid import Grid
from xsam.report.across_panels import across_panels, profile_panels, rank_panels
from xsam.report.analysis import Analysis, analyse
from xsam.report.figures.drawing import panel_figure
from xsam.report.overall import ranked
from xsam.report.panel import BANDS, POINTS, Line

DATA = ("digits", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet")
LABELS = ("sgd", "sam", "xsam", "asam")
GAIN = {"sgd": 0.0, "sam": 0.5, "xsam": 3.0, "asam": 0.6}


@pytest.fixture
def analysis(make_grid: Callable[..., Grid], make_row: Callable[..., dict[str, Any]]) -> Callable[..., Analysis]:
    """Four methods on some data sets with four seeds; runs of ``lost`` (data set, label, seed) diverged."""

    def make(data: tuple[str, ...] = DATA, lost: tuple[tuple[str, str, int], ...] = ()) -> Analysis:
        rng = np.random.default_rng(7)
        runs = [(label, label, {"dataset": name}) for name in data for label in LABELS]
        grid = make_grid(runs, {"dataset": data, "optimizer": LABELS}, ("dataset",), ("optimizer",), seeds=4)
        rows = []
        for run in grid.runs:
            gone = (str(run.params["dataset"]), run.optimizer, int(str(run.params["seed"]))) in lost
            value = 60 + 5 * data.index(str(run.params["dataset"])) + GAIN[run.optimizer] + rng.normal(0, 0.3)
            rows.append(make_row(run.run_id, "diverged" if gone else "done", None if gone else value))
        return analyse(grid, grid.report, pd.DataFrame(rows))

    return make


def line_of(lines: tuple[Line, ...], label: str) -> Line:
    return next(line for line in lines if line.label == label)


def test_a_profile_is_the_share_of_paired_differences_above_each_threshold(analysis: Callable[..., Analysis]) -> None:
    made = analysis()
    (panel,) = profile_panels(made.table, made.comparisons)
    assert (panel.kind, panel.within) == (BANDS, (0.0, 100.0))
    assert [line.label for line in panel.lines] == ["sam", "xsam", "asam"]  # the baseline's differences are 0
    for line in panel.lines:
        differences = [
            cells[row, (line.label,)].values[seed] - cells[row, ("sgd",)].values[seed]
            for cells in [made.table.cells]
            for row in made.table.rows
            for seed in range(4)
        ]
        expected = [100 * sum(one > at for one in differences) / 20 for at in line.x]
        np.testing.assert_allclose(line.mean[::2], expected[::2])  # every second point is where a step ends
        np.testing.assert_allclose(line.mean[1:-1:2], [100, *expected[2:-1:2][:-1]])
        assert line.ends is not None
        low, high = map(np.asarray, line.ends)
        assert (low <= line.mean).all()
        assert (line.mean <= high).all()
        assert (high - low).max() > 5
        assert (line.mean[0], line.mean[-1]) == (100, 0)


def test_failed_runs_are_below_every_threshold_and_those_without_a_baseline_above(
    analysis: Callable[..., Analysis],
) -> None:
    made = analysis(lost=((DATA[0], "xsam", 1), (DATA[1], "sgd", 2)))
    (panel,) = profile_panels(made.table, made.comparisons)
    xsam, sam = line_of(panel.lines, "xsam"), line_of(panel.lines, "sam")
    assert (xsam.mean[0], xsam.mean[-1]) == (95, 5)
    assert (sam.mean[0], sam.mean[-1]) == (100, 5)
    assert np.isfinite(np.asarray(xsam.x, dtype=float)).all()


def test_one_data_set_has_no_profile_and_four_have_no_ranks(analysis: Callable[..., Analysis]) -> None:
    one, four = analysis(DATA[:1]), analysis(DATA[:4])
    assert list(across_panels(one.table, one.comparisons)) == []
    assert [panel.name for panel in across_panels(four.table, four.comparisons)] == ["profile"]


def test_bars_of_ranks_are_apart_where_ranks_differ_critically(analysis: Callable[..., Analysis]) -> None:
    table = analysis().table
    found = ranked(table)
    (panel,) = rank_panels(table)
    assert found is not None
    assert panel.kind == POINTS
    assert [line.mean[0] for line in panel.lines] == sorted(found.ranks.values())
    assert [line.x[0] for line in panel.lines] == [1, 2, 3, 4]
    apart = 0
    for one, other in combinations(panel.lines, 2):
        disjoint = one.mean[0] + one.spread[0] < other.mean[0] - other.spread[0]
        alike = any({(one.label,), (other.label,)} <= set(group) for group in found.cliques)
        assert disjoint != alike
        apart += disjoint
    assert 0 < apart < math.comb(4, 2)


def test_both_are_drawn_with_the_band_as_it_is(analysis: Callable[..., Analysis]) -> None:
    made = analysis()
    profile, ranks = across_panels(made.table, made.comparisons)
    figure = panel_figure(profile)
    line = profile.lines[0]
    assert line.ends is not None
    drawn = figure.axes[0].collections[0].get_paths()[0].vertices
    assert drawn[:, 1].max() == pytest.approx(max(line.ends[1]))
    assert len(panel_figure(ranks).axes[0].containers) == len(LABELS)


def test_rows_that_share_their_baselines_runs_are_no_cells_of_their_own(multi_step: tuple[Grid, pd.DataFrame]) -> None:
    grid, frame = multi_step
    made = analyse(grid, grid.report, frame)
    assert len({one.place[0] for one in made.comparisons if one.difference.values}) > 1
    assert list(profile_panels(made.table, made.comparisons)) == []
