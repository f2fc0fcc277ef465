"""Published values beside our cells: the same protocol, and whether our interval lies within their margin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xsam.grid.spec import RunSpec
from xsam.report.claims.model import Published
from xsam.report.comparisons import Place, failures
from xsam.report.table import Cell, Table
from xsam.report.text import label
from xsam.stats import TOO_FEW, UNDECIDED, mean_interval, within_margin

REPRODUCED, DIFFERS, NOT_COMPARABLE, MISSING = "reproduced", "differs", "not comparable", "missing"
_REDUCED = ("train_subset", "test_subset", "label_noise")  # parameters that make other data of a data set


@dataclass(frozen=True)
class Check:
    """A published value beside one of our cells.

    Attributes:
        reference: the value.
        place: row and column of the cell.
        difference: our mean minus the published value; ``None`` without a mean.
        interval: the 95% t interval of our mean; ``None`` with too few seeds.
        verdict: ``"reproduced"``: the interval lies within the margin of the value; ``"differs"``: it lies outside;
            ``"undecided"``, ``"too few seeds"``, ``"missing"``, or ``"not comparable"``.
        reason: what makes it not comparable; empty otherwise.
        n: how many of our runs have a value.
    """

    reference: Published
    place: Place
    difference: float | None
    interval: tuple[float, float] | None
    verdict: str
    reason: str
    n: int = 0


def checks(table: Table, references: Iterable[Published]) -> tuple[Check, ...]:
    """Every published value of the same task, data set and method beside each cell of ``table`` that has these."""
    wanted: dict[tuple[str, str, str], list[Published]] = {}
    for reference in references:
        wanted.setdefault((reference.task, reference.dataset, reference.method), []).append(reference)
    return tuple(
        _check(table, (row, column), cell, reference)
        for row, column, cell in table.planned()
        if not cell.shared_by  # the same runs, which are held against it once
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


def _check(table: Table, place: Place, cell: Cell, reference: Published) -> Check:
    reasons = _reasons(table, cell.spec, reference)
    interval = mean_interval(cell.values.values())
    difference = None if cell.mean is None or reasons else cell.mean - reference.value
    if reasons:
        verdict = NOT_COMPARABLE
    elif cell.mean is None:
        verdict = MISSING
    elif interval is None:
        verdict = TOO_FEW
    elif failures(table, cell):
        verdict = UNDECIDED  # the mean is one of survivors
    else:
        verdict = {True: REPRODUCED, False: DIFFERS, None: UNDECIDED}[
            within_margin(interval, reference.value, reference.margin)
        ]
    return Check(reference, place, difference, interval, verdict, ", ".join(reasons), cell.n)


def _reasons(table: Table, spec: RunSpec, reference: Published) -> Sequence[str]:
    found = []
    if table.metric.name != reference.metric:
        found.append(f"metric {table.metric.name} instead of {reference.metric}")
    elif table.rule and reference.rules and table.rule not in reference.rules:
        found.append(f"rule {table.rule} instead of {' or '.join(reference.rules)}")
    for name, value in reference.protocol.items():
        ours = spec.task if name == "task" else spec.params.get(name)
        if ours != value:
            found.append(f"{name} {'not set' if ours is None else label(ours)} instead of {label(value)}")
    return found + [f"{name} {spec.params[name]}" for name in _REDUCED if spec.params.get(name)]
