"""What a grid's ``report`` may ask for: several tables, a baseline, a part of the axes, further columns."""

from __future__ import annotations

import json
import re

import pytest

from tests.grid.conftest import LoadText
from xsam.grid import Grid, GridError, ReportSpec
from xsam.grid.compare import Declared

MATRIX = """\
name: g
task: vision
matrix:
  model: [mlp, resnet8]
  dataset: [digits]
  optimizer: [sgd, sam, {plus: {method: xsam, alpha: 0}}]
  ascent_steps: [1, 3]
  hidden: [[8], [8, 8]]
  seed: [0, 1]
"""
ONE = """\
report:
  name: mlp-only
  rows: [dataset, hidden]
  columns: [optimizer, ascent_steps]
  metric: test_loss_final
  baseline: sam
  where: {model: mlp, hidden: [[8, 8], [8]], optimizer: [plus, sam]}
  show: [verdict, median, published]
  names: {plus: SAM+, mlp: a small MLP}
  caption: Losses of two methods.
  label: tab:losses
  precision: 3
"""
TWO = """\
report:
  - {}
  - name: other
    rows: [dataset]
    columns: [optimizer]
    where: {model: resnet8, ascent_steps: 3, hidden: [[8]]}
    rule: last5_mean
"""


def test_every_key_of_a_table_is_taken(load_text: LoadText) -> None:
    (report,) = load_text(MATRIX + ONE).tables
    assert report == ReportSpec(
        rows=("dataset", "hidden"),
        columns=("optimizer", "ascent_steps"),
        metric="test_loss_final",
        rule="final",
        name="mlp-only",
        baseline="sam",
        where={"model": ("mlp",), "hidden": ((8,), (8, 8)), "optimizer": ("sam", "plus")},
        show=("median", "verdict", "published"),
        names={"plus": "SAM+", "mlp": "a small MLP"},
        caption="Losses of two methods.",
        label="tab:losses",
        precision=3,
    )


def test_a_list_has_a_table_each_and_an_axis_with_one_value_left_needs_no_place(load_text: LoadText) -> None:
    first, second = load_text(MATRIX + TWO).tables
    assert (first.name, first.rows, first.columns) == (
        "table",
        ("model", "dataset", "hidden"),
        ("optimizer", "ascent_steps"),
    )
    assert (second.name, second.rule) == ("other", "last5_mean")
    assert second.where == {"model": ("resnet8",), "ascent_steps": (3,), "hidden": ((8,),)}


@pytest.mark.parametrize("text", [ONE, TWO])
def test_tables_come_back_from_grid_json(load_text: LoadText, text: str) -> None:
    grid = load_text(MATRIX + text)
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid


def test_tables_change_no_run(load_text: LoadText) -> None:
    assert load_text(MATRIX + ONE).runs == load_text(MATRIX + TWO).runs == load_text(MATRIX).runs


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("[{}, {}]", "two tables are called 'table': give each its own name"),
        ("[{name: a, rule: beste}]", "unknown rule 'beste'; did you mean 'best_test'?"),
        ("{name: Figures}", "the name of a table must be small letters"),
        ("{name: figures}", "the name of a table must be small letters, digits, '_' and '-', and not figures"),
        ("{name: ../../x}", "the name of a table must be small letters"),
        ("{name: ''}", "the name of a table must be small letters"),
        ("{baseline: sum}", "unknown baseline 'sum'; did you mean 'sam'?"),
        ("{baseline: xsam}", "unknown baseline 'xsam'; did you mean 'sam'?"),
        ("{baseline: sgd, where: {optimizer: [sam, plus]}}", "unknown baseline 'sgd'"),
        ("{where: {modle: mlp}}", "where names 'modle', which is not an axis of this grid; did you mean 'model'?"),
        ("{where: {model: resnet}}", "where: no run has the model 'resnet'; did you mean 'resnet8'?"),
        ("{where: {ascent_steps: [1, 2]}}", "where: no run has the ascent_steps 2"),
        ("{where: {model: []}}", "where: the list of values of 'model' is empty"),
        ("{show: [medain]}", "show: unknown 'medain'; did you mean 'median'?"),
        ("{show: median}", "show must be a list, not 'median'"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(load_text: LoadText, report: str, message: str) -> None:
    with pytest.raises(GridError) as caught:
        load_text(MATRIX + "report: " + report)
    assert f"grid.yaml:10: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_declared_comparisons_are_taken_and_survive_grid_json(load_text: LoadText) -> None:
    text = (
        MATRIX
        + """\
report:
  - {}
  - name: declared
    where: {hidden: [[8]]}
    compare:
      - {of: sam, with: sgd, per: [model, dataset, ascent_steps], margin: 0.2}
      - {of: plus, with: sam}
"""
    )
    grid = load_text(text)
    plain, declared = grid.tables
    assert plain.compare == ()
    every = ("model", "dataset", "ascent_steps", "hidden")
    assert declared.compare == (Declared("sam", "sgd", every[:3], 0.2), Declared("plus", "sam", every))
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid
    assert grid.runs == load_text(MATRIX).runs, "no run's id knows what it will be compared with"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{of: sam, with: sgd, per: [model, dataset, ascent_steps]}", "per leaves out 'hidden', which has 2 values"),
        ("{of: sam, with: sgd, per: [modle]}", "per names 'modle', which is not an axis of this grid; did you mean"),
        ("{of: sam, with: sgd, per: [seed]}", "per cannot name seed: a comparison is of two optimizers"),
        ("{of: sam, with: sgd, margin: 0}", "margin must be a number above 0, not 0"),
        ("{of: sam, with: sgd, margin: wide}", "margin must be a number above 0, not 'wide'"),
        ("{of: sam, with: sgd}, {of: sam, with: sgd}", "sam is compared with sgd twice"),
    ],
)
def test_mistakes_in_declared_comparisons(load_text: LoadText, entry: str, message: str) -> None:
    with pytest.raises(GridError, match=re.escape(message)) as caught:
        load_text(f"{MATRIX}report:\n  compare: [{entry}]\n")
    assert caught.value.line == 11


def test_a_label_outside_of_the_table_cannot_be_compared(load_text: LoadText) -> None:
    with pytest.raises(GridError, match="with names 'plus', which is no optimizer of this table"):
        load_text(MATRIX + "report: {where: {optimizer: [sgd, sam]}, compare: [{of: sam, with: plus}]}\n")
