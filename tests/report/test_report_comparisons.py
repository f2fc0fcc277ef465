"""Baselines, declared and exploratory comparisons, and two results folders side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.report.fixtures.make import HOSTILE, RESULTS
from xsam.grid.compare import Declared
from xsam.grid.grid import Grid
from xsam.report.analysis import analyse, load_report
from xsam.report.changes import changes
from xsam.report.comparisons import collapsed_seeds, failures
from xsam.report.sections import sheets

MakeGrid = Callable[..., Grid]
MakeRow = Callable[..., dict[str, Any]]


def test_a_baseline_is_the_same_place_of_another_optimizer(multi_step: tuple[Grid, pd.DataFrame]) -> None:
    grid, frame = multi_step
    report = replace(grid.report, rows=("model",), columns=("optimizer", "ascent_steps"), baseline="sam")
    pairs = {one.place: one.baseline for one in analyse(grid, report, frame).comparisons}
    assert pairs[("mlp",), ("xsam", 2)] == (("mlp",), ("sam", 2))
    assert (("mlp",), ("sam", 2)) not in pairs
    assert (("mlp",), ("sgd", "–")) not in pairs, "which number of ascent steps it should be compared with is open"
    report = replace(report, baseline="sgd")
    pairs = {one.place: one.baseline for one in analyse(grid, report, frame).comparisons}
    assert pairs[("mlp",), ("xsam", 2)] == (("mlp",), ("sgd", "–"))


def test_runs_that_stand_in_several_rows_are_one_test(make_grid: MakeGrid, make_row: MakeRow) -> None:
    runs = [("sgd", "sgd", {}), ("adam", "adam", {}), *(("sam", "sam", {"k": k}) for k in (1, 2))]
    grid = make_grid(runs, {"optimizer": ("sgd", "adam", "sam"), "k": (1, 2)}, ("k",), ("optimizer",), seeds=4)
    values = {"sgd": 80.0, "adam": 81.0, "sam": 82.0}
    rows = []
    for place, run in enumerate(grid.runs):
        rows.append(make_row(run.run_id, "done", values[run.method] + ((place * 7) % 5) / 10))
    declared = tuple(Declared(label, "sgd", ("k",)) for label in ("adam", "sam"))
    analysis = analyse(grid, replace(grid.report, compare=declared), pd.DataFrame(rows))
    assert analysis.comparisons == tuple(sorted(analysis.primary, key=lambda one: one.place[0]))
    adam = [one for one in analysis.primary if one.place[1] == ("adam",)]
    assert len(adam) == 2
    assert adam[0].adjusted_p == adam[1].adjusted_p
    smallest = min(one.difference.p for one in analysis.primary)
    assert min(one.adjusted_p for one in analysis.primary) == pytest.approx(3 * smallest), "three tests, not four"


def test_only_declared_comparisons_are_adjusted_and_have_a_margin(make_grid: MakeGrid, make_row: MakeRow) -> None:
    labels = ("sgd", "sam", "xsam", "asam")
    models = ("mlp", "resnet8")
    runs = [(label, label, {"model": model}) for label in labels for model in models]
    grid = make_grid(runs, {"model": models, "optimizer": labels}, ("model",), ("optimizer",), seeds=5)
    gains = {"sgd": 0.0, "sam": 1.0, "xsam": 1.02, "asam": 1.1}
    rows = [
        make_row(run.run_id, "done", 80 + gains[run.method] + 0.01 * ((7 * place) % 5))
        for place, run in enumerate(grid.runs)
    ]
    report = replace(grid.report, compare=(Declared("xsam", "sam", ("model",), margin=0.2),), baseline="sam")
    analysis = analyse(grid, report, pd.DataFrame(rows))
    assert [(one.place[1], one.baseline[1], one.verdict) for one in analysis.primary] == [
        (("xsam",), ("sam",), "equivalent")
    ] * 2
    explored = [one for one in analysis.comparisons if not one.primary]
    assert {one.place[1] for one in explored} == {("sgd",), ("asam",)}
    assert all(one.adjusted_p == one.difference.p and one.answer.margin is None for one in explored)
    shown = {sheet.name: sheet for sheet in sheets(analysis)}
    assert list(shown)[:4] == ["means", "declared", "overall", "differences"]
    assert [row[-1].text for row in shown["declared"].rows] == ["equivalent"] * 2
    assert "exploratory" in shown["differences"].title


def test_runs_that_failed_decide_by_ranks_and_are_named(make_grid: MakeGrid, make_row: MakeRow) -> None:
    runs = [("sam", "sam", {}), ("xsam", "xsam", {})]
    grid = make_grid(runs, {"optimizer": ("sam", "xsam")}, (), ("optimizer",), seeds=6)
    rows = []
    for run in grid.runs:
        seed, better = int(str(run.params["seed"])), run.method == "xsam"
        lost = better and seed < 2  # the first diverges, the second collapses to chance
        value = 12.0 if lost else 80 + 0.1 * seed + 2 * better
        diverged = lost and seed == 0
        rows.append(make_row(run.run_id, "diverged" if diverged else "done", None if diverged else value))
    analysis = analyse(grid, replace(grid.report, compare=(Declared("xsam", "sam", ()),)), pd.DataFrame(rows))
    (one,) = analysis.primary
    assert (one.verdict, one.answer.by_ranks, one.difference.failed, one.difference.n) == ("undecided", True, 2, 5)
    cell = analysis.table.cells[one.place]
    assert (failures(analysis.table, cell), collapsed_seeds(analysis.table, cell)) == ({0, 1}, {1})
    declared = next(sheet for sheet in sheets(analysis) if sheet.name == "declared")
    assert declared.rows[0][-1].text == "undecided by ranks (2 of ours, 0 of theirs failed)"


def test_where_limits_a_table(multi_step: tuple[Grid, pd.DataFrame]) -> None:
    grid, frame = multi_step
    table = analyse(grid, replace(grid.report, where={"model": ("mlp",), "ascent_steps": (2,)}), frame).table
    assert table.rows == (("mlp", 2),)
    assert table.columns == (("sgd",), ("sam",), ("xsam",))


def test_a_folder_is_identical_to_itself() -> None:
    report = load_report(RESULTS)
    found = changes(report, report)
    assert len(found) == 6 + 3
    assert {one.verdict for one in found} == {"identical"}


def test_cells_that_moved_are_told_from_noise(tmp_path: Path) -> None:
    first = load_report(RESULTS)
    (grid,) = first.grids
    runs = grid.runs.copy()
    noise = [0.01 * ((7 * place) % 5 - 2) for place in range(len(runs))]
    runs["test_accuracy_final"] += pd.Series(noise)
    runs.loc[runs["method"] == "sam", "test_accuracy_final"] -= 1.0
    tables = tuple(analyse(grid.grid, report, runs) for report in grid.grid.tables)
    second = replace(first, grids=(replace(grid, analyses=tables),))
    verdicts = {one.place: one.verdict for one in changes(first, second) if one.first.report.name == "table"}
    assert verdicts[("mlp", "digits"), ("sam",)] == "worse"
    assert verdicts[("mlp", "fashion_mnist"), ("sam",)] == "worse"
    assert verdicts[("mlp", "digits"), ("sgd",)] == "undecided"
    assert verdicts[("mlp", "fashion_mnist"), (HOSTILE,)] == "undecided", "by ranks, since a run of it failed"
