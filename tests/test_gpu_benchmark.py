"""The GPU benchmark's measuring functions, on the CPU with a small model; how fast anything is, nobody asks here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from benchmarks.gpu import Problem, packing, ratios, settings, speeds, wrapped
from xsam.optim.registry import METHODS

CPU = torch.device("cpu")
SMALL = Problem("resnet8", size=8, batch_size=4)


def test_every_method_takes_steps_and_has_a_ratio() -> None:
    found = ratios(CPU, SMALL, wrapped(), rounds=1, count=1)
    assert set(found) == {f"{name}_over_sgd" for name, method in METHODS.items() if not method.alone}
    assert min(found.values()) > 0


def test_timed_xsam_does_not_search() -> None:
    assert settings("xsam")["alpha"] is not None
    assert settings("xsam")["search_every"] is None


def test_number_formats_have_images_a_second() -> None:
    found = speeds(CPU, SMALL, ("fp32", "bf16"), rounds=1, count=1)
    assert set(found) == {f"{f}_{m}_images_per_second" for f in ("fp32", "bf16") for m in ("sgd", "xsam")}
    assert min(found.values()) > 0


@pytest.mark.slow
def test_processes_that_share_a_device_are_added_up() -> None:
    found = packing(CPU, SMALL, (1, 2), seconds=0.01)
    assert found["packed_2_over_1"] == found["packed_2_images_per_second"] / found["packed_1_images_per_second"]


@pytest.mark.slow
def test_without_a_gpu_one_line_says_so() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu"]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=hidden, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "benchmarks.gpu: this machine has no CUDA GPU that torch can use; nothing was measured"
    ]
