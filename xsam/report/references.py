"""Published values as typed data, and what our cells say of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from xsam.grid.spec import RunSpec
from xsam.report.comparisons import Place
from xsam.report.table import Cell, Table
from xsam.stats import TOO_FEW, mean_interval

REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE, MISSING = "reproduced", "not reproduced", "not comparable", "missing"
_REDUCED = ("train_subset", "test_subset", "label_noise")  # parameters that make other data of a data set


@dataclass(frozen=True)
class Reference:
    """A value that was read in its source.

    Attributes:
        task, model, dataset: as grids name them.
        method: the method; with k > 1 ascent steps ``"sam:3"``.
        metric: the metric's name in the table ``runs``, without a rule (``"test_accuracy"``, ``"test_bleu"``).
        protocol: the selection rule (``"last5_mean"``); empty for a metric that is not chosen by one.
        value: in the metric's unit.
        source: where it was read.
    """

    task: str
    model: str
    dataset: str
    method: str
    metric: str
    protocol: str
    value: float
    source: str


@dataclass(frozen=True)
class Check:
    """A published value beside one of our cells.

    Attributes:
        reference: the value.
        place: row and column of the cell.
        difference: our mean minus the published value; ``None`` without a mean.
        interval: the 95% t interval of our mean; ``None`` with too few seeds.
        verdict: ``"reproduced"``, ``"not reproduced"``, ``"not comparable"``, ``"too few seeds"`` or ``"missing"``.
        reason: what makes it not comparable; empty otherwise.
    """

    reference: Reference
    place: Place
    difference: float | None
    interval: tuple[float, float] | None
    verdict: str
    reason: str


def packaged() -> tuple[Reference, ...]:
    """The published values that come with this package.

    >>> [(one.method, one.value) for one in packaged()]
    [('sam', 35.3), ('xsam', 35.63)]
    """
    path = files("xsam.report") / "references.csv"
    return tuple(_parse(path.read_text(encoding="utf-8"), path.name))


def load_references(path: Path) -> tuple[Reference, ...]:
    """The published values in a CSV file with the columns of :class:`Reference`.

    Raises:
        ValueError: the file cannot be read, has other columns, or a value that is no number; it names file and line.

    Example:
        >>> load_references(Path("values.csv"))                          # doctest: +SKIP
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: the file is not UTF-8") from None
    return tuple(_parse(text, str(path)))


def _parse(text: str, name: str) -> Iterator[Reference]:
    columns = [field.name for field in fields(Reference)]
    reader = csv.reader(text.splitlines(), strict=True)
    try:
        header = next(reader, [])
        if header != columns:
            raise ValueError(f"{name}:1: the columns must be {','.join(columns)}, not {','.join(header)}")
        for cells in reader:
            if len(cells) != len(columns):
                raise ValueError(f"{name}:{reader.line_num}: {len(cells)} values for {len(columns)} columns")
            entry = dict(zip(columns, map(str.strip, cells), strict=True))
            for column in columns:
                if not entry[column] and column != "protocol":
                    raise ValueError(f"{name}:{reader.line_num}: {column} is missing")
            typed: dict[str, Any] = {**entry, "value": _number(entry["value"], f"{name}:{reader.line_num}")}
            yield Reference(**typed)
    except csv.Error as error:
        raise ValueError(f"{name}:{reader.line_num}: not CSV: {error}") from None


def _number(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{place}: value must be a number, not {text!r}")
    return value


def checks(table: Table, references: Iterable[Reference]) -> tuple[Check, ...]:
    """Every published value of the same task, data set and method beside each cell of ``table`` that has these.

    A value is reproduced where metric, rule, model and data are the same and our 95% interval holds it.
    """
    wanted: dict[tuple[str, str, str], list[Reference]] = {}
    for reference in references:
        wanted.setdefault((reference.task, reference.dataset, reference.method), []).append(reference)
    return tuple(
        _check(table, (row, column), cell, reference)
        for row, column, cell in table.planned()
        for reference in wanted.get((cell.spec.task, str(cell.spec.params["dataset"]), method_of(cell.spec)), ())
    )


def method_of(spec: RunSpec) -> str:
    """The name under which a paper lists the run's method; a label of its own where alpha is fixed.

    >>> method_of(RunSpec("vision", "sam", "mine", {"ascent_steps": 3}, 1))
    'sam:3'
    """
    steps = spec.params.get("ascent_steps") or 1
    name = spec.method if spec.params.get("alpha") is None else f"{spec.optimizer} (alpha {spec.params['alpha']})"
    return name if steps == 1 else f"{name}:{steps}"


def _check(table: Table, place: Place, cell: Cell, reference: Reference) -> Check:
    reasons = _reasons(table, cell.spec, reference)
    interval = mean_interval(cell.values.values())
    difference = None if cell.mean is None or reasons else cell.mean - reference.value
    if reasons:
        verdict = NOT_COMPARABLE
    elif cell.mean is None:
        verdict = MISSING
    elif interval is None:
        verdict = TOO_FEW
    else:
        verdict = REPRODUCED if interval[0] <= reference.value <= interval[1] else NOT_REPRODUCED
    return Check(reference, place, difference, interval, verdict, ", ".join(reasons))


def _reasons(table: Table, spec: RunSpec, reference: Reference) -> Sequence[str]:
    ours = {"model": str(spec.params["model"]), "metric": table.metric.name, "rule": table.rule}
    theirs = {"model": reference.model, "metric": reference.metric, "rule": reference.protocol}
    other = [
        f"{name} {ours[name] or 'none'} instead of {theirs[name] or 'none'}"
        for name in ours
        if ours[name] != theirs[name]
    ]
    return other + [f"{name} {spec.params[name]}" for name in _REDUCED if spec.params.get(name)]
