"""Passes and seconds to the base's final validation metric, against a plain loop over every run's epochs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from xsam.grid.grid import Grid
from xsam.report.analysis import Analysis, analyse
from xsam.report.csv_tables import target_csv
from xsam.report.sections import targets
from xsam.report.targets import target_panels

MakeGrid = Callable[..., Grid]
MakeRow = Callable[..., dict[str, Any]]
SEEDS, EPOCHS = 4, 12
RUNS = [("sgd", "sgd", {"model": "mlp"}), ("sam", "sam", {"model": "mlp"}), ("late", "sam", {"model": "mlp"})]
AXES = {"model": ("mlp",), "optimizer": ("sgd", "sam", "late")}


def epochs_of(grid: Grid, metric: str, values: Callable[[str, int], Iterable[float]]) -> pd.DataFrame:
    """Every run's epochs: ``metric`` as given, and costs that differ from run to run."""
    rows = []
    for place, run in enumerate(grid.runs):
        for epoch, value in enumerate(values(run.optimizer, run.seed)):
            passes = (epoch + 1) * (10 if run.method == "sgd" else 20)
            rows.append({
                "run_id": run.run_id, "grid": grid.name, "epoch": epoch, metric: value, "alpha": None,
                "forwards": passes, "backwards": passes, "seconds": 9.0 + place,
                "train_seconds": None if place % 2 else 0.5 + place, "search_seconds": 0.25,
            })  # fmt: skip
    return pd.DataFrame(rows).astype({"train_seconds": float})


def analysed(grid: Grid, make_row: MakeRow, epochs: pd.DataFrame, status: Mapping[str, str] | None = None) -> Analysis:
    rows = []
    for run in grid.runs:
        state = (status or {}).get(f"{run.optimizer}{run.seed}", "done")
        row = make_row(run.run_id, state, 80.0 + run.seed if state == "done" else None)
        unneeded = {"provenance": "{}", "dataset": "digits", "search_seconds": 1.0, "resumed_from_step": 0}
        rows.append({**row, **unneeded, "started_at": row["finished_at"]})
    return analyse(grid, grid.report, pd.DataFrame(rows), epochs=epochs)


def curves(seed: int, lower_is_better: bool = False) -> Mapping[tuple[str, int], list[float]]:
    """Random curves in whole numbers, so that the target is often met exactly."""
    rng = np.random.default_rng(seed)
    rise = np.arange(EPOCHS) * (-0.8 if lower_is_better else 0.8)
    return {
        (label, one): [float(round(value)) for value in 20 + rise - shift + rng.normal(0, 2, EPOCHS)]
        for label, shift in (("sgd", 0), ("sam", 1), ("late", 8))
        for one in range(SEEDS)
    }


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_the_first_epoch_as_good_as_the_bases_last(
    metric: str, number: int, make_grid: MakeGrid, make_row: MakeRow
) -> None:
    lower = metric == "loss"
    grid = make_grid(RUNS, AXES, ("model",), ("optimizer",), SEEDS, f"test_{metric}")
    found = curves(number, lower)
    epochs = epochs_of(grid, f"val_{metric}", lambda label, seed: found[label, seed])
    reached = analysed(grid, make_row, epochs).target
    assert reached is not None
    assert (reached.base, reached.metric.name) == ("sgd", f"val_{metric}")
    for run in grid.runs:
        target = found["sgd", run.seed][-1]
        passes, seconds, spent = math.inf, math.inf, 0.0
        for row in epochs[epochs["run_id"] == run.run_id].to_dict("records"):
            spent += 0.25 + (row["seconds"] if math.isnan(row["train_seconds"]) else row["train_seconds"])
            good = row[f"val_{metric}"] <= target if lower else row[f"val_{metric}"] >= target
            if good and math.isinf(passes):
                passes, seconds = row["forwards"] + row["backwards"], spent
        own = reached.cells[("mlp",), (run.optimizer,)][run.seed]
        assert (own.target, own.passes, own.seconds) == (target, passes, pytest.approx(seconds))
        assert own.whole == (row["forwards"] + row["backwards"], pytest.approx(spent))


