"""Models under torch.compile: the same numbers, and nothing compiled anew from step to step."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from tests.optim import problems
from xsam.optim import SAM, XSAM, BaseAlone

METHODS = {
    "alone": BaseAlone,
    "sam": lambda base, **common: SAM(base, rho=0.3, ascent_steps=2, **common),
    "xsam": lambda base, **common: XSAM(
        base, rho=0.3, ascent_steps=2, probe_radius=0.8, alpha_max=1.5, alpha_step=0.5, search_every=3, **common
    ),
}
BACKENDS = ["eager", "aot_eager"]
INDUCTOR = pytest.param("inductor", marks=[pytest.mark.slow, pytest.mark.needs("g++")])


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    counters.clear()


def norm_net():
    """A BatchNorm after a convolution; with ``momentum=None`` torch itself could not compile it."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3)).double()


def plainly(model):
    return model


def train(method, compiler, steps=7):
    """The model after a few steps and, step by step, how many graphs had been compiled."""
    model = norm_net()
    compiled = compiler(model)
    optimizer = METHODS[method](problems.sgd(model), model=compiled)
    graphs = []
    torch.manual_seed(3)
    for batch in problems.batches(steps):
        optimizer.step(problems.closure_of(compiled, batch))
        graphs.append(counters["stats"]["unique_graphs"])
    return model, graphs


@pytest.mark.parametrize("backend", [*BACKENDS, INDUCTOR])
@pytest.mark.parametrize("method", METHODS)
def test_a_compiled_model_gives_the_same_numbers_and_is_compiled_for_the_first_step_alone(method, backend):
    compiled, graphs = train(method, lambda model: torch.compile(model, backend=backend))
    plain, _ = train(method, plainly)
    assert problems.largest_difference(compiled.state_dict().values(), plain.state_dict().values()) < 1e-10
    assert compiled[1].num_batches_tracked.item() == 7
    # One graph with gradients, and one without for a search's probes.
    assert graphs == [2 if method == "xsam" else 1] * 7


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", METHODS)
def test_buffers_of_a_compiled_model_end_as_one_plain_forward_leaves_them(method, backend):
    def run(step):
        model = norm_net()
        compiled = torch.compile(model, backend=backend)
        optimizer = METHODS[method](problems.sgd(model, lr=0.0), model=compiled)
        for batch in problems.batches(4):
            step(optimizer, problems.closure_of(compiled, batch))
        return dict(model.named_buffers())

    problems.assert_bitwise(
        run(lambda optimizer, closure: optimizer.step(closure)), run(lambda optimizer, closure: closure())
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_of_a_compiled_model_is_replayed(backend):
    model = problems.dropout_net()
    compiled = torch.compile(model, backend=backend)
    losses = []

    def closure():
        losses.append(problems.loss_of(compiled, problems.batches(1)[0]))
        return losses[-1]

    SAM(problems.sgd(model), rho=0.0, ascent_steps=2).step(closure)
    assert counters["stats"]["unique_graphs"] == 1
    assert losses[0].item() == losses[1].item() == losses[2].item()


@pytest.mark.parametrize("method", METHODS)
def test_a_compiled_loss_under_autocast_with_a_scaler(method):
    def run(compiler):
        model = problems.plain_net().float()
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        optimizer = METHODS[method](problems.sgd(model), model=model, grad_scaler=scaler)
        loss_of = compiler(lambda x, y: nn.functional.cross_entropy(model(x), y))
        graphs = []
        for x, y in problems.batches(5):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                optimizer.step(lambda x=x, y=y: loss_of(x.float(), y))
            graphs.append(counters["stats"]["unique_graphs"])
        return model, graphs

    compiled, graphs = run(lambda function: torch.compile(function, backend="aot_eager"))
    plain, _ = run(plainly)
    assert graphs == [2 if method == "xsam" else 1] * 5
    assert problems.largest_difference(compiled.parameters(), plain.parameters()) < 1e-2
