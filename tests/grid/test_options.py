"""``--set`` and ``--only``."""

from __future__ import annotations

import re

import pytest

from tests.grid.conftest import LoadText
from xsam.grid import GridError, select

GRID = """\
name: g
task: fake
matrix:
  model: [mlp, resnet8]
  dataset: [digits]
  optimizer: [sgd, {plus: {method: xsam, alpha: 0, rho: 0.3}}, sam]
  ascent_steps: [1, 2]
  seed: {count: 3}
params: {hidden: [8], lr: 0.05}
overrides:
  - when: {model: resnet8}
    params: {lr: 0.1}
  - when: {optimizer: sam, model: mlp}
    params: {rho: 0.2}
exclude: [{model: resnet8, optimizer: plus}]
report: {rows: [model, dataset], columns: [optimizer, ascent_steps]}
"""


def test_a_set_axis_has_the_new_values_and_the_grid_its_own_name(load_text: LoadText) -> None:
    plain, grid = load_text(GRID), load_text(GRID, ["seed=7", "ascent_steps=[2, 3]"])
    assert re.fullmatch(r"g@[0-9a-f]{8}", grid.name)
    assert (grid.axes["seed"], grid.axes["ascent_steps"]) == ((7,), (2, 3))
    assert grid.axes["optimizer"] == plain.axes["optimizer"]
    assert len(grid.runs) == 2 + 2 + 2 * 2
    assert grid.report == plain.report


def test_the_name_depends_on_what_is_set_and_not_on_its_order_or_spelling(load_text: LoadText) -> None:
    names = [
        load_text(GRID, sets).name
        for sets in (["seed=0,1", "lr=1"], ["lr=1e0", "seed=[0, 1]"], [" lr = 1.0 ", "seed={count: 2}"], ["lr=1"])
    ]
    assert names[0] == names[1] == names[2] != names[3]


def test_a_set_parameter_wins_over_params_labels_and_overrides(load_text: LoadText) -> None:
    grid = load_text(GRID, ["lr=0.4", "rho=0.5"])
    assert {run.params["lr"] for run in grid.runs} == {0.4}
    assert {run.params["rho"] for run in grid.runs if run.optimizer != "sgd"} == {0.5}
    grid = load_text(GRID, ["rho_per_step=0.5"])
    assert {(run.params["ascent_steps"], run.params["rho"]) for run in grid.runs if run.optimizer != "sgd"} == {
        (1, 0.5),
        (2, 1.0),
    }


def test_setting_what_the_file_says_gives_the_same_runs_under_another_name(load_text: LoadText) -> None:
    plain, grid = load_text(GRID), load_text(GRID, ["model=mlp,resnet8"])
    assert grid.runs == plain.runs
    assert grid.name != plain.name


def test_set_optimizers_may_be_labels_of_the_file_methods_or_new_labels(load_text: LoadText) -> None:
    grid = load_text(GRID, ["optimizer=[plus, xsam, {mine: {method: sam, rho: 1}}]", "model=mlp"])
    assert grid.axes["optimizer"] == ("plus", "xsam", "mine")
    assert {(run.optimizer, run.params["rho"]) for run in grid.runs} == {("plus", 0.3), ("xsam", 0.05), ("mine", 1.0)}


