"""One run from start to finish: build it, resume it, train it, and write its row."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from xsam.atomic import is_full
from xsam.grid.spec import RunSpec
from xsam.runner import compiler, memory, numerics, precision, randomness
from xsam.runner.callbacks import Follower, Leader
from xsam.runner.checkpoint import Position
from xsam.runner.distributed import ALONE, ProcessGroup
from xsam.runner.lease import Lease, LeaseLost
from xsam.runner.loop import train
from xsam.runner.order import WorkOrder, utc_now
from xsam.runner.provenance import provenance
from xsam.runner.stop import Interrupted, StopFlag
from xsam.runner.trainer import Trainer
from xsam.store import write_epochs, write_run, write_sharpness
from xsam.store.layout import TABLES, GridFolder
from xsam.store.repair import clear
from xsam.tasks import get_task
from xsam.tasks.seeding import derive


def execute(
    spec: RunSpec, order: WorkOrder, lease: Lease, stop: StopFlag, group: ProcessGroup = ALONE, fresh: bool = True
) -> bool:
    """Train one run under ``lease`` and write its row, whatever its outcome; returns whether this process may go on.

    A run fails for good only in a process that trained none before it and whose device still works: after a failure
    elsewhere no row is written, the run is left to a fresh process (the lease says so), and this one must end. Whatever
    an earlier run left behind, a broken CUDA context, memory, open files, costs no later run its result.

    A ``group`` whose processes are out of step, after a failure, cannot train the next run: this process ends then, and
    the others with it.

    Args:
        fresh: this process has trained no run before.

    Raises:
        Interrupted: stopped with a checkpoint on disk.
        LeaseLost: another worker has the run; nothing was written.
    """
    started = utc_now()
    folder = order.folder
    clear_leftovers(folder, spec.run_id)
    with log_to(order.folder.log(spec.run_id)) as log:
        log.info("%s seed %s on %s, attempt %d", spec.optimizer, spec.params["seed"], _where(spec), lease.number)
        try:
            group.share(spec.run_id)
            row = _train(spec, order, lease, stop, log, group)
        except Interrupted:
            log.info("stopped, to be resumed")
            raise
        except LeaseLost as error:
            log.warning("%s", error)
            if group.size > 1:
                raise SystemExit(1) from None
            raise
        except Exception as error:  # a run's failure is its own result, whatever it is
            if is_full(error):  # which is no run's
                raise
            trace = group.cause(error)
            if trace is None:
                log.error("another process of this run died: %s", error)
                os._exit(1)  # still holding the lease, so that the death counts as a crash
            log.error("failed\n%s", trace)
            broken = broken_device(_device(order.device))
            if not fresh or (broken and not lease.record.suspect):
                blame = "its device does not work any more" if broken else "it had trained other runs before"
                log.warning("this process may be to blame (%s): once more in a fresh one", blame)
                lease.suspect = True
                if group.size > 1:
                    raise SystemExit(1) from None
                return False
            row = {"status": "failed", "error": trace}
        write_row(spec, order, lease, started, row)
        log.info("%s", row["status"])
        if row["status"] != "failed":
            if not order.keep_checkpoints:
                order.folder.checkpoint(spec.run_id).unlink(missing_ok=True)
            return True
        if group.size > 1:
            raise SystemExit(1)
        return not broken


def clear_leftovers(folder: GridFolder, run_id: str) -> None:
    """Take away what a damaged or unfinished start of the run left where this one writes."""
    tables = (folder.table_file(table, run_id) for table in TABLES)
    clear(folder, (*tables, folder.log(run_id), folder.progress(run_id)))
    for leftover in folder.state(run_id).glob(".*.tmp"):  # of a worker that was killed while it wrote
        leftover.unlink(missing_ok=True)


def follow(order: WorkOrder, runs: Mapping[str, RunSpec], stop: StopFlag, group: ProcessGroup) -> int:
    """On a rank of ``group`` other than 0, take part in the runs that rank 0 names until it names no more."""
    followed = 0
    while (run_id := group.share()) is not None:
        spec = runs[run_id]
        try:
            trainer = fresh_trainer(spec, order.data_dir, order.device, group)
            follower = Follower(spec, order, stop, trainer, group)
            train(trainer, spec.config, follower.restore(), follower, group)
            followed += 1
        except Interrupted:
            continue
        except Exception:
            group.report(traceback.format_exc())
            raise
    return followed


def record_deaths(spec: RunSpec, order: WorkOrder, lease: Lease) -> None:
    """Give a run up whose workers died one after the other without getting on, so that it cannot take them all."""
    deaths = lease.record.deaths
    error = (
        f"the worker's process died {deaths} times in this run without a message (out of memory?), and its checkpoint "
        "did not move; the same command tries it again"
    )
    write_row(spec, order, lease, utc_now(), {"status": "failed", "error": error, "deaths": deaths})


def warm_up(device_name: str) -> None:
    """Take a step of a tiny model, before any run is taken: it brings torch's lazy imports and the device's libraries.

    A device, or an installation, that does not work ends the process here; raises what torch says.
    """
    compiler.load_when_used()
    model = torch.nn.Linear(1, 1, device=_device(device_name))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(1, 1, device=_device(device_name))).sum().backward()
    optimizer.step()
    model.weight.sum().item()


def broken_device(device: torch.device) -> bool:
    """Whether the device refuses even the smallest work: some CUDA errors stay until the process ends."""
    try:
        torch.ones(1, device=device).sum().item()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    except Exception:  # whatever it is: the device does not work
        return True
    return False


def fresh_trainer(spec: RunSpec, data_dir: Path, device_name: str, group: ProcessGroup = ALONE) -> Trainer:
    """The run at its beginning, in a process brought to a known state.

    Args:
        spec: the run.
        data_dir: where prepared data are.
        device_name: torch's name of the device, or "auto" for a GPU where there is one and the run's ``numerics`` are
            native.
        group: the processes that train it together.
    """
    device = _device_for(spec.config.training.numerics, device_name)
    stream = ("training", group.rank) if group.rank else ("training",)  # each process has dropout masks of its own
    seed = derive(spec.config.seed, *stream)
    set_up_torch(spec.config.training.threads, seed)
    precision.set_up(spec.config.training.precision, device)
    memory.reset_peak(device)
    trainer = Trainer(spec, get_task(spec.task).open(spec.config, data_dir, device), group)
    randomness.seed(seed)  # once more: the first run of a process imports libraries, and some draw a number then
    return trainer


def _train(
    spec: RunSpec, order: WorkOrder, lease: Lease, stop: StopFlag, log: logging.Logger, group: ProcessGroup
) -> dict[str, Any]:
    trainer = fresh_trainer(spec, order.data_dir, order.device, group)
    problem = trainer.problem
    callbacks = Leader(spec, order, lease, stop, trainer, log, group)
    with callbacks.record as record:
        position = callbacks.restore()
        resumed_from = position.epoch * problem.steps_per_epoch + position.step

        status = train(trainer, spec.config, position, callbacks, group)
        row = outcome(spec, order, lease, trainer, position, status, resumed_from)
        record.finish(status, row)
        return row


def outcome(
    spec: RunSpec, order: WorkOrder, lease: Lease, trainer: Trainer, position: Position, status: str, resumed_from: int
) -> dict[str, Any]:
    """Write a trained run's epochs, and measure what is measured once; returns its own part of its row."""
    problem, optimizer = trainer.problem, trainer.optimizer
    lease.check()
    write_epochs(order.folder, spec.run_id, position.history)
    if position.sharpness:
        write_sharpness(order.folder, spec.run_id, position.sharpness)
    return {
        "status": status,
        "resumed_from_step": resumed_from,
        "note": "; ".join(position.notes) or None,
        "epoch_rows": len(position.history),
        "sharpness_rows": len(position.sharpness),
        "forwards": optimizer.forwards,
        "backwards": optimizer.backwards,
        "skipped_steps": optimizer.skipped,
        "wall_seconds": _total(position, "seconds"),
        **{part: _total(position, part) for part in ("train_seconds", "eval_seconds", "search_seconds")},
        "peak_memory_bytes": position.peak_memory_bytes,
        "parameters": sum(p.numel() for p in problem.model.parameters() if p.requires_grad),
        "provenance": provenance(spec, problem.data_checksum, trainer.device),
        **(problem.summarise(position.history) if status == "done" else {}),
        **(trainer.finish(order.folder.outputs(spec.run_id)) if status == "done" else {}),
    }


