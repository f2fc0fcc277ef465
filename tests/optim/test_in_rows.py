"""Every method on rows: each row's step is that of a run by itself, and its bits hang on no other row."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xsam.optim import SharpnessAware, registry
from xsam.optim._step import row_arithmetic, rows
from xsam.tasks.vision.architectures import MlpConfig
from xsam.tasks.vision.models import mlp
from xsam.tasks.vision.problem import VisionProblem
from xsam.tasks.vision.stacked import StackedBatch, StackedProblems

SEEDS = (3, 11, 5, 8, 21)
STEPS, IMAGES = 6, 13
BASES: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-3},
    "adam": {"lr": 1e-3, "weight_decay": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
}
# So that every branch runs within a few steps.
OWN: dict[str, dict[str, Any]] = {
    "sam": {"rho": 0.2, "ascent_steps": 2},
    "asam": {"ascent_steps": 2},
    "looksam": {"refresh_every": 3},
    "lookbehind_sam": {"ascent_steps": 3},
    "xsam": {"rho": 0.2, "ascent_steps": 2, "alpha_step": 0.5, "search_every": 3},
}
METHODS = [name for name, method in registry.METHODS.items() if method.in_rows is not None]


def params_of(method: str, **further: Any) -> dict[str, Any]:
    base = registry.METHODS[method].alone or "sgd"
    own = {name: each.default for name, each in registry.METHODS[method].parameters.items() if not each.unset}
    name = "adam" if base.startswith("adam") else "sgd"
    return {**own, **BASES[name], "base": base, "max_grad_norm": 0.5, **OWN.get(method, {}), **further}


def model_of(seed: int, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(seed)
    return mlp(1, 4, 10, MlpConfig(hidden=(24, 20))).to(dtype)


def batch_of(seed: int, step: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(1000 * step + seed)
    images = torch.randn(IMAGES, 16, generator=stream, dtype=torch.float64).to(dtype)
    return images, torch.randint(0, 10, (IMAGES,), generator=stream)


class Rows:
    """Several seeds' models, trained together."""

    def __init__(self, seeds: Sequence[int], dtype: torch.dtype, method: str, params: dict[str, Any]) -> None:
        self.seeds, self.dtype = seeds, dtype
        problems = [cast(VisionProblem, SimpleNamespace(model=model_of(seed, dtype))) for seed in seeds]
        self.stacked = StackedProblems(problems, 0.1)
        holder = nn.Module()
        holder.weights = self.stacked.weights
        self.optimizer: SharpnessAware = registry.build(method, params, holder, steps=100, in_rows=True)

    def step(self, number: int) -> Tensor:
        own = [batch_of(seed, number, self.dtype) for seed in self.seeds]
        images = self.stacked.room("images", IMAGES, 16)
        images.copy_(torch.stack([each for each, _ in own]))
        batch = StackedBatch(self.stacked, images, torch.stack([labels for _, labels in own]), 0.1)
        return rows.step(self.optimizer, batch, self.stacked.weights, self.stacked.layout, self.seeds)


class Alone:
    """One seed's model, trained by itself."""

    def __init__(self, seed: int, dtype: torch.dtype, method: str, params: dict[str, Any]) -> None:
        self.seed, self.dtype, self.model = seed, dtype, model_of(seed, dtype)
        torch.manual_seed(seed)
        self.optimizer = registry.build(method, params, self.model, steps=100)

    def step(self, number: int) -> Tensor:
        images, labels = batch_of(self.seed, number, self.dtype)
        return self.optimizer.step(lambda: F.cross_entropy(self.model(images), labels, label_smoothing=0.1))