def test_what_a_set_leaves_without_effect_in_the_file_is_no_mistake(load_text: LoadText) -> None:
    grid = load_text(GRID, ["optimizer=sgd", "model=mlp"])
    assert [dict(run.axes) for run in grid.runs] == [
        {"model": "mlp", "dataset": "digits", "optimizer": "sgd", "seed": seed} for seed in range(3)
    ]
    assert "ascent_steps" not in grid.axes
    assert grid.report.columns == ("optimizer",)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["lr"], "--set lr: write key=value"),
        (["=1"], "--set =1: write key=value"),
        (["lr=1", "lr=2"], "--set lr=2: lr is given twice"),
        (["epohcs=1"], "--set epohcs=1: unknown parameter 'epohcs'; did you mean 'epochs'?"),
        (["lr=fast"], "--set lr=fast: lr must be a number, not 'fast'"),
        (["lr=0.1,0.2"], "--set lr=0.1,0.2: lr must be a number, not [0.1, 0.2]: several "
             "values make it an axis of matrix (lr: [0.1, 0.2])"),
        (["epochs=010"], "--set epochs=010: epochs must be a whole number, not '010'"),
        (["lr="], "--set lr=: lr must be a number, not null"),
        (["lr=[1"], "--set lr=[1: not valid YAML: expected ',' or ']', but got '<stream end>', "
         "while parsing a flow sequence that begins on line 1"),
        (["model=resnet81"], "--set model=resnet81: unknown model 'resnet81'; did you mean 'resnet8'?"),
        (["seed=1,1"], "--set seed=1,1: the axis 'seed' has the value 1 twice"),
        (["seed=[]"], "--set seed=[]: the axis 'seed' is empty"),
        (["optimizer=plsu"], "--set optimizer=plsu: unknown optimizer 'plsu'; did you mean 'plus'?"),
        (["beta1=0.5"], "--set beta1=0.5: no run of this grid uses 'beta1'"),
        (["rho=1", "rho_per_step=1"], "--set rho=1: rho and rho_per_step are two ways to say the same thing: "
         "leave out one of them"),
        (["optimizer=sgd", "ascent_steps=3"], "--set ascent_steps=3: no run of this grid uses the axis 'ascent_steps'"),
        (["model=resnet8", "optimizer=plus"], "--set model=resnet8 --set optimizer=plus: the grid is empty: "
         "exclude leaves no run"),
        (["model=resnet18"], "--set model=resnet18: model resnet18 needs images of 32 pixels, dataset digits has 8 "
         "(in the run model=resnet18, dataset=digits, optimizer=sgd, seed=0)"),
    ],
)  # fmt: skip
def test_a_wrong_set_names_the_option(load_text: LoadText, sets: list[str], message: str) -> None:
    with pytest.raises(GridError) as caught:
        load_text(GRID, sets)
    assert str(caught.value) == message


def test_the_alternative_of_an_axis_cannot_be_set(load_text: LoadText) -> None:
    text = "name: g\ntask: fake\nmatrix: {model: [mlp], dataset: [digits], optimizer: [sam], rho: [1, 2]}"
    with pytest.raises(GridError) as caught:
        load_text(text, ["rho_per_step=1"])
    assert str(caught.value) == ("--set rho_per_step=1: rho is an axis of the matrix and says the same thing: set rho")


@pytest.mark.parametrize(
    ("only", "runs"),
    [
        ([], 3 + 2 * 3 + 2 * 3 + 3 + 2 * 3),
        (["seed=0"], 8),
        (["seed=0,2", "model=mlp"], 10),
        (["optimizer=sam,plus"], 18),
        (["ascent_steps=2"], 9),
        (["lr=1e-1"], 9),
        (["rho=0.2,0.3", "seed=1"], 4),
        (["hidden=[8]"], 15),
        (["base=sgd"], 18),
    ],
)
def test_only_picks_runs_by_axis_or_parameter(load_text: LoadText, only: list[str], runs: int) -> None:
    grid = load_text(GRID)
    picked = select(grid, only)
    assert len(picked) == runs
    assert picked == tuple(run for run in grid.runs if run in picked)


@pytest.mark.parametrize(
    ("only", "message"),
    [
        (["seed"], "--only seed: write key=value"),
        (["sed=0"], "--only sed=0: unknown axis or parameter 'sed'; did you mean 'seed'?"),
        (["seed=3"], "--only seed=3: no run of g has seed=3; valid: 0, 1, 2"),
        (["seed=one"], "--only seed=one: seed must be a whole number, not 'one'"),
        (["optimizer=smam"], "--only optimizer=smam: no run of g has optimizer=smam; did you mean 'sam'?"),
        (["beta1=0.9"], "--only beta1=0.9: no run of g has beta1=0.9"),
        (["optimizer=sgd", "ascent_steps=1"],
         "--only optimizer=sgd --only ascent_steps=1: no run of g meets all of these"),
        (["seed=0", "seed=1"], "--only seed=1: seed is given twice"),
    ],
)  # fmt: skip
def test_a_wrong_only_names_the_option(load_text: LoadText, only: list[str], message: str) -> None:
    with pytest.raises(GridError) as caught:
        select(load_text(GRID), only)
    assert str(caught.value) == message
