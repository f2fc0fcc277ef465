"""Everything that the stored runs say, computed once and without any text: what every output is made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from xsam.damage import DamagedFile, OnDamage, refuse
from xsam.grid.diagnostics import PER_DIRECTION
from xsam.grid.grid import Grid, ReportSpec
from xsam.parameters import nearest
from xsam.report.caveats import caveats
from xsam.report.claims.judge import judge
from xsam.report.claims.judgement import Judgement
from xsam.report.claims.model import Claim, ClaimsFile, Published, packaged
from xsam.report.comparisons import Comparison, Place, Standing, comparisons, primary, standings
from xsam.report.evaluations import Compared, Evaluations, compared_of, evaluations_of
from xsam.report.references import Check, checks
from xsam.report.sharpness import labelled
from xsam.report.table import Table, cells
from xsam.report.targets import ToTarget, to_target
from xsam.store import GridFolder, grids, read
from xsam.store.repair import tell_lost
from xsam.store.schema import arrow_schema
from xsam.store.tuning import SUFFIX, TuningRecord, tuning_of

Measures = Mapping[str, Mapping[Place, Mapping[int, float]]]

_NOT_SHOWN = {"step", "lr", "eval_seconds"}


@dataclass(frozen=True)
class Analysis:
    """One table with its statistics.

    Attributes:
        table: the cells.
        primary: the comparisons that the grid declared, adjusted for their number.
        comparisons: every cell against its baseline; but for those among ``primary`` they are exploratory.
        standings: wins and ranks of each column.
        checks: published values beside our cells.
        measures: measure of sharpness → place → seed → its value when it was last taken.
        evaluations: test set, weights and metric → place → seed → score of the finished runs there.
        compared: runs against each other on one test set, by resampling its sentences.
        target: how long the cells take to the final validation metric of the base; of a grid's first table.
        caveats: sentences about what the numbers alone would hide (:mod:`xsam.report.caveats`).
    """

    table: Table
    primary: tuple[Comparison, ...]
    comparisons: tuple[Comparison, ...]
    standings: tuple[Standing, ...]
    checks: tuple[Check, ...]
    measures: Measures
    caveats: tuple[str, ...] = ()
    evaluations: Evaluations = field(default_factory=dict)
    compared: tuple[Compared, ...] = ()
    target: ToTarget | None = None


@dataclass(frozen=True)
class GridReport:
    """One grid: its tables, and the rows (of this grid's planned runs alone) that they and the figures come from.

    ``tuning`` is the search whose runs these are, or that chose the grid's values. Of the runs of a search there is
    nothing to see but that: it has no tables.
    """

    folder: GridFolder
    grid: Grid
    analyses: tuple[Analysis, ...]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    sharpness: pd.DataFrame
    tuning: TuningRecord | None = None

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The rows of ``sharpness`` as :func:`xsam.report.sharpness.labelled` gives them, made once."""
        return labelled(self.sharpness, self.runs)


@dataclass(frozen=True)
class Report:
    """A results folder as data.

    Attributes:
        grids: in the order of their names.
        references: the published values that cells were held against.
        claims: each claim that one of these grids may speak to, with what they say of it.
    """

    grids: tuple[GridReport, ...]
    references: tuple[Published, ...]
    claims: tuple[Judgement, ...]


def load_report(
    results: Path,
    names: Iterable[str] | None = None,
    references: Sequence[Published] = (),
    claims: ClaimsFile | None = None,
    on_damage: OnDamage = refuse,
) -> Report:
    """Read and analyse the grids under ``results``, all or those named.

    Args:
        results: a results folder.
        names: grids; all where it is not given.
        references: published values beside the packaged ones.
        claims: claims, with their published values, in place of the packaged ones.
        on_damage: called with each damaged or lost file, whose grid or rows are then left out; raises it by default.

    Raises:
        ValueError: no grids, an unknown name, or a grid or file that cannot be read.

    Example:
        >>> report = load_report(Path("results"))                        # doctest: +SKIP
        >>> report.grids[0].analyses[0].comparisons[0].verdict           # doctest: +SKIP
        'better'
    """
    found = {folder.name: folder for folder in grids(results)}
    if not found:
        raise ValueError(f"{results}: no grids here; run one with --results {results}")
    chosen = list(found) if names is None else list(dict.fromkeys(names))
    for name in chosen:
        if name not in found:
            raise ValueError(f"no grid {name!r} in {results}{nearest(name, found)}")
    own = packaged()
    known = (*own.published, *(() if claims is None else claims.published), *references)
    loaded = tuple(made for name in chosen if (made := _load_or_tell(found[name], known, on_damage)) is not None)
    return Report(loaded, known, judged((own if claims is None else claims).claims, loaded))


def judged(claims: Iterable[Claim], grids: Sequence[GridReport]) -> tuple[Judgement, ...]:
    """What the grids say of each claim that one of them may speak to."""
    return judge(claims, grids, [check for grid in grids for one in grid.analyses for check in one.checks])


def _load_or_tell(folder: GridFolder, known: Sequence[Published], on_damage: OnDamage) -> GridReport | None:
    try:
        grid = load_grid(folder)
    except DamagedFile as damage:
        on_damage(damage)
        return None
    return load_grid_report(folder, known, on_damage, grid)


def load_grid_report(
    folder: GridFolder,
    references: Sequence[Published] = (),
    on_damage: OnDamage = refuse,
    grid: Grid | None = None,
) -> GridReport:
    """Read and analyse one grid (``grid``, where its ``grid.json`` was read already)."""
    grid = grid or load_grid(folder)
    runs, epochs, sharpness = (_rows(folder, table, on_damage) for table in ("runs", "epochs", "sharpness"))
    tell_lost(folder, runs, {"epochs": epochs, "sharpness": sharpness}, on_damage)
    planned = {run.run_id for run in grid.runs}
    runs_of, epochs_of, sharpness_of = (
        frame[frame["run_id"].isin(planned)].reset_index(drop=True) for frame in (runs, epochs, sharpness)
    )
    evaluations = _rows(folder, "evaluations", on_damage)
    tuning = _tuning(folder, on_damage)
    tables = () if tuning is not None and folder.name.endswith(SUFFIX) else grid.tables
    return GridReport(
        folder,
        grid,
        tuple(analyse(grid, report, runs, sharpness, references, epochs, evaluations) for report in tables),
        runs_of,
        epochs_of,
        sharpness_of,
        tuning,
    )


def _tuning(folder: GridFolder, on_damage: OnDamage) -> TuningRecord | None:
    try:
        return tuning_of(folder)
    except DamagedFile as damage:
        on_damage(damage)
        return None


def _rows(folder: GridFolder, table: str, on_damage: OnDamage) -> pd.DataFrame:
    """The rows of ``table`` without what no report shows; of parameters the grid knows more than the rows."""
    names = [name for name in arrow_schema(table).names if not name.startswith("param_")]
    used = set(names) - (_NOT_SHOWN if table == "epochs" else set())
    return read(folder.results, table, [folder.name], used, on_damage)


def load_grid(folder: GridFolder) -> Grid:
    """The grid of a folder, which must have its name."""
    grid = Grid.load(folder.grid_json)
    if grid.name != folder.name:
        raise ValueError(f"{folder.grid_json}: holds the grid {grid.name!r}; name its folder so")
    return grid


def analyse(
    grid: Grid,
    report: ReportSpec,
    runs: pd.DataFrame,
    sharpness: pd.DataFrame | None = None,
    references: Sequence[Published] = (),
    epochs: pd.DataFrame | None = None,
    evaluations: pd.DataFrame | None = None,
) -> Analysis:
    """One of ``grid``'s tables, from rows of the tables of these names."""
    table = cells(runs, grid, report)
    declared = primary(table)
    compared = comparisons(table, declared)
    measures = {} if sharpness is None else measures_of(table, sharpness)
    told = () if epochs is None else caveats(table, runs, epochs)
    scored = {} if evaluations is None else evaluations_of(table, evaluations)
    against = () if evaluations is None else compared_of(table, evaluations)
    ranked, checked = standings(table, compared), checks(table, references)
    target = None if epochs is None or report is not grid.report else to_target(table, epochs)
    return Analysis(table, declared, compared, ranked, checked, measures, told, scored, against, target)


def measures_of(table: Table, sharpness: pd.DataFrame) -> Measures:
    """Measure → place → seed → value at the last epoch where the run was measured (the mean of several rows)."""
    sharpness = sharpness[~sharpness["measure"].str.startswith(PER_DIRECTION)]
    if sharpness.empty:
        return {}
    latest = sharpness["epoch"].fillna(-1) == sharpness.groupby("run_id")["epoch"].transform("max").fillna(-1)
    means = sharpness[latest].groupby(["measure", "run_id"], as_index=False)["value"].mean().dropna()
    values: dict[str, dict[str, float]] = {}
    for measure, run_id, value in zip(means["measure"], means["run_id"], means["value"], strict=True):
        values.setdefault(str(measure), {})[str(run_id)] = float(value)
    return {
        measure: {
            (row, column): {one.seed: by_run[one.run_id] for one in cell.outcomes if one.run_id in by_run}
            for row, column, cell in table.planned()
            if any(one.run_id in by_run for one in cell.outcomes)
        }
        for measure, by_run in values.items()
    }
