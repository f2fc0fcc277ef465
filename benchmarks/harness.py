"""What the harness itself costs: looking at 10,000 finished runs, merging them, and a short run beyond its training.

The runs are single files, as workers leave them: a row with provenance and 30 epochs each. ``plan``, ``status``, the
same ``run`` again and ``compact`` are the real commands in processes of their own, from start to end, after nothing but
workers has looked at the folder; memory is the largest resident size.

A packed worker trains 60 runs of 30 epochs on the digits, one after the other. What it takes beyond their training,
evaluation and searches, which their rows tell, is ``overhead_ms_per_run``: opening data, building the model, lease,
log, progress, checkpoints, rows. ``floor_ms_per_run`` is what it takes to write the same files alone, as durably: no
harness that loses nothing in a power cut can be faster.

Targets:
    plan_seconds         ≤ 5
    status_seconds       ≤ 5
    run_again_seconds    ≤ 8
    compact_seconds      ≤ 40
    compact_megabytes    ≤ 600
    overhead_ms_per_run  ≤ 20
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import torch

from benchmarks import submission
from benchmarks.measure import Target, finish, options
from xsam.atomic import write_bytes, write_json
from xsam.grid import Grid, load_grid
from xsam.runner.order import WorkOrder
from xsam.runner.provenance import provenance
from xsam.runner.stop import StopFlag
from xsam.runner.worker import work
from xsam.store import GridFolder, read, write_epochs, write_run

TARGETS = {
    "plan_seconds": Target(5.0),
    "status_seconds": Target(5.0),
    "run_again_seconds": Target(8.0),
    "compact_seconds": Target(40.0),
    "compact_megabytes": Target(600.0),
    "overhead_ms_per_run": Target(20.0),
}
EPOCHS = 30
SHORT = """
name: short
task: vision
matrix: {optimizer: [sgd, sam, xsam], seed: {count: 20}}
params: {model: mlp, dataset: digits, hidden: [64], epochs: 30, batch_size: 64, lr: 0.05}
"""


def fill(folder: Path) -> Grid:
    """Write 10,000 finished runs below ``folder``, without waiting for the disk."""
    (folder / "grid.yaml").write_text(submission.GRID, encoding="utf-8")
    grid = load_grid(folder / "grid.yaml")
    place = GridFolder(folder / "results", grid.name)
    write_json(place.grid_json, grid.to_json())
    now, cpu = datetime.now(UTC), torch.device("cpu")
    with patch("xsam.atomic.sync"):
        for number, run in enumerate(grid.runs):
            rows = [
                {"epoch": epoch, "step": 20 * epoch + 20, "train_loss": number / (epoch + 1), "lr": 0.1, "seconds": 0.1}
                | {
                    "val_accuracy": 90.0 + epoch / 10,
                    "test_accuracy": 91.0 + epoch / 10,
                    "forwards": 20,
                    "backwards": 20,
                }
                for epoch in range(EPOCHS)
            ]
            write_epochs(place, run.run_id, rows)
            described = {"run_id": run.run_id, "task": run.task, "optimizer": run.optimizer, "method": run.method}
            params = {f"param_{name}": value for name, value in run.params.items()}
            told = {"status": "done", "attempts": 1, "started_at": now, "finished_at": now, "epoch_rows": EPOCHS}
            cost = {"forwards": 600, "backwards": 600, "wall_seconds": 3.0, "train_seconds": 2.5, "eval_seconds": 0.5}
            write_run(
                place,
                {
                    **described,
                    **{name: run.params.get(name) for name in ("model", "dataset", "seed", "ascent_steps")},
                    **params,
                    **told,
                    **cost,
                    "test_accuracy_final": 90.0,
                    "provenance": provenance(run, "0" * 16, cpu),
                },
            )
            place.leases(run.run_id).mkdir(parents=True)
    return grid


# A child's largest size begins with its parent's, so the parent is a small process that says what the command took.
_WATCH = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def timed(folder: Path, *arguments: str) -> tuple[float, float]:
    """Seconds and megabytes that the command takes."""
    command = [sys.executable, "-c", _WATCH, sys.executable, "-m", "xsam.cli.main", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def look() -> dict[str, float]:
    """The figures of 10,000 finished runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder)
        plan, _ = timed(folder, "plan", "grid.yaml")
        status, _ = timed(folder, "status")
        again, _ = timed(folder, "run", "grid.yaml")
        compact, megabytes = timed(folder, "compact")
        assert not list(folder.glob("results/*/*/*.parquet")), "everything is merged"
    return {
        "plan_seconds": plan,
        "status_seconds": status,
        "run_again_seconds": again,
        "compact_seconds": compact,
        "compact_megabytes": megabytes,
    }


def train() -> dict[str, float]:
    """The figures of short runs in one worker."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "grid.yaml").write_text(SHORT, encoding="utf-8")
        grid = load_grid(folder / "grid.yaml")
        place = GridFolder(folder / "results", grid.name)
        write_json(place.grid_json, grid.to_json())
        ids = tuple(run.run_id for run in grid.runs)
        order = WorkOrder(place.results, grid.name, ids, folder / "data", launch="harness", device="cpu")
        order.write_snapshot(grid.runs)
        first, rest = ids[:2], ids[2:]
        work(replace(order, run_ids=first), StopFlag())  # imports, and what torch does once
        start = time.perf_counter()
        assert work(replace(order, run_ids=rest), StopFlag()) == len(rest)
        elapsed = time.perf_counter() - start
        rows = read(place.results).set_index("run_id").loc[list(rest)]
        trained = rows[["train_seconds", "eval_seconds", "search_seconds"]].sum().sum()
        floor = sum(_again(place, run_id, folder / "again") for run_id in rest)
    return {
        "overhead_ms_per_run": 1000 * (elapsed - float(trained)) / len(rest),
        "floor_ms_per_run": 1000 * floor / len(rest),
        "training_ms_per_run": 1000 * float(trained) / len(rest),
    }


def _again(place: GridFolder, run_id: str, target: Path) -> float:
    """Seconds to write a run's files once more: lease taken and given back, log, epochs and row."""
    lease = next(place.leases(run_id).glob("*.json"))
    contents = [path.read_bytes() for path in (lease, lease, place.epochs_file(run_id), place.run_file(run_id))]
    log = place.log(run_id).read_bytes()
    start = time.perf_counter()
    for number, content in enumerate(contents):
        write_bytes(target / run_id / str(number), content)
    (target / run_id / "log").write_bytes(log)
    return time.perf_counter() - start


def main() -> None:
    arguments = options(__doc__).parse_args()
    finish(train() | look(), TARGETS, arguments)


if __name__ == "__main__":
    main()
