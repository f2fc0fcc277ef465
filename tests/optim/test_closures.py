"""The closure contract: what a closure may do, what is said when it does not, and what a failing one leaves behind."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from tests.optim import problems
from xsam.optim import SAM, XSAM, BaseAlone

METHODS = {
    "base": lambda model: BaseAlone(problems.sgd(model), model=model),
    "sam": lambda model: SAM(problems.sgd(model), rho=0.2, ascent_steps=2, model=model),
    "xsam": lambda model: XSAM(problems.sgd(model), rho=0.2, ascent_steps=2, model=model),
}
PASSES = {"base": 1, "sam": 3, "xsam": 3 + 21}


@pytest.fixture
def batch():
    return problems.batches(1)[0]


def saved(model, optimizer):
    return problems.snapshot(model), copy.deepcopy(optimizer.state_dict())


def assert_untouched(model, optimizer, before):
    weights, state = before
    problems.assert_bitwise(model.state_dict(), weights)
    after = optimizer.state_dict()
    assert after["sharpness_aware"] == state["sharpness_aware"]
    assert after["param_groups"] == state["param_groups"]
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_the_first_passs_loss_comes_back_without_its_graph(method, batch):
    model = problems.batch_norm_net()
    expected = problems.loss_of(copy.deepcopy(model), batch).item()
    loss = METHODS[method](model).step(problems.closure_of(model, batch))
    assert loss.item() == expected
    assert loss.grad_fn is None
    assert not loss.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_passes_are_counted(method, batch):
    model = problems.batch_norm_net()
    optimizer = METHODS[method](model)
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        return problems.loss_of(model, batch)

    optimizer.step(closure)
    assert optimizer.forwards == calls == PASSES[method]
    assert optimizer.backwards == min(calls, 3)


def test_the_gradient_that_the_base_was_given_is_left(batch):
    model = problems.plain_net()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    XSAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.2).step(problems.closure_of(model, batch))
    for parameter, start in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(start - 0.1 * parameter.grad, parameter.detach())


@pytest.mark.parametrize("failing_call", range(24))
@pytest.mark.parametrize("method", METHODS)
def test_a_raising_closure_leaves_everything_where_it_was(method, failing_call, batch):
    if failing_call >= PASSES[method]:
        return
    model = problems.batch_norm_net()
    optimizer = METHODS[method](model)
    before = saved(model, optimizer)
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        loss = problems.loss_of(model, batch)
        if calls == failing_call + 1:
            raise KeyboardInterrupt
        return loss

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert_untouched(model, optimizer, before)
    # And the step can be done again, as if nothing had been.
    twin = problems.batch_norm_net()
    METHODS[method](twin).step(problems.closure_of(twin, batch))
    optimizer.step(problems.closure_of(model, batch))
    problems.assert_bitwise(model.state_dict(), twin.state_dict())


@pytest.mark.parametrize("failing_pass", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_a_closure_that_runs_backward_is_one_error_in_every_pass(method, failing_pass, batch):
    if failing_pass > PASSES[method]:
        return
    model = problems.batch_norm_net()
    optimizer = METHODS[method](model)
    before = saved(model, optimizer)
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        loss = problems.loss_of(model, batch)
        if calls == failing_pass:
            loss.backward()
        return loss

    with pytest.raises(RuntimeError, match=r"must only return the loss; step\(\) itself runs backward\(\)"):
        optimizer.step(closure)
    assert_untouched(model, optimizer, before)


@pytest.mark.parametrize("failing_call", range(6))
def test_each_accumulated_closure_is_watched_for_its_own_backward(failing_call, batch):
    model = problems.plain_net()
    optimizer = SAM(problems.sgd(model))
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        loss = problems.loss_of(model, batch)
        if calls == failing_call + 1:
            loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="must only return the loss"):
        optimizer.step([closure] * 3)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_in_the_closure_does_no_harm(set_to_none, batch):
    model, twin = problems.plain_net(), problems.plain_net()
    optimizer, other = XSAM(problems.sgd(model)), XSAM(problems.sgd(twin))

    def closure():
        optimizer.zero_grad(set_to_none)
        return problems.loss_of(model, batch)

    optimizer.step(closure)
    other.step(problems.closure_of(twin, batch))
    problems.assert_bitwise(model.state_dict(), twin.state_dict())


def test_a_closure_may_take_gradients_of_its_own(batch):
    model = problems.plain_net()

    def closure():
        loss = problems.loss_of(model, batch)
        if not torch.is_grad_enabled():
            return loss
        parts = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        return loss + 0.01 * sum(part.square().sum() for part in parts)

    XSAM(problems.sgd(model)).step(closure)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("bad", [(), (None,), (3.0,), ("loss",), ([None],), ([lambda: 0, 1],)])
def test_something_that_cannot_be_called_is_one_type_error(bad):
    optimizer = XSAM(problems.sgd(problems.plain_net()))
    with pytest.raises(TypeError, match=r"step\(\) needs a closure that returns the loss"):
        optimizer.step(*bad)


def test_a_loss_of_the_wrong_kind_is_one_clear_error(batch):
    model = problems.plain_net()
    optimizer = SAM(problems.sgd(model))
    loss = problems.closure_of(model, batch)
    with pytest.raises(TypeError, match=r"as a tensor, or \(loss, anything\), not float"):
        optimizer.step(lambda: loss().item())
    with pytest.raises(TypeError, match=r"as a tensor, or \(loss, anything\), not None"):
        optimizer.step(lambda: None)
    with pytest.raises(ValueError, match=r"a scalar loss, not one of shape \(8, 3\)"):
        optimizer.step(lambda: model(batch[0]))
    with pytest.raises(RuntimeError, match="has no graph"):
        optimizer.step(lambda: loss().detach())


def test_weights_that_do_not_fit_are_one_value_error(batch):
    model = problems.plain_net()
    optimizer = SAM(problems.sgd(model))
    closure = problems.closure_of(model, batch)
    with pytest.raises(ValueError, match="one closure was given"):
        optimizer.step(closure, weights=[1.0])
    with pytest.raises(ValueError, match="2 closures need 2 weights, not 1"):
        optimizer.step([closure, closure], weights=[1.0])
    with pytest.raises(ValueError, match="the list is empty"):
        optimizer.step([])
    for weights in ([0.0, 0.0], [-1.0, 2.0], [math.nan, 1.0], [math.inf, 1.0]):
        with pytest.raises(ValueError, match="at least 0, finite and not all 0"):
            optimizer.step([closure, closure], weights=weights)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"rho": -0.1}, "rho must be at least 0, not -0.1"),
        ({"rho": math.nan}, "rho must be finite"),
        ({"rho": "wide"}, "rho must be a number, not 'wide'"),
        ({"ascent_steps": 0}, "ascent_steps must be at least 1, not 0"),
        ({"ascent_steps": 1.5}, "ascent_steps must be a whole number, not 1.5"),
        ({"rng": "frsh"}, "unknown rng 'frsh'; did you mean 'fresh'?"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be above 0, not 0"),
        ({"probe_radius": -1.0}, "probe_radius must be at least 0, not -1"),
        ({"alpha": -0.5}, "alpha must be at least 0, not -0.5"),
        ({"alpha_max": 0.0}, "alpha_max must be above 0, not 0"),
        ({"alpha_step": 0.0}, "alpha_step must be above 0, not 0"),
        ({"alpha_step": 3.0}, "alpha_step must be at most alpha_max (2), not 3"),
        ({"search_every": 0}, "search_every must be at least 1, not 0"),
        ({"scale": "global"}, "unknown scale 'global'"),
    ],
)
def test_a_keyword_out_of_its_range_is_one_line(keywords, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        XSAM(problems.sgd(problems.plain_net()), **keywords)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_is_no_base_and_no_model_is_refused():
    model = problems.plain_net()
    with pytest.raises(TypeError, match="base must be a built torch optimizer"):
        SAM(torch.optim.SGD)
    with pytest.raises(TypeError, match="base must be a built torch optimizer"):
        SAM(model.parameters())
    with pytest.raises(TypeError, match="base must be a built torch optimizer"):
        SAM(SAM(problems.sgd(model)))
    with pytest.raises(TypeError, match="model must be"):
        SAM(problems.sgd(model), model="net")


@pytest.mark.parametrize("given", [lambda p: (p, torch.optim.SGD, 0.05), lambda p: (p, torch.optim.SGD)])
def test_other_implementations_order_of_arguments_is_told_the_way_out(given):
    model = problems.plain_net()
    with pytest.raises(TypeError, match=r"as in SAM\(torch.optim.SGD\(model.parameters\(\), lr=0.1\), rho=0.05\)"):
        SAM(*given(model.parameters()), lr=0.1, momentum=0.9)  # type: ignore[call-arg]
    optimizer = SAM(problems.sgd(model))
    for name in ("first_step", "second_step"):
        with pytest.raises(AttributeError, match=rf"SAM has no {name}\(\): call step\(closure\), or .* ascend\(\)"):
            getattr(optimizer, name)(zero_grad=True)
    assert not hasattr(optimizer, "no_such_thing")


def test_a_base_that_evaluates_the_loss_itself_is_refused():
    with pytest.raises(TypeError, match="LBFGS evaluates the loss itself: take SGD or Adam"):
        SAM(torch.optim.LBFGS(problems.plain_net().parameters()))


def test_a_complex_parameter_is_refused_with_the_way_out():
    weight = torch.nn.Parameter(torch.zeros(3, 2, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"make it a real one of shape \(3, 2, 2\)"):
        SAM(torch.optim.SGD([weight], lr=0.1))
    optimizer = SAM(problems.sgd(problems.plain_net()))
    for params in (weight, [weight], iter([weight])):
        with pytest.raises(ValueError, match="is complex"):
            optimizer.add_param_group({"params": params})
    assert len(optimizer.param_groups) == 1


def test_what_a_closure_returns_beside_the_loss_is_kept_from_the_first_pass(batch):
    model = problems.plain_net()
    optimizer = SAM(problems.sgd(model), rho=0.5)
    expected = model(batch[0])

    def closure():
        logits = model(batch[0])
        return torch.nn.functional.cross_entropy(logits, batch[1]), {"logits": logits, "size": [len(logits)]}

    optimizer.step(closure)
    assert torch.equal(optimizer.last_output["logits"], expected)
    assert not optimizer.last_output["logits"].requires_grad
    assert optimizer.last_output["size"] == [8]
    optimizer.step([closure, lambda: (*closure(), "more")], weights=[1, 1])
    first, second = optimizer.last_output
    assert first["size"] == [8]
    assert second[1] == "more"
    assert copy.deepcopy(optimizer).last_output is None
    optimizer.step(problems.closure_of(model, batch))
    assert optimizer.last_output is None


def test_search_probes_take_a_pair_too(batch):
    model = problems.plain_net()
    optimizer = XSAM(problems.sgd(model))
    loss = problems.closure_of(model, batch)
    optimizer.step(lambda: (loss(), "logits"))
    assert (optimizer.forwards, optimizer.last_output) == (23, "logits")


def test_repr_says_what_the_method_does():
    model = problems.plain_net()
    text = repr(XSAM(problems.sgd(model), rho=0.15, ascent_steps=3, max_grad_norm=1.0))
    assert text.startswith("XSAM(")
    for part in ("rho=0.15", "ascent_steps=3", "probe_radius=0.3", "alpha=None", "max_grad_norm=1.0", "base=SGD"):
        assert part in text
    assert "perturbation" not in text


def test_the_default_probe_radius_is_twice_rho():
    assert XSAM(problems.sgd(problems.plain_net()), rho=0.15).probe_radius == 0.3


@pytest.mark.parametrize("method", METHODS)
def test_max_grad_norm_clips_the_update_as_torch_does(method, batch):
    model, twin = problems.plain_net(), problems.plain_net()
    free, clipped = METHODS[method](twin), METHODS[method](model)
    clipped.max_grad_norm = 0.01
    clipped.step(problems.closure_of(model, batch))
    free.step(problems.closure_of(twin, batch))
    torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.01)
    for parameter, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-12, atol=0)
    clipped.max_grad_norm = 1e6
    clipped.step(problems.closure_of(model, batch))
    norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm()
    assert 0.01 < norm < 1e6


def test_two_optimizers_may_share_parameters_and_not_one_step(batch):
    model = problems.plain_net()
    first, second = METHODS["sam"](model), METHODS["xsam"](model)
    twin = copy.deepcopy(model)
    alone = METHODS["xsam"](twin)
    first.step(problems.closure_of(model, batch))
    twin.load_state_dict(model.state_dict())
    second.step(problems.closure_of(model, batch))
    alone.step(problems.closure_of(twin, batch))
    problems.assert_bitwise(model.state_dict(), twin.state_dict())

    def inside():
        second.step(problems.closure_of(model, batch))
        return problems.loss_of(model, batch)

    with pytest.raises(RuntimeError, match="the closure changed gradients"):
        first.step(inside)
