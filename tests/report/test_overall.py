"""What is said over all cells of a table: means with both intervals, probabilities, and ranks over data sets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from xsam.grid.compare import Declared
from xsam.grid.grid import Grid
from xsam.report.analysis import Analysis, analyse
from xsam.report.overall import overall, ranked
from xsam.report.sections import sheets

DATA = ("digits", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet")
LABELS = ("sgd", "sam", "xsam")


@pytest.fixture
def analysis(make_grid: Callable[..., Grid], make_row: Callable[..., dict[str, Any]]) -> Callable[..., Analysis]:
    """Three methods on some data sets with four seeds; the values are kept as (data set, label, seed)."""

    def make(data: tuple[str, ...] = DATA, lost: tuple[tuple[str, str, int], ...] = ()) -> Analysis:
        rng = np.random.default_rng(len(data))
        runs = [(label, label, {"dataset": name}) for name in data for label in LABELS]
        axes = {"dataset": data, "optimizer": LABELS}
        grid = make_grid(runs, axes, ("dataset",), ("optimizer",), seeds=4)
        rows = []
        for run in grid.runs:
            place = (str(run.params["dataset"]), run.optimizer, int(str(run.params["seed"])))
            value = 80 + 0.6 * LABELS.index(run.optimizer) + rng.normal(0, 0.5)
            gone = place in lost
            rows.append(make_row(run.run_id, "diverged" if gone else "done", None if gone else value))
        report = replace(grid.report, compare=(Declared("xsam", "sam", ("dataset",), 0.2),))
        return analyse(grid, report, pd.DataFrame(rows))

    return make


def values(analysis: Analysis, label: str) -> list[list[float]]:
    return [list(analysis.table.cells[row, (label,)].values.values()) for row in analysis.table.rows]


def test_the_mean_over_cells_has_its_definitions(analysis: Callable[..., Analysis]) -> None:
    made = analysis()
    (found,) = overall(made)
    ours, theirs = np.array(values(made, "xsam")), np.array(values(made, "sam"))
    differences = ours - theirs
    assert (found.of, found.against, found.cells) == ("xsam", "sam", (5, 5))
    assert found.difference.mean == pytest.approx(differences.mean())
    error = math.sqrt((differences.var(axis=1, ddof=1) / 4).sum()) / 5
    assert found.difference.std == pytest.approx(error * 2)
    assert found.interquartile_mean == pytest.approx(scipy.stats.trim_mean(differences.ravel(), 0.25))
    wins = [scipy.stats.mannwhitneyu(*pair).statistic / 16 for pair in zip(ours, theirs, strict=True)]
    assert found.probability == pytest.approx(np.mean(wins))
    assert found.bootstrap[0] < differences.mean() < found.bootstrap[1]
    sheet = next(sheet for sheet in sheets(made) if sheet.name == "overall")
    assert sheet.rows[0][0].text == "xsam − sam"
    assert sheet.rows[0][-1].text.split(" (")[0] == found.answer.verdict


def test_one_cell_has_nothing_over_it(analysis: Callable[..., Analysis]) -> None:
    made = analysis(DATA[:1])
    assert overall(made) == ()
    assert "overall" not in [sheet.name for sheet in sheets(made)]


def test_failed_runs_lose(analysis: Callable[..., Analysis]) -> None:
    lost = tuple((DATA[0], "xsam", seed) for seed in range(1))
    whole, part = overall(analysis())[0], overall(analysis(lost=lost))[0]
    assert part.probability < whole.probability
    assert (part.answer.by_ranks, part.difference.failed) == (True, 1)


def test_columns_are_ranked_over_five_data_sets(analysis: Callable[..., Analysis]) -> None:
    made = analysis()
    found = ranked(made.table)
    means = [[float(np.mean(one)) for one in values(made, label)] for label in LABELS]
    assert found.p == pytest.approx(scipy.stats.friedmanchisquare(*means).pvalue)
    assert found.critical_difference == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 5)), abs=1e-3)
    ranks = next(sheet for sheet in sheets(made) if sheet.name == "ranks")
    assert "Friedman's test over 5 data sets" in ranks.notes[-1]
    assert ranked(analysis(DATA[:4]).table) is None
