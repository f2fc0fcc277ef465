"""What the training loop tells a worker and asks of it: :class:`~xsam.runner.loop.Callbacks`, for every process."""

from __future__ import annotations

import logging
import math
import os
import time

import torch

from xsam.atomic import write_json
from xsam.grid.spec import RunSpec
from xsam.metrics import VALIDATION, watched
from xsam.runner import checkpoint, memory
from xsam.runner.checkpoint import CheckpointMismatch, Identity, Position
from xsam.runner.distributed import ProcessGroup
from xsam.runner.lease import Lease
from xsam.runner.measurements import diagnose
from xsam.runner.order import WorkOrder
from xsam.runner.record import Record
from xsam.runner.schedule import Schedule
from xsam.runner.stop import StopFlag
from xsam.runner.trainer import Trainer
from xsam.store.repair import set_aside

PROGRESS_SECONDS = 0.5
FIRST_SAVE_SECONDS = 1.0
SAVING_AT_MOST = 0.05  # of the time, in the first minutes
EPOCH_SECONDS = 5.0  # between checkpoints at the ends of epochs, which may take less time than a checkpoint


class Follower:
    """Takes part in checkpoints, and leaves all else to rank 0."""

    def __init__(self, spec: RunSpec, order: WorkOrder, stop: StopFlag, trainer: Trainer, group: ProcessGroup) -> None:
        self.stop, self.trainer, self.group = stop, trainer, group
        self.identity = Identity(spec.run_id, trainer.problem.data_checksum)
        self.path = order.folder.checkpoint(spec.run_id)

    def restore(self) -> Position:
        """Where the checkpoint left the run; its beginning where there is none, or none that can be gone on from."""
        refused = self.group.share(self._refused())
        if refused is not None:
            return Position(notes=[refused])
        return checkpoint.load(self.path, self.identity, self.trainer, self.group) or Position()

    def _refused(self) -> str | None:
        """On rank 0, why the checkpoint is not gone on from; it is set aside then."""
        return None

    def stop_requested(self) -> bool:
        return self.stop.requested

    def checkpoint_due(self, position: Position) -> bool:
        return False

    def save(self, position: Position) -> None:
        checkpoint.save(self.path, self.identity, position, self.trainer, self.group)

    def step_done(self, position: Position, loss: torch.Tensor) -> None: ...

    def epoch_done(self, position: Position) -> None: ...


class Leader(Follower):
    """Checkpoints, progress, log, diagnostics and a tracker's record of one run, under its lease."""

    def __init__(
        self,
        spec: RunSpec,
        order: WorkOrder,
        lease: Lease,
        stop: StopFlag,
        trainer: Trainer,
        log: logging.Logger,
        group: ProcessGroup,
    ) -> None:
        super().__init__(spec, order, stop, trainer, group)
        self.spec, self.order, self.lease, self.log = spec, order, lease, log
        self.schedule = Schedule(spec.config.training, spec.config.optimizer.lr, trainer.problem.steps_per_epoch)
        self.saved_at = self.told_at = self.began_at = time.monotonic()
        self.pause = min(FIRST_SAVE_SECONDS, order.checkpoint_seconds)
        self.began_with = 0
        self.record = Record(spec, order, log)

    def restore(self) -> Position:
        position = super().restore()
        self.began_with = self._steps(position)
        if self.began_with:
            self.log.info("resumed in epoch %d after step %d", position.epoch + 1, position.step)
        self.record.start(position.history)
        return position

    def _refused(self) -> str | None:
        if not os.path.lexists(self.path):
            return None
        try:
            checkpoint.check(self.path, self.identity)
        except CheckpointMismatch as error:
            place = set_aside(self.order.folder, self.path)
            self.log.warning("%s; it is %s now, and the run begins anew", error, place)
            return f"trained anew: {error}"
        return None

    def checkpoint_due(self, position: Position) -> bool:
        """Soon after the start, then after pauses that double up to ``checkpoint_seconds``, or sooner between epochs.

        So a worker that dies has never lost more than about half of the time that it was at it, each life gets the run
        further, and a run that kills its workers at a certain step is found out after a few of them.
        """
        elapsed = time.monotonic() - self.saved_at
        if position.step:
            return elapsed >= self.pause
        last = position.epoch == self.schedule.epochs and self.order.keep_checkpoints
        return last or elapsed >= min(EPOCH_SECONDS, self.pause)

    def save(self, position: Position) -> None:
        self.lease.check()
        self._note_peak(position)
        began = time.monotonic()
        super().save(position)
        self.saved_at = time.monotonic()
        pause = max(2 * self.pause, (self.saved_at - began) / SAVING_AT_MOST)
        self.pause = min(pause, self.order.checkpoint_seconds)

    def step_done(self, position: Position, loss: torch.Tensor) -> None:
        now = time.monotonic()
        if now - self.told_at >= PROGRESS_SECONDS:
            self.told_at = now
            self._tell(position, float(loss))

    def epoch_done(self, position: Position) -> None:
        row = position.history[-1]
        text = ", ".join(f"{name} {value:.4g}" for name, value in watched(row).items())
        self.log.info("epoch %d/%d: %s", row["epoch"] + 1, self.schedule.epochs, text)
        self.record.epoch(row)
        if self.order.diagnostics is None or not math.isfinite(row["train_loss"]):
            return
        wanted = self.order.diagnostics.due(row["epoch"], last=position.epoch == self.schedule.epochs)
        if wanted is not None:
            self._note_peak(position)
            with self.trainer.apart():
                position.sharpness += diagnose(wanted, self.trainer.problem, row["epoch"])
            memory.reset_peak(self.trainer.device)  # the measurements' own
            self.log.info("measured %s", ", ".join(wanted.measure))

    def _note_peak(self, position: Position) -> None:
        peak = memory.peak(self.trainer.device)
        if peak is not None:
            position.peak_memory_bytes = max(peak, position.peak_memory_bytes or 0)

    def _tell(self, position: Position, loss: float) -> None:
        done = self._steps(position)
        total = self.schedule.updates
        speed = (done - self.began_with) / max(time.monotonic() - self.began_at, 1e-9)
        row = watched(position.history[-1]) if position.history else {}
        content = {
            "epoch": position.epoch + 1,
            "epochs": self.schedule.epochs,
            "done": done / total,
            "loss": loss if math.isfinite(loss) else None,
            **{name: value for name, value in row.items() if name.startswith(VALIDATION)},
            "eta_seconds": (total - done) / speed if speed > 0 else None,
            "curve": _curve(position),
        }
        write_json(self.order.folder.progress(self.spec.run_id), content)

    def _steps(self, position: Position) -> int:
        return position.epoch * self.trainer.problem.steps_per_epoch + position.step


def _curve(position: Position) -> dict[str, list[float | None]]:
    """What the epochs so far were like in validation and training, for those who watch."""
    rows = [watched(row) for row in position.history]
    names = dict.fromkeys(name for row in rows for name in row if name == "train_loss" or name.startswith(VALIDATION))
    return {name: [row.get(name) for row in rows] for name in names}
