"""``xsam-bench plan``: what a grid means and costs, before anything is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from xsam.cli import arguments, named, plugged, terminal
from xsam.cli.prerequisites import check_data, enter_numerics
from xsam.cli.terminal import BadInput
from xsam.damage import ignore
from xsam.grid import Grid, RunSpec
from xsam.grid.axes import ranges
from xsam.grid.cost import PassCount, passes_of, total_passes
from xsam.launch import status
from xsam.store.layout import GridFolder

if TYPE_CHECKING:
    from xsam.report.planning import Power


@dataclass(frozen=True)
class Estimate:
    """Seconds of each run by its id, on the device called ``device``."""

    device: str
    seconds: Mapping[str, float]

    def hours(self, states: Sequence[status.RunStatus]) -> float:
        """Of all these runs."""
        return sum(self.seconds[state.run.run_id] for state in states) / 3600


def plan(
    grid_file: arguments.GridFile,
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    data: arguments.Data = arguments.DEFAULT_DATA,
    sets: arguments.Sets = [],  # noqa: B006
    only: arguments.Only = [],  # noqa: B006
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Time a few steps of each kind of run here, and tell hours; needs data.")
    ] = False,
    device: arguments.Device = "auto",
    sd: Annotated[
        float | None,
        typer.Option(
            "--sd",
            help="Standard deviation of a difference paired by seed, for what the declared comparisons can show; "
            "by default that of stored runs.",
            show_default=False,
        ),
    ] = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Show the runs of a grid, which of them are done, what they cost and what they can show. Writes nothing.

    Forwards and backwards are passes of one batch through the model. Hours (--calibrate) count steps, alpha searches
    and evaluations; starting up and saving checkpoints come on top. For each comparison that the grid declares: how
    large a true difference its seeds show in 80% of such experiments.

    Example: xsam-bench plan quickstart --only optimizer=xsam --calibrate
    """
    grid, runs = named.load(grid_file, sets, only, data)
    damages = named.Damages()
    states = status.survey(GridFolder(results, grid.name), runs, damages, keep_index=False)
    plugged.say_changed(results, grid, runs)
    console = terminal.console()
    estimate = _estimate(runs, data, device, terminal.InertConsole(stderr=True)) if calibrate else None
    power = _power(grid, results, sd)
    if as_json:
        shown = {name: value for name, value in grid.to_json().items() if name != "runs"}
        totals = {**_totals(runs, states, estimate), "power": [one.to_json() for one in power]}
        terminal.print_json({**shown, **totals, "runs": [_run(one, estimate) for one in states]})
        return damages.leave()
    table = Table(title=f"{grid.name}: {status.summary(states)}")
    columns = [axis for axis in grid.axes if axis != "seed"]
    for name in (*columns, "seeds", "state"):
        table.add_column(name)
    for name in ("forwards a run", "backwards a run", *(("hours a run", "hours") if estimate else ())):
        table.add_column(name, justify="right")
    cells: dict[tuple[str, ...], list[status.RunStatus]] = {}
    for state in states:
        key = tuple(str(state.run.axes.get(axis, "–")) for axis in columns)
        cells.setdefault(key, []).append(state)
    for key, members in cells.items():
        counts = Counter(member.state for member in members)
        seeds = ranges(member.run.seed for member in members)
        hours = () if estimate is None else (_hours(estimate.hours(members[:1])), _hours(estimate.hours(members)))
        stand = ", ".join(f"{count} {name}" for name, count in counts.items())
        table.add_row(*key, seeds, stand, *_counts(passes_of(members[0].run)), *hours)
    console.print(table)
    for line in _summary(runs, states, estimate):
        console.print(line, markup=False)
    for one in power:
        console.print(one.line(), markup=False, highlight=False, soft_wrap=True)
    return damages.leave()


def _power(grid: Grid, results: Path, sd: float | None) -> Sequence[Power]:
    """What the declared comparisons can show, by ``sd`` or by what is stored of the same runs."""
    if sd is not None and not 0 < sd < float("inf"):
        raise BadInput(f"--sd must be a number above 0, not {sd:g}")
    if not any(report.compare for report in grid.tables):
        return ()
    from xsam.report.planning import power_of  # pandas, which a plan without declared comparisons does without

    folder = GridFolder(results, grid.name)
    if sd is not None or not folder.has_rows("runs"):
        return power_of(grid, None, sd)
    from xsam.store import read

    with terminal.bad_input(ValueError):
        return power_of(grid, read(results, "runs", [grid.name], on_damage=ignore))


def _estimate(runs: Sequence[RunSpec], data: Path, device: str, console: Console) -> Estimate:
    check_data(runs, data)
    enter_numerics(runs, device)
    from xsam.runner.calibrate import calibrate  # imports torch

    name, timings = calibrate(runs, data, device, lambda line: console.print(line, markup=False, highlight=False))
    return Estimate(name, {run.run_id: timings[run.run_id].seconds(run.config) for run in runs})


def _counts(passes: PassCount | None) -> tuple[str, str]:
    return ("?", "?") if passes is None else (f"{passes.forwards:,}", f"{passes.backwards:,}")


def _hours(hours: float) -> str:
    return f"{hours:.3g}"


def _to_do(states: Sequence[status.RunStatus]) -> list[status.RunStatus]:
    return [state for state in states if state.state not in status.FINISHED]


def _summary(runs: Sequence[RunSpec], states: Sequence[status.RunStatus], estimate: Estimate | None) -> list[str]:
    forwards, backwards = _counts(total_passes(runs))
    lines = [f"{len(runs):,} runs: {forwards} forwards and {backwards} backwards of a batch, evaluation apart"]
    if estimate is not None:
        kind = "hours of one worker" if estimate.device == "cpu" else "GPU hours"
        lines.append(
            f"about {_hours(estimate.hours(states))} {kind} on {estimate.device}, "
            f"{_hours(estimate.hours(_to_do(states)))} of them for runs that are not finished: every step, search and "
            "evaluation as long as those timed here; start and checkpoints come on top"
        )
    return lines


def _totals(runs: Sequence[RunSpec], states: Sequence[status.RunStatus], estimate: Estimate | None) -> dict[str, Any]:
    passes = total_passes(runs)
    content: dict[str, Any] = {
        "forwards": passes and passes.forwards,
        "backwards": passes and passes.backwards,
    }
    if estimate is not None:
        content["device"] = estimate.device
        content["hours"] = estimate.hours(states)
        content["hours_to_do"] = estimate.hours(_to_do(states))
    return content


def _run(state: status.RunStatus, estimate: Estimate | None) -> dict[str, Any]:
    passes = passes_of(state.run)
    content = {**state.to_json(), "forwards": passes and passes.forwards, "backwards": passes and passes.backwards}
    return content if estimate is None else {**content, "seconds": estimate.seconds[state.run.run_id]}
