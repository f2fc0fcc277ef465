"""A step in two calls and more is the one that a closure makes, for loops that run backward themselves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.optim import family, problems
from xsam.optim import SAM, XSAM, MomentumSAM, RandomSAM, SharpnessAware

# These two move the weights before their first pass, which the loop has run by the time that it calls.
METHODS = [method for method in family.METHODS if method not in ("momentum_sam", "random_sam")]


def loop_step(optimizer, model, batch):
    """A loop that owns its backward, and cannot be handed a closure but for searches."""

    def backward():
        problems.loss_of(model, batch).backward()

    backward()
    while optimizer.ascend(problems.closure_of(model, batch)):
        backward()
    optimizer.descend()


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_a_step_in_calls_is_the_step_of_a_closure(method, given):
    model, twin = problems.batch_norm_net(), problems.batch_norm_net()
    optimizer, other = (
        family.build(method, "momentum", each, max_grad_norm=0.5, rng="fresh") for each in (model, twin)
    )
    optimizer.model = model if given else None
    for batch in problems.batches(5):
        loop_step(optimizer, model, batch)
        other.step(problems.closure_of(twin, batch))
        problems.assert_bitwise(model.state_dict(), twin.state_dict())
    assert family.same(optimizer.state_dict(), other.state_dict())


def test_two_calls_are_enough_for_one_ascent_step():
    model, twin = problems.batch_norm_net(), problems.batch_norm_net()
    optimizer, other = SAM(problems.sgd(model), rho=0.3), SAM(problems.sgd(twin), rho=0.3)
    for batch in problems.batches(3):
        problems.loss_of(model, batch).backward()
        assert optimizer.ascend()
        problems.loss_of(model, batch).backward()
        optimizer.descend()
        other.step(problems.closure_of(twin, batch))
    problems.assert_bitwise(model.state_dict(), twin.state_dict())


@pytest.mark.parametrize("method", [MomentumSAM, RandomSAM])
def test_a_method_that_moves_first_is_refused_and_the_weights_stay(method):
    model = problems.plain_net()
    optimizer = method(problems.sgd(model))
    for batch in problems.batches(2):
        before = problems.snapshot(model)
        problems.loss_of(model, batch).backward()
        if method is MomentumSAM:
            optimizer.state[model[1].weight]["momentum_buffer"] = torch.ones_like(model[1].weight)
        with pytest.raises(RuntimeError, match="moves the weights before its first pass"):
            optimizer.ascend()
        problems.assert_bitwise(model.state_dict(), before)


def test_mistakes_are_one_clear_error_and_leave_nothing_moved():
    model = problems.batch_norm_net()
    (batch,) = problems.batches(1)
    optimizer = SAM(problems.sgd(model), rho=0.5, ascent_steps=2)
    with pytest.raises(RuntimeError, match=r"run backward\(\) before it"):
        optimizer.ascend()
    problems.loss_of(model, batch).backward()
    before = problems.snapshot(model)
    assert optimizer.ascend()
    with pytest.raises(RuntimeError, match="a step is under way"):
        optimizer.step(problems.closure_of(model, batch))
    with pytest.raises(RuntimeError, match=r"save a state after descend\(\)"):
        optimizer.state_dict()
    problems.loss_of(model, batch).backward()
    with pytest.raises(RuntimeError, match="needs another pass"):
        optimizer.descend()
    problems.assert_bitwise(model.state_dict(), before)
    optimizer.step(problems.closure_of(model, batch))


def test_an_abandoned_step_leaves_weights_and_buffers_where_the_first_forward_left_them():
    model = problems.batch_norm_net()
    (batch,) = problems.batches(1)
    optimizer = SAM(problems.sgd(model), rho=0.5, ascent_steps=2)
    optimizer.abandon()
    problems.loss_of(model, batch).backward()
    before = problems.snapshot(model)
    assert optimizer.ascend()
    problems.loss_of(model, batch)
    optimizer.abandon()
    problems.assert_bitwise(model.state_dict(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_search_without_a_closure_is_told_the_way_out():
    model = problems.plain_net()
    (batch,) = problems.batches(1)
    optimizer = XSAM(problems.sgd(model))
    before = problems.snapshot(model)
    problems.loss_of(model, batch).backward()
    assert optimizer.ascend()
    problems.loss_of(model, batch).backward()
    with pytest.raises(RuntimeError, match="search for alpha evaluates the loss"):
        optimizer.descend()
    problems.assert_bitwise(model.state_dict(), before)


def scaled(scaler, model, batch, factor=1.0):
    x, y = batch
    scaler.scale(nn.functional.cross_entropy(model(x.float()), y) * factor).backward()


@pytest.mark.parametrize("failing", [None, 1, 2])
def test_a_grad_scaler_skips_and_updates_as_in_a_step(failing):
    models = problems.plain_net().float(), problems.plain_net().float()
    scalers = [torch.amp.GradScaler("cpu", init_scale=1024.0) for _ in models]
    optimizer, other = (
        SAM(problems.sgd(model), rho=0.3, grad_scaler=scaler) for model, scaler in zip(models, scalers, strict=True)
    )
    for step, batch in enumerate(problems.batches(3)):
        factors = [torch.inf if (step, call) == (1, failing) else 1.0 for call in (1, 2)]
        scaled(scalers[0], models[0], batch, factors[0])
        if optimizer.ascend():
            scaled(scalers[0], models[0], batch, factors[1])
        optimizer.descend()
        given = iter(factors)
        x, y = batch
        other.step(lambda x=x, y=y, f=given: nn.functional.cross_entropy(models[1](x.float()), y) * next(f))
        assert scalers[0].get_scale() == scalers[1].get_scale()
    assert (optimizer.skipped, optimizer.backwards) == (other.skipped, other.backwards)
    problems.assert_bitwise(models[0].state_dict(), models[1].state_dict())


@pytest.mark.parametrize("method", family.METHODS)
def test_a_method_takes_part_from_its_start_to_its_end(method):
    model, twin = problems.batch_norm_net(), problems.batch_norm_net()
    optimizer = family.build(method, "momentum", model, sam_start=2, sam_until=4)
    base = family.BASES["momentum"](twin.parameters())
    for step, batch in enumerate(problems.batches(6)):
        before = optimizer.backwards
        optimizer.step(problems.closure_of(model, batch))
        if step < 2:
            base.zero_grad()
            problems.loss_of(twin, batch).backward()
            base.step()
            problems.assert_bitwise(model.state_dict(), twin.state_dict())
        if not 2 <= step < 4:
            assert optimizer.backwards == before + 1
    assert optimizer.taken == 6


def test_the_start_survives_a_saved_state():
    model = problems.plain_net()
    optimizer = SAM(problems.sgd(model), sam_start=2)
    for batch in problems.batches(2):
        optimizer.step(problems.closure_of(model, batch))
    other = SAM(problems.sgd(model), sam_start=2)
    other.load_state_dict(optimizer.state_dict())
    other.step(problems.closure_of(model, problems.batches(1)[0]))
    assert (other.taken, other.backwards) == (3, 4)


def test_a_loop_that_owns_its_backward_has_a_start_too():
    model = problems.plain_net()
    optimizer = SAM(problems.sgd(model), sam_start=1)
    first, second = problems.batches(2)
    problems.loss_of(model, first).backward()
    assert not optimizer.ascend()
    optimizer.descend()
    problems.loss_of(model, second).backward()
    assert optimizer.ascend()
    optimizer.abandon()
    assert isinstance(optimizer, SharpnessAware)


def test_an_end_before_the_start_is_refused():
    with pytest.raises(ValueError, match=r"sam_until must be above sam_start \(5\), not 5"):
        SAM(problems.sgd(problems.plain_net()), sam_start=5, sam_until=5)
