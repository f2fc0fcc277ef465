"""Autocast, 16-bit parameters and GradScaler."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from tests.optim import family, problems
from xsam.optim import SAM, XSAM, BaseAlone

METHODS = {"alone": BaseAlone, **{name: partial(kind, **usual) for name, (kind, usual) in family.METHODS.items()}}
MAIN = ["alone", "sam", "xsam"]
PERTURBED = ["sam", "xsam"]
BACKWARDS = {"alone": 1, "sam": 3, "xsam": 3}


def batches(count):
    return [(x.float(), y) for x, y in problems.batches(count)]


def norm_net():
    return problems.batch_norm_net().float()


def train(method, *, net=norm_net, dtype=torch.bfloat16, around=False, inside=False, steps=5, **common):
    """Parameters and losses of a few steps with autocast around the loop, inside the closure, or nowhere."""
    model = net()
    optimizer = METHODS[method](problems.sgd(model), model=model, **common)
    losses = []

    def closure(batch):
        with torch.autocast("cpu", dtype=dtype, enabled=inside or around):
            return problems.loss_of(model, batch)

    with torch.autocast("cpu", dtype=dtype, enabled=around):
        for batch in batches(steps):
            losses.append(optimizer.step(lambda batch=batch: closure(batch)).item())
    return model.state_dict(), losses


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
def test_autocast_around_the_step_is_autocast_inside_the_closure_bit_for_bit(method, dtype):
    around, losses_around = train(method, dtype=dtype, around=True)
    inside, losses_inside = train(method, dtype=dtype, inside=True)
    problems.assert_bitwise(around, inside)
    assert losses_around == losses_inside


class HandWritten(torch.autograd.Function):
    """A linear layer whose backward multiplies in float32 wherever autocast does not reach it."""

    @staticmethod
    def forward(ctx, value, weight):
        ctx.save_for_backward(value, weight)
        return value @ weight

    @staticmethod
    def backward(ctx, gradient):
        value, weight = ctx.saved_tensors
        gradient = gradient.float()
        return gradient @ weight.t(), value.t() @ gradient


@pytest.mark.parametrize("method", METHODS)
def test_backward_runs_without_autocast(method):
    def run(around):
        weight = nn.Parameter(torch.randn(36, 3, generator=torch.Generator().manual_seed(0)) * 0.1)
        optimizer = METHODS[method](torch.optim.SGD([weight], lr=0.1, momentum=0.9))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=around):
            for x, y in batches(3):

                def closure(x=x, y=y):
                    with torch.autocast("cpu", dtype=torch.bfloat16):
                        return nn.functional.cross_entropy(HandWritten.apply(x.flatten(1), weight).float(), y)

                optimizer.step(closure)
        return weight

    assert torch.equal(run(around=True), run(around=False))


@pytest.mark.parametrize("where", ["around", "inside"])
@pytest.mark.parametrize("method", PERTURBED)
def test_under_autocast_a_method_is_near_its_float32_self_and_far_from_the_base(method, where):
    low, _ = train(method, **{where: True})
    full, _ = train(method)
    base, _ = train("alone", **{where: True})

    def distance(first, second):
        return problems.largest_difference(
            [value for name, value in first.items() if "tracked" not in name],
            [value for name, value in second.items() if "tracked" not in name],
        )

    assert distance(low, base) > 3 * distance(low, full)


def second_pass(monkeypatch, *, clear):
    """The losses of SAM's two passes on one batch, under autocast around the step."""
    if not clear:
        monkeypatch.setattr(torch, "clear_autocast_cache", lambda: None)
    model = problems.plain_net().float()
    losses = []

    def closure():
        losses.append(problems.loss_of(model, batches(1)[0]))
        return losses[-1]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        SAM(problems.sgd(model), rho=1.0).step(closure)
    return [loss.item() for loss in losses]


def test_the_second_pass_sees_the_moved_weights_and_would_not_with_a_stale_cache(monkeypatch):
    first, second = second_pass(monkeypatch, clear=True)
    assert second > first + 0.1
    first, second = second_pass(monkeypatch, clear=False)
    assert second == first


def test_after_a_step_autocast_sees_the_new_weights():
    model = problems.plain_net().float()
    (batch,) = batches(1)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        XSAM(problems.sgd(model, lr=1.0)).step(problems.closure_of(model, batch))
        reused = problems.loss_of(model, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        fresh = problems.loss_of(model, batch)
    assert reused.item() == fresh.item()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", PERTURBED)
def test_sixteen_bit_parameters_train_as_in_float32(method, dtype):
    def run(dtype):
        model = problems.plain_net().to(dtype)
        optimizer = METHODS[method](torch.optim.SGD(model.parameters(), lr=0.5))
        for x, y in problems.batches(4):
            optimizer.step(lambda x=x, y=y: nn.functional.cross_entropy(model(x.to(dtype)).float(), y))
        return [parameter.detach().float() for parameter in model.parameters()]

    start = [parameter.float() for parameter in problems.plain_net().parameters()]
    low, full = run(dtype), run(torch.float32)
    moved = problems.largest_difference(full, start)
    assert problems.largest_difference(low, full) < (0.1 if dtype is torch.bfloat16 else 0.02) * moved
