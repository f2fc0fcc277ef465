"""The size of the loss is no matter: what a step does to the weights scales with it, from 1e-35 to 1e35 in float32."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.optim import family
from xsam.optim import SAM, XSAM
from xsam.optim._step import foreach

# FisherSAM compares squared gradients with 1, and LE-SAM has a budget of loss: at another size of the loss they are
# other methods.
SCALE_FREE = [method for method in family.METHODS if method not in ("fisher_sam", "le_sam")]


def moved_by(method, factor, dtype=torch.float32):
    """How far three steps move the weights, the loss times ``factor`` and the learning rate divided by it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    kind, usual = family.METHODS[method]
    momentum = 0.9 if method == "momentum_sam" else 0.0
    optimizer = kind(torch.optim.SGD(model.parameters(), lr=0.1 / factor, momentum=momentum), **usual)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(5, 6, generator=generator).to(dtype)
        y = torch.randint(0, 3, (5,), generator=generator)
        optimizer.step(lambda x=x, y=y: nn.functional.cross_entropy(model(x).float(), y) * factor)
    moves = [(p.detach() - s).flatten().double() for p, s in zip(model.parameters(), start, strict=True)]
    return torch.cat(moves)


def relative_error(actual, expected):
    return float((actual - expected).norm() / expected.norm())


@settings(max_examples=12)
@given(exponent=st.floats(-35, 35))
@pytest.mark.parametrize("method", SCALE_FREE)
def test_a_step_scales_with_the_loss(method, exponent):
    assert relative_error(moved_by(method, 10**exponent), moved_by(method, 1.0)) < 1e-4


@pytest.fixture
def unseen(monkeypatch):
    """Norms as on an accelerator, where no number is looked at."""
    monkeypatch.setattr(foreach, "_at_hand", lambda _: False)


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("factor", [1e-35, 1e-20, 1e20, 1e35])
@pytest.mark.parametrize("method", SCALE_FREE)
def test_a_step_scales_with_the_loss_where_nobody_looks_at_norms(method, factor):
    assert relative_error(moved_by(method, factor), moved_by(method, 1.0)) < 1e-4


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_ordinary_norms_are_the_same_wherever_they_are_computed(dtype, monkeypatch):
    a, b = torch.randn(2, 50, generator=torch.Generator().manual_seed(0)).to(dtype)
    there = foreach.cosine_and_norms([a], foreach.norm([a]), [b])
    monkeypatch.undo()
    here = foreach.cosine_and_norms([a], foreach.norm([a]), [b])
    for first, second in zip(there, here, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("factor", [1e-35, 1e-20, 1e20, 1e35])
@pytest.mark.parametrize("method", family.METHODS)
def test_bfloat16_has_the_same_range(method, factor):
    moves = moved_by(method, factor, torch.bfloat16)
    assert moves.isfinite().all()
    assert moves.norm() > 0
    if method in SCALE_FREE:
        assert relative_error(moves, moved_by(method, 1.0, torch.bfloat16)) < 0.2


@pytest.mark.parametrize("factor", [1e-6, 1e-4, 1.0, 1e4])
@pytest.mark.parametrize("method", SCALE_FREE)
def test_float16_keeps_its_radius_at_both_ends_of_its_range(method, factor):
    weight = nn.Parameter(torch.tensor([3.0, -4.0], dtype=torch.float16))
    kind, usual = family.METHODS[method]
    optimizer = kind(torch.optim.SGD([weight], lr=0.0, momentum=0.9), **{**usual, "rho": 1.0})
    seen = []

    def closure():
        seen.append(weight.detach().clone())
        return (weight.float() * factor).sum()

    for _ in range(2):
        optimizer.step(closure)
    assert all(each.isfinite().all() for each in seen)
    farthest = max(float((each.float() - seen[0].float()).norm()) for each in seen)
    assert farthest > 0.5


@pytest.mark.parametrize("method", [SAM, XSAM])
@pytest.mark.parametrize("rho", [1e-3, 1.0, 1e3])
def test_a_zero_gradient_moves_nothing_whatever_the_radius(method, rho):
    weight = nn.Parameter(torch.zeros(3))
    optimizer = method(torch.optim.SGD([weight], lr=1.0), rho=rho, ascent_steps=2)
    optimizer.step(lambda: weight.square().sum())
    assert weight.tolist() == [0.0, 0.0, 0.0]


elements = st.lists(st.floats(-1, 1), min_size=2, max_size=6).filter(lambda values: max(map(abs, values)) > 1e-3)
exponents = st.floats(-35, 35)


@given(x=elements, y=elements, first=exponents, second=exponents)
def test_norms_and_cosines_are_those_of_float64(x, y, first, second):
    size = min(len(x), len(y))
    exact = [torch.tensor(v[:size], dtype=torch.float64) * 10**e for v, e in ((x, first), (y, second))]
    a, b = ([each.float()] for each in exact)
    expected = [float(each.float().double().norm()) for each in exact]
    for norm, tensors, wanted in zip((foreach.norm(a), foreach.norm(b)), (a, b), expected, strict=True):
        assert float(norm) == pytest.approx(wanted, rel=1e-5)
        assert float(foreach.scaled_norm(tensors, torch.float32)) == pytest.approx(wanted, rel=1e-5)
    if min(expected) < 1e-36:
        return
    angle = float(a[0].double() @ b[0].double()) / math.prod(expected)
    cosine, norms = foreach.cosine_and_norms(a, foreach.norm(a), b)
    assert float(cosine) == pytest.approx(angle, abs=1e-5)
    assert float(foreach.cosine(a, b, norms)) == pytest.approx(angle, abs=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_stays_so(bad):
    assert not math.isfinite(foreach.norm([torch.tensor([1.0, bad])]))
    assert not math.isfinite(foreach.norm([torch.tensor([1e30, bad])]))
