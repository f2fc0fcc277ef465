"""What is better, and how it is written, is what a task says of its metric, whatever the metric is called."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import xsam.tasks as tasks
from tests.report.conftest import MakeGrid
from xsam.metrics import HIGHER, LOWER, RULES, Metric, find
from xsam.report.analysis import analyse
from xsam.report.comparisons import comparisons
from xsam.report.sections import cost as cost_sheet
from xsam.report.table import Table, cells
from xsam.report.text import marks, number

MakeTable = Callable[[Metric], Table]


@pytest.fixture
def table_of(make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch) -> MakeTable:
    """A table of two optimizers, xsam a third below sam, of a task with the given metric alone."""

    def make(metric: Metric) -> Table:
        module: Any = ModuleType("toy_metric_task")
        module.TASK = SimpleNamespace(run_metrics=(metric,), metric=metric)
        monkeypatch.setitem(sys.modules, "toy_metric_task", module)
        monkeypatch.setattr(tasks, "TASKS", {"vision": "toy_metric_task:TASK"})
        runs: list[Any] = [("sam", "sam", {}), ("xsam", "xsam", {})]
        grid = make_grid(runs, {"optimizer": ("sam", "xsam")}, (), ("optimizer",), seeds=5, metric=metric.name)
        costs = dict.fromkeys(("forwards", "backwards", "wall_seconds", "peak_memory_bytes"), 1.0)
        rows = []
        for run in grid.runs:
            start, spread = (30.0, 5) if run.method == "sam" else (20.0, 3)
            value = start + 0.1 * (int(str(run.axes["seed"])) ** 2 % spread)
            rows.append({"run_id": run.run_id, "grid": "toy", "status": "done", metric.column("final"): value, **costs})
        return cells(pd.DataFrame(rows), grid)

    return make


@pytest.mark.parametrize(
    ("name", "better", "verdict", "best"),
    [
        ("perplexity", LOWER, "better", "xsam"),
        ("ter", LOWER, "better", "xsam"),
        ("lossless_share", HIGHER, "worse", "sam"),
        ("inaccuracy_share", HIGHER, "worse", "sam"),
    ],
)
@pytest.mark.parametrize("rules", [(), RULES])
def test_the_metric_says_which_way_is_better_and_not_its_name(
    table_of: MakeTable, name: str, better: str, verdict: str, best: str, rules: tuple[str, ...]
) -> None:
    table = table_of(Metric(name, name, better, decimals=3, rules=rules))
    assert table.column == (f"{name}_final" if rules else name)
    (found,) = comparisons(table)
    assert (found.place[1], found.verdict) == (("xsam",), verdict)
    assert marks(table, ())[best,] == "best"
    assert number(table, 1 / 3) == "0.333"


def test_a_metric_is_found_by_its_name_and_by_that_of_each_rule() -> None:
    metrics = tasks.get_task("vision").run_metrics
    fixed = find(metrics, "test_loss_final")
    assert (fixed.lower_is_better, fixed.decimals, fixed.columns, fixed.chosen_by) == (
        True,
        4,
        ("test_loss_final",),
        "final",
    )
    with pytest.raises(ValueError, match="unknown metric 'test_acuracy'; did you mean 'test_accuracy'"):
        find(metrics, "test_acuracy")


def test_chance_is_that_of_the_data_set() -> None:
    accuracy = tasks.get_task("vision").metric
    assert accuracy.chance is not None
    assert [accuracy.chance({"dataset": name}) for name in ("cifar10", "cifar100", "tiny_imagenet")] == [10, 1, 0.5]


@pytest.mark.parametrize(("cost", "values"), [("wall_seconds", ("1.50", "2.50")), ("backwards", ("100", "200"))])
def test_a_table_may_be_about_what_runs_cost(make_grid: MakeGrid, cost: str, values: tuple[str, str]) -> None:
    runs: list[Any] = [("sgd", "sgd", {}), ("sam", "sam", {})]
    grid = make_grid(runs, {"optimizer": ("sgd", "sam")}, (), ("optimizer",), seeds=5, metric=cost)
    rows = []
    for run in grid.runs:
        more = run.method == "sam"
        spread = 0.01 * int(str(run.axes["seed"]))
        costs = {"forwards": 100.0 + 100 * more, "backwards": 100.0 + 100 * more, "wall_seconds": 1.48 + more + spread}
        rows.append({"run_id": run.run_id, "grid": "toy", "status": "done", "peak_memory_bytes": None, **costs})
    analysis = analyse(grid, grid.report, pd.DataFrame(rows))
    table = analysis.table
    assert tuple(number(table, cell.mean) for cell in table.cells.values() if cell.mean is not None) == values
    assert [one.verdict for one in analysis.comparisons] == ["worse"], "more is worse"
    sheet = cost_sheet(analysis)
    assert len(set(sheet.header)) == len(sheet.header), "it is not shown twice"
