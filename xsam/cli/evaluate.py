"""``xsam-bench evaluate`` and ``xsam-bench translate``: what finished runs are good for."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.table import Table

from xsam.cli import arguments, finished, named, terminal
from xsam.damage import DamagedFile
from xsam.grid.grid import Grid
from xsam.grid.spec import RunSpec
from xsam.launch import status as look
from xsam.tasks import DIFFERENCE, DataMissing

TestSets = Annotated[
    list[str],
    typer.Option(
        "--on",
        metavar="NAME|FILES",
        help="A test set; may be given again. The run's own 'test' or validation part, a prepared set, or files of "
        "your own: talks/mine for talks/mine.de and talks/mine.en, or SOURCE,REFERENCE.",
        show_default=False,
    ),
]
Weights = Annotated[str, typer.Option("--weights", metavar="RULE", help="Which kept weights: final or best_val.")]


def evaluate(
    runs: finished.Runs,
    on: TestSets,
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    data: arguments.Data = arguments.DEFAULT_DATA,
    device: arguments.Device = "auto",
    as_json: arguments.AsJson = False,
) -> None:
    """Score the kept weights of finished runs on test sets, and keep the scores; reports show them.

    Needs the runs' last checkpoints: 'keep_checkpoints: true' in the grid file. Translation: BLEU, sacreBLEU and chrF
    of the final (averaged) and of the best validated weights, with signatures, and the paired bootstrap of BLEU between
    runs of one seed that the grid compares, once both are evaluated; vision: accuracy and loss.

    Example: xsam-bench evaluate 3f2a9c --on test --on test_2017_flickr --on talks/mine
    """
    damages = named.Damages()
    found = finished.find(results, runs, damages)
    finished.load_plugins(found)
    finished.enter(found, data, device)

    from xsam.runner.checkpoint import CheckpointMismatch
    from xsam.runner.evaluate import evaluate as evaluate_run
    from xsam.runner.measure import NotMeasurable

    console, printed = terminal.console(), []
    for folder, grid, run in found:
        with terminal.bad_input(NotMeasurable, CheckpointMismatch, DataMissing, DamagedFile, ValueError):
            pairs = _declared(grid, run)
            rows = evaluate_run(folder, run, list(dict.fromkeys(on)), data.resolve(), device, pairs)
        if as_json:
            readable = [{**row, "evaluated_at": row["evaluated_at"].isoformat()} for row in rows]
            printed.append({"grid": folder.name, "run_id": run.run_id, "rows": readable})
        else:
            _show(console, run, rows)
    if as_json:
        terminal.print_json(printed)
    damages.leave()


def _declared(grid: Grid, run: RunSpec) -> list[tuple[RunSpec, RunSpec]]:
    """The pairs of runs that the grid's tables compare and ``run`` is one of: of one cell and seed."""
    wanted = {(one.of, one.against) for table in grid.tables for one in table.compare}
    pairs = [
        (of, against)
        for of in grid.runs
        for against in grid.runs
        if run.run_id in (of.run_id, against.run_id) and (of.optimizer, against.optimizer) in wanted
        if _place(of, against) == _place(against, of)
    ]
    return list({(of.run_id, against.run_id): (of, against) for of, against in pairs}.values())


def _place(run: RunSpec, other: RunSpec) -> dict[str, Any]:
    """Where the run is in the grid, but for its optimizer, as far as the other one has these axes."""
    return {name: value for name, value in run.axes.items() if name != "optimizer" and name in other.axes}


def _show(console: Console, run: RunSpec, rows: Sequence[dict[str, Any]]) -> None:
    console.print(f"{run.run_id} {look.name_of(run)}", markup=False)
    table = Table("test set", "weights", "metric", "value", "examples", "signature")
    for row in rows:
        value = f"{row['value']:.4f}" if row["metric"] == "loss" else f"{row['value']:.2f}"
        if row["metric"] == DIFFERENCE:
            details = json.loads(row["details"])
            name = f"{row['metric']} of {row['run_id'][:8]} with {details['optimizer']}"
            value = f"{row['value']:+.2f} (p {details['p']:.3f})"
            table.add_row(row["test_set"], row["weights"], name, value, f"{row['examples']:,}", "paired bootstrap")
            continue
        signature = (row["signature"] or "").partition("|version")[0]
        table.add_row(row["test_set"], row["weights"], row["metric"], value, f"{row['examples']:,}", signature)
    console.print(table)


def translate(
    run: finished.RunId,
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="Text to translate, a sentence a line; -: standard input.")
    ] = "-",
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    data: arguments.Data = arguments.DEFAULT_DATA,
    weights: Weights = "best_val",
    beam: Annotated[
        int | None, typer.Option("--beam", metavar="N", min=1, help="Hypotheses that beam search keeps.")
    ] = None,
    length_penalty: Annotated[
        float | None, typer.Option("--length-penalty", help="Exponent of the length that divides a score.")
    ] = None,
    batch: Annotated[
        int,
        typer.Option(
            "--batch", metavar="N", min=1, help="Sentences translated at a time; 1 answers each line at once."
        ),
    ] = 64,
    device: arguments.Device = "auto",
) -> None:
    """Translate raw text with a finished run: a line in, a line of plain text out, as soon as its batch is done.

    Needs the run's last checkpoint: 'keep_checkpoints: true' in the grid file. What comes out is in lower case, as the
    published preprocessing has it.

    Example: echo "Ein Hund läuft." | xsam-bench translate 3f2a9c --beam 10
    """
    if weights not in ("final", "best_val"):
        raise terminal.BadInput(f"--weights {weights}: there are final and best_val")
    damages = named.Damages()
    found = finished.find(results, [run], damages)
    finished.load_plugins(found)
    ((folder, _, spec),) = found
    if spec.task != "translation":
        raise terminal.BadInput(f"run {spec.run_id} is one of {spec.task}: there is nothing to translate with")
    finished.enter(found, data, device)
    with ExitStack() as stack:
        stack.enter_context(terminal.bad_input(OSError, DataMissing, DamagedFile, ValueError))
        source = sys.stdin if file == "-" else stack.enter_context(Path(file).open(encoding="utf-8", newline="\n"))

        from xsam.runner.checkpoint import CheckpointMismatch
        from xsam.runner.evaluate import translate as translate_lines
        from xsam.runner.measure import NotMeasurable

        stack.enter_context(terminal.bad_input(NotMeasurable, CheckpointMismatch))
        for lines in translate_lines(
            folder,
            spec,
            _batches(source, batch),
            data.resolve(),
            device,
            weights=weights,
            beam=beam,
            length_penalty=length_penalty,
        ):
            for line in lines:
                terminal.say(line)
    damages.leave()


def _batches(source: TextIO, size: int) -> Iterator[list[str]]:
    while lines := [line.removesuffix("\n") for line in itertools.islice(source, size)]:
        yield lines
