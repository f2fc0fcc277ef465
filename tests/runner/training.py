"""Runs on the digits, small enough to train in a moment, without worker, lease or files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from xsam.grid import load_grid
from xsam.grid.spec import RunSpec
from xsam.runner import checkpoint
from xsam.runner.checkpoint import Identity, Position
from xsam.runner.loop import train
from xsam.runner.run import fresh_trainer
from xsam.runner.stop import Interrupted
from xsam.runner.trainer import Trainer

# 1,293 training images in batches of 128: ten steps, and an eleventh of 13 images.
SMALL: dict[str, Any] = {
    "model": "mlp",
    "dataset": "digits",
    "hidden": [16],
    "epochs": 2,
    "batch_size": 128,
    "lr": 0.05,
}
STEPS = 11


def spec_of(folder: Path, optimizer: str = "sgd", **given: Any) -> RunSpec:
    """The run of a grid with one cell."""
    params = {**SMALL, **given}
    if "pass_budget" in given:
        del params["epochs"]
    if params["model"] != "mlp":
        del params["hidden"]
    values = ", ".join(f"{name}: {str(value).replace('None', 'null')}" for name, value in params.items())
    path = folder / "grid.yaml"
    path.write_text(f"name: g\ntask: vision\nmatrix: {{optimizer: [{optimizer}]}}\nparams: {{{values}}}\n")
    (run,) = load_grid(path).runs
    return run


def fresh(spec: RunSpec, folder: Path) -> Trainer:
    return fresh_trainer(spec, folder, "cpu")


class Quiet:
    """A watch that saves to a file, and interrupts after a step of the run where it is asked to."""

    def __init__(self, trainer: Trainer, path: Path, stop_after: int | None = None) -> None:
        self.trainer, self.path, self.stop_after = trainer, path, stop_after
        self.done = 0
        self.losses: list[float] = []
        self.identity = Identity("run", "data")

    def stop_requested(self) -> bool:
        return self.done == self.stop_after

    def checkpoint_due(self, position: Position) -> bool:
        return False

    def save(self, position: Position) -> None:
        checkpoint.save(self.path, self.identity, position, self.trainer)

    def step_done(self, position: Position, loss: torch.Tensor) -> None:
        self.done += 1
        self.losses.append(float(loss))

    def epoch_done(self, position: Position) -> None: ...


def run_through(spec: RunSpec, folder: Path, stop_after: int | None = None) -> tuple[Trainer, Position]:
    """Train the run to its end; with ``stop_after``, in two halves that share nothing but the checkpoint."""
    trainer, position = fresh(spec, folder), Position()
    path = folder / "checkpoint"
    if stop_after is not None:
        try:
            train(trainer, spec.config, position, Quiet(trainer, path, stop_after))
            raise AssertionError("it was not interrupted")
        except Interrupted:
            torch.manual_seed(99)  # nothing may depend on what another run left behind
        trainer = fresh(spec, folder)
        found = checkpoint.load(path, Identity("run", "data"), trainer)
        assert found is not None
        position = found
    assert train(trainer, spec.config, position, Quiet(trainer, path)) == "done"
    return trainer, position


def without_times(position: Position) -> list[dict[str, Any]]:
    """The epochs' rows without what no two runs share."""
    return [{name: value for name, value in row.items() if not name.endswith("seconds")} for row in position.history]
