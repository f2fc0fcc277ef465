"""What it takes to be as good as the base optimizer ends: passes and seconds until a validation curve is there."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xsam.metrics import Metric
from xsam.optim.registry import METHODS
from xsam.registries import recorded
from xsam.report.comparisons import Place, partner
from xsam.report.formats import Sheet, Text
from xsam.report.panel import BANDS, Line, Panel, file_names
from xsam.report.panels import distinct_cells, places_in, title_of
from xsam.report.table import Cell, Table
from xsam.report.text import of, place_header, place_texts, side_label
from xsam.tasks import get_task

COLUMNS = ("forwards", "backwards", "seconds", "train_seconds", "search_seconds")  # of epochs, beside the curve
NEVER = "never"
_PASSES, _SECONDS = "forwards and backwards of a batch", "seconds of training"


@dataclass(frozen=True)
class Progress:
    """How far one run had to go.

    Attributes:
        target: what the base run of the same seed ends at.
        passes, seconds: until the end of the first epoch that is as good; infinite where none is.
        whole: passes and seconds of the whole run.
    """

    target: float
    passes: float
    seconds: float
    whole: tuple[float, float]


@dataclass(frozen=True)
class ToTarget:
    """A table's cells on their way to the final validation metric of a base optimizer.

    Attributes:
        metric: the validation metric.
        base: the base's label.
        cells: place → seed → progress; of seeds whose base run is done.
    """

    metric: Metric
    base: str
    cells: Mapping[Place, Mapping[int, Progress]]


def to_target(table: Table, epochs: pd.DataFrame) -> ToTarget | None:
    """Every run of ``table`` against the base run with its seed, which has the same weights, split and order.

    Args:
        table: the table.
        epochs: rows of the table ``epochs`` of its runs, each run's together and in order.

    Returns:
        ``None`` where the table has no base optimizer alone, or no validation curve of its metric.

    Example:
        >>> found = to_target(analysis.table, grid.epochs)               # doctest: +SKIP
        >>> found.base, found.metric.name                                # doctest: +SKIP
        ('sgd', 'val_accuracy')
    """
    metric = _validation(table)
    base = next((cell.label for _, _, cell in table.planned() if _is_base(cell)), None)
    if metric is None or base is None or metric.name not in epochs.columns:
        return None
    runs = _curves(epochs, metric.name)
    cells: dict[Place, Mapping[int, Progress]] = {}
    for row, column, cell in table.planned():
        other = partner(table, (row, column), base)
        if other is None:
            continue
        targets = {
            one.seed: runs[one.run_id].values[-1]
            for one in table.cells[other].outcomes
            if one.status in ("done", "no value") and one.run_id in runs
        }
        found = {
            one.seed: runs[one.run_id].until(targets[one.seed], metric.lower_is_better)
            for one in cell.outcomes
            if one.seed in targets and one.run_id in runs
        }
        if found:
            cells[row, column] = found
    return ToTarget(metric, base, cells) if len(cells) > 1 else None


@dataclass(frozen=True)
class _Curve:
    """A run's validation metric over its epochs, and what it had cost at the end of each."""

    values: np.ndarray
    passes: np.ndarray
    seconds: np.ndarray

    def until(self, target: float, lower_is_better: bool) -> Progress:
        there = self.values <= target if lower_is_better else self.values >= target
        whole = float(self.passes[-1]), float(self.seconds[-1])
        if not there.any():
            return Progress(float(target), math.inf, math.inf, whole)
        first = int(there.argmax())
        return Progress(float(target), float(self.passes[first]), float(self.seconds[first]), whole)


def _curves(epochs: pd.DataFrame, name: str) -> dict[str, _Curve]:
    seconds = epochs["train_seconds"].fillna(epochs["seconds"]) + epochs["search_seconds"].fillna(0.0)
    known = epochs[name].notna().to_numpy()
    if not known.any():
        return {}
    run_ids, values = (epochs[column].to_numpy()[known] for column in ("run_id", name))
    passes = (epochs["forwards"] + epochs["backwards"]).to_numpy(dtype=float, na_value=math.nan)[known]
    spent = seconds.groupby(epochs["run_id"], sort=False).cumsum().to_numpy(dtype=float)[known]
    ends = [*(np.flatnonzero(run_ids[1:] != run_ids[:-1]) + 1), len(run_ids)]
    return {
        str(run_ids[start]): _Curve(values[start:end], passes[start:end], spent[start:end])
        for start, end in zip([0, *ends], ends, strict=False)
    }


