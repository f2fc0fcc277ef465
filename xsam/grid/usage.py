"""What a grid says must have an effect: parts that no run uses and conditions that no run meets are mistakes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from xsam.grid.condition import Condition, meets
from xsam.grid.expand import Plan
from xsam.grid.grid_document import GridDocument
from xsam.grid.resolve import MatrixCell
from xsam.grid.vocabulary import Written, show
from xsam.parameters import Parameters, nearest


def check_usage(document: GridDocument, plan: Plan) -> None:
    """Raise ``GridError`` at the first part of ``document`` that has no effect on any run of ``plan``."""
    check_used(document, plan, {*document.axes, *document.params})
    for entry in document.entries.values():
        cells = [cell for cell in plan.cells if cell.entry is entry]
        _check_params(entry.own, cells, f"{entry.label!r} (method {entry.method}) does not use")
    for index, override in enumerate(document.overrides):
        _check_condition(override.when, [cell.before for cell in plan.cells])
        cells = [cell for cell in plan.cells if index in cell.matched]
        if not cells:
            raise override.place.error("this override matches no run: no run meets all of its conditions")
        _check_params(override.params, cells, "no run that this override matches uses")
    for special in () if document.tune is None else document.tune.overrides:
        _check_condition(special.when, [cell.before for cell in plan.cells])
        if not any(meets(special.when, cell.before) for cell in plan.kept):
            raise special.place.error("this override matches no run: no run meets all of its conditions")
    for exclusion in document.exclude:
        views = [cell.after for cell in plan.cells]
        _check_condition(exclusion.condition, views)
        if not any(meets(exclusion.condition, view) for view in views):
            raise exclusion.place.error("this entry of exclude matches no run: no run meets all of its conditions")


def check_used(document: GridDocument, plan: Plan, names: Collection[str]) -> None:
    """Raise ``GridError`` where no run has one of the axes, or uses one of ``params``, that are called ``names``."""
    for name, axis in document.axes.items():
        if name in names and not any(name in cell.spec.axes for cell in plan.kept):
            raise axis.place.error(f"no run of this grid uses the axis {name!r}")
    params = {name: written for name, written in document.params.items() if name in names}
    reasons = getattr(document.task, "why_unused", None)
    for name in params:
        why = {reasons(cell.spec.config, name) for cell in plan.kept} if reasons else {""}
        if why != {""} and "" not in why:
            raise params[name].place.error(f"{name}: {min(why)}")
    _check_params(params, plan.kept, "no run of this grid uses")


def _check_params(params: Mapping[str, Written], cells: Iterable[MatrixCell], words: str) -> None:
    used = frozenset[str]().union(*(cell.used for cell in cells))
    for name, written in params.items():
        if name not in used:
            raise written.place.error(f"{words} {name!r}")


def _check_condition(condition: Condition, views: list[Parameters]) -> None:
    for name, wanted in condition.items():
        occurring = {view[name] for view in views if name in view}
        for value in wanted:
            if value.value not in occurring:
                near = nearest(show(value.value), [show(other) for other in occurring])
                raise value.place.error(f"no run of this grid has {name}={show(value.value)}{near}")
