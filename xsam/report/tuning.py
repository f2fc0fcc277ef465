"""How a grid's values were chosen: what each method was allowed, what it found, what fewer trials would have found."""

from __future__ import annotations

from collections.abc import Iterator

from xsam.metrics import find
from xsam.report.formats import Sheet, Text
from xsam.report.panel import CURVES, Line, Panel, file_names, places_of
from xsam.report.table import Key
from xsam.report.text import key_label, label
from xsam.stats import expected_best
from xsam.store.tuning import FollowingCell, TunedCell, TuningRecord
from xsam.tasks import get_task

OPTIMIZER = "optimizer"


def tuning_sheet(record: TuningRecord, task: str) -> Sheet:
    """One line a place of the matrix: trials spent, the choice, its validation metric, and whether it is on an edge."""
    metric = find(get_task(task).epoch_metrics, record.metric)
    axes = list(dict.fromkeys(name for cell in record.cells for name in cell.axes))
    several = [name for name in axes if name in (OPTIMIZER, "model", "dataset") or _varies(record, name)]

    def texts(cell: TunedCell) -> Iterator[str]:
        yield from (label(cell.axes[name]) if name in cell.axes else "–" for name in several)
        yield ", ".join(f"{name} {value:g}" for name, value in cell.winner.params.items())
        lost = sum(trial.mean is None for trial in cell.trials)
        yield f"{len(cell.trials)}" + (f", {lost} lost" if lost else "")
        yield f"{len(cell.trials) * len(record.seeds)}"
        curve = curve_of(record, cell)
        yield metric.text(curve[(len(curve) - 1) // 2]) if curve else ""
        yield metric.text(cell.winner.mean) if cell.winner.mean is not None else ""
        yield ", ".join(cell.edges)

    def following(cell: FollowingCell) -> Iterator[str]:
        yield from (label(cell.axes[name]) if name in cell.axes else "–" for name in several)
        yield ", ".join(f"{name} {value:g}" for name, value in cell.params.items())
        yield from (f"those of {cell.leader}", "", "", "", "")

    header = (*several, "chosen", "trials", "runs", "best of half", "best", "on the edge of its range")
    best = "smallest" if record.lower_is_better else "largest"
    budget = (
        "Every method tried all combinations of its own values: budgets differ"
        if record.budget is None
        else f"Every method had the same budget, {record.budget} trials"
    )
    notes = (
        f"{budget}. A trial is one point, trained with seed{'s' * (len(record.seeds) > 1)} "
        f"{', '.join(map(str, record.seeds))}, which no table uses. Chosen: the {best} mean of {record.metric} "
        f"({record.rule}); nothing was chosen on test data.",
        "Best of half: what half of these trials would have found, the mean over all orders; where it is far below the "
        "best, more trials might have found more. On the edge: the smallest or largest value that was tried, or, of a "
        "range, a value in its outer tenths. Lost: trials of which a run diverged or failed.",
    )
    rows = (
        *(tuple(map(Text, texts(cell))) for cell in record.cells),
        *(tuple(map(Text, following(cell))) for cell in record.following),
    )
    return Sheet("tuning", "Tuning", header, len(several) + 1, rows, notes)


def tuning_panels(record: TuningRecord, task: str) -> Iterator[Panel]:
    """For each place but the optimizer's: the best validation metric of so many trials, by method."""
    metric = find(get_task(task).epoch_metrics, record.metric)
    places = places_of(str(cell.axes.get(OPTIMIZER, "")) for cell in record.cells)
    panels: dict[Key, list[TunedCell]] = {}
    for cell in record.cells:
        axes = [name for name in cell.axes if name in ("model", "dataset") or _varies(record, name)]
        panels.setdefault(tuple(cell.axes[name] for name in axes if name != OPTIMIZER), []).append(cell)
    names = file_names("tuning", panels)
    for key, cells in panels.items():
        lines = []
        for cell in cells:
            curve = curve_of(record, cell)
            name = str(cell.axes.get(OPTIMIZER, ""))
            if curve:
                lines.append(Line(places[name], name, [*range(1, len(curve) + 1)], curve, [0.0] * len(curve)))
        if lines:
            unit = f"{record.metric} ({metric.unit})" if metric.unit else record.metric
            title = key_label(key) or "tuning"
            yield Panel(names[key], CURVES, title, "trials", f"best {unit}", tuple(lines))


def curve_of(record: TuningRecord, cell: TunedCell) -> list[float]:
    """The best of 1, 2, … trials, the mean over all orders; a trial without a value counts as the worst that has one.

    Empty where no trial has a value.
    """
    means = [trial.mean for trial in cell.trials if trial.mean is not None]
    if not means:
        return []
    worst = max(means) if record.lower_is_better else min(means)
    return expected_best([*means, *[worst] * (len(cell.trials) - len(means))], record.lower_is_better)


def _varies(record: TuningRecord, axis: str) -> bool:
    return len({cell.axes[axis] for cell in record.cells if axis in cell.axes}) > 1