def rising(label: str, seed: int) -> list[float]:
    """The base ends at 90 + seed; sam is there after two epochs, late after three or, with two of the seeds, never."""
    if label == "sgd":
        return [*[10.0] * 5, 90.0 + seed]
    if label == "sam":
        return [10.0, 95.0, 10.0, 10.0, 10.0, 10.0]
    return [10.0, 10.0, 95.0 if seed < 2 else 20.0, 10.0, 10.0, 10.0]


def test_what_the_section_and_its_csv_say(make_grid: MakeGrid, make_row: MakeRow) -> None:
    grid = make_grid(RUNS, AXES, ("model",), ("optimizer",), SEEDS)
    analysis = analysed(grid, make_row, epochs_of(grid, "val_accuracy", rising))
    sheet = targets(analysis)
    assert sheet.title == "To the final validation accuracy of sgd"
    shown = {texts[1].text: [text.text for text in texts[2:5]] for texts in sheet.rows}
    assert shown == {
        "sgd": ["91.50", "4", "120 [120, 120]"],
        "sam": ["91.50", "4", "80 [80, 80]"],
        "late": ["91.50", "2 of 4", "never [120, never]"],
    }
    assert "Passes are exact; seconds of runs that had not the machine to themselves mean little." in sheet.notes[1]
    assert analysis.target is not None
    lines = target_csv(analysis.table, analysis.target).splitlines()
    assert lines[0].startswith(
        "model,optimizer,base,metric,target,n,reached,passes_median,passes_least,passes_most,sec"
    )
    assert lines[3].startswith("mlp,late,sgd,val_accuracy,91.5,4,2,,120,,,")


def test_the_figures_step_up_at_each_arrival_and_end_with_the_longest_run(
    make_grid: MakeGrid, make_row: MakeRow
) -> None:
    grid = make_grid(RUNS, AXES, ("model",), ("optimizer",), SEEDS)
    analysis = analysed(grid, make_row, epochs_of(grid, "val_accuracy", rising))
    passes, seconds = target_panels(analysis.table, analysis.target)
    assert (passes.name, seconds.name) == ("passes-to-target-mlp", "seconds-to-target-mlp")
    late = next(line for line in passes.lines if line.label == "late")
    assert list(zip(late.x, late.mean, strict=True)) == [
        (0, 0), (120, 0), (120, 25), (120, 25), (120, 50), (240, 50),
    ]  # fmt: skip
    own = [one.seconds for one in analysis.target.cells[("mlp",), ("sam",)].values()] if analysis.target else []
    sam = next(line for line in seconds.lines if line.label == "sam")
    assert np.interp(statistics.median(own) + 1e-9, sam.x, sam.mean) >= 50.0


def test_a_seed_without_the_bases_end_has_no_target_and_a_diverged_run_counts(
    make_grid: MakeGrid, make_row: MakeRow
) -> None:
    grid = make_grid(RUNS, AXES, ("model",), ("optimizer",), SEEDS)
    status = {"sgd0": "diverged", "late1": "diverged", "sam2": "failed"}
    reached = analysed(grid, make_row, epochs_of(grid, "val_accuracy", rising), status).target
    assert reached is not None
    assert {column: sorted(own) for (_, column), own in reached.cells.items()} == {
        ("sgd",): [1, 2, 3],
        ("sam",): [1, 2, 3],
        ("late",): [1, 2, 3],
    }


def test_nothing_is_said_without_a_base_or_a_validation_curve(make_grid: MakeGrid, make_row: MakeRow) -> None:
    grid = make_grid(RUNS[1:], {**AXES, "optimizer": ("sam", "late")}, ("model",), ("optimizer",), SEEDS)
    assert analysed(grid, make_row, epochs_of(grid, "val_accuracy", rising)).target is None
    grid = make_grid(RUNS, AXES, ("model",), ("optimizer",), SEEDS)
    nowhere = epochs_of(grid, "val_accuracy", lambda label, seed: [math.nan] * 3)
    assert analysed(grid, make_row, nowhere).target is None
    grid = make_grid(RUNS, AXES, ("model",), ("optimizer",), SEEDS, "val_accuracy_best", "")
    assert targets(analysed(grid, make_row, epochs_of(grid, "val_accuracy", rising))).rows == ()
