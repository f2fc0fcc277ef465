"""The training loop's parameters in a grid: budgets, alternatives, and what a run does not use."""

from __future__ import annotations

import pytest

from tests.grid.conftest import LoadText
from xsam.grid import GridError

HEAD = "name: g\ntask: fake\nmatrix:\n  model: [mlp]\n  dataset: [digits]\n"


def test_a_pass_budget_becomes_the_epochs_that_each_method_can_pay(load_text: LoadText) -> None:
    grid = load_text(
        HEAD + "  optimizer: [sgd, sam, looksam, xsam]\n  ascent_steps: [1, 4]\nparams: {pass_budget: 60}\n"
    )
    epochs = {(run.method, run.params.get("ascent_steps")): run.params["epochs"] for run in grid.runs}
    assert epochs == {
        ("sgd", None): 60,
        ("sam", 1): 30,
        ("sam", 4): 12,
        ("looksam", None): 50,
        ("xsam", 1): 30,
        ("xsam", 4): 12,
    }
    assert {run.params["pass_budget"] for run in grid.runs} == {60}


def test_what_a_budget_leaves_over_buys_no_part_of_an_epoch(load_text: LoadText) -> None:
    (run,) = load_text(HEAD + "  optimizer: [looksam]\nparams: {pass_budget: 11, refresh_every: 2}\n").runs
    assert run.params["epochs"] == 7


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("{epochs: 3, pass_budget: 9}", "grid.yaml:7: .*two ways to say the same thing"),
        ("{warmup_epochs: 1, warmup_updates: 9}", "grid.yaml:7: .*two ways to say the same thing"),
        ("{pass_budget: 1}", r"pass_budget 1 pays for no epoch of sam, which takes 2 passes"),
        ("{schedule: inverse_sqrt}", "grid.yaml:7: schedule inverse_sqrt .*: give warmup_updates"),
        ("{schedule: multistep, milestones: [60, 30]}", r"grid.yaml:7: milestones must rise, not \[60, 30\]"),
        ("{schedule: multistep, milestones: [100]}", "milestones must be at most 99, not 100"),
        ("{milestones: [50]}", "no run of this grid uses 'milestones'"),
        ("{warmup_start: 0.1}", "no run of this grid uses 'warmup_start'"),
        ("{ema_decay: 1}", "ema_decay must be below 1, not 1"),
    ],
)
def test_mistakes_are_answered_where_they_were_made(load_text: LoadText, params: str, message: str) -> None:
    with pytest.raises(GridError, match=message):
        load_text(HEAD + f"  optimizer: [sam]\nparams: {params}\n")


def test_what_is_said_later_wins(load_text: LoadText) -> None:
    grid = load_text(
        HEAD + "  optimizer: [sgd, {long: {method: sgd, pass_budget: 20}}]\nparams: {epochs: 3, warmup_epochs: 2}\n"
        "overrides:\n  - when: {optimizer: [long]}\n    params: {warmup_updates: 5}\n"
    )
    plain, long = grid.runs
    assert (plain.params["epochs"], "pass_budget" in plain.params, plain.params["warmup_epochs"]) == (3, False, 2)
    assert (long.params["epochs"], long.params["warmup_updates"], "warmup_epochs" in long.params) == (20, 5, False)


def test_options_at_their_defaults_leave_the_id_as_it_was(load_text: LoadText) -> None:
    text = HEAD + "  optimizer: [xsam]\n"
    (plain,) = load_text(text).runs
    explicit = "{precision: fp32, accumulation: 1, compile: false, devices: 1, warmup_updates: 0}"
    (spelt,) = load_text(f"{text}params: {explicit}\n").runs
    assert spelt.run_id == plain.run_id
    for changed in ("precision: bf16", "accumulation: 2", "devices: 2", "ema_decay: 0.9", "max_updates: 5"):
        (other,) = load_text(f"{text}params: {{{changed}}}\n").runs
        assert other.run_id != plain.run_id
