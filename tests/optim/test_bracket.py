"""The search that closes in on the maximum: the grid's own choice on unimodal curves, with few probes."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xsam import XSAM
from xsam.optim._step.search import bracket


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=60), st.data())
def test_it_finds_the_peak_of_every_unimodal_curve(rises, data):
    peak = data.draw(st.integers(0, len(rises) - 1))
    values = [0.0] * len(rises)
    for index in range(1, len(rises)):
        values[index] = values[index - 1] + (rises[index] if index <= peak else -rises[index])
    looked: list[int] = []

    def value_at(index):
        looked.append(index)
        return values[index]

    found = bracket(value_at, len(values))
    assert max(found, key=found.__getitem__) == peak
    assert len(looked) == len(set(looked)) == len(found), "nothing is looked at twice"
    if len(values) <= 21:
        assert len(looked) <= 7


def test_losses_that_are_not_finite_are_no_maximum():
    found = bracket(lambda index: math.nan if index > 5 else float(index), 21)
    assert max((index for index in found if math.isfinite(found[index])), key=found.__getitem__) == 5


@pytest.mark.parametrize("seed", range(5))
def test_on_a_smooth_problem_both_searches_choose_the_same_alpha(seed):
    def searched(how):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)).double()
        x, y = torch.randn(40, 6, dtype=torch.float64), torch.randint(3, (40,))
        base = torch.optim.SGD(model.parameters(), lr=0.1)
        optimizer = XSAM(base, rho=0.5, probe_radius=1.0, model=model, search=how)
        optimizer.step(lambda: torch.nn.functional.cross_entropy(model(x), y))
        return optimizer

    grid, close = searched("grid"), searched("bracket")
    losses = grid.last_search.losses
    peak = losses.index(max(losses))
    assert all(a < b for a, b in pairwise(losses[: peak + 1])), "the curve is unimodal"
    assert all(a > b for a, b in pairwise(losses[peak:])), "the curve is unimodal"
    assert close.alpha == grid.alpha
    assert close.forwards - 2 <= 9
    assert set(zip(close.last_search.alphas, close.last_search.losses, strict=True)) <= set(
        zip(grid.last_search.alphas, losses, strict=True)
    )
