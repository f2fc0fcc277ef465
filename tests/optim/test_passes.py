"""What the passes of a step leave of buffers and random state, and which parameters take part."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from tests.optim import problems
from xsam.optim import SAM, XSAM, BaseAlone

METHODS: dict[str, Callable[..., Any]] = {
    "base": lambda model, **keywords: BaseAlone(problems.sgd(model, lr=0.0), model=model),
    "sam": lambda model, **keywords: SAM(problems.sgd(model, lr=0.0), rho=0.5, ascent_steps=3, model=model, **keywords),
    "xsam": lambda model, **keywords: XSAM(
        problems.sgd(model, lr=0.0), rho=0.5, ascent_steps=2, model=model, **keywords
    ),
}


class DeafBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A BatchNorm that heeds no flag."""

    def _check_input_dim(self, value):
        pass

    def forward(self, value):
        self.num_batches_tracked.add_(1)
        return nn.functional.batch_norm(
            value, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )


class Counting(nn.Module):
    """Buffers of all sorts: replaced, written through ``.data``, expanded, absent, and not in floating point."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(8, dtype=torch.float64))
        self.register_buffer("expanded", torch.ones(1, dtype=torch.float64).expand(8))
        self.register_buffer("nothing", None)
        self.register_buffer("seen", torch.zeros(8, dtype=torch.bool))

    def forward(self, value):
        self.calls = self.calls + 1
        self.mean.data.mul_(0.9).add_(0.1 * value.detach().mean(0))
        self.seen |= value.detach()[0] > 0
        return value * self.expanded


def net_of(*layers):
    return nn.Sequential(*layers).double()


NETS = {
    "batch_norm": problems.batch_norm_net,
    "cumulative": lambda: net_of(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=None), nn.Flatten(), nn.Linear(64, 3)),
    "custom_norm": lambda: net_of(nn.Conv2d(1, 4, 3), DeafBatchNorm(4), nn.Flatten(), nn.Linear(64, 3)),
    "instance_norm": lambda: net_of(
        nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, affine=True, track_running_stats=True), nn.Flatten(), nn.Linear(64, 3)
    ),
    "spectral_norm": lambda: net_of(
        nn.Flatten(), nn.utils.parametrizations.spectral_norm(nn.Linear(36, 8)), nn.Tanh(), nn.Linear(8, 3)
    ),
    "old_spectral_norm": lambda: net_of(
        nn.Flatten(), nn.utils.spectral_norm(nn.Linear(36, 8)), nn.Tanh(), nn.Linear(8, 3)
    ),
    "hand_written": lambda: net_of(nn.Flatten(), nn.Linear(36, 8), Counting(), nn.Linear(8, 3)),
    "eval": lambda: problems.batch_norm_net().eval(),
}


def build(net):
    torch.manual_seed(0)
    return NETS[net]()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("method", METHODS)
def test_all_buffers_end_as_one_plain_forward_leaves_them(method, net):
    model, twin = build(net), build(net)
    optimizer = METHODS[method](model)
    for batch in problems.batches(3):
        optimizer.step(problems.closure_of(model, batch))
        problems.loss_of(twin, batch)
    problems.assert_bitwise(dict(model.named_buffers()), dict(twin.named_buffers()))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("failing_call", [1, 2, 3, 4, 12])
def test_a_failed_step_puts_all_buffers_back(net, failing_call):
    model = build(net)
    optimizer = METHODS["xsam"](model)
    optimizer.step(problems.closure_of(model, problems.batches(1)[0]))
    optimizer.request_alpha_search()
    before = problems.snapshot(model)
    identities = [id(buffer) for buffer in model.buffers()]
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        loss = problems.loss_of(model, problems.batches(1)[0])
        if calls == failing_call:
            raise ValueError("a bad batch")
        return loss

    with pytest.raises(ValueError, match="a bad batch"):
        optimizer.step(closure)
    problems.assert_bitwise(model.state_dict(), before)
    assert [id(buffer) for buffer in model.buffers()] == identities


def compiled(model):
    return torch.compile(model, backend="eager")


def compiled_in_place(model):
    model.compile(backend="eager")
    return model


def partly_compiled(model):
    model[4].compile(backend="eager")
    return model


def compiled_function(model):
    return torch.compile(lambda x: model(x), backend="eager")


def scripted(model):
    return torch.jit.script(model)


def functional(model):
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return lambda x: torch.func.functional_call(model, tensors, (x,))


HABITS = [lambda model: model, compiled, compiled_in_place, partly_compiled, compiled_function, scripted, functional]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("habit", HABITS)
def test_buffers_are_as_exact_without_a_model(habit):
    """Whoever calls the model however: a first step with a search, and searches later, count as one forward each."""
    torch._dynamo.reset()
    model = net_of(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8)).train()
    twin = copy.deepcopy(model)
    call = habit(model)
    optimizer = XSAM(problems.sgd(model, lr=0.0), rho=0.5, search_every=2)
    for x, y in problems.batches(4):
        optimizer.step(lambda x=x, y=y: nn.functional.cross_entropy(call(x), y))
        problems.loss_of(twin, (x, y))
        if habit is not scripted:  # which does not hear of the model's mode
            model.eval(), call(x), model.train()
    problems.assert_bitwise(dict(model.named_buffers()), dict(twin.named_buffers()))


def test_buffers_that_functional_call_lends_are_kept_and_the_modules_own_stay():
    model = problems.batch_norm_net()
    own, twin = problems.snapshot(model), problems.batch_norm_net()
    lent = {name: buffer.clone() for name, buffer in model.named_buffers()}
    optimizer = SAM(problems.sgd(model, lr=0.0), rho=0.5, ascent_steps=2)
    for x, y in problems.batches(3):
        tensors = {**dict(model.named_parameters()), **lent}
        call = partial(torch.func.functional_call, model, tensors)
        optimizer.step(lambda x=x, y=y, call=call: nn.functional.cross_entropy(call((x,)), y))
        problems.loss_of(twin, (x, y))
    problems.assert_bitwise(lent, dict(twin.named_buffers()))
    problems.assert_bitwise(model.state_dict(), own)


def test_modules_that_a_later_step_calls_for_the_first_time_are_kept_too():
    nets = [problems.batch_norm_net(), problems.batch_norm_net()]
    twins = copy.deepcopy(nets)
    base = torch.optim.SGD([parameter for net in nets for parameter in net.parameters()], lr=0.0)
    optimizer = SAM(base, rho=0.5)
    for i, batch in enumerate(problems.batches(4)):
        optimizer.step(problems.closure_of(nets[i % 2], batch))
        problems.loss_of(twins[i % 2], batch)
    for net, twin in zip(nets, twins, strict=True):
        problems.assert_bitwise(dict(net.named_buffers()), dict(twin.named_buffers()))


def test_no_hook_stays_and_a_failed_first_step_puts_buffers_back():
    model = problems.batch_norm_net()
    before = problems.snapshot(model)
    optimizer = SAM(problems.sgd(model), rho=0.5)

    def failing():
        problems.loss_of(model, problems.batches(1)[0])
        raise ValueError("a bad batch")

    with pytest.raises(ValueError, match="a bad batch"):
        optimizer.step(failing)
    problems.assert_bitwise(model.state_dict(), before)
    assert not torch.nn.modules.module._has_any_global_hook()


def test_a_model_that_was_met_is_not_kept_alive():
    model = problems.batch_norm_net()
    optimizer = SAM(problems.sgd(model), rho=0.5)
    optimizer.step(problems.closure_of(model, problems.batches(1)[0]))
    found = weakref.ref(model)
    del model
    gc.collect()
    assert found() is None
    assert copy.deepcopy(optimizer)._buffers is not optimizer._buffers


@pytest.mark.filterwarnings("error")
def test_a_compiled_model_is_met_without_a_warning():
    torch._dynamo.reset()
    model = net_of(nn.Flatten(), nn.Linear(36, 3))
    call = compiled(model)
    for x, y in problems.batches(2):
        SAM(problems.sgd(model)).step(lambda x=x, y=y: nn.functional.cross_entropy(call(x), y))


def recorded_masks(method, rng):
    """The dropout masks of one step, and the random numbers that follow it."""
    model = problems.dropout_net()
    masks = []
    model[3].register_forward_hook(lambda _, inputs, output: masks.append((output == 0).clone()))
    torch.manual_seed(7)
    METHODS[method](model, rng=rng).step(problems.closure_of(model, problems.batches(1)[0]))
    return masks, torch.rand(3)


@pytest.mark.parametrize("method", ["sam", "xsam"])
def test_shared_randomness_gives_every_pass_the_same_masks_and_goes_on_as_after_one(method):
    masks, following = recorded_masks(method, "shared")
    assert len(masks) > 3
    assert all(torch.equal(mask, masks[0]) for mask in masks)
    plain, after_one = recorded_masks("base", "shared")
    assert torch.equal(masks[0], plain[0])
    assert torch.equal(following, after_one)


@pytest.mark.parametrize("method", ["sam", "xsam"])
def test_fresh_randomness_gives_every_pass_its_own_masks(method):
    masks, following = recorded_masks(method, "fresh")
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == len(masks)
    torch.manual_seed(7)
    for _ in masks:
        torch.nn.functional.dropout(torch.ones(8, 8, dtype=torch.float64), 0.5)
    assert torch.equal(following, torch.rand(3))


def grown(model):
    model.append(nn.BatchNorm1d(3))


def hung_in_by_hand(model):
    model._modules["3"] = nn.BatchNorm1d(3)


def given_a_buffer(model):
    model[1].register_buffer("calls", torch.zeros(()))
    model[1].register_forward_hook(lambda module, _, output: output + 0 * module.calls.add_(1))


def with_another_dict(model):
    vars(model)["_modules"] = {**model._modules, "3": nn.BatchNorm1d(3)}


def with_another_child(model):
    model[2] = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


CHANGES = [grown, hung_in_by_hand, given_a_buffer, with_another_dict, with_another_child]


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
def test_buffers_that_come_between_steps_are_kept(change):
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    inputs = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    optimizer = SAM(torch.optim.SGD(model.parameters(), lr=0.0), rho=0.5, ascent_steps=2, model=model)
    for _ in range(2):
        optimizer.step(lambda: model(inputs).square().mean())
    change(model)
    plain = copy.deepcopy(model)
    for _ in range(2):
        optimizer.step(lambda: model(inputs).square().mean())
        plain(inputs)
    assert list(model.buffers())
    for actual, expected in zip(model.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)
