"""One cell of the matrix: from what the user wrote for it to the run's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xsam.grid.axes import Entry
from xsam.grid.condition import meets
from xsam.grid.grid_document import GridDocument
from xsam.grid.source import GridError, Location
from xsam.grid.spec import RunSpec
from xsam.grid.vocabulary import PARTNER, Written, layered, show, table_of
from xsam.optim.optimizer_config import OptimizerConfig
from xsam.optim.registry import METHODS
from xsam.parameters import Parameter, ParameterError, Parameters, Value
from xsam.plugins import used_by
from xsam.tasks import Task, own
from xsam.tasks.data import data_sets
from xsam.tasks.run_config import SEEDS, VECTORISED


@dataclass(frozen=True)
class MatrixCell:
    """A resolved cell.

    Attributes:
        entry: its value of the axis ``optimizer``.
        spec: the run.
        used: every parameter that this run can use, under all its names.
        before: what the conditions of overrides see: label, axes and parameters before any override.
        after: what ``exclude`` sees: the same for the finished run.
        matched: indices of the overrides that apply.
        given: what the user wrote for this run, all layers together.
        twin: the cell that this one was copied from, another seed of the same.
    """

    entry: Entry
    spec: RunSpec
    used: frozenset[str]
    before: Parameters
    after: Parameters
    matched: frozenset[int]
    given: Mapping[str, Written]
    twin: MatrixCell | None = None

    def at_seed(self, seed: Written) -> MatrixCell:
        """The same at another value of the axis ``seed``; the cell itself where its run is on no such axis."""
        if "seed" not in self.spec.axes:
            return self
        return MatrixCell(
            self.entry,
            self.spec.with_seed(seed.value),
            self.used,
            {**self.before, "seed": seed.value},
            {**self.after, "seed": seed.value},
            self.matched,
            {**self.given, "seed": seed},
            twin=self,
        )

    def describe(self) -> str:
        """The cell as its axes: ``model=mlp, optimizer=sam, seed=0``."""
        return ", ".join(f"{name}={show(value)}" for name, value in self.spec.axes.items())

    def error(self, error: ValueError, otherwise: Location) -> GridError:
        """``error`` about this run, where the first parameter that it is about was given, or else at ``otherwise``."""
        return _blamed(error, self.given, otherwise).error(f"{error} (in the run {self.describe()})")


def resolve_cell(document: GridDocument, entry: Entry, axes: Mapping[str, Written]) -> MatrixCell:
    """Resolve the cell of ``entry`` at ``axes`` (every axis but ``optimizer``).

    Later layers win: defaults, ``params``, axes, the label's own parameters, overrides in their order.
    """
    fixed = {PARTNER.get(name, name) for name in entry.own} | set(entry.own)
    free = {name: written for name, written in axes.items() if name not in fixed}
    given = layered(document.params, free, entry.own)
    before = _Values.of(document.task, entry, given)
    seen = _view(entry, free, before.used, before.values)
    matched = [index for index, override in enumerate(document.overrides) if meets(override.when, seen)]
    given = layered(given, *(document.overrides[index].params for index in matched))
    settled = _Values.of(document.task, entry, given) if matched else before
    params = _finish(document, entry, settled, given)
    after = _view(entry, free, settled.used, {**settled.values, **params})
    spec = RunSpec(
        task=document.task.name,
        method=entry.method,
        optimizer=entry.label,
        params=params,
        numerics=document.task.numerics,
        axes={name: after[name] for name in document.axes if name == "optimizer" or (name in free and name in after)},
        hidden=frozenset(name for name, value in params.items() if _hidden(settled.table[name], value)),
        plugins=used_by(document.task.name, entry.method, params),
        data=own.contents(data_sets([params])),
    )
    return MatrixCell(entry, spec, settled.used, seen, after, frozenset(matched), given)


@dataclass(frozen=True)
class _Values:
    """Given values and defaults in their types, before the method has its say."""

    table: Mapping[str, Parameter]
    values: dict[str, Value]
    used: frozenset[str]

    @classmethod
    def of(cls, task: Task[Any], entry: Entry, given: Mapping[str, Written]) -> _Values:
        base = METHODS[entry.method].alone or _base(task, given)
        table = table_of(task, entry.method, base)
        typed = {name: _parse(parameter, name, given[name]) for name, parameter in table.items() if name in given}
        values = {
            name: typed[name] if name in typed else _default(parameter)
            for name, parameter in table.items()
            if name in typed or not (parameter.unset or PARTNER.get(name) in typed)
        }
        run = task.config.of(values)
        return cls(table, values, frozenset(table) - task.unused(run) - run.training.unused())


def _base(task: Task[Any], given: Mapping[str, Written]) -> str:
    return str(given["base"].value) if "base" in given else task.default_base


def _parse(parameter: Parameter, name: str, written: Written) -> Value:
    try:
        return parameter.parse(name, written.value)
    except ParameterError as error:
        raise written.place.error(str(error)) from None


def _default(parameter: Parameter) -> Value:
    """The default in the parameter's type: whether a table says 1 or 1.0 must not show in a run id."""
    default = parameter.default
    return float(default) if parameter.kind == "float" and isinstance(default, int) else default


def _view(entry: Entry, free: Mapping[str, Written], used: frozenset[str], values: Parameters) -> Parameters:
    view = {name: value for name, value in values.items() if name in used}
    axes = {name: written.value for name, written in free.items() if name in used}
    return {**view, **axes, "optimizer": entry.label}


def _finish(document: GridDocument, entry: Entry, settled: _Values, given: Mapping[str, Written]) -> dict[str, Value]:
    """The run's parameters in the order of their table: alternatives resolved by the method, unused ones dropped."""
    try:
        resolved = _resolved(document.task, entry.method, settled.values)
    except ParameterError as error:
        place = _blamed(error, given, entry.place)
        raise place.error(f"{error} (in a run of {entry.label!r})") from None
    params = {name: resolved[name] for name in settled.table if name in resolved and name in settled.used}
    for name, value in params.items():
        if value is None and not settled.table[name].nullable:
            raise document.matrix.error(f"{name} is missing: make it an axis of the matrix or give it in params")
    return params


def _resolved(task: Task[Any], method: str, values: dict[str, Value]) -> dict[str, Value]:
    """``values`` after the method's rules, and with the epochs that a ``pass_budget`` pays for."""
    resolved = METHODS[method].resolve(values)
    if resolved.get("vectorise") == SEEDS:  # it has numerics of its own
        resolved["numerics"] = VECTORISED.get(str(resolved["numerics"]), resolved["numerics"])
    if resolved.get("pass_budget") is None:
        return resolved
    optimizer = OptimizerConfig.of(method, resolved, task.bases)
    training = task.config.of(resolved).training.paid_by_budget(method, optimizer.passes_per_step)
    return {**resolved, "epochs": training.epochs}


def _blamed(error: ValueError, given: Mapping[str, Written], otherwise: Location) -> Location:
    """Where the first given parameter that ``error`` is about was written."""
    names = error.names if isinstance(error, ParameterError) else ()
    return next((given[name].place for name in names if name in given), otherwise)


def _hidden(parameter: Parameter, value: Value) -> bool:
    return parameter.omit_at_default and value == parameter.default
