"""When alpha is searched, what a search chooses, and how it is asked for."""

from __future__ import annotations

import math

import pytest
import torch

from tests.optim import problems
from xsam.optim import XSAM


def optimizer_of(model, **keywords):
    return XSAM(problems.sgd(model), rho=0.3, probe_radius=0.8, **keywords)


def searched_steps(steps, requests=(), **keywords):
    """The steps, counted from 0, in which a search took place."""
    model = problems.plain_net()
    optimizer = optimizer_of(model, **keywords)
    found = []
    for step, batch in enumerate(problems.batches(steps)):
        if step in requests:
            optimizer.request_alpha_search()
        before = optimizer.forwards
        optimizer.step(problems.closure_of(model, batch))
        if optimizer.forwards - before > 2:
            found.append(step)
    return found


def test_alpha_is_searched_at_the_first_step_and_on_request():
    assert searched_steps(6) == [0]
    assert searched_steps(6, requests=[0, 2, 3]) == [0, 2, 3]


def test_a_fixed_alpha_is_searched_on_request_only():
    assert searched_steps(4, alpha=1.3) == []
    assert searched_steps(4, requests=[2], alpha=1.3) == [2]


def test_search_every_counts_from_the_first_step():
    assert searched_steps(8, search_every=3) == [0, 3, 6]
    assert searched_steps(8, search_every=3, alpha=0.5) == [0, 3, 6]
    assert searched_steps(8, search_every=3, requests=[1]) == [0, 1, 3, 6]


def test_a_fixed_alpha_stays():
    model = problems.plain_net()
    optimizer = optimizer_of(model, alpha=1.3)
    for batch in problems.batches(3):
        optimizer.step(problems.closure_of(model, batch))
    assert optimizer.alpha == 1.3
    assert optimizer.last_search is None


@pytest.mark.parametrize(
    ("largest", "step", "expected"),
    [
        (2.0, 0.1, tuple(tenth / 10 for tenth in range(21))),
        (1.0, 0.3, (0.0, 0.3, 0.6, 0.9)),
        (0.3, 0.1, (0.0, 0.1, 0.2, 0.3)),
        (1.2, 0.4, (0.0, 0.4, 0.8, 1.2)),
    ],
)
def test_the_probed_grid_is_exact_in_decimals(largest, step, expected):
    model = problems.plain_net()
    optimizer = optimizer_of(model, alpha_max=largest, alpha_step=step)
    optimizer.step(problems.closure_of(model, problems.batches(1)[0]))
    assert optimizer.last_search.alphas == expected


def test_ties_go_to_the_smallest_alpha():
    weight = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = XSAM(torch.optim.SGD([weight], lr=0.1))
    calls = []

    def flat_where_probed():
        calls.append(weight.detach().clone())
        loss = weight.square().sum()
        return loss if len(calls) <= 2 else loss * 0

    optimizer.step(flat_where_probed)
    assert optimizer.alpha == 0.0


def probe_with(values, **keywords):
    """One step whose probes see ``values`` instead of the loss."""
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = XSAM(torch.optim.SGD([weight], lr=0.1), alpha_max=0.4, alpha_step=0.1, **keywords)
    optimizer.request_alpha_search()
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        return (weight**3).sum() if calls <= 2 else torch.tensor(values[calls - 3])

    optimizer.step(closure)
    return optimizer


def test_losses_that_are_not_finite_are_passed_over():
    optimizer = probe_with([1.0, math.inf, 3.0, math.nan, 2.0])
    assert optimizer.alpha == 0.2
    assert optimizer.last_search.losses[:3] == (1.0, math.inf, 3.0)


def test_without_a_finite_loss_alpha_stays_or_is_one():
    assert probe_with([math.nan, math.inf, -math.inf, math.nan, math.nan]).alpha == 1.0
    assert probe_with([math.nan] * 5, alpha=0.7).alpha == 0.7


def test_probes_sit_on_the_circle_of_the_probe_radius_and_the_weights_come_back():
    model = problems.plain_net()
    optimizer = optimizer_of(model, alpha=1.0)
    optimizer.request_alpha_search()
    start = [parameter.detach().clone() for parameter in model.parameters()]
    (batch,) = problems.batches(1)
    distances = []

    def closure():
        moved = [p.detach() - s for p, s in zip(model.parameters(), start, strict=True)]
        distances.append(torch.cat([part.flatten() for part in moved]).norm().item())
        return problems.loss_of(model, batch)

    optimizer.base_optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step(closure)
    assert distances == pytest.approx([0.0, 0.3] + [0.8] * 21, abs=1e-12)
    assert all(torch.equal(p, s) for p, s in zip(model.parameters(), start, strict=True))


def test_probes_run_without_a_graph():
    model = problems.plain_net()
    optimizer = optimizer_of(model)
    grad_modes = []

    def closure():
        grad_modes.append(torch.is_grad_enabled())
        return problems.loss_of(model, problems.batches(1)[0])

    with torch.no_grad():
        optimizer.step(closure)
    assert grad_modes == [True, True] + [False] * 21


def searches_on_one_weight(steps, request_at=(), **keywords):
    """The steps at which alpha was searched."""
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = XSAM(torch.optim.SGD([weight], lr=1e-3), alpha_step=1.0, **keywords)
    searched = []
    for step in range(steps):
        if step in request_at:
            optimizer.request_alpha_search()
        before = optimizer.forwards
        optimizer.step(lambda: weight.square().sum())
        if optimizer.forwards - before > 2:
            searched.append(step)
    return searched


def test_whoever_never_says_when_has_alpha_searched_every_500_steps():
    assert searches_on_one_weight(1200) == [0, 500, 1000]


def test_whoever_says_when_is_not_second_guessed():
    assert searches_on_one_weight(1200, alpha=1.2) == []
    assert searches_on_one_weight(1200, request_at=[0]) == [0]
    assert searches_on_one_weight(1200, request_at=[0, 700]) == [0, 700]
    assert searches_on_one_weight(1200, search_every=900) == [0, 900]


def test_states_from_before_searches_came_by_themselves_go_on_without_them():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = XSAM(torch.optim.SGD([weight], lr=1e-3))
    state = optimizer.state_dict()
    del state["sharpness_aware"]["on_request"]
    optimizer.load_state_dict(state)
    assert optimizer.state_dict()["sharpness_aware"]["on_request"] is True
