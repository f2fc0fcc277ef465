"""Images a second of training with XSAM, one ascent step, next to the loop that research code usually has.

The usual loop: torchvision's transforms on PIL images (crop, flip, normalise, cutout) in a DataLoader with 2 worker
processes, images in PyTorch's default layout, XSAM as plain loops over the parameters (plain.py). From there to the
suite one part changes at a time, so that the columns tell what each is worth:

    optimizer   the usual loop with the suite's XSAM
    input       the suite's training loop: its own input, on the thread that trains, and its optimizer
    ours        the same with channels_last, as in configs/paper
    compiled    the same with torch.compile, only with --compile: the others are eager

The suite's loop is the one that runs are trained with, up to its stop at a step boundary, in the state that it brings
torch to (deterministic algorithms). All sides have batches of 128 CIFAR-shaped images of random bytes, the same fixed
alpha, and one thread, as runs have by default; the loader's workers have the machine's other cores for themselves.
Sides take turns by steps. Workers make a batch in a small part of a step and wait with full hands until one is taken:
they make one a step, in the usual loop's own turn, and nothing in the others'.

Targets:
    resnet8_over_usual_loop   ≥ 1.2
    resnet18_over_usual_loop  ≥ 1.0  (the convolutions are nearly all of a step; what remains is their layout)
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.input_pipeline import CIFAR, CUTOUT, WORKERS, Pictures, cifar
from benchmarks.measure import Step, Target, alternate, finish, options
from benchmarks.optimizers import ALPHA, RHO, sgd
from benchmarks.plain import PlainXSAM
from xsam import XSAM
from xsam.grid import RunSpec, load_grid
from xsam.runner.checkpoint import Position
from xsam.runner.loop import train
from xsam.runner.run import set_up_torch
from xsam.runner.stop import Interrupted
from xsam.runner.trainer import Trainer
from xsam.tasks.vision.images import ImageData
from xsam.tasks.vision.models import build
from xsam.tasks.vision.problem import VisionProblem
from xsam.tasks.vision.vision_run import VisionRun

TARGETS = {
    "resnet8_over_usual_loop": Target(1.2, at_most=False),
    "resnet18_over_usual_loop": Target(1.0, at_most=False),
}
BATCH_SIZE = 128
THREADS = 1
GRID = f"""
name: training
task: vision
matrix:
  model: [resnet8, resnet18]
  dataset: [cifar10]
  optimizer: [xsam]
  channels_last: [false, true]
  compile: [false, true]
params: {{batch_size: {BATCH_SIZE}, augment: crop_flip, cutout: {CUTOUT}, val_fraction: 0, lr: 0.01, weight_decay: 5e-4,
  rho: {RHO}, alpha: {ALPHA}, threads: {THREADS}}}
"""

ROUNDS = {"resnet8": 11, "resnet18": 3}  # of one step of every side; a step of ResNet-18 takes many seconds


def runs() -> dict[tuple[str, bool, bool], RunSpec]:
    """(model, channels_last, compile) → the run of the suite."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "grid.yaml"
        path.write_text(GRID, encoding="utf-8")
        grid = load_grid(path)
    axes = ("model", "channels_last", "compile")
    return {tuple(run.axes[axis] for axis in axes): run for run in grid.runs}  # type: ignore[misc]


def usual(model_name: str, data: ImageData, plain: bool) -> Step:
    """The usual loop, with plain loops or the suite's optimizer."""
    model = build(model_name, CIFAR.channels, CIFAR.size, CIFAR.classes).train()
    optimizer = PlainXSAM(sgd(model), RHO, ALPHA) if plain else XSAM(sgd(model), RHO, alpha=ALPHA, model=model)
    batches = _endless(DataLoader(Pictures(data), BATCH_SIZE, shuffle=True, drop_last=True, num_workers=WORKERS))

    def loss_of(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(model(images), labels)

    def step() -> None:
        torch.use_deterministic_algorithms(False)
        optimizer.step(partial(loss_of, *next(batches))).item()

    return step


def _endless(loader: DataLoader[tuple[Tensor, int]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


class OneStep:
    """Stops the loop at the next step boundary (a ``xsam.runner.loop.Callbacks`` that saves nothing)."""

    def stop_requested(self) -> bool:
        return True

    def checkpoint_due(self, position: Position) -> bool:
        return False

    def save(self, position: Position) -> None:
        """Nothing is kept."""

    def step_done(self, position: Position, loss: Tensor) -> None:
        """Nothing is shown."""

    def epoch_done(self, position: Position) -> None:
        raise AssertionError("more steps than an epoch has: the evaluation would be timed")


def suite(run: RunSpec, data: ImageData) -> Step:
    """The suite's training loop."""
    config = run.config
    assert isinstance(config, VisionRun)
    trainer = Trainer(run, VisionProblem(config, data, torch.device("cpu")))
    position = Position()

    def step() -> None:
        set_up_torch(THREADS, seed=0)
        with suppress(Interrupted):
            train(trainer, config, position, OneStep())

    return step


def main() -> None:
    """Measure, print, and compare with the targets."""
    parser = options(__doc__)
    parser.add_argument("--only", choices=ROUNDS, help="measure one model alone")
    parser.add_argument("--compile", action="store_true", help="one more column, with torch.compile")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    data, specs = cifar(), runs()
    figures: dict[str, float] = {}
    for model, rounds in ROUNDS.items():
        if arguments.only in (None, model):
            sides = {
                "usual": usual(model, data, plain=True),
                "optimizer": usual(model, data, plain=False),
                "input": suite(specs[model, False, False], data),
                "ours": suite(specs[model, True, False], data),
                **({"compiled": suite(specs[model, True, True], data)} if arguments.compile else {}),
            }
            seconds = alternate(sides, rounds, block=1)
            speeds = {name: BATCH_SIZE / value for name, value in seconds.items()}
            print(f"{model}: " + ", ".join(f"{name} {speed:,.1f}" for name, speed in speeds.items()) + " images/s")
            names = {name: f"{model}_{name}_over_usual_loop" for name in sides if name not in ("usual", "ours")}
            names["ours"] = f"{model}_over_usual_loop"
            figures |= {full: speeds[name] / speeds["usual"] for name, full in names.items()}
    finish(figures, {name: target for name, target in TARGETS.items() if name in figures}, arguments)


if __name__ == "__main__":
    main()
