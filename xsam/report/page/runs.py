"""Every planned run of a grid as the page holds it: columns for the list, and what a run opens to.

Of a run that went wrong that is its traceback and the end of its log, without the machine's paths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xsam.atomic import open_file
from xsam.report.analysis import GridReport
from xsam.report.page.compact import column, named_columns, numbers
from xsam.report.panel import thinned
from xsam.report.table import ABSENT
from xsam.report.text import label

LOG_LINES = 40
_LOG_BYTES = 8192
_TIME = re.compile(r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2},\d{3} ", re.MULTILINE)  # how log lines begin
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<path>/[^"'\n]*)(?P=quote)""")
_BARE = re.compile(r"""(?<![\w.…/"'<>:-])(?P<path>/(?:[^\s/"'<>:,;()]+/)+[^\s/"'<>:,;()]*)""")
_KEPT = 3  # the last parts of a path, which say which file it is


def without_paths(text: str) -> str:
    """``text`` with absolute paths shortened to their last three parts, so that it says the same on every machine.

    >>> without_paths('File "/home/me/my code/xsam/runner/run.py", line 3: no /data/sets/cifar10/train.npz')
    'File "…/xsam/runner/run.py", line 3: no …/sets/cifar10/train.npz'
    """
    quoted = _QUOTED.sub(lambda found: f"{found['quote']}{_shortened(found['path'])}{found['quote']}", text)
    return _BARE.sub(lambda found: _shortened(found["path"]), quoted)


def _shortened(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    return "/".join(["…", *parts[-_KEPT:]])


def log_tail(path: Path) -> str:
    """The last ``LOG_LINES`` lines of a log without their times and paths; empty where there is none any more."""
    try:
        with open_file(path) as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - _LOG_BYTES))
            text = log.read().decode("utf-8", errors="replace")
    except OSError:  # gone, or no log
        return ""
    lines = text.splitlines()[1 if size > _LOG_BYTES else 0 :]  # the first may have lost its beginning
    return without_paths(_TIME.sub("", "\n".join(lines[-LOG_LINES:])))


MOST_POINTS, FEWEST_POINTS = 100, 20  # of one run's curve
_ALL_POINTS = 200_000  # of the curves of all runs of a grid, as far as FEWEST_POINTS lets it
MOST_LOGS = 200
_NO_RESULT = ("run_id", "grid", "status", "error", "started_at", "finished_at", "provenance")
_SHOWN = ("backwards", "wall_seconds")
_CURVES = ("train_loss", "alpha")


def runs_data(report: GridReport) -> dict[str, Any]:
    """The runs in the order of the grid, as JSON values.

    ``ids``, the columns ``status``, ``axes``, ``results`` and ``config`` (see
    :func:`~xsam.report.page.compact.column`), ``shown`` (names of the results in the list), ``provenance``,
    ``curves``, ``failures`` (place of the run → its error and log).
    """
    runs = report.grid.runs
    ids = [run.run_id for run in runs]
    rows = report.runs.set_index("run_id").reindex(ids)
    statuses = ["missing" if pd.isna(status) else str(status) for status in rows["status"]]
    axes = {axis: [label(run.axes.get(axis, ABSENT)) for run in runs] for axis in report.grid.axes}
    names = sorted({name for run in runs for name in run.params})
    config = {name: [label(run.params[name]) if name in run.params else None for run in runs] for name in names}
    results = named_columns(dict(_results(rows)))
    wanted = dict.fromkeys((*(analysis.table.column for analysis in report.analyses), *_SHOWN))
    present = {entry["name"] for entry in results}
    return {
        "ids": ids,
        "status": column(statuses),
        "axes": named_columns(axes),
        "results": results,
        "shown": [name for name in wanted if name in present],
        "config": named_columns(config),
        "provenance": _provenances(rows),
        "curves": _curves(report, ids),
        "failures": dict(_failures(report, ids, statuses, rows)),
    }


