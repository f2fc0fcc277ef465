"""A stored run beside the same run trained once more: identical, or which numbers differ, and what else does."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from xsam.grid.spec import RunSpec
from xsam.metrics import stored_columns
from xsam.store.schema import arrow_schema
from xsam.tasks import get_task

Row = Mapping[str, Any]

# In the order in which they explain other numbers: the code comes last, since a change of it that moves a number raises
# NUMERICS. The kernel and the number of cores cannot move one.
PARTS = {
    "data_checksum": "data",
    "device": "hardware",
    "gpu": "hardware",
    "arithmetic": "arithmetic",
    "cpu": "hardware",
    "threads": "hardware",
    "packages": "versions",
    "python": "versions",
    "code": "code",
}
# Of ``xsam.runner.numerics.facts``, the most telling first.
_ARITHMETIC = (
    "capability",
    "environment",
    "flags",
    "blas",
    "onednn",
    "libc",
    "intra_op_threads",
    "inter_op_threads",
)
_CAUSES = {
    "NUMERICS": "the task's NUMERICS was raised since: the same parameters are known to give other numbers",
    "data checksum": "the data are other ones",
    "device": "it was trained on another kind of device",
    "gpu": "it was trained on another GPU",
}
_COUNTS = ("forwards", "backwards", "skipped_steps", "parameters")  # beside the task's metrics


@dataclass(frozen=True)
class Number:
    """One number that is another one now, or a word such as the status.

    Attributes:
        name: the column.
        epoch: the epoch of a row of the table ``epochs``; ``None`` in the run's own row.
        then, now: the values; ``None`` for null.
    """

    name: str
    epoch: int | None
    then: Any
    now: Any

    @property
    def difference(self) -> float | None:
        """Now less then; ``None`` where one of them is no number."""
        both = [value for value in (self.now, self.then) if isinstance(value, int | float)]
        return float(both[0] - both[1]) if len(both) == 2 else None


@dataclass(frozen=True)
class Circumstance:
    """Something of where a number comes from that is not the same.

    Attributes:
        part: ``"data"``, ``"hardware"``, ``"arithmetic"`` (which instructions and libraries compute on a CPU),
            ``"versions"`` or ``"code"``.
        name: what it is, such as ``"torch"``.
        then, now: as they were stored; ``None`` where it was not there.
    """

    part: str
    name: str
    then: Any
    now: Any


@dataclass(frozen=True)
class Repetition:
    """What training a run once more has shown.

    Attributes:
        numbers: everything that differs in the run's row, then in its epochs.
        unstored: columns with a value now and none in the stored rows, which are older than they.
        circumstances: what of code, versions, hardware and data differs.
        portable: whether the run has portable numerics.
    """

    numbers: tuple[Number, ...]
    unstored: tuple[str, ...]
    circumstances: tuple[Circumstance, ...]
    portable: bool = False

    @property
    def identical(self) -> bool:
        """Whether every stored number is the same to its last bit; timings and memory are none of them."""
        return not self.numbers

    @property
    def explanation(self) -> str | None:
        """In one sentence why numbers differ, as far as what was stored tells; ``None`` where they are the same."""
        if self.identical:
            return None
        differs = {one.name: one for one in self.circumstances}
        for name, words in _CAUSES.items():
            if name in differs:
                return words
        changed = [one for one in self.circumstances if one.part == "arithmetic"]
        if not changed:
            return None
        if self.portable:
            return f"numerics are portable, and yet the numbers differ where {changed[0].name} does: this is a fault"
        then = "not stored then" if changed[0].then is None else f"{changed[0].then} then"
        return (
            "the last bits of native numerics depend on the CPU's instructions and on the libraries that use them "
            f"({changed[0].name}: {then}, {changed[0].now} now); with numerics: portable they do not"
        )


@dataclass(frozen=True)
class Spread:
    """A metric that came out differently, beside what other seeds make of it.

    Attributes:
        name: the column.
        difference: now less then.
        std: sample standard deviation over the cell's stored runs, which differ in their seed alone.
        seeds: how many they are.
    """

    name: str
    difference: float
    std: float
    seeds: int

    @property
    def inside(self) -> bool:
        """Whether the difference is no larger than one standard deviation over seeds."""
        return abs(self.difference) <= self.std

    def line(self) -> str:
        """``"test_accuracy_final: +0.12 is inside the spread of its 5 seeds (standard deviation 0.31)"``."""
        side = "inside" if self.inside else "outside"
        return (
            f"{self.name}: {self.difference:+.3g} is {side} the spread of its {self.seeds} seeds "
            f"(standard deviation {self.std:.3g})"
        )


def spreads(found: Repetition, cell: pd.DataFrame) -> tuple[Spread, ...]:
    """Each final metric that differs beside its spread over seeds.

    Args:
        found: what training a run once more has shown.
        cell: the stored rows of the runs that differ from it in their seed alone, and its own.

    A metric that fewer than two of them have has no spread.
    """
    told = []
    for one in found.numbers:
        if one.epoch is None and one.difference is not None and one.name not in _COUNTS and one.name in cell:
            values = [float(value) for value in cell.loc[cell["status"] == "done", one.name].dropna()]
            if len(values) > 1:
                told.append(Spread(one.name, one.difference, statistics.stdev(values), len(values)))
    return tuple(told)


def compare(then: tuple[Row, Sequence[Row]], now: tuple[Row, Sequence[Row]]) -> Repetition:
    """A run as it is stored beside its repetition: the row of the table ``runs`` and those of ``epochs`` of each.

    Example:
        >>> found = compare(stored, again)                            # doctest: +SKIP
        >>> found.identical, [one.name for one in found.circumstances]   # doctest: +SKIP
        (True, ['torch'])
    """
    task = get_task(then[0]["task"])
    found = [*_numbers(then[0], now[0], ("status", *stored_columns(task.run_metrics), *_COUNTS), None)]
    epochs, again = ({int(row["epoch"]): row for row in rows} for _, rows in (then, now))
    if epochs.keys() != again.keys():
        found.append(Number("epochs", None, len(epochs), len(again)))
    for epoch in sorted(epochs.keys() & again.keys()):
        found += _numbers(epochs[epoch], again[epoch], _epoch_columns(), epoch)
    return Repetition(
        tuple(one for one in found if one.then is not None),
        tuple(dict.fromkeys(one.name for one in found if one.then is None)),
        (*_numerics(then[0]), *circumstances(*(json.loads(row["provenance"]) for row, _ in (then, now)))),
        portable=spec_of(then[0]).config.training.portable,
    )


def _epoch_columns() -> Iterable[str]:
    names = arrow_schema("epochs").names
    return [name for name in names if name not in ("run_id", "grid", "epoch") and not name.endswith("seconds")]


def _numbers(then: Row, now: Row, columns: Iterable[str], epoch: int | None) -> Iterator[Number]:
    for name in columns:
        values = [None if pd.isna(row[name]) else row[name] for row in (then, now)]
        if repr(values[0]) != repr(values[1]):  # which tells every two floats apart, zeros with their signs too
            yield Number(name, epoch, *values)


def circumstances(then: Row, now: Row) -> Iterator[Circumstance]:
    """What differs between two provenances (``xsam.runner.provenance``), or is not known to be the same.

    >>> [one.name for one in circumstances({"cpu": "a", "packages": {"torch": "2.6"}}, {"cpu": "a"})]
    ['torch']
    """
    for key, part in PARTS.items():
        if key == "arithmetic":
            yield from _arithmetic(then, now)
        elif key == "code":
            yield from _code(then.get(key, {}), now.get(key, {}))
        elif key == "packages":
            ours, theirs = then.get(key, {}), now.get(key, {})
            for name in sorted({*ours, *theirs}):
                if ours.get(name) != theirs.get(name):
                    yield Circumstance(part, name, ours.get(name), theirs.get(name))
        elif then.get(key) != now.get(key):
            yield Circumstance(part, key.replace("_", " "), then.get(key), now.get(key))


def _arithmetic(then: Row, now: Row) -> Iterator[Circumstance]:
    ours, theirs = then.get("arithmetic"), now.get("arithmetic")
    if ours is None or theirs is None:  # an older row has the CPU's name alone
        if theirs is not None and then.get("cpu") != now.get("cpu"):
            yield Circumstance("arithmetic", "capability", None, theirs.get("capability"))
        return
    for name in _ARITHMETIC:
        if ours.get(name) != theirs.get(name):
            yield Circumstance("arithmetic", name.replace("_", " "), _shown(ours.get(name)), _shown(theirs.get(name)))


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={text}" for name, text in value.items()) or "no variables"
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _code(then: Row, now: Row) -> Iterator[Circumstance]:
    if then.get("version") != now.get("version"):
        yield Circumstance("code", "version", then.get("version"), now.get("version"))
    commits = [_commit(one) for one in (then, now)]
    if commits[0] != commits[1] or then.get("dirty") or now.get("dirty"):  # uncommitted changes may be any
        yield Circumstance("code", "commit", *commits)


def _commit(code: Row) -> str | None:
    commit: str | None = code.get("commit")
    return f"{commit} with uncommitted changes" if code.get("dirty") else commit


def _numerics(row: Row) -> Iterator[Circumstance]:
    """The task's ``NUMERICS``, where it was raised since: then the same spec is known to give other numbers."""
    then, now = spec_of(row).numerics, get_task(row["task"]).numerics
    if then != now:
        yield Circumstance("code", "NUMERICS", then, now)


