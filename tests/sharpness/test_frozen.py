"""A measurement leaves no trace, however it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.sharpness.problems import loss_fn, problem
from xsam.sharpness import (
    alpha_profile,
    ascent_plane,
    direction_quality,
    measures,
    random_plane,
    spectral_density,
    top_eigenvalues,
    trace,
)

Loss = Callable[[nn.Module, Any], Tensor]
MEASUREMENTS: dict[str, Callable[[nn.Module, Loss, list[Any]], object]] = {
    "top_eigenvalues": lambda model, loss, batches: top_eigenvalues(model, loss, batches, batchnorm="batch"),
    "trace": lambda model, loss, batches: trace(model, loss, batches, samples=3, batchnorm="batch"),
    "spectral_density": lambda model, loss, batches: spectral_density(model, loss, batches, probes=1, steps=3),
    "measures": lambda model, loss, batches: measures(model, loss, batches, 0.1, samples=2, batchnorm="batch"),
    "direction_quality": lambda model, loss, batches: direction_quality(model, loss, batches[0], 0.1, starts=1),
    "ascent_plane": lambda model, loss, batches: ascent_plane(model, loss, batches, 0.1, points=3),
    "random_plane": lambda model, loss, batches: random_plane(model, loss, batches, points=3),
    "alpha_profile": lambda model, loss, batches: alpha_profile(model, loss, batches, 0.1),
}


def snapshot(model: nn.Module) -> tuple[Any, ...]:
    return (
        {name: each.clone() for name, each in model.state_dict().items()},
        [None if each.grad is None else each.grad.clone() for each in model.parameters()],
        [module.training for module in model.modules()],
        torch.get_rng_state(),
    )


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[name], second[name]) for name in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    return bool(first == second)


@pytest.fixture
def trained() -> tuple[nn.Module, list[Any]]:
    """A model with gradients, and with a part in evaluation mode."""
    model, batches = problem("cnn")
    loss_fn(model, batches[0]).backward()
    assert isinstance(model, nn.Sequential)
    model[2].eval()
    next(model.parameters()).grad = None
    return model, batches


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_everything_is_as_before(name: str, trained: tuple[nn.Module, list[Any]]) -> None:
    model, batches = trained
    before = snapshot(model)
    MEASUREMENTS[name](model, loss_fn, batches)
    assert same(snapshot(model), before)


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_everything_is_as_before_after_an_exception(name: str, trained: tuple[nn.Module, list[Any]]) -> None:
    model, batches = trained
    before, calls = snapshot(model), []

    def breaks(model: nn.Module, batch: Any) -> Tensor:
        calls.append(batch)
        loss = loss_fn(model, batch)
        torch.rand(3)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return loss

    with pytest.raises(KeyboardInterrupt):
        MEASUREMENTS[name](model, breaks, batches)
    assert same(snapshot(model), before)


def test_a_compiled_model_is_measured_without_its_graph() -> None:
    model, batches = problem("mlp")
    exact = top_eigenvalues(model, loss_fn, batches, k=2)
    model.compile(backend="eager")
    torch.testing.assert_close(top_eigenvalues(model, loss_fn, batches, k=2), exact)
