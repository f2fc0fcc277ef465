"""What a table shows beside each column where its grid's ``report`` asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from xsam.grid.grid import SHOWN, Grid
from xsam.report.analysis import Analysis, analyse
from xsam.report.claims.model import Published
from xsam.report.sections import means

GAINS = {"sgd": (80.0, 82.0, 87.0, 83.0, 88.0), "sam": (85.1, 87.0, 91.9, 88.2, 92.8)}


@pytest.fixture
def shown(make_grid: Callable[..., Grid], make_row: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, str]]:
    """Header → text of the one row of a table of sgd and sam on five seeds, under changes of its report."""

    def make(**report: Any) -> dict[str, str]:
        runs = [(label, label, {"model": "mlp"}) for label in GAINS]
        axes = {"model": ("mlp",), "optimizer": tuple(GAINS)}
        grid = make_grid(runs, axes, ("model",), ("optimizer",), seeds=5)
        rows = [make_row(run.run_id, "done", GAINS[run.optimizer][int(str(run.params["seed"]))]) for run in grid.runs]
        protocol = {"task": "vision", "model": "mlp", "dataset": "digits"}
        reference = Published("one", 88.8, 0.5, "sam", "test_accuracy", ("final",), protocol, "a paper")
        analysis: Analysis = analyse(grid, replace(grid.report, **report), pd.DataFrame(rows), references=[reference])
        sheet = means(analysis)
        (row,) = sheet.rows
        return dict(zip(sheet.header, (text.text for text in row), strict=True))

    return make


def test_without_show_a_table_has_its_columns_alone(shown: Callable[..., dict[str, str]]) -> None:
    assert list(shown()) == ["model", "sgd", "sam"]


def test_everything_stands_beside_its_column(shown: Callable[..., dict[str, str]]) -> None:
    row = shown(show=SHOWN)
    assert list(row) == [
        "model",
        *(f"{label}{beside}" for label in GAINS for beside in ("", *(f": {one}" for one in SHOWN))),
    ]
    assert row["sgd: median"] == "83.00"
    assert row["sam: median"] == "88.20"
    # Differences 5.1, 5.0, 4.9, 5.2, 4.8: mean 5, deviation sqrt(0.025), and t(0.975, 4) is 2.776.
    assert row["sam: difference"] == "+5.00 [+4.80, +5.20] (5)"
    assert row["sam: verdict"] == "better"
    # The mean is 89; its interval, with deviation 3.26, is 4.05 to each side, far beyond the margin.
    assert row["sam: published"] == "88.80 undecided (+0.20)"
    assert (row["sgd: difference"], row["sgd: verdict"], row["sgd: published"]) == ("", "", "")


def test_a_baseline_turns_the_difference_round(shown: Callable[..., dict[str, str]]) -> None:
    row = shown(show=("difference", "verdict"), baseline="sam")
    assert row["sgd: difference"] == "-5.00 [-5.20, -4.80] (5)"
    assert row["sgd: verdict"] == "worse"
    assert (row["sam: difference"], row["sam: verdict"]) == ("", "")


def test_where_leaves_columns_out(shown: Callable[..., dict[str, str]]) -> None:
    assert list(shown(where={"optimizer": ("sam",)}, show=("median",))) == ["model", "sam", "sam: median"]
