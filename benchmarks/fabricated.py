"""The paper's six grids with results that nobody measured, at full size: 932 runs for timing and looking at reports.

    python -m benchmarks.fabricated FOLDER

The numbers follow a rule and a seeded generator; they look like results and mean nothing. Write them to a folder of
their own, never into one with results.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xsam.atomic import write_json
from xsam.grid import Grid, RunSpec, load_grid
from xsam.metrics import LOWER, Metric
from xsam.runner.provenance import provenance
from xsam.store import GridFolder, write_epochs, write_run
from xsam.tasks import get_task

ROOT = Path(__file__).resolve().parent.parent
GRIDS = ("ablation", "compute_matched", "iwslt14", "multi_step", "overhead", "single_step")
_START: Mapping[str, float] = {"cifar10": 95.2, "cifar100": 78.4, "tiny_imagenet": 58.0, "iwslt14_de_en": 34.6}
_GAIN: Mapping[str, float] = {"sgd": 0.0, "adam": 0.0, "sam": 0.8, "xsam": 1.2, "asam": 0.9, "gsam": 0.7, "wsam": 0.85}
_MODEL: Mapping[str, float] = {"vgg11_bn": -4.0, "resnet18": 0.0, "densenet121": 1.1}


def write_paper(results: Path) -> int:
    """Write the six grids' results below ``results``; returns the number of runs."""
    return sum(write_results(load_grid(ROOT / "configs" / "paper" / f"{name}.yaml"), results) for name in GRIDS)


def write_results(grid: Grid, results: Path) -> int:
    """Write a row and the epochs of every run of ``grid``, but for one in ninety; returns the number of runs."""
    folder = GridFolder(results, grid.name)
    write_json(folder.grid_json, grid.to_json())
    for place, spec in enumerate(grid.runs):
        status = {13: "diverged", 41: "failed", 77: "missing"}.get(place % 90, "done")
        if status == "missing":
            continue
        history = list(_epochs(spec, place))
        if status != "failed":
            write_epochs(folder, spec.run_id, history if status == "done" else history[: len(history) // 2])
        write_run(folder, _row(spec, place, status, history))
    return len(grid.runs)


def _final(spec: RunSpec) -> float:
    """What the run reaches: the data set's level, the model's, the method's gain, and what the seed adds."""
    seed, k = int(str(spec.params["seed"])), int(str(spec.params.get("ascent_steps", 1)))
    noise = np.random.default_rng([seed, *spec.run_id.encode()]).normal(0.0, 0.15)
    shared = np.random.default_rng(seed).normal(0.0, 0.2)
    fading = 0.1 * (k - 1) if spec.method != "xsam" else -0.02 * (k - 1)
    level = _START[str(spec.params["dataset"])] + _MODEL.get(str(spec.params["model"]), 0.0)
    return level + _GAIN.get(spec.method, 0.5) - fading + shared + noise


def _epochs(spec: RunSpec, place: int) -> Iterator[dict[str, Any]]:
    count = int(str(spec.params.get("epochs", 200)))
    final = _final(spec)
    draw = np.random.default_rng(place).normal(0.0, 0.25, count)
    measured: dict[str, Metric] = {metric.name: metric for metric in get_task(spec.task).epoch_metrics}
    searches = spec.method == "xsam" and spec.params.get("alpha") is None
    largest = float(str(spec.params.get("alpha_max", 2.0))) if searches else 0.0
    passes = 1 if spec.method in ("sgd", "adam") else 1 + int(str(spec.params.get("ascent_steps", 1)))
    for epoch in range(count):
        share = (epoch + 1) / count
        reached = final - 0.6 * final * math.exp(-6.0 * share) + draw[epoch] * (1.2 - share)
        values = {
            name: 3.0 * math.exp(-3.0 * share) + 0.4 if metric.better == LOWER else min(reached, 99.9)
            for name, metric in measured.items()
            if spec.params.get("val_fraction") != 0 or not name.startswith("val_")
        }
        yield {
            "epoch": epoch,
            "step": 400 * (epoch + 1),
            "train_loss": 2.5 * math.exp(-3.0 * share) + 0.01 * abs(draw[epoch]),
            "lr": 0.05 * (1 + math.cos(math.pi * share)) / 2,
            "alpha": round(min(largest, largest * (0.6 + 0.5 * share)), 1) if searches else None,
            "forwards": 400 * passes,
            "backwards": 400 * passes,
            "seconds": 10.0 * passes,
            "train_seconds": 9.0 * passes,
            "eval_seconds": 1.0,
            "search_seconds": 0.2 if searches else 0.0,
            **values,
        }


def _row(spec: RunSpec, place: int, status: str, history: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run_id": spec.run_id,
        "task": spec.task,
        "optimizer": spec.optimizer,
        "method": spec.method,
        **{name: spec.params.get(name) for name in ("model", "dataset", "ascent_steps", "seed")},
        **{f"param_{name}": value for name, value in spec.params.items()},
        "status": status,
        "attempts": 1,
        "finished_at": datetime(2026, 1, 2, tzinfo=UTC),
        "provenance": provenance(spec, "0" * 64, torch.device("cpu")),
    }
    if status != "done":
        return {**row, "error": "Traceback (most recent call last):\n  …\nRuntimeError: out of memory\n"} | (
            {"error": None} if status == "diverged" else {}
        )
    noise = 1 + 0.01 * (place % 7)
    totals = {name: sum(one[name] for one in history) for name in ("forwards", "backwards")}
    seconds = {name: noise * sum(one[name] for one in history) for name in ("train_seconds", "eval_seconds")}
    metrics: dict[str, Any] = {}
    for metric in get_task(spec.task).run_metrics:
        for step, rule in enumerate(metric.rules):
            if metric.better != LOWER and (rule != "best_val" or spec.params.get("val_fraction") != 0):
                metrics[metric.column(rule)] = _final(spec) + 0.05 * step
    return {
        **row,
        **totals,
        **seconds,
        "wall_seconds": sum(seconds.values()),
        "search_seconds": sum(one["search_seconds"] for one in history),
        "peak_memory_bytes": 2**31 + 2**20 * (place % 5),
        "parameters": 11_220_132,
        **metrics,
    }


if __name__ == "__main__":
    print(f"{write_paper(Path(sys.argv[1]))} runs, none of them real, in {sys.argv[1]}")
