"""What a run costs: passes against formulas and real calls of the model, time in its parts, memory of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.runner.training import SMALL, STEPS, fresh, run_through, spec_of
from xsam.optim import pass_counts, registry
from xsam.runner import memory

PROBES = 21
EPOCHS = SMALL["epochs"]
# method and parameters; backward passes a step, and probes an epoch, from the papers' descriptions
CASES: dict[str, tuple[str, dict[str, Any], float, int]] = {
    "sgd": ("sgd", {}, 1, 0),
    "adam": ("adam", {}, 1, 0),
    "adamw": ("adamw", {}, 1, 0),
    "sam": ("sam", {}, 2, 0),
    "sam, 3 ascent steps": ("sam", {"ascent_steps": 3}, 4, 0),
    "asam, 2 ascent steps": ("asam", {"ascent_steps": 2}, 3, 0),
    "fisher_sam, 2 ascent steps": ("fisher_sam", {"ascent_steps": 2}, 3, 0),
    "gsam": ("gsam", {}, 2, 0),
    "wsam": ("wsam", {}, 2, 0),
    "friendly_sam": ("friendly_sam", {}, 2, 0),
    "momentum_sam": ("momentum_sam", {}, 1, 0),
    "looksam": ("looksam", {"refresh_every": 2}, 1.5, 0),
    "lookbehind_sam, 3 ascent steps": ("lookbehind_sam", {"ascent_steps": 3}, 4, 0),
    "stable_sam, 2 ascent steps": ("stable_sam", {"ascent_steps": 2}, 3, 0),
    "sam_on": ("sam_on", {"model": "resnet8", "train_subset": 128}, 2, 0),  # an MLP has no normalisation layer
    "le_sam": ("le_sam", {}, 2, 0),
    "gam": ("gam", {}, 4, 0),
    "zsharp": ("zsharp", {}, 2, 0),
    "eigen_sam": ("eigen_sam", {"eigen_every": 2, "power_steps": 3}, 5, 0),
    "random_sam": ("random_sam", {}, 1, 0),
    "sam, in the second half": ("sam", {"active_from": 0.5}, 1.5, 0),
    "xsam, in the second half": ("xsam", {"active_from": 0.5}, 1.5, PROBES / 2),
    "xsam": ("xsam", {}, 2, PROBES),
    "xsam, 2 ascent steps": ("xsam", {"ascent_steps": 2}, 3, PROBES),
    "xsam, coarse": ("xsam", {"alpha_max": 1.5, "alpha_step": 0.5}, 2, 4),
    "xsam, fixed": ("xsam", {"alpha": 1.3}, 2, 0),
    "xsam, searching often": ("xsam", {"search_every": 5}, 2, 0),
}


def test_every_method_is_among_the_cases() -> None:
    assert {method for method, *_ in CASES.values()} == set(registry.METHODS)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_runs_passes_are_those_of_its_methods_formula(case: str, accumulation: int, tmp_path: Path) -> None:
    method, given, passes, probes = CASES[case]
    spec = spec_of(tmp_path, method, **{"accumulation": accumulation, "train_subset": 600, **given})
    trainer = fresh(spec, tmp_path)
    steps = EPOCHS * trainer.problem.steps_per_epoch
    calls = {"forward": 0, "backward": 0}
    trainer.problem.model.register_forward_hook(lambda *_: calls.update(forward=calls["forward"] + 1))
    weight = next(trainer.problem.model.parameters())
    weight.register_post_accumulate_grad_hook(lambda *_: calls.update(backward=calls["backward"] + 1))
    for epoch in range(EPOCHS):
        if pass_counts.searches_each_epoch(spec.params):
            trainer.optimizer.request_alpha_search()  # type: ignore[attr-defined]
        for step in range(trainer.problem.steps_per_epoch):
            trainer.step(trainer.problem.batch(epoch, step))
    every = given.get("search_every")
    probed = PROBES * -(-steps // every) if every else EPOCHS * probes
    backwards = steps * passes
    assert (trainer.optimizer.forwards, trainer.optimizer.backwards) == (backwards + probed, backwards)
    assert calls == {"forward": accumulation * (backwards + probed), "backward": accumulation * backwards}
    assert pass_counts.passes_per_step(method, spec.params) == passes


def test_a_search_that_closes_in_takes_seven_probes(tmp_path: Path) -> None:
    trainer, _ = run_through(spec_of(tmp_path, "xsam", search="bracket"), tmp_path)
    assert trainer.optimizer.backwards == EPOCHS * STEPS * 2
    assert trainer.optimizer.forwards <= EPOCHS * STEPS * 2 + EPOCHS * 7


def test_time_is_told_in_parts_that_fit_into_the_whole(tmp_path: Path) -> None:
    _, position = run_through(spec_of(tmp_path, "xsam"), tmp_path, stop_after=3)
    for row in position.history:
        parts = [row["train_seconds"], row["eval_seconds"], row["search_seconds"]]
        assert all(part > 0 for part in parts)
        assert sum(parts) <= row["seconds"] + 1e-9
    _, position = run_through(spec_of(tmp_path, "sam"), tmp_path)
    assert [row["search_seconds"] for row in position.history] == [0.0, 0.0]


def test_an_earlier_runs_peak_of_memory_is_forgotten_or_none_is_told() -> None:
    device = torch.device("cpu")
    large = 600 << 20
    memory.reset_peak(device)
    torch.ones(large // 4)
    first = memory.peak(device)
    memory.reset_peak(device)
    second = memory.peak(device)
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert second < first - large // 2