def _results(rows: pd.DataFrame) -> Iterator[tuple[str, Sequence[Hashable]]]:
    """Metrics and costs: what a run's row holds beside its spec."""
    spec = {"task", "model", "dataset", "optimizer", "method", "ascent_steps", "seed"}
    for name in rows.columns:
        if name in spec or name in _NO_RESULT or name.startswith("param_") or rows[name].isna().all():
            continue
        if pd.api.types.is_integer_dtype(rows[name]):
            yield name, [None if pd.isna(value) else int(value) for value in rows[name]]
        elif pd.api.types.is_numeric_dtype(rows[name]):
            yield name, numbers(rows[name].to_numpy(dtype=np.float64, na_value=np.nan), digits=8)
        else:
            yield name, [None if pd.isna(value) else str(value) for value in rows[name]]


def _provenances(rows: pd.DataFrame) -> dict[str, Any]:
    """``kinds``: each different provenance as pairs of name and text; ``places``: which one each run has, or none."""
    kinds: dict[str, int] = {}
    places: list[int | None] = []
    for text in rows["provenance"]:
        if pd.isna(text):
            places.append(None)
            continue
        found = json.loads(text)
        found.pop("config", None)  # it stands in the grid
        places.append(kinds.setdefault(json.dumps(found), len(kinds)))
    return {"kinds": [list(_flat(json.loads(text))) for text in kinds], "places": column(places)}


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", label(tuple(value) if isinstance(value, list) else value)


def _curves(report: GridReport, ids: Sequence[str]) -> dict[str, Any]:
    """What the page draws of the epochs.

    ``names`` of the curves, ``longest`` (points that a curve may have), ``at``: each different list of epochs;
    ``runs``: for each run the place of its epochs and its values of each curve (``None`` where it has none).
    """
    metrics = dict.fromkeys(analysis.table.metric.name for analysis in report.analyses)
    names = [name for name in dict.fromkeys((*metrics, *_CURVES)) if name in report.epochs.columns]
    longest = min(MOST_POINTS, max(FEWEST_POINTS, _ALL_POINTS // max(1, len(ids))))
    places = {run_id: place for place, run_id in enumerate(ids)}
    kinds: dict[tuple[int, ...], int] = {}
    runs: list[list[Any] | None] = [None] * len(ids)
    if len(report.epochs):
        run_ids = report.epochs["run_id"].to_numpy(dtype=object)
        starts = [0, *(np.flatnonzero(run_ids[1:] != run_ids[:-1]) + 1).tolist()]
        ends = [*starts[1:], len(run_ids)]
        spans = [range(start, end)[thinned(end - start, longest)] for start, end in zip(starts, ends, strict=True)]
        kept = np.concatenate([np.arange(span.start, span.stop, span.step) for span in spans])
        epochs = (report.epochs["epoch"].to_numpy(dtype=np.int64)[kept] + 1).tolist()
        values = {name: numbers(report.epochs[name].to_numpy(dtype=np.float64)[kept]) for name in names}
        start = 0
        for span in spans:
            part = slice(start, start + len(span))
            at = kinds.setdefault(tuple(epochs[part]), len(kinds))
            runs[places[run_ids[span.start]]] = [at, *(_curve(values[name][part]) for name in names)]
            start = part.stop
    return {"names": names, "longest": longest, "at": list(kinds), "runs": runs}


def _curve(values: list[float | None]) -> list[float | None] | None:
    return values if any(value is not None for value in values) else None


def _failures(
    report: GridReport, ids: Sequence[str], statuses: Sequence[str], rows: pd.DataFrame
) -> Iterator[tuple[int, list[str]]]:
    """Place of each run that went wrong, its error and the end of its log (of the first ``MOST_LOGS`` of them)."""
    wrong = [place for place, status in enumerate(statuses) if status in ("failed", "diverged")]
    errors = rows["error"].tolist()
    for count, place in enumerate(wrong):
        error = "" if pd.isna(errors[place]) else without_paths(str(errors[place]))
        log = log_tail(report.folder.log(ids[place])) if count < MOST_LOGS else ""
        if error or log:
            yield place, [error, log]
