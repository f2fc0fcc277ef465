"""Which parameters take part in a step: passes that lack a gradient, frozen parameters, and nothing to train."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.optim import problems
from xsam.optim import SAM, XSAM


class Branches(nn.Module):
    """``plan`` says for each pass which of two layers take part."""

    def __init__(self, plan):
        super().__init__()
        torch.manual_seed(0)
        self.always, self.first, self.second = (nn.Linear(4, 4).double() for _ in range(3))
        self.unused = nn.Linear(4, 4).double()
        self.plan, self.calls = plan, 0

    def forward(self, value):
        used = self.plan[min(self.calls, len(self.plan) - 1)]
        self.calls += 1
        value = self.always(value)
        for name in used:
            value = torch.tanh(getattr(self, name)(value))
        return value.square().sum()


X = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def by_hand(plan, rho, alpha):
    """One step's gradients of ``Branches``, missing ones taken for zero, None where no pass had one."""
    model = Branches(plan)
    parameters = list(model.parameters())
    steps = len(plan) - 1
    seen = [False] * len(parameters)
    total = [torch.zeros_like(p) for p in parameters]
    for index in range(len(plan)):
        gradients = torch.autograd.grad(model(X), parameters, allow_unused=True)
        seen = [s or g is not None for s, g in zip(seen, gradients, strict=True)]
        filled = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]
        norm = torch.cat([g.flatten() for g in filled]).norm()
        if index == steps:
            break
        with torch.no_grad():
            for p, t, g in zip(parameters, total, filled, strict=True):
                p.add_(rho / steps * g / norm)
                t.add_(g / norm)
    d = torch.cat([t.flatten() for t in total])
    g = torch.cat([f.flatten() for f in filled])
    psi = torch.acos(d @ g / d.norm() / g.norm())
    v = (torch.sin((1 - alpha) * psi) * d / d.norm() + torch.sin(alpha * psi) * g / g.norm()) / torch.sin(psi)
    parts = (g.norm() * v).split([p.numel() for p in parameters])
    return [part.reshape(p.shape) if was else None for part, p, was in zip(parts, parameters, seen, strict=True)]


PLANS = {
    "missing later": [["first", "second"], ["first"]],
    "appearing later": [["first"], ["first", "second"]],
    "changing": [["first"], ["second"], ["first"]],
    "in the middle": [[], ["first", "second"], []],
    "last alone": [[], [], ["second"]],
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("alpha", [1.0, 1.6])
def test_a_gradient_that_a_pass_lacks_counts_as_zero(plan, alpha):
    model = Branches(plan)
    before = problems.snapshot(model)
    base = torch.optim.SGD(model.parameters(), lr=0.0, weight_decay=0.1)
    optimizer = XSAM(base, rho=0.4, ascent_steps=len(plan) - 1, rng="fresh", alpha=alpha)
    optimizer.step(lambda: model(X))
    for parameter, expected in zip(model.parameters(), by_hand(plan, 0.4, alpha), strict=True):
        if expected is None:
            assert parameter.grad is None
        else:
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-12)
    problems.assert_bitwise(model.state_dict(), before)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_sam_takes_a_missing_gradient_for_zero(plan):
    model = Branches(plan)
    base = torch.optim.SGD(model.parameters(), lr=0.0)
    SAM(base, rho=0.4, ascent_steps=len(plan) - 1, rng="fresh").step(lambda: model(X))
    for parameter, expected in zip(model.parameters(), by_hand(plan, 0.4, 1.0), strict=True):
        assert (parameter.grad is None) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", [SAM, XSAM])
def test_frozen_and_unused_parameters_stay_put(method):
    model = Branches([["first", "second"]])
    model.second.requires_grad_(False)
    model.second.weight.grad = torch.ones_like(model.second.weight)
    before = problems.snapshot(model)
    optimizer = method(torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1), rho=0.3)
    optimizer.step(lambda: model(X))
    after = model.state_dict()
    assert all(torch.equal(after[n], before[n]) for n in after if n.startswith(("second", "unused")))
    assert not any(torch.equal(after[n], before[n]) for n in after if n.startswith(("always", "first")))
    model.second.requires_grad_(True)
    optimizer.step(lambda: model(X))
    assert not torch.equal(model.second.weight, before["second.weight"])


def test_nothing_to_train_is_one_error():
    model = problems.plain_net().requires_grad_(False)
    optimizer = SAM(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="no parameter of the optimizer requires a gradient"):
        optimizer.step(problems.closure_of(model, problems.batches(1)[0]))


@pytest.mark.parametrize("method", [SAM, XSAM])
def test_a_sparse_gradient_is_one_error(method):
    embedding = nn.Embedding(5, 3, sparse=True)
    before = embedding.weight.detach().clone()
    optimizer = method(torch.optim.SGD(embedding.parameters(), lr=0.1))
    with pytest.raises(TypeError, match="build the embedding with sparse=False"):
        optimizer.step(lambda: embedding(torch.tensor([1, 2])).square().sum())
    assert torch.equal(embedding.weight, before)


def test_a_loss_that_touches_no_parameter_of_the_optimizer_moves_nothing():
    other = torch.ones(1, requires_grad=True)
    weight = nn.Parameter(torch.ones(2))
    for method in (SAM, XSAM):
        method(torch.optim.SGD([weight], lr=0.1)).step(lambda: other.sum())
    assert weight.tolist() == [1.0, 1.0]
    assert weight.grad is None
