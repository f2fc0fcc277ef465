"""What tuning reads of results: the validation metric of each run's epochs, and nothing of the test part."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

from xsam.grid.tuning import Tuning
from xsam.store.layout import GridFolder


class Score(NamedTuple):
    """A run's status (``"no value"`` for a done one without a finite metric), and its metric, where it has one."""

    status: str
    value: float | None


def scores(folder: GridFolder, tuning: Tuning) -> dict[str, Score]:
    """Run id → its score under the rule of ``tuning``, of every finished run in ``folder``."""
    from xsam.store.frames import grid_table

    history: dict[str, list[tuple[int, float]]] = {}
    epochs = grid_table(folder, "epochs").select(["run_id", "epoch", tuning.metric.name])
    for run_id, epoch, value in zip(*(column.to_pylist() for column in epochs.columns), strict=True):
        history.setdefault(run_id, []).append((epoch, math.nan if value is None else value))
    runs = grid_table(folder, "runs").select(["run_id", "status"])
    found: dict[str, Score] = {}
    for run_id, status in zip(*(column.to_pylist() for column in runs.columns), strict=True):
        values = [value for _, value in sorted(history.get(run_id, []))]
        score = (
            score_of(values, tuning.rule, tuning.metric.lower_is_better) if status == "done" and values else math.nan
        )
        if math.isfinite(score):
            found[run_id] = Score(status, score)
        else:
            found[run_id] = Score("no value" if status == "done" else status, None)
    return found


def mean_alphas(folder: GridFolder) -> dict[str, float]:
    """Run id → the mean over its epochs of the alpha that its searches found, of every run that searched."""
    from xsam.store.frames import grid_table

    found: dict[str, list[float]] = {}
    epochs = grid_table(folder, "epochs").select(["run_id", "alpha"])
    for run_id, alpha in zip(*(column.to_pylist() for column in epochs.columns), strict=True):
        if alpha is not None:
            found.setdefault(run_id, []).append(alpha)
    return {run_id: statistics.fmean(alphas) for run_id, alphas in found.items()}


def score_of(values: list[float], rule: str, lower_is_better: bool) -> float:
    """One number from a run's epochs, in order.

    >>> score_of([1.0, 2.0, 3.0], "last5_mean", False), score_of([1.0, 3.0, 2.0], "best", False)
    (2.0, 3.0)
    """
    if rule == "final":
        return values[-1]
    if rule == "last5_mean":
        return statistics.fmean(values[-5:])
    return min(values) if lower_is_better else max(values)
