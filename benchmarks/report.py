"""How long the report of 1,000 stored runs takes, and that of 10,000 compacted ones.

Both are the real command in a process of its own, from its start to its end, on an empty folder of reports: reading,
tables in every format, statistics and the page, without the static figures. Every run has 200 epochs, a traceback in
one of a hundred, and its provenance; 10 seeds, so that every interval and test is computed. The 1,000 runs are single
files, as workers leave them.

Targets:
    report_1000_seconds   ≤ 5
    report_10000_seconds  ≤ 30
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks.measure import Target, finish, options
from xsam.atomic import write_json
from xsam.grid import Grid, RunSpec, load_grid
from xsam.metrics import RULES
from xsam.runner.provenance import provenance
from xsam.store import GridFolder
from xsam.store.rows import write_table
from xsam.store.schema import arrow_schema, to_table

TARGETS = {"report_1000_seconds": Target(5.0), "report_10000_seconds": Target(30.0)}
EPOCHS = 200
GRID = """
name: large
task: vision
matrix:
  model: [mlp, resnet8]
  dataset: [digits, fashion_mnist, cifar10, cifar100, tiny_imagenet]
  lr: {lr}
  optimizer: [sgd, sam, asam, gsam, wsam, looksam, friendly_sam, fisher_sam, momentum_sam, xsam]
  seed: {{count: 10}}
params: {{epochs: 200, batch_size: 128}}
report: {{rows: [model, dataset, lr], columns: [optimizer], metric: test_accuracy, rule: last5_mean}}
"""
LEARNING_RATES = {1_000: [0.1], 10_000: [0.01 * place for place in range(1, 11)]}
ROUNDS = {1_000: 3, 10_000: 1}


def write_grid(folder: Path, runs: int) -> Grid:
    """Plan the grid and write its ``grid.json``."""
    path = folder / "grid.yaml"
    path.write_text(GRID.format(lr=LEARNING_RATES[runs]), encoding="utf-8")
    grid = load_grid(path)
    assert len(grid.runs) == runs, f"{len(grid.runs)} runs"
    write_json(GridFolder(folder / "results", grid.name).grid_json, grid.to_json())
    return grid


def run_row(spec: RunSpec, place: int, final: float) -> dict[str, Any]:
    """One row of the table ``runs``; every hundredth run has failed."""
    passes = 1 if spec.method == "sgd" else 2
    row: dict[str, Any] = {
        "run_id": spec.run_id,
        "grid": "large",
        "task": spec.task,
        "optimizer": spec.optimizer,
        "method": spec.method,
        **{name: spec.params.get(name) for name in ("model", "dataset", "ascent_steps", "seed")},
        **{f"param_{name}": value for name, value in spec.params.items() if name not in ("model", "dataset", "seed")},
        "status": "done",
        "attempts": 1,
        "finished_at": datetime(2026, 1, 2, tzinfo=UTC),
        "forwards": EPOCHS * 390 * passes,
        "backwards": EPOCHS * 390 * passes,
        "wall_seconds": 600.0 * passes + place % 7,
        "peak_memory_bytes": 2**30,
        "parameters": 11_173_962,
        "provenance": provenance(spec, "0" * 64, torch.device("cpu")),
        **{f"test_accuracy_{rule}": final + 0.1 * step for step, rule in enumerate(RULES)},
    }
    row = {name: value for name, value in row.items() if name in arrow_schema("runs").names}
    if place % 100 == 99:
        lost = {name: None for name in row if name.startswith("test_")}
        return {
            **row,
            **lost,
            "status": "failed",
            "error": "Traceback (most recent call last):\n  …\nRuntimeError: no\n",
        }
    return row


def epoch_table(specs: Sequence[RunSpec], finals: np.ndarray[Any, np.dtype[np.float64]]) -> pa.Table:
    """200 epochs of every run: accuracies that rise to the final one with some noise."""
    runs = len(specs)
    at = np.tile(np.arange(EPOCHS), runs)
    noise = np.random.default_rng(0).normal(0.0, 0.3, runs * EPOCHS)
    rising = np.repeat(finals, EPOCHS) - 40.0 * np.exp(-at / 20.0) + noise
    searched = np.repeat([spec.method == "xsam" for spec in specs], EPOCHS)
    filled = {
        "run_id": np.repeat([spec.run_id for spec in specs], EPOCHS),
        "grid": np.full(runs * EPOCHS, "large"),
        "epoch": at,
        "step": (at + 1) * 390,
        "train_loss": (100.0 - rising) / 30.0,
        "lr": 0.1 * (1 - at / EPOCHS),
        "test_accuracy": rising,
        "test_loss": (100.0 - rising) / 25.0,
        "seconds": np.full(runs * EPOCHS, 3.0),
        "forwards": np.full(runs * EPOCHS, 780),
        "backwards": np.full(runs * EPOCHS, 780),
        "alpha": np.ma.array(1.4 + noise, mask=~searched),
    }
    columns = [
        pa.array(filled[field.name], field.type) if field.name in filled else pa.nulls(len(at), field.type)
        for field in arrow_schema("epochs")
    ]
    return pa.Table.from_arrays(columns, schema=arrow_schema("epochs"))


def tables(grid: Grid, specs: Sequence[RunSpec]) -> Iterator[tuple[str, pa.Table, int]]:
    """The name of each table, all its rows in the order of ``specs``, and how many of them are one run's."""
    gains = {label: 0.2 * place for place, label in enumerate(grid.axes["optimizer"])}
    noise = np.random.default_rng(1).normal(0.0, 0.3, len(specs))
    finals = np.array([80.0 + gains[spec.optimizer] for spec in specs]) + noise
    rows = [run_row(spec, place, float(finals[place])) for place, spec in enumerate(specs)]
    yield "runs", to_table("runs", rows), 1
    yield "epochs", epoch_table(specs, finals), EPOCHS


def write_store(folder: Path, runs: int, compacted: bool) -> None:
    """Write a results folder of ``runs`` runs."""
    grid = write_grid(folder, runs)
    store = GridFolder(folder / "results", grid.name)
    specs = sorted(grid.runs, key=lambda spec: spec.run_id)  # the order of compacted rows
    for name, table, size in tables(grid, specs):
        if compacted:
            write_table(store.compacted(name), table, use_dictionary=True)
            continue
        for place, spec in enumerate(specs):
            rows = table.slice(place * size, size)
            write_table(store.table_file(name, spec.run_id), rows, use_dictionary=False)


def timed(folder: Path, out: str) -> float:
    """Seconds that the command takes."""
    command = [sys.executable, "-m", "xsam.cli.main", "report", "--no-figures", "--out", out]
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure() -> dict[str, float]:
    """The medians of both, and the size of each page in megabytes."""
    figures = {}
    for runs, rounds in ROUNDS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_store(folder, runs, compacted=runs == 10_000)
            seconds = [timed(folder, f"reports{turn}") for turn in range(rounds)]
            figures[f"report_{runs}_seconds"] = statistics.median(seconds)
            figures[f"page_{runs}_megabytes"] = (folder / "reports0" / "index.html").stat().st_size / 1e6
    return figures


def main() -> None:
    arguments = options(__doc__).parse_args()
    finish(measure(), TARGETS, arguments)


if __name__ == "__main__":
    main()
