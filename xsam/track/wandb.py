"""Records for Weights & Biases, offline: ``wandb sync`` sends them, by whoever wants to.

wandb sync results-tracking/wandb/wandb/offline-run-*
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from xsam.track import TrackedRun

LOCAL = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}  # it would report errors of its own even offline


class WandB:
    """Writes the offline run anew at every start, with all epochs so far: no epoch stands in it twice."""

    libraries = ("wandb",)

    def __init__(self, place: Path, grid: str) -> None:
        os.environ.update(LOCAL)
        self._place, self._grid = place, grid
        self._wandb: Any = import_module("wandb")
        self._run: Any = None

    def start(self, run: TrackedRun) -> None:
        for former in (self._place / "wandb").glob(f"offline-run-*-{run.run_id}"):
            shutil.rmtree(former)
        self._run = self._wandb.init(
            project=self._grid,
            id=run.run_id,
            name=run.name,
            config=dict(run.params),
            dir=str(self._place),
            mode="offline",
            settings=self._wandb.Settings(console="off", silent=True),
        )

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=epoch)

    def finish(self, status: str, metrics: Mapping[str, float]) -> None:
        self._run.summary.update({**metrics, "status": status})
        self._run.finish(exit_code=int(status == "failed"))
