"""What a reader is told beside the numbers, and which figures a grid has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from tests.report.conftest import MakeGrid
from tests.report.fixtures.make import RESULTS
from xsam.grid.grid import Grid
from xsam.report.analysis import load_report
from xsam.report.caveats import caveats, limit_shares
from xsam.report.panel import COLOURS, places_of
from xsam.report.panels import learning_panels
from xsam.report.selection import MOST, selected
from xsam.report.table import cells
from xsam.tasks.vision import VisionTask

START = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def told(make_grid: MakeGrid, make_row: Callable[..., dict[str, Any]]) -> tuple[Grid, pd.DataFrame, pd.DataFrame]:
    """SAM and XSAM of three seeds: unverified data, alpha on its limit in three epochs of four, time not counted."""
    grid = make_grid([("sam", "sam", {}), ("xsam", "xsam", {})], {"optimizer": ("sam", "xsam")}, (), ("optimizer",))
    rows, epochs = [], []
    for run in grid.runs:
        seed = int(str(run.axes["seed"]))
        searched = run.method == "xsam" and seed < 2
        rows.append(
            {
                **make_row(run.run_id, "done", 80.0 + seed),
                "dataset": "digits",
                "provenance": '{"data_checksum":"00+unverified"}',
                "search_seconds": 1.0 if searched else 0.0,
                "resumed_from_step": 0,
                "wall_seconds": 10.0,
                "started_at": START,
                "finished_at": START + timedelta(seconds=15),
            }
        )
        alphas = [1.9, 2.0, 2.0, 2.0] if searched else [None] * 4
        values = [70.0 + seed + (run.method == "xsam") for _ in alphas]
        epochs += [
            {"run_id": run.run_id, "epoch": at, "alpha": alpha, "test_accuracy": value}
            for at, (alpha, value) in enumerate(zip(alphas, values, strict=True))
        ]
    return grid, pd.DataFrame(rows), pd.DataFrame(epochs)


def test_everything_that_hides_behind_the_numbers_is_said(told: tuple[Grid, pd.DataFrame, pd.DataFrame]) -> None:
    grid, runs, epochs = told
    table = cells(runs, grid)
    assert limit_shares(table, epochs) == {((), ("xsam",)): 0.75}
    assert caveats(table, runs, epochs) == (
        "Unverified data, which are not known to be the published ones: digits (6 runs).",
        "Searches of alpha that end on its limit, alpha_max: xsam: 75%.",
        "XSAM without a single search of alpha: xsam.",
        "Wall seconds are those of the epochs. What comes before and after them (loading data, and, in translation, "
        "decoding the test set) took another 50% of them, the median over runs.",
    )


def test_runs_of_earlier_numerics_are_told_apart(
    told: tuple[Grid, pd.DataFrame, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, runs, epochs = told
    monkeypatch.setattr(VisionTask, "numerics", 4)
    first, *_ = caveats(cells(runs, grid), runs, epochs)
    assert first == "The runs have vision's NUMERICS 1, and the code 4: trained again, they would have other numbers."


def test_long_curves_are_differences_paired_by_seed(told: tuple[Grid, pd.DataFrame, pd.DataFrame]) -> None:
    grid, runs, epochs = told
    (short,) = learning_panels(cells(runs, grid), epochs)
    assert [line.label for line in short.lines] == ["sam", "xsam"]
    assert short.within == (0, 100)
    more = [epochs.assign(epoch=epochs["epoch"] + 4 * part) for part in range(3)]
    longer = pd.concat(more).sort_values(["run_id", "epoch"], ignore_index=True)
    (panel,) = learning_panels(cells(runs, grid), longer)
    (line,) = panel.lines
    assert (line.label, set(line.mean), set(line.spread)) == ("xsam", {1.0}, {0.0})
    assert panel.y == "test_accuracy (%) − that of sam"


def test_a_label_looks_the_same_in_every_grid() -> None:
    assert places_of(["sam", "mine", "xsam"])["xsam"] == places_of(["xsam", "sgd"])["xsam"]
    assert len(set(places_of(["sgd", "sam", "xsam", "a", "b"]).values())) == 5


def test_a_variant_has_the_colour_of_its_method_and_nothing_else_shares_one_without_need() -> None:
    places = places_of(["mine", "sam", "xsam", "sam_per_step", "sam_per_step_scaled", "xsam_per_step"])
    assert {label: place % len(COLOURS) for label, place in places.items()} == {
        "mine": 6,
        "sam": 1,
        "sam_per_step": 1,
        "sam_per_step_scaled": 1,
        "xsam": 2,
        "xsam_per_step": 2,
    }
    assert len(set(places.values())) == len(places)
    assert len(set(places_of(["sgd", "adam", "adamw"]).values())) == 3
    own = places_of(["mine_per_step", "mine", "other", "sam"])
    assert own["mine_per_step"] % len(COLOURS) == own["mine"] % len(COLOURS) != own["other"] % len(COLOURS)
    assert len(set(own.values())) == len(own)


def test_a_label_looks_the_same_where_variants_are_left_out() -> None:
    few = ["sgd", "random_sam", "sam", "asam", "gsam", "wsam", "friendly_sam", "stable_sam", "xsam"]
    whole = places_of([*few, "sgd_plus", "sam_effective"])
    assert places_of(few) == {label: whole[label] for label in few}


def test_a_few_figures_of_every_kind_or_all_on_request() -> None:
    report = load_report(RESULTS).grids[0]
    shown, whole = selected(report)
    assert len(shown) == MOST < whole == len(selected(report, None)[0])
    few = selected(report, 4)[0]
    assert len(few) == 4
    assert len({one.name.split("-")[0] for one in few}) > 2
