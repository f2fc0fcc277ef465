"""Labels that are one run somewhere: it is trained under one of them, and tables say so with ``shared``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.grid.conftest import LoadText
from xsam.grid import Grid, GridError
from xsam.grid.load import load_document
from xsam.grid.shared import Shared

CONFIGS = Path(__file__).parents[2] / "configs"
GRID = """\
name: g
task: vision
matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: [sgd, sam, {step: {method: sam, rho_per_step: 0.1}}, {plus: {method: xsam, rho: 0.1}}]
  ascent_steps: [1, 3]
  seed: [0, 1]
overrides:
  - {when: {optimizer: sam}, params: {rho: 0.1}}
exclude:
  - {optimizer: step, ascent_steps: 1}
report:
"""
SHARED = "  shared: [{of: sam, at: {ascent_steps: 1}, by: [step]}]\n"


def test_a_table_says_which_labels_share_runs_and_grid_json_keeps_it(load_text: LoadText) -> None:
    grid = load_text(GRID + SHARED)
    assert grid.report.shared == (Shared("sam", {"ascent_steps": 1}, ("step",)),)
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid
    assert grid.runs == load_text(GRID + "  rule: final\n").runs, "no run's id knows under which labels it is shown"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{of: sam, by: [step]}", "an entry of shared needs 'at'"),
        ("{of: sam, at: {}, by: [step]}", "at needs an axis with its value"),
        ("{of: sam, at: {ascent_step: 1}, by: [step]}", "at names 'ascent_step', which is not an axis"),
        ("{of: sam, at: {seed: 1}, by: [step]}", "at names 'seed', which is not an axis"),
        ("{of: sma, at: {ascent_steps: 1}, by: [step]}", "of names 'sma', which is no optimizer of this grid; did you"),
        ("{of: sam, at: {ascent_steps: 1}, by: [stp]}", "by names 'stp', which is no optimizer of this grid; did you"),
        ("{of: sam, at: {ascent_steps: 1}, by: []}", "by names no label that shares the runs of sam"),
        ("{of: sam, at: {ascent_steps: 2}, by: [step]}", "sam has no run at ascent_steps 2 that could be shared"),
        ("{of: sam, at: {ascent_steps: 3}, by: [step]}", "step has runs of its own at ascent_steps 3: exclude them"),
        ("{of: sam, at: {ascent_steps: 1}, by: [sgd]}", "sgd is sgd and sam is sam: they can share no run"),
    ],
)
def test_mistakes_in_shared_runs(load_text: LoadText, entry: str, message: str) -> None:
    with pytest.raises(GridError) as caught:
        load_text(f"{GRID}  shared: [{entry}]\n")
    assert str(caught.value).split(":", 2)[1:] == ["14", f" {caught.value.message}"]
    assert message in caught.value.message


def test_what_is_set_may_leave_nothing_to_share(load_text: LoadText) -> None:
    assert load_text(GRID + SHARED, ["ascent_steps=3"]).report.shared == ()
    assert load_text(GRID + SHARED, ["optimizer=sam,plus"]).report.shared == ()
    assert len(load_text(GRID + SHARED, ["seed=5"]).report.shared) == 1


@pytest.mark.parametrize("name", ["cpu/multi_step_digits", "cpu/multi_step_fashion", "paper/multi_step"])
def test_conventions_of_several_steps_are_one_run_at_one_step(name: str) -> None:
    document, plan = load_document(CONFIGS / f"{name}.yaml")
    ids: dict[str, list[str]] = {}
    for cell in plan.cells:  # with those that exclude leaves out
        if cell.spec.axes["ascent_steps"] == 1:
            ids.setdefault(cell.spec.optimizer, []).append(cell.spec.run_id)
    for method in ("sam", "lookbehind_sam", "xsam"):
        same = [label for label in ids if label.startswith(method)]
        assert len(same) in (2, 3)
        assert all(ids[label] == ids[method] for label in same)
    assert "shared" in document.report.mapping("report")
