"""Training with a loss scale: the same numbers, overflows in any pass, and a scaler that is left as it was."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from tests.optim import problems
from tests.optim.test_precision import BACKWARDS, MAIN, METHODS, PERTURBED, batches, norm_net, train
from xsam.optim import SAM, XSAM, BaseAlone


def scaler_of(scale=1024.0, **keywords):
    return torch.amp.GradScaler("cpu", init_scale=scale, **keywords)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("max_grad_norm", [None, 0.05])
def test_a_loss_scale_changes_nothing_in_float32(method, max_grad_norm):
    plain, losses = train(method, max_grad_norm=max_grad_norm)
    scaler = scaler_of(2.0**16)
    scaled, scaled_losses = train(method, max_grad_norm=max_grad_norm, grad_scaler=scaler)
    # A power of two changes no digit.
    problems.assert_bitwise(scaled, plain)
    assert scaled_losses == losses
    assert scaler.get_scale() == 2.0**16


def test_without_a_perturbation_it_is_the_usual_loop_with_a_scaler():
    model, twin = norm_net(), norm_net()
    ours, usual = scaler_of(2.0**15, growth_interval=3), scaler_of(2.0**15, growth_interval=3)
    optimizer, plain = BaseAlone(problems.sgd(model), model=model, grad_scaler=ours), problems.sgd(twin)
    overflows = 0
    for index, batch in enumerate(batches(8)):
        factor = 1e35 if index in (2, 6) else 1.0

        def loss_of(net, batch=batch, factor=factor):
            with torch.autocast("cpu", dtype=torch.float16):
                return problems.loss_of(net, batch) * factor

        optimizer.step(lambda loss_of=loss_of: loss_of(model))
        plain.zero_grad()
        usual.scale(loss_of(twin)).backward()
        usual.step(plain)
        usual.update()
        overflows += factor > 1.0
        assert ours.state_dict() == usual.state_dict()
        assert optimizer.skipped == overflows
    problems.assert_bitwise(model.state_dict(), twin.state_dict())


@pytest.mark.parametrize("method", MAIN)
def test_the_scale_grows_once_for_all_passes(method):
    scaler = scaler_of(8.0, growth_interval=2)
    train(method, grad_scaler=scaler, steps=5)
    assert scaler.get_scale() == 8.0 * 4
    assert scaler.state_dict()["_growth_tracker"] == 1


def failing_factors(failing_call, bad):
    return iter([bad if call == failing_call else 1.0 for call in range(1, 40)])


OVERFLOWS = [(method, call) for method in MAIN for call in range(1, BACKWARDS[method] + 1)]


@pytest.mark.parametrize(("method", "failing_call"), OVERFLOWS)
@pytest.mark.parametrize("bad", [math.inf, math.nan, 1e38])
@pytest.mark.parametrize("step", [0, 2])
def test_an_overflow_in_any_pass_skips_the_step_once(method, failing_call, bad, step):
    model = norm_net()
    scaler = scaler_of()
    base = problems.sgd(model)
    optimizer = METHODS[method](base, model=model, grad_scaler=scaler)
    data = batches(4)
    for batch in data[:step]:
        optimizer.step(problems.closure_of(model, batch))
    twin = copy.deepcopy(model)
    expected_loss = problems.loss_of(twin, data[step]).item()
    own_state, momenta = optimizer.state_dict()["sharpness_aware"], copy.deepcopy(base.state_dict())
    factors = failing_factors(failing_call, bad)
    loss = optimizer.step(lambda: problems.loss_of(model, data[step]) * next(factors))
    # Weights stay, and buffers are as after one forward.
    problems.assert_bitwise(model.state_dict(), twin.state_dict())
    assert loss.item() == expected_loss or failing_call == 1
    assert all(parameter.grad is None for parameter in model.parameters())
    for index, entry in momenta["state"].items():
        problems.assert_bitwise(base.state_dict()["state"][index], entry)
    assert scaler.get_scale() == 512.0
    assert scaler.state_dict()["_growth_tracker"] == 0
    after = optimizer.state_dict()["sharpness_aware"]
    assert after["skipped"] == own_state["skipped"] + 1
    assert after["forwards"] == own_state["forwards"] + failing_call
    assert {k: v for k, v in after.items() if k not in ("skipped", "forwards", "backwards")} == {
        k: v for k, v in own_state.items() if k not in ("skipped", "forwards", "backwards")
    }


@pytest.mark.parametrize("method", METHODS)
def test_training_goes_on_after_overflows_as_if_those_steps_had_not_been(method):
    def run(attempts):
        """Before each step, steps that overflow at each of its passes; ``attempts`` says how many it has."""
        model = problems.plain_net().float()
        optimizer = METHODS[method](problems.sgd(model), grad_scaler=scaler_of())
        passes = []
        for batch, attempt in zip(batches(5), attempts, strict=True):
            for call in range(1, attempt + 1):
                factors = failing_factors(call, math.inf)
                optimizer.step(lambda batch=batch, factors=factors: problems.loss_of(model, batch) * next(factors))
            before = optimizer.backwards
            optimizer.step(problems.closure_of(model, batch))
            passes.append(optimizer.backwards - before)
        assert optimizer.skipped == sum(attempts)
        return model.state_dict(), passes, getattr(optimizer, "last_search", None)

    expected, passes, expected_search = run([0] * 5)
    weights, _, search = run(passes)
    problems.assert_bitwise(weights, expected)
    assert search == expected_search


def test_a_requested_search_waits_for_a_step_without_overflow():
    model = problems.plain_net().float()
    optimizer = XSAM(problems.sgd(model), alpha=1.0, grad_scaler=scaler_of())
    (batch,) = batches(1)
    optimizer.request_alpha_search()
    optimizer.step(lambda: problems.loss_of(model, batch) * math.inf)
    assert optimizer.last_search is None
    optimizer.step(problems.closure_of(model, batch))
    assert optimizer.last_search is not None


@pytest.mark.parametrize("method", MAIN)
def test_a_loss_scale_that_is_too_large_for_float16_comes_down_until_training_starts(method):
    model = norm_net()
    scaler = scaler_of(2.0**30)
    optimizer = METHODS[method](problems.sgd(model), model=model, grad_scaler=scaler)
    before = problems.snapshot(model)
    (batch,) = batches(1)

    def closure():
        with torch.autocast("cpu", dtype=torch.float16):
            return problems.loss_of(model, batch)

    steps = 0
    while optimizer.skipped == steps:
        optimizer.step(closure)
        steps += 1
    assert 5 < optimizer.skipped < 30
    assert scaler.get_scale() == 2.0 ** (30 - optimizer.skipped)
    assert not torch.equal(model[0].weight, before["0.weight"])
    assert model[1].num_batches_tracked.item() == steps


@pytest.mark.parametrize("method", PERTURBED)
def test_small_gradients_survive_float16_with_a_scale_and_not_without(method):
    def run(scaler):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3))
        optimizer = METHODS[method](torch.optim.SGD(model.parameters(), lr=1.0), grad_scaler=scaler)

        def closure():
            with torch.autocast("cpu", dtype=torch.float16):
                x, y = batches(1)[0]
                return nn.functional.mse_loss(model(x.flatten(1)), nn.functional.one_hot(y, 3).float()) * 1e-7

        optimizer.step(closure)
        return model[0].weight.grad

    def in_float32():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3))
        x, y = batches(1)[0]
        METHODS[method](torch.optim.SGD(model.parameters(), lr=1.0)).step(
            lambda: nn.functional.mse_loss(model(x.flatten(1)), nn.functional.one_hot(y, 3).float()) * 1e-7
        )
        return model[0].weight.grad

    exact = in_float32()
    assert (run(scaler_of(2.0**20)) - exact).norm() < 0.05 * exact.norm()
    assert not (run(None) - exact).norm() < 0.5 * exact.norm()


@pytest.mark.parametrize("failing_call", [1, 2, 3, 5])
def test_an_exception_leaves_the_scaler_as_it_was(failing_call):
    model, twin = norm_net(), norm_net()
    scaler, other = scaler_of(growth_interval=2), scaler_of(growth_interval=2)
    optimizer = METHODS["xsam"](problems.sgd(model), model=model, grad_scaler=scaler)
    expected = METHODS["xsam"](problems.sgd(twin), model=twin, grad_scaler=other)
    first, second = batches(2)
    for each, net in ((optimizer, model), (expected, twin)):
        each.step(problems.closure_of(net, first))
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        if calls == failing_call:
            raise KeyboardInterrupt
        return problems.loss_of(model, second)

    optimizer.request_alpha_search()
    expected.request_alpha_search()
    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert scaler.state_dict() == other.state_dict()
    copy.deepcopy(scaler)  # which a scaler allows between steps alone
    for each, net in ((optimizer, model), (expected, twin)):
        each.step(problems.closure_of(net, second))
    assert scaler.state_dict() == other.state_dict()
    problems.assert_bitwise(model.state_dict(), twin.state_dict())


def test_a_disabled_scaler_is_none():
    disabled = torch.amp.GradScaler("cpu", enabled=False)
    problems.assert_bitwise(train("xsam", grad_scaler=disabled)[0], train("xsam")[0])
    model = problems.plain_net().float()
    SAM(problems.sgd(model), grad_scaler=disabled).step(lambda: problems.loss_of(model, batches(1)[0]) * math.inf)
    assert not model[1].weight.isfinite().all()


def test_what_a_scaler_cannot_do_is_one_error():
    model = problems.plain_net().half()
    x, y = problems.batches(1)[0]
    before = problems.snapshot(model)
    optimizer = SAM(problems.sgd(model), grad_scaler=scaler_of())
    with pytest.raises(ValueError, match="unscale FP16 gradients"):
        optimizer.step(lambda: nn.functional.cross_entropy(model(x.half()).float(), y))
    problems.assert_bitwise(model.state_dict(), before)
    with pytest.raises(TypeError, match=r"grad_scaler must be a torch\.amp\.GradScaler or None, not float"):
        SAM(problems.sgd(model), grad_scaler=1024.0)


def test_a_step_whose_loss_has_no_gradient_here_passes_the_scaler_by():
    other = torch.ones(1, requires_grad=True)
    weight = nn.Parameter(torch.ones(2))
    scaler = scaler_of()
    SAM(torch.optim.SGD([weight], lr=0.1), grad_scaler=scaler).step(lambda: other.sum())
    assert weight.tolist() == [1.0, 1.0]
    assert scaler.get_scale() == 1024.0
