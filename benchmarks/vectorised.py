"""Seeds trained together (``vectorise: seeds``) next to the same seeds one after the other, on one thread.

    digits_NAME_seeds_per_second_over_separate    eight seeds of the digits MLP 64-64-10 at batch 64
    fashion_NAME_seeds_per_second_over_separate   eight seeds of the MLP 784-128-128-10 at batch 128 on 5,000 images

Sides take turns. A side's time is that of its steps and of an evaluation after each epoch, not that of opening data.

Targets:
    digits_sam_seeds_per_second_over_separate   ≥ 4
    fashion_sam_seeds_per_second_over_separate  ≥ 2
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.measure import Target, finish, options
from xsam.grid import RunSpec, load_grid
from xsam.runner.run import fresh_trainer
from xsam.runner.together.trainer import Together

TARGETS = {
    "digits_sam_seeds_per_second_over_separate": Target(4.0, at_most=False),
    "fashion_sam_seeds_per_second_over_separate": Target(2.0, at_most=False),
}
SEEDS, TURNS = 8, 5
GRID = """
name: together
task: vision
matrix: {{model: [mlp], dataset: [{dataset}], optimizer: [{optimizer}], seed: {{count: {seeds}}}}}
params: {{hidden: {hidden}, epochs: 20, batch_size: {batch_size}, lr: 0.05, val_fraction: 0.2, vectorise: seeds
  {further}}}
"""
SIZES = {
    "digits": {"dataset": "digits", "hidden": "[64]", "batch_size": 64, "further": ""},
    "fashion": {
        "dataset": "fashion_mnist",
        "hidden": "[128, 128]",
        "batch_size": 128,
        "further": ", train_subset: 5000",
    },
}
EPOCHS = {"digits": 3, "fashion": 1}


def runs_of(**given: object) -> list[RunSpec]:
    """The seeds of a grid's one cell."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "grid.yaml"
        path.write_text(GRID.format(seeds=SEEDS, **given), encoding="utf-8")
        return list(load_grid(path).runs)


def separate(runs: Sequence[RunSpec], epochs: int) -> float:
    """Seconds of the runs one after the other."""
    seconds = 0.0
    for run in runs:
        trainer = fresh_trainer(run, Path("data"), "cpu")
        began = time.perf_counter()
        for epoch in range(epochs):
            if run.config.optimizer.searches_each_epoch:
                trainer.request_alpha_search()
            for step in range(trainer.problem.steps_per_epoch):
                trainer.step(trainer.problem.batch(epoch, step))
            trainer.evaluate()
        seconds += time.perf_counter() - began
    return seconds


def together(runs: Sequence[RunSpec], epochs: int) -> float:
    """Seconds of the runs together."""
    trainers = [fresh_trainer(run, Path("data"), "cpu") for run in runs]
    began = time.perf_counter()
    group = Together(runs, trainers)
    for epoch in range(epochs):
        if runs[0].config.optimizer.searches_each_epoch:
            group.optimizer.request_alpha_search()
        for step in range(trainers[0].problem.steps_per_epoch):
            group.step(epoch, step)
        group.give()
        group.evaluate()
    return time.perf_counter() - began


def main() -> None:
    """Measure, print, and compare with the targets."""
    arguments = options(__doc__).parse_args()
    torch.set_num_threads(1)
    figures = {}
    for name, size in SIZES.items():
        for optimizer in ("sgd", "sam", "xsam"):
            runs = runs_of(optimizer=optimizer, **size)
            ratios = []
            for turn in range(TURNS + 1):  # the first one warms up
                pair = separate(runs, EPOCHS[name]), together(runs, EPOCHS[name])
                if turn:
                    ratios.append(pair[0] / pair[1])
            figures[f"{name}_{optimizer}_seeds_per_second_over_separate"] = statistics.median(ratios)
    finish(figures, TARGETS, arguments)


if __name__ == "__main__":
    main()