def random_share(rows: pd.DataFrame, share: float, seed: int) -> list[str]:
    """``GRID/RUN`` of a random share of ``rows``, at least one where there is any, sorted; the same for one seed."""
    names = sorted(f"{grid}/{run}" for grid, run in zip(rows["grid"], rows["run_id"], strict=True))
    return sorted(random.Random(seed).sample(names, min(len(names), max(1, round(share * len(names))))))


def spec_of(row: Row) -> RunSpec:
    """The run that the provenance of a stored row describes.

    Raises ``ValueError`` (one line) where the row has none, where it is another run's, and where this version does not
    know one of the parameters.
    """
    run_id = row["run_id"]
    if pd.isna(row["provenance"]):
        raise ValueError(f"run {run_id} {row['status']}, and has no provenance; 'run --retry-failed' trains it again")
    try:
        spec = RunSpec.from_json(json.loads(row["provenance"])["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the provenance of run {run_id} cannot be read: {error}") from None
    if spec.run_id != run_id:
        raise ValueError(f"the provenance of run {run_id} is that of run {spec.run_id}; somebody has changed the row")
    columns = arrow_schema("runs").names
    unknown = sorted(name for name in spec.params if f"param_{name}" not in columns)
    if unknown:
        raise ValueError(f"run {run_id} has the parameter {unknown[0]!r}, which this version does not know")
    return spec
