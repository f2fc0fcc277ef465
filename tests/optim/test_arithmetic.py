"""Precision, layouts, memory, and that a step never waits for the device."""

from __future__ import annotations

import gc
import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.optim import problems
from xsam.optim import SAM, XSAM
from xsam.optim._step import foreach


class Recorder(TorchDispatchMode):
    """The names of the operations that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("rng", ["shared", "fresh"])
@pytest.mark.parametrize("ascent_steps", [1, 3])
@pytest.mark.parametrize("method", [SAM, XSAM])
def test_no_step_outside_a_search_waits_for_the_device(method, ascent_steps, rng):
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    optimizer = method(problems.sgd(model), rho=0.1, ascent_steps=ascent_steps, model=model, rng=rng, max_grad_norm=0.5)
    data = [(x.float(), y) for x, y in problems.batches(3)]
    optimizer.step(problems.closure_of(model, data[0]))
    with Recorder() as recorder:
        for batch in data[1:]:
            optimizer.step([problems.closure_of(model, batch)] * 2, weights=[1, 2])
    assert any("aten.linear" in name or "aten.addmm" in name for name in recorder.names)
    assert not [name for name in recorder.names if "_local_scalar_dense" in name or "is_nonzero" in name]


def test_sums_of_sixteen_bit_tensors_accumulate_in_float32():
    halves = [torch.full((1000,), 100.0, dtype=torch.float16), torch.full((24,), 300.0, dtype=torch.float16)]
    assert foreach.norm(halves).item() == pytest.approx(math.sqrt(1000 * 1e4 + 24 * 9e4), rel=1e-6)
    assert foreach.dot(halves, halves).item() == pytest.approx(1000 * 1e4 + 24 * 9e4, rel=1e-6)
    assert foreach.norm(halves).dtype is torch.float32


def test_mixed_precisions_accumulate_in_the_widest():
    mixed = [torch.full((4,), 0.1, dtype=dtype) for dtype in (torch.float32, torch.float64, torch.bfloat16)]
    exact = sum(float(tensor.double().square().sum()) for tensor in mixed)
    assert foreach.norm(mixed).dtype is torch.float64
    assert foreach.norm(mixed).item() ** 2 == pytest.approx(exact, rel=1e-12)
    assert foreach.dot(mixed, mixed).item() == pytest.approx(exact, rel=1e-12)


LAYOUTS = {
    "contiguous": lambda t: t,
    "channels_last": lambda t: t.to(memory_format=torch.channels_last),
    "transposed": lambda t: t.transpose(0, 2).contiguous().transpose(0, 2),
    "strided": lambda t: torch.stack([t, t], -1)[..., 0],
}


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("second", LAYOUTS)
def test_dot_products_do_not_depend_on_memory_layout(first, second):
    x, y = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64).unbind()
    expected = (x * y).sum().item()
    assert foreach.dot([LAYOUTS[first](x)], [LAYOUTS[second](y)]).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_parameters_move_by_the_radius_and_come_back(dtype):
    weight = nn.Parameter(torch.zeros(256, dtype=dtype))
    optimizer = XSAM(torch.optim.SGD([weight], lr=0.0), rho=0.1, alpha=1.5)
    slope = torch.randn(256, generator=torch.Generator().manual_seed(0)) * 1e-3
    moved = []

    def closure():
        moved.append(weight.detach().float().norm().item())
        return (weight.float() * slope).sum() * 0.01 + (weight.float() ** 2).sum() * 1e-6

    optimizer.step(closure)
    assert moved == [0.0, pytest.approx(0.1, rel=0.01)]
    assert weight.abs().max() == 0
    assert weight.grad.isfinite().all()
    assert weight.grad.float().norm().item() == pytest.approx(slope.norm().item() * 0.01, rel=0.05)


def test_channels_last_trains_as_contiguous_does():
    def train(change):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 3), nn.Flatten()).double()
        model = model.to(memory_format=change)
        optimizer = XSAM(problems.sgd(model), rho=0.2, ascent_steps=2)
        x = torch.randn(4, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(
            memory_format=change
        )
        for _ in range(4):
            optimizer.step(lambda: model(x).square().mean())
        return model.parameters()

    assert problems.largest_difference(train(torch.channels_last), train(torch.contiguous_format)) < 1e-12


def test_weights_that_change_precision_between_steps_are_kept_exactly():
    model = problems.plain_net().float()
    optimizer = SAM(problems.sgd(model, lr=0.0))
    x, y = problems.batches(1)[0]
    optimizer.step(problems.closure_of(model, (x.float(), y)))
    model.double()
    model[1].weight.data.add_(1e-12)
    before = problems.snapshot(model)
    optimizer.step(problems.closure_of(model, (x, y)))
    problems.assert_bitwise(model.state_dict(), before)


def test_gradients_that_are_views_of_a_shared_buffer_are_not_taken_over():
    # As in DistributedDataParallel with gradient_as_bucket_view: each backward writes into the same bucket.
    model, twin = problems.plain_net(), problems.plain_net()
    parameters = list(model.parameters())
    bucket = torch.zeros(sum(p.numel() for p in parameters), dtype=torch.float64)
    views = [
        part.view(p.shape) for part, p in zip(bucket.split([p.numel() for p in parameters]), parameters, strict=True)
    ]

    def into_bucket(parameter, view):
        view.copy_(parameter.grad)
        parameter.grad = view

    for parameter, view in zip(parameters, views, strict=True):
        parameter.register_post_accumulate_grad_hook(lambda p, view=view: into_bucket(p, view))
    optimizer = XSAM(problems.sgd(model), rho=0.3, ascent_steps=2)
    other = XSAM(problems.sgd(twin), rho=0.3, ascent_steps=2)
    for batch in problems.batches(3):
        optimizer.step(problems.closure_of(model, batch))
        other.step(problems.closure_of(twin, batch))
    problems.assert_bitwise(model.state_dict(), twin.state_dict())


def test_autocast_around_the_step_sees_the_moved_weights():
    def train(outside):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        optimizer = SAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.5)
        x = torch.randn(4, 8)
        losses = []

        def closure():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not outside or torch.is_autocast_enabled("cpu")):
                loss = model(x).float().square().mean()
            losses.append(loss.item())
            return loss

        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=outside):
            for _ in range(3):
                optimizer.step(closure)
        return losses

    inside, outside = train(False), train(True)
    assert outside == pytest.approx(inside, rel=1e-3)
    assert len(set(outside)) == len(outside)


def live_bytes():
    """Bytes of all tensors alive, each storage counted once."""
    gc.collect()
    storages = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, nn.Parameter):
            for tensor in (thing, thing.grad if thing.is_leaf else None):
                if tensor is not None:
                    storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return sum(storages.values())


@pytest.mark.parametrize(("method", "copies"), [(SAM, 1), (XSAM, 2)])
@pytest.mark.parametrize("ascent_steps", [1, 3])
def test_a_step_holds_at_most_two_more_copies_of_the_parameters(method, copies, ascent_steps):
    weight = nn.Parameter(torch.randn(1_000_000))
    optimizer = method(torch.optim.SGD([weight], lr=0.1), ascent_steps=ascent_steps)
    if method is XSAM:
        optimizer.alpha = 1.2
    held = []

    def closure():
        held.append(live_bytes())
        return (weight**3).sum()

    start = live_bytes()
    optimizer.step(closure)
    optimizer.step(closure)
    size = weight.numel() * 4
    assert max(held) - start <= copies * size + 100_000
    weight.grad = None
    assert live_bytes() - start <= copies * size + 100_000