def _total(position: Position, part: str) -> float:
    return math.fsum(row[part] for row in position.history)


def write_row(spec: RunSpec, order: WorkOrder, lease: Lease, started: datetime, row: dict[str, Any]) -> None:
    lease.check()
    write_run(
        order.folder,
        {
            "run_id": spec.run_id,
            "grid": order.grid,
            "task": spec.task,
            "model": spec.params["model"],
            "dataset": spec.params["dataset"],
            "optimizer": spec.optimizer,
            "method": spec.method,
            "ascent_steps": spec.params.get("ascent_steps"),
            "seed": spec.params["seed"],
            "attempts": lease.number,
            "launch": order.launch,
            "started_at": started,
            "finished_at": utc_now(),
            **{f"param_{name}": value for name, value in spec.params.items()},
            **row,
        },
    )


def set_up_torch(threads: int, seed: int) -> None:
    """Bring the process to the one state that runs begin in, since it may have trained other runs before.

    >>> set_up_torch(threads=1, seed=0)
    >>> torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    (1, True)
    """
    torch.set_num_threads(threads)
    compiler.load_when_used()
    numerics.set_up_torch()
    torch.set_deterministic_debug_mode("warn")  # as use_deterministic_algorithms, which loads the compiler to tell it
    # It would write NaN into every new tensor first, 5% of a ResNet's step, for kernels that read what nobody wrote.
    deterministic: Any = torch.utils.deterministic  # its properties are not in its types
    deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    randomness.seed(seed)


def _device_for(setting: str, name: str) -> torch.device:
    """The device ``name`` for a run with this ``numerics``; raises ``NotPortable`` where it cannot be had."""
    numerics.check(setting, name)
    numerics.enter(setting)
    return torch.device("cpu") if setting != "native" else _device(name)


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def _where(spec: RunSpec) -> str:
    return f"{spec.params['model']}, {spec.params['dataset']}"


class _LogFile(logging.FileHandler):
    """A log that is not worth an error: where it cannot be written, what it would have said is not said."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


@contextlib.contextmanager
def log_to(path: Path, name: str = "xsam.run") -> Iterator[logging.Logger]:
    """The run's log file: its own lines, and the warnings of everything it calls."""
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger(name)
    log.setLevel(logging.INFO)
    log.propagate = False
    loggers = (log, logging.getLogger("py.warnings"))
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield log
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        logging.captureWarnings(False)
        handler.close()
