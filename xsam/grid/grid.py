"""A validated grid: what ``grid.json`` holds and everything after the planning works from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xsam.atomic import read_text
from xsam.damage import DamagedFile
from xsam.grid.compare import Declared
from xsam.grid.diagnostics import Diagnostics
from xsam.grid.names import LABELS, check_texts, is_axis_name, is_label, is_stored_name, is_table_name
from xsam.grid.shared import Shared
from xsam.grid.spec import RunSpec, canonical_json
from xsam.metrics import RULES
from xsam.parameters import KINDS, Value
from xsam.registries import recorded

FORMAT = 1
SHOWN = ("median", "difference", "verdict", "published")
TABLE = "table"  # the name of a table that is given none


@dataclass(frozen=True)
class ReportSpec:
    """A table that a grid asks for.

    Attributes:
        rows, columns: axes.
        metric: a metric of the task, or one of ``COST_METRICS``.
        rule: the selection rule, in ``xsam.metrics.RULES``.
        name: what its files are called.
        baseline: the label of ``optimizer`` that every cell is compared with; empty: the table's first column.
        where: axis → the values that the table is limited to; an axis that a run does not use limits nothing.
        show: what stands beside each column, of ``SHOWN``.
        compare: the comparisons that were declared before the runs: the table's primary ones.
        shared: the runs that stand in cells of several labels.
        names: what a paper calls values of the axes, beside the names that come with this package.
        caption, label: of the table in LaTeX; empty: made from what it shows.
        precision: decimals in a paper's tables; None: the metric's.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    metric: str
    rule: str
    name: str = TABLE
    baseline: str = ""
    where: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    show: tuple[str, ...] = ()
    compare: tuple[Declared, ...] = ()
    shared: tuple[Shared, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""
    label: str = ""
    precision: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The table as ``grid.json`` holds it; what is at its default is left out."""
        optional = {
            "name": "" if self.name == TABLE else self.name,
            "baseline": self.baseline,
            "where": _lists(self.where),
            "show": list(self.show),
            "compare": [one.to_json() for one in self.compare],
            "shared": [one.to_json() for one in self.shared],
            "names": dict(self.names),
            "caption": self.caption,
            "label": self.label,
        }
        return {
            "rows": list(self.rows),
            "columns": list(self.columns),
            "metric": self.metric,
            "rule": self.rule,
            **{key: value for key, value in optional.items() if value},
            **({} if self.precision is None else {"precision": self.precision}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReportSpec:
        """The inverse of :meth:`to_json`; raises ``ValueError`` for what no grid file could have asked for."""
        report = cls(
            rows=tuple(data["rows"]),
            columns=tuple(data["columns"]),
            metric=data["metric"],
            rule=data["rule"],
            name=data.get("name", TABLE),
            baseline=data.get("baseline", ""),
            where=_tuples(data.get("where", {})),
            show=tuple(data.get("show", ())),
            compare=tuple(map(Declared.from_json, data.get("compare", ()))),
            shared=tuple(map(Shared.from_json, data.get("shared", ()))),
            names=data.get("names", {}),
            caption=data.get("caption", ""),
            label=data.get("label", ""),
            precision=data.get("precision"),
        )
        if not is_table_name(report.name):
            raise ValueError(f"no table can be called {report.name!r}")
        for what, names in (("axis", (*report.rows, *report.columns, *report.where)), ("metric", (report.metric,))):
            for name in names:
                if not is_axis_name(name):
                    raise ValueError(f"no {what} is called {name!r}")
        if report.rule not in RULES or not set(report.show) <= set(SHOWN):
            raise ValueError(f"table {report.name}: an unknown rule or an unknown entry of show")
        return report


@dataclass(frozen=True)
class Grid:
    """A named set of runs.

    Attributes:
        axes: axis name → its values in table order; for ``optimizer`` the labels.
        report: its first table.
        runs: in the order of the matrix (the last axis varies fastest), each run id once.
        further: its other tables.
        diagnostics: the measurements of sharpness that its runs make; None: none.
        keep_checkpoints: leave the last checkpoint of every finished run; it changes no number.
        plugins: what is kept of its plug-ins (:meth:`xsam.plugins.LoadedPlugin.record`).
        data: what is kept of the data sets of one's own (:meth:`xsam.tasks.own.OwnSet.record`).
    """

    name: str
    task: str
    axes: Mapping[str, tuple[Value, ...]]
    report: ReportSpec
    runs: tuple[RunSpec, ...]
    further: tuple[ReportSpec, ...] = ()
    diagnostics: Diagnostics | None = None
    keep_checkpoints: bool = False
    plugins: tuple[Mapping[str, Any], ...] = ()
    data: tuple[Mapping[str, Any], ...] = ()

    @property
    def tables(self) -> tuple[ReportSpec, ...]:
        """Every table that the grid asks for."""
        return (self.report, *self.further)

    def to_json(self) -> dict[str, Any]:
        """The content of ``grid.json``; its ``digest`` tells whether somebody changed it by hand."""
        content = {
            "format": FORMAT,
            "name": self.name,
            "task": self.task,
            "axes": _lists(self.axes),
            "report": self.report.to_json(),
            "runs": [run.to_json() for run in self.runs],
        }
        if self.further:
            content["further_reports"] = [report.to_json() for report in self.further]
        if self.diagnostics is not None:
            content["diagnostics"] = self.diagnostics.to_json()
        if self.keep_checkpoints:
            content["keep_checkpoints"] = True
        if self.plugins:
            content["plugins"] = [dict(one) for one in self.plugins]
        if self.data:
            content["data"] = [dict(one) for one in self.data]
        return {**content, "digest": _digest(content)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Grid:
        """The inverse of :meth:`to_json`; raises ``ValueError`` for another format or changed content."""
        if data.get("format") != FORMAT:
            raise ValueError(f"grid format {data.get('format')!r} is not {FORMAT}, the one that this version reads")
        _check_names(data)
        runs = tuple(RunSpec.from_json(run) for run in data["runs"])
        if data.get("digest") != _digest({key: value for key, value in data.items() if key != "digest"}):
            raise ValueError("it was changed by hand")
        recall(data)
        return cls(
            name=data["name"],
            task=data["task"],
            axes=_tuples(data["axes"]),
            report=ReportSpec.from_json(data["report"]),
            runs=runs,
            further=tuple(ReportSpec.from_json(report) for report in data.get("further_reports", ())),
            diagnostics=Diagnostics.of(data["diagnostics"]) if "diagnostics" in data else None,
            keep_checkpoints=data.get("keep_checkpoints") is True,
            plugins=tuple(data.get("plugins", ())),
            data=tuple(data.get("data", ())),
        )

    @classmethod
    def load(cls, path: Path) -> Grid:
        """Read ``grid.json``; a broken file is one ``DamagedFile``, a missing one ``FileNotFoundError``.

        What a grid file may not say is not taken from here either, since the folder may be another person's.
        """
        try:
            data = json.loads(read_text(path))
            if not isinstance(data, dict):
                raise ValueError("its content is no object")
            return cls.from_json(data)
        except FileNotFoundError:
            if path.is_symlink():
                raise DamagedFile(path, "a link to nothing; remove it, and run writes the grid again") from None
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise DamagedFile(
                path, f"not a grid that this version can read ({reason}); plan the grid again, and run writes it"
            ) from None


def recall(data: Mapping[str, Any]) -> None:
    """Remember what a ``grid.json`` says of its plug-ins, whose columns are then read, and of data of one's own.

    Runs no code of plug-ins, and looks at no data.
    """
    for record in data.get("plugins", ()):
        recorded.take(record, KINDS)
    for one in data.get("data", ()):
        if one["classes"] is not None:
            recorded.take({"parameters": {}, "methods": {}, "classes": {str(one["name"]): one["classes"]}}, KINDS)


def _check_names(data: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` where ``data`` has a name that no grid file could have given it."""
    check_texts(data)
    if not is_stored_name(data["name"]):
        raise ValueError(f"no grid can be called {data['name']!r}")
    for name in {name for run in data["runs"] for name in run["params"]} | set(data["axes"]):
        if not is_axis_name(name):
            raise ValueError(f"no parameter is called {name!r}")
    for label in {run["optimizer"] for run in data["runs"]} | set(data["axes"].get("optimizer", ())):
        if not is_label(label):
            raise ValueError(f"a label must be {LABELS}, not {label!r}")


def _lists(axes: Mapping[str, tuple[Value, ...]]) -> dict[str, list[Any]]:
    return {
        name: [list(value) if isinstance(value, tuple) else value for value in values] for name, values in axes.items()
    }


def _tuples(axes: Mapping[str, list[Any]]) -> dict[str, tuple[Value, ...]]:
    return {
        name: tuple(tuple(value) if isinstance(value, list) else value for value in values)
        for name, values in axes.items()
    }


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]