def _validation(table: Table) -> Metric | None:
    """The metric of every epoch that is the table's, taken on validation data."""
    if not table.metric.name.startswith("test_"):
        return None
    name = f"val_{table.metric.name.removeprefix('test_')}"
    task = get_task(next(cell.spec.task for cell in table.cells.values()))
    return next((one for one in task.epoch_metrics if one.name == name), None)


def _is_base(cell: Cell) -> bool:
    known = METHODS.get(cell.spec.method)
    return recorded.methods[cell.spec.method][1] if known is None else known.alone is not None


def target_sheet(table: Table, found: ToTarget | None) -> Sheet:
    """One line a cell: the target, how many seeds reach it, and after how many passes and seconds."""
    title = "" if found is None else f"To the final {found.metric.label} of {found.base}"
    header = (*place_header(table), "target", "reached", "passes", "seconds")

    def numbers(own: Mapping[int, Progress]) -> Iterator[str]:
        listed = list(own.values())
        yield "" if found is None else found.metric.text(statistics.fmean(one.target for one in listed))
        yield of(sum(math.isfinite(one.passes) for one in listed), len(listed))
        yield _spread([one.passes for one in listed], 0)
        yield _spread([one.seconds for one in listed], 2)

    cells = {} if found is None else found.cells
    rows = tuple((*place_texts(table, place), *map(Text, numbers(own))) for place, own in cells.items())
    notes = (
        "Target: where the base run of the same seed ends, which has the same weights, split and order; here the mean "
        "over seeds. Reached: seeds that are as good at the end of some epoch.",
        "Passes (forwards and backwards of a batch, evaluation apart) and seconds (of training and searches) until the "
        "end of the first such epoch: median over seeds [range], a seed that never gets there counting as the longest. "
        "Passes are exact; seconds of runs that had not the machine to themselves mean little.",
    )
    return Sheet("target", title, header, len(table.row_axes) + 1, rows, notes)


def _spread(values: list[float], decimals: int) -> str:
    """``"720 [360, never]"``."""
    middle, low, high = (
        NEVER if math.isinf(one) else f"{one:,.{decimals}f}"
        for one in (statistics.median(values), min(values), max(values))
    )
    return middle if low == NEVER else f"{middle} [{low}, {high}]"


def target_rows(found: ToTarget) -> Iterator[tuple[Place, list[float | None]]]:
    """Place → mean target, seeds, seeds that reach it, then median, least and most of passes and of seconds."""
    for place, own in found.cells.items():
        listed = list(own.values())
        numbers: list[float | None] = [statistics.fmean(one.target for one in listed), len(listed)]
        numbers.append(sum(math.isfinite(one.passes) for one in listed))
        for values in ([one.passes for one in listed], [one.seconds for one in listed]):
            spread = (statistics.median(values), min(values), max(values))
            numbers += [None if math.isinf(one) else one for one in spread]
        yield place, numbers


def target_panels(table: Table, found: ToTarget | None) -> Iterator[Panel]:
    """Two panels a row, first all of passes: the share of seeds that are at the target after so many of them."""
    if found is None:
        return
    places = places_in(table)
    for kind, unit in (("passes", _PASSES), ("seconds", _SECONDS)):
        names = file_names(f"{kind}-to-target", table.rows)
        for row in table.rows:
            lines = tuple(
                Line(places[row, key], side_label(table, key), *_share(list(found.cells[row, key].values()), kind))
                for key, _ in distinct_cells(table, row)
                if (row, key) in found.cells
            )
            if len(lines) > 1:
                title = f"{title_of(table, row)}: to the final {found.metric.label} of {found.base}"
                yield Panel(names[row], BANDS, title, unit, "seeds that reached it (%)", lines, within=(0.0, 100.0))


def _share(listed: list[Progress], kind: str) -> tuple[list[float], list[float], list[float]]:
    """Steps up at each seed's arrival, to the end of the longest run."""
    arrivals = sorted(one.passes if kind == "passes" else one.seconds for one in listed)
    end = max(one.whole[0 if kind == "passes" else 1] for one in listed)
    x, y = [0.0], [0.0]
    for count, at in enumerate(arrivals, start=1):
        if math.isfinite(at):
            x += [at, at]
            y += [y[-1], 100.0 * count / len(listed)]
    if end > x[-1]:
        x.append(end)
        y.append(y[-1])
    return x, y, [0.0] * len(x)
