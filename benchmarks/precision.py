"""A step and an evaluation in bfloat16 next to float32, on a CPU whose instructions know the format.

Sides take turns: the suite's own training loop with XSAM, one ascent step, as ``benchmarks.training`` times it, with
``channels_last`` and batches of 128 CIFAR-shaped images, and the evaluation of 2,000 images; each with ``precision``
``fp32`` and ``bf16``, one thread, native numerics. A CPU without bfloat16 instructions is told so, and nothing is
measured: there autocast converts and gains nothing.

Targets:
    resnet8_bf16_over_fp32  ≥ 1.4  (images a second of a step)

Without a target: the same of the evaluation, and of the suite's MLP (512-512).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.input_pipeline import cifar
from benchmarks.measure import Step, Target, alternate, finish, options
from benchmarks.optimizers import ALPHA, RHO
from benchmarks.training import THREADS, suite
from xsam.grid import RunSpec, load_grid
from xsam.runner.numerics import cpu_flags
from xsam.runner.trainer import Trainer
from xsam.tasks.vision.images import ImageData
from xsam.tasks.vision.problem import VisionProblem
from xsam.tasks.vision.vision_run import VisionRun

TARGETS = {"resnet8_bf16_over_fp32": Target(1.4, at_most=False)}
ROUNDS, EVALUATED = 9, 2_000
FLAGS = ("avx512_bf16", "amx_bf16")
GRID = f"""
name: precision
task: vision
matrix:
  model: [mlp, resnet8]
  dataset: [cifar10]
  optimizer: [xsam]
  precision: [fp32, bf16]
params: {{batch_size: 128, augment: crop_flip, val_fraction: 0, lr: 0.01, rho: {RHO}, alpha: {ALPHA},
  channels_last: true, threads: {THREADS}}}
"""


def runs() -> dict[tuple[str, str], RunSpec]:
    """(model, precision) → the run of the suite."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "grid.yaml"
        path.write_text(GRID, encoding="utf-8")
        grid = load_grid(path)
    return {(str(run.axes["model"]), str(run.params["precision"])): run for run in grid.runs}


def evaluation(run: RunSpec, data: ImageData) -> Step:
    """The evaluation of the test images."""
    config = run.config
    assert isinstance(config, VisionRun)
    data = replace(data, test_images=data.train_images[:EVALUATED], test_labels=data.train_labels[:EVALUATED])
    trainer = Trainer(run, VisionProblem(config, data, torch.device("cpu")))
    return trainer.evaluate


def main() -> None:
    """Measure, print, and compare with the targets."""
    arguments = options(__doc__).parse_args()
    if not set(FLAGS).intersection(cpu_flags()):
        print(f"this CPU has none of {', '.join(FLAGS)}: bfloat16 gains nothing on it, and nothing is measured")
        sys.exit(0)
    torch.set_num_threads(THREADS)
    data, specs = cifar(), runs()
    figures: dict[str, float] = {}
    for model in ("resnet8", "mlp"):
        for what, made in (("", suite), ("_evaluation", evaluation)):
            sides = {precision: made(specs[model, precision], data) for precision in ("fp32", "bf16")}
            seconds = alternate(sides, ROUNDS, block=1)
            print(f"{model}{what}: " + ", ".join(f"{name} {1000 * one:.1f} ms" for name, one in seconds.items()))
            figures[f"{model}{what}_bf16_over_fp32"] = seconds["fp32"] / seconds["bf16"]
    finish(figures, TARGETS, arguments)


if __name__ == "__main__":
    main()
