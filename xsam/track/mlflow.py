"""Records for MLflow: an experiment a grid, in a store of files.

    MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri results-tracking/mlflow/mlruns

Files and not SQLite, since the workers of a cluster write at the same time and share a disk at most. MLflow keeps this
kind of store as it is, wants to be told that it is meant, and makes a database of it by ``mlflow migrate-filestore``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from xsam.atomic import write_bytes
from xsam.track import TrackedRun

STATUS = {"done": "FINISHED", "diverged": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
LOCAL = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


class MLflow:
    """Goes on with the run's MLflow run, and leaves out what stands there already."""

    libraries = ("mlflow",)

    def __init__(self, place: Path, grid: str) -> None:
        os.environ.update(LOCAL)
        self._ids = place / "ids" / grid  # run id → MLflow's, which is MLflow's own choice
        self._ids.mkdir(parents=True, exist_ok=True)
        self._entities: Any = import_module("mlflow.entities")
        self._client: Any = import_module("mlflow.tracking").MlflowClient((place / "mlruns").resolve().as_uri())
        found = self._client.get_experiment_by_name(grid)
        self._experiment = found.experiment_id if found else self._client.create_experiment(grid)
        self._run = ""
        self._last: dict[str, int] = {}  # metric → the last epoch that is recorded
        self._epoch = 0

    def start(self, run: TrackedRun) -> None:
        kept = self._ids / run.run_id
        if kept.exists():
            self._run = kept.read_text(encoding="utf-8")
            metrics = self._client.get_run(self._run).data.metrics
            self._last = {name: max(self._steps(name)) for name in metrics}
            self._client.update_run(self._run, status="RUNNING")
            return
        made = self._client.create_run(self._experiment, run_name=run.name, tags={"xsam.run_id": run.run_id})
        self._run = made.info.run_id
        params = [self._entities.Param(name, str(value)) for name, value in run.params.items()]
        self._client.log_batch(self._run, params=params)
        write_bytes(kept, self._run.encode())

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._epoch = epoch
        self._log(metrics)

    def finish(self, status: str, metrics: Mapping[str, float]) -> None:
        self._log(metrics)
        self._client.set_tag(self._run, "xsam.status", status)
        self._client.set_terminated(self._run, STATUS[status])

    def _log(self, metrics: Mapping[str, float]) -> None:
        new = {name: value for name, value in metrics.items() if self._epoch > self._last.get(name, -1)}
        if new:
            now = int(time.time() * 1000)
            batch = [self._entities.Metric(name, value, now, self._epoch) for name, value in new.items()]
            self._client.log_batch(self._run, metrics=batch)
            self._last.update(dict.fromkeys(new, self._epoch))

    def _steps(self, name: str) -> list[int]:
        return [one.step for one in self._client.get_metric_history(self._run, name)]
