"""Special cases in which two optimizers are one."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.optim import problems
from xsam.optim import SAM, XSAM
from xsam.optim._step.alone import BaseAlone

BASES = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "momentum": problems.sgd,
    "nesterov": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-3),
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2),
}
STEPS = 10


def train(make_optimizer, net=problems.batch_norm_net, steps=STEPS):
    model = net()
    optimizer = make_optimizer(model)
    torch.manual_seed(5)
    for batch in problems.batches(steps):
        optimizer.step(problems.closure_of(model, batch))
    return model


def train_without_closures(base, net=problems.batch_norm_net, steps=STEPS):
    model = net()
    optimizer = BASES[base](model)
    torch.manual_seed(5)
    for batch in problems.batches(steps):
        optimizer.zero_grad()
        problems.loss_of(model, batch).backward()
        optimizer.step()
    return model


def distance(first, second):
    return problems.largest_difference(first.state_dict().values(), second.state_dict().values())


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("method", [SAM, XSAM])
@pytest.mark.parametrize("ascent_steps", [1, 3])
@pytest.mark.parametrize(("rho", "tolerance"), [(0.0, 1e-12), (1e-8, 1e-6)])
def test_a_vanishing_radius_is_the_base_optimizer(method, base, ascent_steps, rho, tolerance):
    model = train(lambda model: method(BASES[base](model), rho=rho, ascent_steps=ascent_steps, model=model))
    # Adam divides by the root of tiny second moments, which magnifies rounding.
    magnified = 1000 if base.startswith("adam") else 1
    assert distance(model, train_without_closures(base)) < tolerance * magnified


@pytest.mark.parametrize("scale", ["ascent", "local"])
def test_a_vanishing_radius_is_the_base_optimizer_at_every_fixed_alpha(scale):
    plain = train_without_closures("momentum")
    for alpha in (0.0, 0.7, 1.0, 1.6, 2.0):
        for rho in (0.0, 1e-8):

            def xsam(model, alpha=alpha, rho=rho):
                return XSAM(problems.sgd(model), rho=rho, model=model, alpha=alpha, scale=scale)

            model = train(xsam)
            assert distance(model, plain) < 1e-6


def test_base_alone_is_the_base_optimizer_bit_for_bit():
    plain = train_without_closures("momentum", problems.dropout_net)
    alone = train(lambda model: BaseAlone(problems.sgd(model), model=model), problems.dropout_net)
    problems.assert_bitwise(alone.state_dict(), plain.state_dict())


@pytest.mark.parametrize("ascent_steps", [1, 2, 3])
def test_xsam_at_alpha_one_is_sam(ascent_steps):
    def xsam(model):
        return XSAM(problems.sgd(model), rho=0.2, ascent_steps=ascent_steps, model=model, alpha=1.0)

    def sam(model):
        return SAM(problems.sgd(model), rho=0.2, ascent_steps=ascent_steps, model=model)

    assert distance(train(xsam), train(sam)) < 1e-12


def test_xsam_at_alpha_zero_is_the_local_direction_with_the_ascent_length():
    model = problems.plain_net()
    twin = copy.deepcopy(model)
    (batch,) = problems.batches(1)
    XSAM(problems.sgd(model), rho=0.5, alpha=0.0).step(problems.closure_of(model, batch))
    local = torch.autograd.grad(problems.loss_of(twin, batch), list(twin.parameters()))
    norm = torch.cat([part.flatten() for part in local]).norm()
    with torch.no_grad():
        for parameter, part in zip(twin.parameters(), local, strict=True):
            parameter.add_(part, alpha=0.5 / norm.item())
    ascent = torch.autograd.grad(problems.loss_of(twin, batch), list(twin.parameters()))
    length = torch.cat([part.flatten() for part in ascent]).norm()
    assert length != pytest.approx(norm.item(), rel=1e-3)
    for parameter, part in zip(model.parameters(), local, strict=True):
        torch.testing.assert_close(parameter.grad, part * length / norm, rtol=1e-12, atol=1e-14)


def test_accumulated_closures_equal_the_joined_batch():
    joined = train(lambda model: XSAM(problems.sgd(model), rho=0.2, ascent_steps=2), problems.plain_net, steps=5)
    model = problems.plain_net()
    optimizer = XSAM(problems.sgd(model), rho=0.2, ascent_steps=2)
    for x, y in problems.batches(5):
        sizes = [5, 2, 1]
        parts = list(zip(x.split(sizes), y.split(sizes), strict=True))
        loss = optimizer.step([problems.closure_of(model, part) for part in parts], weights=sizes)
    assert distance(model, joined) < 1e-12
    assert (optimizer.forwards, optimizer.backwards) == (5 * 3 + 21, 5 * 3)
    assert loss.shape == ()
    assert not loss.requires_grad


def test_equal_weights_are_the_default_of_accumulation():
    (batch,) = problems.batches(1)
    halves = [(batch[0][:4], batch[1][:4]), (batch[0][4:], batch[1][4:])]
    model, twin = problems.plain_net(), problems.plain_net()
    accumulated = SAM(problems.sgd(model)).step([problems.closure_of(model, half) for half in halves])
    joined = SAM(problems.sgd(twin)).step(problems.closure_of(twin, batch))
    assert accumulated.item() == pytest.approx(joined.item(), abs=1e-14)
    assert distance(model, twin) < 1e-14
