"""Every option that is said to be deterministic: interrupted in mid-epoch, a run ends bit for bit the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.optim.family import same
from tests.runner.training import STEPS, run_through, spec_of, without_times

INDUCTOR = [pytest.mark.slow, pytest.mark.needs("g++")]
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("xsam", {}),
    "bf16": ("xsam", {"precision": "bf16"}),
    "fp16": ("xsam", {"precision": "fp16"}),
    "accumulation": ("xsam", {"accumulation": 3}),
    "weight average": ("sam", {"ema_decay": 0.9}),
    "clipping": ("xsam", {"max_grad_norm": 0.5}),
    "multistep": ("sgd", {"schedule": "multistep", "milestones": [50], "epochs": 3}),
    "inverse_sqrt": ("sgd", {"schedule": "inverse_sqrt", "warmup_updates": 5}),
    "warm-up": ("xsam", {"warmup_epochs": 1, "warmup_start": 0.001}),
    "updates": ("xsam", {"max_updates": STEPS + 7}),
    "averaged BatchNorm in fp16": (
        "xsam",
        {"model": "resnet8", "train_subset": 256, "ema_decay": 0.9, "precision": "fp16", "accumulation": 2},
    ),
    "augmentation": ("looksam", {"augment": "crop_flip", "ema_decay": 0.5}),
}


@pytest.mark.parametrize(
    "name",
    [*OPTIONS, pytest.param("compile", marks=INDUCTOR), pytest.param("compiled BatchNorm", marks=INDUCTOR)],
)
@pytest.mark.parametrize("stop_after", [1, STEPS - 1])
def test_an_interrupted_run_ends_bit_for_bit_the_same(name: str, stop_after: int, tmp_path: Path) -> None:
    torch._dynamo.reset()
    compiled: dict[str, tuple[str, dict[str, Any]]] = {
        "compile": ("xsam", {"compile": True}),
        "compiled BatchNorm": ("xsam", {"compile": True, "model": "resnet8", "train_subset": 256, "ema_decay": 0.9}),
    }
    optimizer, given = {**OPTIONS, **compiled}[name]
    spec = spec_of(tmp_path, optimizer, **given)
    if given.get("train_subset"):
        stop_after = min(stop_after, 1)
    trainer, position = run_through(spec, tmp_path)
    torch._dynamo.reset()
    resumed, resumed_position = run_through(spec, tmp_path, stop_after)
    assert without_times(resumed_position) == without_times(position)
    assert same(resumed.state_dict(), trainer.state_dict())