def assert_close(ours: Rows, alone: Alone, row: int, most: float) -> None:
    for view, parameter in zip(
        ours.stacked.layout.views(ours.stacked.weights[row].detach()), alone.model.parameters(), strict=True
    ):
        assert ((view - parameter).norm() <= most * parameter.norm()).item()


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("method", METHODS)
def test_rows_step_as_runs_by_themselves_and_hang_on_no_other(method: str, dtype: torch.dtype, most: float) -> None:
    params = params_of(method)
    together = Rows(SEEDS, dtype, method, params)
    alone = [Alone(seed, dtype, method, params) for seed in SEEDS]
    for number in range(STEPS):
        losses = together.step(number)
        for row, each in enumerate(alone):
            torch.manual_seed(SEEDS[row])  # of which RandomSAM asks at its first step
            assert losses[row].item() == pytest.approx(each.step(number).item(), rel=most)
            assert_close(together, each, row, most)
    for company in ([11], [21, 3], [8, 5, 3, 21]):
        others = Rows(company, dtype, method, params)
        for number in range(STEPS):
            others.step(number)
        for row, seed in enumerate(company):
            assert torch.equal(others.stacked.weights[row], together.stacked.weights[SEEDS.index(seed)])


@pytest.mark.parametrize("method", METHODS)
def test_a_row_becomes_a_run_by_itself_and_a_run_a_row(method: str) -> None:
    params = params_of(method)
    together = Rows(SEEDS, torch.float64, method, params)
    for number in range(4):
        together.step(number)
    layout, state = together.stacked.layout, together.optimizer.state_dict()
    alone = [Alone(seed, torch.float64, method, params) for seed in SEEDS]
    for row, each in enumerate(alone):
        each.optimizer.load_state_dict(
            rows.split(state, together.optimizer, layout, row, type(each.optimizer).__name__)
        )
        with torch.no_grad():
            for parameter, view in zip(
                each.model.parameters(), layout.views(together.stacked.weights[row]), strict=True
            ):
                parameter.copy_(view)
    chosen = (1, 4)
    again = Rows([SEEDS[row] for row in chosen], torch.float64, method, params)
    with torch.no_grad():
        again.stacked.weights.copy_(together.stacked.weights[list(chosen)])
    states = [alone[row].optimizer.state_dict() for row in chosen]
    again.optimizer.load_state_dict(rows.join(states, again.optimizer, again.stacked.layout))
    for number in range(4, 8):
        together.step(number)
        again.step(number)
        for each in alone:
            each.step(number)
    for row, each in enumerate(alone):
        assert_close(together, each, row, 1e-10)
    for place, row in enumerate(chosen):
        assert torch.equal(again.stacked.weights[place], together.stacked.weights[row])


@pytest.mark.parametrize("method", ["sam", "gsam", "xsam", "adam"])
def test_a_row_that_is_not_finite_disturbs_no_other(method: str) -> None:
    params = params_of(method)
    sound, broken = Rows(SEEDS, torch.float32, method, params), Rows(SEEDS, torch.float32, method, params)
    with torch.no_grad():
        broken.stacked.weights[2] = torch.nan
    for number in range(STEPS):
        sound.step(number)
        broken.step(number)
    assert broken.stacked.weights[2, 0].isnan()
    for row in (0, 1, 3, 4):
        assert torch.equal(sound.stacked.weights[row], broken.stacked.weights[row])


def test_norms_and_angles_of_rows_of_any_size() -> None:
    sizes = torch.tensor([[1.0], [1e-30], [1e30], [0.0], [torch.nan]])
    first, second = torch.randn(5, 64) * sizes, torch.randn(5, 64) * sizes
    norms = torch.stack((row_arithmetic.norm([first]), row_arithmetic.norm([second])))
    exact = torch.stack((first.double().norm(dim=1), second.double().norm(dim=1)))
    torch.testing.assert_close(norms[..., 0].double(), exact, rtol=1e-6, atol=0, equal_nan=True)
    cosines = row_arithmetic.cosine([first], [second], norms)[:, 0]
    wanted = (first.double() * second.double()).sum(1) / exact.prod(0)
    wanted[3] = 0
    torch.testing.assert_close(cosines.double(), wanted, rtol=1e-5, atol=1e-6, equal_nan=True)
