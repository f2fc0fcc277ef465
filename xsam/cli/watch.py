"""``xsam-bench watch``: a grid while it trains, from the files alone, so on a cluster too.

Curves are of the validation part, or of the training loss where there is none: whoever stops or changes an experiment
by what it shows must not have chosen on the test set.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from xsam.atomic import read_text
from xsam.cli import arguments, completion, named, terminal
from xsam.cli.progress import duration
from xsam.damage import ignore
from xsam.launch import status as look
from xsam.metrics import validation_of
from xsam.store.layout import GridFolder

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 40  # characters of a curve, where there is space
BESIDE = 75  # characters of what stands beside it
FAILURES = 10  # shown; 'failures' has them all
RUNNING = 20


def watch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="GRID", help="A stored grid's name.", show_default=False, autocompletion=completion.stored
        ),
    ],
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print how things are now, and end.")] = False,
) -> None:
    """Show a grid while it trains: progress, rate, time left, curves of validation, failures; never the test set.

    It reads files alone, and so may run on any machine that sees them; Ctrl-C ends the display and nothing else.

    Example: xsam-bench watch quickstart
    """
    damages = named.Damages()
    ((folder, grid),) = named.stored_grids(results, [name], damages) or ((None, None),)
    if folder is None or grid is None:  # damaged, which was said
        return damages.leave()
    console = terminal.console()
    if once:
        states = look.survey(folder, grid.runs, damages, keep_index=False)
        console.print(frame(folder, states, console.width, grid.report.metric))
        return damages.leave()
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            states = look.survey(folder, grid.runs, damages, keep_index=False)
            live.update(frame(folder, states, console.width, grid.report.metric), refresh=True)
            if all(one.state in look.FINISHED for one in states):
                break
            time.sleep(every)
    return damages.leave()


def frame(folder: GridFolder, states: Sequence[look.RunStatus], columns: int, metric: str) -> RenderableType:
    """One look at the grid, on a terminal of so many columns; curves are of what stands for ``metric``."""
    width = min(WIDTH, max(8, columns - BESIDE))
    done = sum(one.state in look.FINISHED for one in states)
    share = done + sum(one.progress.get("done", 0.0) for one in states if one.state in ("running", "interrupted"))
    head = Table.grid(padding=(0, 2))
    head.add_row(folder.name, ProgressBar(max(len(states), 1), share, width=WIDTH), look.summary(states))
    parts: list[RenderableType] = [head]
    running = [one for one in states if one.state == "running"]
    if (pace := _pace(folder, running, len(states) - share)) is not None:
        parts.append(pace)
    curves = Table.grid(padding=(0, 2))
    for one in running[:RUNNING]:
        curves.add_row("", one.run.run_id[:8], look.name_of(one.run), *_curve(folder, one, width, metric))
    if len(running) > RUNNING:
        curves.add_row("", f"and {len(running) - RUNNING} more")
    failed = [one for one in states if one.state == "failed"]
    errors = Table.grid(padding=(0, 2))
    for one in failed[:FAILURES]:
        errors.add_row("", one.run.run_id[:8], look.name_of(one.run), one.last_line)
    if len(failed) > FAILURES:
        errors.add_row("", f"and {len(failed) - FAILURES} more; 'xsam-bench failures {folder.name}' shows them")
    for title, table in (("running", curves), ("failed", errors)):
        if table.row_count:
            parts += [f"{title}:", table]
    return Group(*parts)


def _pace(folder: GridFolder, running: Sequence[look.RunStatus], left: float) -> str | None:
    """Runs an hour and the time left, if what runs goes on so and the rest takes as long as the runs that are done."""
    if not running:
        return None
    took = _seconds_of_a_run(folder)
    if took is None:
        own = [one.progress.get("eta_seconds") for one in running]
        known = [seconds for seconds in own if seconds is not None]
        return f"no run is done yet; those in hand take about {duration(max(known))} more" if known else None
    rate = 3600 * len(running) / took
    return f"{rate:,.{0 if rate >= 10 else 1}f} runs an hour, about {duration(left * took / len(running))} left"


def _seconds_of_a_run(folder: GridFolder) -> float | None:
    if not folder.has_rows("runs"):
        return None
    from xsam.store import read

    rows = read(folder.results, "runs", [folder.name], ["status", "wall_seconds"], ignore)
    mean = rows.loc[rows["status"] == "done", "wall_seconds"].mean()
    return float(mean) if mean > 0 else None


def _curve(folder: GridFolder, state: look.RunStatus, width: int, metric: str) -> tuple[str, ...]:
    """Epoch, what the curve is of, the curve, and its last value."""
    at = f"epoch {state.progress['epoch']}/{state.progress['epochs']}" if state.progress else "starting"
    found = curves(folder, state.run.run_id)
    name = validation_of(metric, found) or "train_loss"
    values = found.get(name, [])
    known = [value for value in values if value is not None]
    return (at, name.replace("_", " "), sparkline(values, width), f"{known[-1]:.4g}") if known else (at,)


def curves(folder: GridFolder, run_id: str) -> Mapping[str, list[float | None]]:
    """What the run's worker told of its epochs so far; nothing where that cannot be read."""
    try:
        content: Any = json.loads(read_text(folder.progress(run_id)))["curve"]
        told = content.items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: [_number(one) for one in values] for name, values in told if isinstance(values, list)}


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def sparkline(values: Sequence[float | None], width: int = WIDTH) -> str:
    """A curve in one line, lowest to highest of its own values; of many, the last one of each piece; a gap is a blank.

    >>> sparkline([1, 2, None, 8])
    '▁▂ █'
    >>> sparkline([3, 3]), sparkline([]), len(sparkline(range(100)))
    ('▁▁', '', 40)
    """
    shown = list(values)
    if len(shown) > width:
        shown = [shown[-(-(place + 1) * len(shown) // width) - 1] for place in range(width)]
    known = [one for one in shown if one is not None]
    if not known:
        return " " * len(shown)
    low, span = min(known), max(known) - min(known)
    top = len(BLOCKS) - 1
    return "".join(" " if one is None else BLOCKS[round(top * (one - low) / span) if span else 0] for one in shown)
