"""What a reader must be told beside a table's numbers: earlier numerics, unverified data, searches at their limit."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd

from xsam.grid.spec import RunSpec
from xsam.report.comparisons import is_searched_xsam
from xsam.report.table import Cell, Key, Table
from xsam.report.text import key_label
from xsam.tasks import TASKS, get_task
from xsam.tasks.data import UNVERIFIED

ALPHA_MAX = 2.0  # where a run does not set it (:class:`xsam.optim.XSAM`)
LIMITS = "Searches of alpha that end on its limit, alpha_max"
_CLOSE = 1e-9
_REST = 0.05  # of the wall time: less than this beside it is not worth a word


def caveats(table: Table, runs: pd.DataFrame, epochs: pd.DataFrame) -> tuple[str, ...]:
    """Sentences about what the numbers alone would hide; none where there is nothing to say.

    Args:
        table: the table.
        runs, epochs: rows of its grid.

    Example:
        >>> caveats(table, runs, epochs)                                 # doctest: +SKIP
        ('Searches of alpha that end on its limit: resnet18 / cifar100, xsam: 83%.',)
    """
    own = runs[runs["run_id"].isin({one.run_id for cell in table.cells.values() for one in cell.outcomes})]
    found = (
        _numerics(table),
        _unverified(own),
        _own_data(table),
        _limits(table, epochs),
        _unsearched(table, own),
        _fixed(table),
        _uncounted(own),
    )
    return tuple(sentence for sentence in found if sentence)


def _numerics(table: Table) -> str:
    """Runs of an earlier ``NUMERICS`` of their task: results of today's do not belong beside them."""
    told = {
        f"The runs have {name}'s NUMERICS {then}, and the code {now}: trained again, they would have other numbers."
        for name, then in sorted({(cell.spec.task, cell.spec.numerics) for cell in _cells(table)})
        if name in TASKS and (now := get_task(name).numerics) > then
    }
    return " ".join(sorted(told))


def _unverified(runs: pd.DataFrame) -> str:
    marked: dict[str, int] = {}
    for text, dataset in zip(runs["provenance"], runs["dataset"], strict=True):
        if isinstance(text, str) and UNVERIFIED in text:
            checksum = str(json.loads(text).get("data_checksum", ""))
            if UNVERIFIED in checksum:  # that of an evaluation set may come after it
                marked[str(dataset)] = marked.get(str(dataset), 0) + 1
    listed = ", ".join(f"{dataset} ({_runs(count)})" for dataset, count in sorted(marked.items()))
    return f"Unverified data, which are not known to be the published ones: {listed}." if listed else ""


def _own_data(table: Table) -> str:
    """Which content the names of a user's own data sets stand for: nothing published tells it."""
    told = {f"{name} (content {checksum})" for cell in _cells(table) for name, checksum in cell.spec.data.items()}
    if not told:
        return ""
    return f"Data of the user's own, which are held against nothing published: {', '.join(sorted(told))}."


def limit_shares(table: Table, epochs: pd.DataFrame) -> dict[tuple[Key, Key], float]:
    """Row and column → the share of its epochs whose last searched alpha is the largest that was allowed."""
    known = epochs[["run_id", "alpha"]].dropna()
    alphas = {str(run_id): rows.to_numpy(dtype=np.float64) for run_id, rows in known.groupby("run_id")["alpha"]}
    shares: dict[tuple[Key, Key], float] = {}
    for row, column, cell in table.planned():
        if is_searched_xsam(cell.spec):
            values = [alphas[one.run_id] for one in cell.outcomes if one.run_id in alphas]
            if values:
                shares[row, column] = float(np.mean(np.concatenate(values) >= _limit(cell.spec) - _CLOSE))
    return shares


def _limit(spec: RunSpec) -> float:
    return float(str(spec.params.get("alpha_max", ALPHA_MAX)))


def _limits(table: Table, epochs: pd.DataFrame) -> str:
    shares = {place: share for place, share in limit_shares(table, epochs).items() if share > 0}
    listed = "; ".join(f"{_where(*place)}: {share:.0%}" for place, share in shares.items())
    return f"{LIMITS}: {listed}." if listed else ""


def _unsearched(table: Table, runs: pd.DataFrame) -> str:
    """XSAM that should have searched and never did."""
    never = set(runs.loc[(runs["search_seconds"] == 0) & (runs["status"] == "done"), "run_id"])
    places = [
        _where(row, column)
        for row, column, cell in table.planned()
        if is_searched_xsam(cell.spec) and any(one.run_id in never for one in cell.outcomes)
    ]
    return f"XSAM without a single search of alpha: {'; '.join(places)}." if places else ""


def _fixed(table: Table) -> str:
    fixed: dict[str, str] = {}
    for cell in _cells(table):
        alpha = cell.spec.params.get("alpha")
        if cell.spec.method == "xsam" and alpha is not None:
            fixed[cell.label] = f"{cell.label} (alpha {alpha})"
    return f"Alpha is fixed and not searched: {', '.join(fixed.values())}." if fixed else ""


def _uncounted(runs: pd.DataFrame) -> str:
    """Wall seconds are those of the epochs; a test after the last of them may take long."""
    whole = runs[(runs["status"] == "done") & (runs["resumed_from_step"] == 0) & (runs["wall_seconds"] > 0)]
    if whole.empty:
        return ""
    spent = (whole["finished_at"] - whole["started_at"]).dt.total_seconds()
    share = float(((spent - whole["wall_seconds"]) / whole["wall_seconds"]).median())
    if not share > _REST:
        return ""
    return (
        "Wall seconds are those of the epochs. What comes before and after them (loading data, and, in translation, "
        f"decoding the test set) took another {share:.0%} of them, the median over runs."
    )


def _cells(table: Table) -> Iterator[Cell]:
    for _, _, cell in table.planned():
        yield cell


def _where(row: Key, column: Key) -> str:
    return ", ".join(key_label(key) for key in (row, column) if key)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
