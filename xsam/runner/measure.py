"""Measuring the sharpness of a run that is done, from its last checkpoint."""

from __future__ import annotations

from pathlib import Path

from xsam.grid.diagnostics import Diagnostics
from xsam.grid.spec import RunSpec
from xsam.runner import checkpoint
from xsam.runner.checkpoint import Identity, Position
from xsam.runner.measurements import Row, diagnose
from xsam.runner.run import fresh_trainer
from xsam.runner.trainer import Trainer
from xsam.store import finished, write_sharpness
from xsam.store.frames import grid_table
from xsam.store.layout import GridFolder


class NotMeasurable(Exception):
    """The run is not done, or its last checkpoint is gone."""


def restored(folder: GridFolder, spec: RunSpec, data_dir: Path, device: str) -> tuple[Trainer, Position]:
    """A finished run as it was at its end, from its last checkpoint; raises as :func:`measure` does."""
    end = finished(folder, spec.run_id)
    if end is None or end.status != "done":
        raise NotMeasurable(f"run {spec.run_id} is {'not finished' if end is None else end.status}: nothing to measure")
    path = folder.checkpoint(spec.run_id)
    if not path.exists():  # before the data are read
        raise NotMeasurable(
            f"{path}: no checkpoint, which goes when its run is finished, unless the grid file says "
            "'keep_checkpoints: true'; with it, 'xsam-bench run' in another results folder trains the run again"
        )
    trainer = fresh_trainer(spec, data_dir, device)
    position = checkpoint.load(path, Identity(spec.run_id, trainer.problem.data_checksum), trainer)
    if position is None:
        raise NotMeasurable(f"{path}: the checkpoint has just been removed")
    return trainer, position


def measure(folder: GridFolder, spec: RunSpec, wanted: Diagnostics, data_dir: Path, device: str) -> list[Row]:
    """Measure a run's final weights and add the rows to its table ``sharpness``, in place of older ones.

    Args:
        folder: the run's grid.
        spec: the run.
        wanted: what to measure.
        data_dir: where prepared data are.
        device: torch's name of the device, or "auto" for a GPU where there is one.

    Returns:
        The new rows.

    Raises:
        NotMeasurable: there is nothing to measure.
        CheckpointMismatch: the checkpoint does not fit the run or the data.
        DataMissing: the data set is not prepared.
    """
    trainer, position = restored(folder, spec, data_dir, device)
    epoch = position.epoch - 1
    rows = diagnose(wanted, trainer.problem, epoch)
    replaced = {row["measure"] for row in rows}
    older = [
        {name: value for name, value in row.items() if name != "grid"}
        for row in grid_table(folder, "sharpness", [spec.run_id]).to_pylist()
        if row["run_id"] == spec.run_id and (row["epoch"], row["measure"]) not in {(epoch, name) for name in replaced}
    ]
    write_sharpness(folder, spec.run_id, [*older, *rows])
    return rows
