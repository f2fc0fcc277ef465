"""What small steps cost beside their mathematics: the digits MLP 64-64-10 at batch 64, on one thread.

    digits_sam_over_sgd, digits_xsam_over_sgd, digits_xsam3_over_sgd   a step as a multiple of SGD's, one batch for all
    digits_own_microseconds           XSAM's step without its passes and the base's step (see optimizers.py)
    digits_run_seconds_over_bare_loop a run of SAM by the suite's training loop, evaluations included, next to the same
                                      run written by hand in as few operations as PyTorch lets it be

The hand-written loop draws its batches in the same way from the same images, and evaluates as often and as much; it
checks nothing, keeps no buffers, random states or counters, and cannot be resumed. Sides take turns.

Targets:
    digits_xsam_over_sgd               ≤ 2.25
    digits_own_microseconds            ≤ 150
    digits_run_seconds_over_bare_loop  ≤ 1.25
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import Target, alternate, finish, options
from benchmarks.optimizers import ALPHA, RHO, OptimizerOnly, Setting, sides
from xsam import XSAM
from xsam.grid import RunSpec, load_grid
from xsam.runner.checkpoint import Position
from xsam.runner.loop import train
from xsam.runner.run import set_up_torch
from xsam.runner.trainer import Trainer
from xsam.tasks.vision.architectures import MlpConfig
from xsam.tasks.vision.images import ImageData, load
from xsam.tasks.vision.models import build
from xsam.tasks.vision.problem import VisionProblem
from xsam.tasks.vision.vision_run import VisionRun

TARGETS = {
    "digits_xsam_over_sgd": Target(2.25),
    "digits_own_microseconds": Target(150.0),
    "digits_run_seconds_over_bare_loop": Target(1.25),
}
EPOCHS, BATCH_SIZE, EVAL_BATCH_SIZE, LR, MOMENTUM = 10, 64, 200, 0.05, 0.9
TURNS = 7
OWN_STEPS = 1000
GRID = f"""
name: small
task: vision
matrix: {{model: [mlp], dataset: [digits], optimizer: [sam], seed: [0]}}
params: {{hidden: [64], epochs: {EPOCHS}, batch_size: {BATCH_SIZE}, eval_batch_size: {EVAL_BATCH_SIZE}, lr: {LR},
  momentum: {MOMENTUM}, rho: {RHO}, val_fraction: 0, threads: 1}}
"""


def network() -> nn.Module:
    """The MLP 64-64-10."""
    return build("mlp", 1, 8, 10, MlpConfig(hidden=(64,)))


def steps() -> dict[str, float]:
    """The figures of single steps."""
    seconds = alternate(sides(Setting(network, (BATCH_SIZE, 1, 8, 8), rounds=40, block=20)), rounds=40, block=20)
    own = OptimizerOnly(network(), lambda model, base: XSAM(base, RHO, alpha=ALPHA, model=model))
    microseconds = [1e6 * own.seconds() for _ in range(OWN_STEPS)][OWN_STEPS // 10 :]
    ratios = {f"digits_{name}_over_sgd": seconds[name] / seconds["sgd"] for name in ("sam", "xsam", "xsam3")}
    return {**ratios, "digits_own_microseconds": statistics.median(microseconds)}


def run_of_the_suite() -> RunSpec:
    """The run that both loops train."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "grid.yaml"
        path.write_text(GRID, encoding="utf-8")
        (run,) = load_grid(path).runs
    return run


class Uninterrupted:
    """A ``xsam.runner.loop.Callbacks`` that neither saves nor shows anything."""

    def stop_requested(self) -> bool:
        return False

    def checkpoint_due(self, position: Position) -> bool:
        return False

    def save(self, position: Position) -> None:
        raise AssertionError("nothing is to be saved")

    def step_done(self, position: Position, loss: Tensor) -> None:
        """Nothing is shown."""

    def epoch_done(self, position: Position) -> None:
        """Nothing is shown."""


def suite_seconds(run: RunSpec, data: ImageData) -> float:
    """Seconds that the suite's loop takes for the run, its building not among them."""
    config = run.config
    assert isinstance(config, VisionRun)
    trainer = Trainer(run, VisionProblem(config, data, torch.device("cpu")))
    start = time.perf_counter()
    outcome = train(trainer, config, Position(), Uninterrupted())
    elapsed = time.perf_counter() - start
    assert outcome == "done"
    return elapsed


def bare_seconds(data: ImageData) -> float:
    """Seconds that the hand-written loop takes for it."""
    model, labels = network(), data.train_labels
    parameters: list[Tensor] = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=LR, momentum=MOMENTUM)
    images = data.train_images
    scale, shift = 1 / (data.peak * data.std[0]), -data.mean[0] / data.std[0]
    start = time.perf_counter()
    for _ in range(EPOCHS):
        order, total = torch.randperm(len(labels)), 0.0
        for first in range(0, len(labels), BATCH_SIZE):
            chosen = order[first : first + BATCH_SIZE]
            x, y = images[chosen].float().mul_(scale).add_(shift), labels[chosen]
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            with torch.no_grad():
                gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
                norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
                moves = [*torch._foreach_mul(gradients, RHO / (norm + 1e-12))]
                torch._foreach_add_(parameters, moves)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            with torch.no_grad():
                torch._foreach_sub_(parameters, moves)
            optimizer.step()
            total += loss.item()
        with torch.no_grad():
            correct = 0
            for first in range(0, len(data.test_labels), EVAL_BATCH_SIZE):
                x = data.test_images[first : first + EVAL_BATCH_SIZE].float().mul_(scale).add_(shift)
                y = data.test_labels[first : first + EVAL_BATCH_SIZE]
                scores = model(x)
                total += F.cross_entropy(scores, y, reduction="sum").item()
                correct += int((scores.argmax(dim=1) == y).sum())
    return time.perf_counter() - start


def loops() -> dict[str, float]:
    """The figure of whole runs."""
    run, data = run_of_the_suite(), load("digits", Path("data"))
    set_up_torch(threads=1, seed=0)
    ours, bare = [], []
    for turn in range(TURNS + 1):  # the first one warms up
        pair = suite_seconds(run, data), bare_seconds(data)
        if turn:
            ours.append(pair[0])
            bare.append(pair[1])
    print(f"a run of {EPOCHS} epochs: {statistics.median(ours):.3f} s, bare {statistics.median(bare):.3f} s")
    return {"digits_run_seconds_over_bare_loop": statistics.median(ours) / statistics.median(bare)}


def main() -> None:
    """Measure, print, and compare with the targets."""
    arguments = options(__doc__).parse_args()
    torch.set_num_threads(1)
    finish(steps() | loops(), TARGETS, arguments)


if __name__ == "__main__":
    main()
