"""What only a GPU can show: run by ``make test-gpu``, skipped where there is none."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.optim import family, problems
from xsam.optim._step import foreach

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


def on_gpu(batch):
    return tuple(part.cuda() for part in batch)


# Its noise is drawn on the device, by another generator than a CPU's.
@pytest.mark.parametrize("method", [method for method in family.METHODS if method != "random_sam"])
def test_a_gpu_takes_the_steps_of_a_cpu(method):
    model = problems.batch_norm_net()
    twin = copy.deepcopy(model).cuda()
    optimizer, other = family.build(method, "momentum", model), family.build(method, "momentum", twin)
    for batch in problems.batches(6):
        optimizer.step(problems.closure_of(model, batch))
        other.step(problems.closure_of(twin, on_gpu(batch)))
    for expected, actual in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(actual.cpu(), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("method", family.METHODS)
def test_no_step_without_a_search_waits_for_the_device(method):
    model = problems.plain_net().cuda().float()
    fixed = {"alpha": 1.2, "search_every": None} if method == "xsam" else {}
    optimizer = family.build(method, "momentum", model, rng="fresh", max_grad_norm=0.5, **fixed)
    data = [(x.float().cuda(), y.cuda()) for x, y in problems.batches(8)]
    for batch in data[:4]:
        optimizer.step(problems.closure_of(model, batch))
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in data[4:]:
            optimizer.step(problems.closure_of(model, batch))
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.parametrize("exponent", [-35, -20, 0, 20, 35])
def test_norms_and_cosines_of_any_size_are_those_of_a_cpu(exponent):
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(1000, generator=generator) * 10.0**exponent for _ in range(2))
    expected = foreach.cosine_and_norms([first], foreach.norm([first]), [second])
    a, b = [first.cuda()], [second.cuda()]
    for actual, wanted in zip(foreach.cosine_and_norms(a, foreach.norm(a), b), expected, strict=True):
        torch.testing.assert_close(actual.cpu(), wanted, rtol=1e-5, atol=1e-6)


def test_float16_with_a_scaler_trains():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).cuda()
    scaler = torch.amp.GradScaler("cuda")
    optimizer = family.build("xsam", "momentum", model, grad_scaler=scaler)
    x = torch.randn(64, 16, device="cuda")
    losses = []
    for _ in range(20):
        with torch.autocast("cuda", dtype=torch.float16):
            losses.append(optimizer.step(lambda: (model(x) - 1).square().mean()).item())
    assert losses[-1] < losses[0]
