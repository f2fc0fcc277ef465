"""A grid in whose results every string is an attack on a page that shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xsam.atomic import write_json
from xsam.grid.grid import Grid, ReportSpec
from xsam.grid.spec import RunSpec, canonical_json
from xsam.parameters import Value
from xsam.store import GridFolder, write_epochs, write_run

ATTACK = "\"'><img src=x onerror=window.attacked=1></script><script>window.attacked=1</script>{{7*7}}"
SEEDS = 130
ERROR = f'File "/home/me/xsam/runner/run.py", line 3\nRuntimeError: {ATTACK}'
LOG = f"2026-01-02 03:04:05,678 INFO began\n2026-01-02 03:04:06,789 ERROR {ATTACK}\n"


def write_hostile_grid(results: Path) -> Grid:
    """One optimizer, a hostile value of an axis, and 130 seeds: three done, the fourth failed, others missing."""
    axes: dict[str, tuple[Value, ...]] = {"optimizer": ("xsam",), "tag": (ATTACK,), "seed": tuple(range(SEEDS))}
    runs = tuple(
        RunSpec(
            "vision",
            "xsam",
            "xsam",
            {"model": "mlp", "dataset": "digits", "seed": seed, "tag": ATTACK},
            1,
            {"optimizer": "xsam", "tag": ATTACK, "seed": seed},
        )
        for seed in range(SEEDS)
    )
    grid = Grid("hostile", "vision", axes, ReportSpec(("optimizer", "tag"), (), "test_accuracy", "final"), runs)
    folder = GridFolder(results, grid.name)
    write_json(folder.grid_json, grid.to_json())
    for place, run in enumerate(runs[:4]):
        row: dict[str, Any] = {
            "run_id": run.run_id,
            "optimizer": "xsam",
            "finished_at": datetime(2026, 1, 2, tzinfo=UTC),
        }
        if place == 3:
            write_run(folder, {**row, "status": "failed", "error": ERROR})
            folder.log(run.run_id).parent.mkdir(parents=True)
            folder.log(run.run_id).write_text(LOG, encoding="utf-8")
            continue
        told = canonical_json({"python": "3.11.7", "code": {"commit": f"c0ffee{ATTACK}"}, "config": run.to_json()})
        write_epochs(folder, run.run_id, [{"epoch": at, "test_accuracy": 90.0 + at, "alpha": 1.5} for at in range(3)])
        write_run(folder, {**row, "status": "done", "test_accuracy_final": 90.0 + place, "provenance": told})
    return grid
