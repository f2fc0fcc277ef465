"""``xsam-bench sharpness``: how sharp the minima of finished runs are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from xsam.cli import arguments, finished, named, terminal
from xsam.damage import DamagedFile
from xsam.grid.diagnostics import Diagnostics
from xsam.grid.grid import Grid
from xsam.grid.spec import RunSpec
from xsam.launch import status as look
from xsam.plugins.kinds import MEASUREMENTS
from xsam.tasks import DataMissing

DEFAULT_MEASURE = ("hessian", "measures", "directions")


def sharpness(
    runs: finished.Runs,
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    data: arguments.Data = arguments.DEFAULT_DATA,
    measure: Annotated[
        str | None,
        typer.Option("--measure", metavar="NAME[,NAME]", help=f"What to measure: {', '.join(MEASUREMENTS)}."),
    ] = None,
    rho: Annotated[
        float | None, typer.Option("--rho", help="Radius of the ascent; by default the grid's, or the run's own.")
    ] = None,
    probe_radius: Annotated[
        float | None, typer.Option("--probe-radius", help="Radius at which directions are compared.")
    ] = None,
    ascent_steps: Annotated[
        str | None, typer.Option("--ascent-steps", metavar="K[,K]", help="Numbers of ascent steps to look at.")
    ] = None,
    batches: Annotated[
        int | None, typer.Option("--batches", help="Training batches that the loss is the mean of.")
    ] = None,
    device: arguments.Device = "auto",
    as_json: arguments.AsJson = False,
) -> None:
    """Measure the final weights of finished runs, from their last checkpoints, and keep what was measured.

    Example: xsam-bench sharpness 3f2a9c 77b01e --measure hessian,directions --rho 0.1
    """
    damages = named.Damages()
    found = finished.find(results, runs, damages)
    given = {
        "measure": None if measure is None else measure.split(","),
        "rho": rho,
        "probe_radius": probe_radius,
        "ascent_steps": None if ascent_steps is None else [_whole(k) for k in ascent_steps.split(",")],
        "batches": batches,
    }
    with terminal.bad_input(ValueError):
        jobs = [(folder, run, _wanted(grid, run, given)) for folder, grid, run in found]
    finished.load_plugins(found)
    if measure is not None:
        with terminal.bad_input(ValueError):  # now that the measurements of plug-ins are known
            Diagnostics.parameters()["measure"].parse("measure", measure.split(","))
    finished.enter(found, data, device)

    from xsam.runner.checkpoint import CheckpointMismatch
    from xsam.runner.measure import NotMeasurable
    from xsam.runner.measure import measure as measure_run

    console, printed = terminal.console(), []
    for folder, run, wanted in jobs:
        with terminal.bad_input(NotMeasurable, CheckpointMismatch, DataMissing, DamagedFile):
            rows = measure_run(folder, run, wanted, data.resolve(), device)
        if as_json:
            readable = [{**row, "details": json.loads(row["details"])} for row in rows]
            printed.append({"grid": folder.name, "run_id": run.run_id, "rows": readable})
        else:
            _show(console, run, rows)
    if as_json:
        terminal.print_json(printed)
    damages.leave()


def _whole(text: str) -> Any:
    return int(text) if text.strip().isdigit() else text


def _wanted(grid: Grid, run: RunSpec, given: dict[str, Any]) -> Diagnostics:
    """What the options ask for, the grid's own block where they are silent, and the run's own radii else."""
    base: dict[str, Any] = {"measure": DEFAULT_MEASURE}
    base |= {name: run.params[name] for name in ("rho", "probe_radius") if run.params.get(name)}
    if grid.diagnostics is not None:
        base |= grid.diagnostics.to_json()
    options = {name: value for name, value in given.items() if value is not None}
    if "rho" in options:
        base.pop("probe_radius", None)
    return Diagnostics.of({**base, **options})


def _show(console: Console, run: RunSpec, rows: Sequence[dict[str, Any]]) -> None:
    console.print(f"{run.run_id} {look.name_of(run)}", markup=False)
    table = Table("measure", "value", "error", "k", "direction")
    for (name, k, direction), group in _grouped(rows).items():
        values = [row["value"] for row in group if row["value"] is not None]
        errors = [row["error"] for row in group if row["error"] is not None and row["error"] == row["error"]]
        error = f"{errors[0]:.2g}" if len(group) == 1 and errors else ""
        value = f"{fmean(values):.5g}" if values else group[0]["details"]
        if values or "reason" in value:
            table.add_row(name, value, error, k, direction)
    console.print(table)


def _grouped(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Rows that differ in the training step alone are shown as one, by their mean."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        details = json.loads(row["details"])
        key = (row["measure"], str(details.get("ascent_steps", "")), details.get("direction", ""))
        groups.setdefault(key, []).append(row)
    return groups
