"""Runs that several labels share stand in the cells of each, and count once."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.fabricated import write_results
from xsam.grid import Grid, load_grid
from xsam.grid.shared import Shared
from xsam.report.analysis import GridReport, load_report
from xsam.report.overall import overall
from xsam.report.panel import Panel
from xsam.report.panels import panels_of
from xsam.report.planning import power_of
from xsam.report.publication import result_sheet
from xsam.report.sections import means
from xsam.report.table import Key, cells
from xsam.report.text import marks

ROOT = Path(__file__).parents[2]
LABELS = ("sam", "lookbehind_sam", "xsam", "sam_per_step", "lookbehind_sam_per_step", "xsam_per_step",
          "xsam_per_step_scaled")  # fmt: skip


@pytest.fixture(scope="module")
def planned() -> Grid:
    return load_grid(ROOT / "configs" / "paper" / "multi_step.yaml", ["seed=[0,1,2]", "epochs=12"])


@pytest.fixture(scope="module")
def report(planned: Grid, tmp_path_factory: pytest.TempPathFactory) -> GridReport:
    results = tmp_path_factory.mktemp("results")
    write_results(planned, results)
    (found,) = load_report(results).grids
    return found


def row(k: int) -> Key:
    return ("resnet18", "cifar100", k)


def test_a_step_stands_in_every_conventions_column(report: GridReport) -> None:
    table = report.analyses[0].table
    assert table.columns == tuple((label,) for label in LABELS)
    assert len(table.cells) == 7 * 5
    for own, others in {"sam": [3], "lookbehind_sam": [4], "xsam": [5, 6]}.items():
        for other in others:
            ours, theirs = table.cells[row(1), (own,)], table.cells[row(1), (LABELS[other],)]
            assert theirs.run_ids == ours.run_ids
            assert (theirs.values, theirs.label, ours.label) == (ours.values, LABELS[other], own)
    assert all(not cell.shared_by for (at, _), cell in table.cells.items() if at != row(1))


def test_every_conventions_curve_begins_at_one_step(report: GridReport) -> None:
    (curve,) = [one for one in drawn(report) if one.x == "ascent steps"]
    assert [line.label for line in curve.lines] == list(LABELS)
    lines = {line.label: (list(line.x), list(line.mean)) for line in curve.lines}
    assert all(x[0] == 1.0 for x, _ in lines.values())
    assert lines["xsam"][1][0] == lines["xsam_per_step"][1][0] == lines["xsam_per_step_scaled"][1][0]
    assert lines["sam"][1][0] == lines["sam_per_step"][1][0] != lines["xsam"][1][0]
    assert len({line.place for line in curve.lines}) == 7


def test_figures_over_epochs_and_costs_draw_a_run_once(report: GridReport) -> None:
    one_step = [one for one in drawn(report) if one.title == "resnet18 / cifar100 / 1"]
    several = [one for one in drawn(report) if one.title == "resnet18 / cifar100 / 2"]
    assert {one.kind for one in one_step} == {"bands", "points"}
    assert max(len(one.lines) for one in one_step) == 3
    assert max(len(one.lines) for one in several) == 7


def drawn(report: GridReport) -> list[Panel]:
    return list(panels_of(report.analyses[0].table, report.epochs))


def test_shared_runs_are_compared_once_and_never_with_themselves(report: GridReport) -> None:
    analysis = report.analyses[0]
    declared = [(one.place[1], one.place[0][2]) for one in analysis.primary]
    steps = (1, 2, 3, 5, 10)
    assert declared == [((label,), k) for label in ("xsam", "xsam_per_step") for k in steps]
    first, again = analysis.primary[0], analysis.primary[5]
    assert (first.difference, first.answer) == (again.difference, again.answer)
    at_one = [one.place[1] for one in analysis.comparisons if one.place[0] == row(1)]
    assert at_one == [(label,) for label in LABELS if label not in ("sam", "sam_per_step")]
    ours = overall(analysis)
    assert [(one.of, one.against, one.cells[1]) for one in ours] == [
        ("xsam", "sam", 5),
        ("xsam_per_step", "sam_per_step", 5),
    ]


def test_the_level_is_shared_by_the_runs_that_are_compared(planned: Grid) -> None:
    found = power_of(planned, std=0.5)
    assert [(one.comparisons, one.family) for one in found] == [(5, 9), (4, 9)]
    alone = replace(planned, report=replace(planned.report, shared=()))
    assert [one.detectable for one in power_of(alone, std=0.5)] == [one.detectable for one in found]


def test_tables_say_which_labels_are_one_run(report: GridReport) -> None:
    analysis = report.analyses[0]
    said = "One and the same runs at ascent_steps 1: xsam, xsam_per_step, xsam_per_step_scaled; each counts once."
    assert said in means(analysis).notes
    (caption,) = result_sheet(analysis.table).notes
    assert "At k = 1 one run: XSAM, XSAM (per step), XSAM (per step scaled)." in caption
    printed = result_sheet(analysis.table)
    line = next(texts for texts in printed.rows if texts[0].text == "XSAM (per step scaled)")
    assert all(re.match(r"\d", text.text) for text in line[1:]), "no cell of the printed table is empty"


def test_labels_that_share_the_best_runs_are_bold_together(planned: Grid) -> None:
    rng = np.random.default_rng(0)
    gain = {"sam": 0.0, "lookbehind_sam": 1.0, "xsam": 8.0}
    runs = [run for run in planned.runs if run.axes["ascent_steps"] == 1]
    rows = pd.DataFrame(
        {
            "run_id": [run.run_id for run in runs],
            "grid": planned.name,
            "status": "done",
            "test_accuracy_last5_mean": [80.0 + gain[run.optimizer] + rng.normal(0, 0.05) for run in runs],
            **dict.fromkeys(("forwards", "backwards", "wall_seconds", "peak_memory_bytes"), 1.0),
        }
    )
    table = cells(rows, planned)
    assert set(marks(table, row(1))) == {("xsam",), ("xsam_per_step",), ("xsam_per_step_scaled",)}


def test_a_table_of_a_convention_alone_has_its_step_too(planned: Grid) -> None:
    only = replace(planned.report, where={"optimizer": ("sam_per_step", "xsam_per_step")})
    names = ("run_id", "grid", "status", "forwards", "backwards", "wall_seconds", "peak_memory_bytes")
    table = cells(pd.DataFrame(columns=names), planned, only)
    assert table.columns == (("sam_per_step",), ("xsam_per_step",))
    assert table.rows == tuple(row(k) for k in (1, 2, 3, 5, 10))
    assert Shared("sam", {"ascent_steps": 1}, ("sam_per_step",)) in table.report.shared
