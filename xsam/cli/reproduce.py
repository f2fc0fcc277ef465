"""``xsam-bench reproduce``: train one stored run again, and tell whether its numbers come out the same."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xsam.cli import arguments, bundle, completion, named, plugged, terminal
from xsam.cli.run import DEFAULT_CHECKPOINT_SECONDS, Training
from xsam.cli.terminal import BadInput
from xsam.damage import DamagedFile, OnDamage, ignore, refuse
from xsam.grid import Grid, RunSpec
from xsam.launch import status as look
from xsam.store.layout import GridFolder

if TYPE_CHECKING:
    import pandas as pd

    from xsam.report.repetition import Number, Repetition, Spread

Rows = tuple[dict[str, Any], list[dict[str, Any]]]


def reproduce(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A stored run's id or its first digits; GRID/RUN where two grids have it; or a bundle's file.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ],
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    data: arguments.Data = arguments.DEFAULT_DATA,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep the new run in this folder, a new or empty one.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="torch's name of the device; by default of the kind that the run was trained on.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Of a bundle: how many of its runs, such as 2%.")
    ] = None,
    draw: Annotated[int, typer.Option(help="Of a bundle: a number that stands for one random sample.")] = 0,
    run_plugins: Annotated[
        bool, typer.Option("--run-plugins", help="Run the code of the plug-ins in a bundle, with your rights.")
    ] = False,
    as_json: arguments.AsJson = False,
) -> None:
    """Train a stored run again from its provenance, elsewhere, and compare every metric and epoch to the last bit.

    Exit status 0: identical; 1: different, and what of code, versions, hardware and data differs too; 2: it cannot be
    trained here. Timings and memory are not compared. Nothing that is stored is touched. Where a metric differs, as on
    another kind of machine, it says whether by more than the stored seeds of the same cell differ among themselves.

    Of a bundle, a random sample of its finished runs (2% by default, at least one; the same for the same --draw).

    Example: xsam-bench reproduce 3f2a9c
    """
    damages = named.Damages()
    if Path(run).is_file() or run.endswith(bundle.ENDING):
        with bundle.opened(Path(run)) as place, _folder(keep) as folder:
            reproductions = _sampled(place, folder, data, device, _share(sample or "2%"), draw, run_plugins)
            _say_sample(reproductions, as_json)
        damages.leave(0 if all(one.found.identical for one in reproductions) else 1)
        return
    if sample is not None or draw or run_plugins:
        raise BadInput(f"--sample, --draw and --run-plugins are for bundles, and {run} is no file")
    with _folder(keep) as folder:
        one = _reproduced(results, run, folder, data, device, damages)
    if as_json:
        terminal.print_json(one.json())
    else:
        one.say()
    damages.leave(0 if one.found.identical else 1)


@dataclass(frozen=True)
class Reproduction:
    """A stored run, what came of training it again, and how a difference compares with that between seeds."""

    grid: str
    run_id: str
    found: Repetition
    told: tuple[Spread, ...]

    def json(self) -> dict[str, Any]:
        spread = [{**asdict(one), "inside": one.inside} for one in self.told]
        return {"run_id": self.run_id, "grid": self.grid, **_json(self.found), "spread": spread}

    def say(self) -> None:
        terminal.say(f"{self.grid} {self.run_id}: " + ("identical" if self.found.identical else "different"))
        for line in (*_lines(self.found), *(one.line() for one in self.told)):
            terminal.say(f"  {line}")


def _reproduced(
    results: Path, run: str, folder: Path, data: Path, device: str | None, on_damage: OnDamage = refuse
) -> Reproduction:
    from xsam.report.repetition import compare, spreads

    then = _stored(results, run, on_damage)
    grid = _grid(results, then[0], on_damage)
    found = compare(then, _trained(then[0], grid, folder, data, device))
    told = () if found.identical else tuple(spreads(found, _cell(grid, results, then[0])))
    return Reproduction(then[0]["grid"], then[0]["run_id"], found, told)


def _sampled(
    place: Path, folder: Path, data: Path, device: str | None, share: float, draw: int, run_plugins: bool
) -> list[Reproduction]:
    """Train a random share of an opened bundle's finished runs again, each in a folder of its own below ``folder``."""
    from xsam.report.repetition import random_share
    from xsam.store import read

    results = place / bundle.RESULTS
    with terminal.bad_input(ValueError):
        rows = read(results, "runs", columns=["status"])
    names = random_share(rows[rows["status"].isin(["done", "diverged"])], share, draw)
    if not names:
        raise BadInput("there is no finished run in the bundle")
    if run_plugins:
        for _, grid in named.stored_grids(results, sorted({name.partition("/")[0] for name in names})):
            bundle.load_plugins(place, grid)
    return [_reproduced(results, name, folder / name, data, device) for name in names]


def _say_sample(reproductions: Sequence[Reproduction], as_json: bool) -> None:
    if as_json:
        terminal.print_json([one.json() for one in reproductions])
        return
    for one in reproductions:
        one.say()
    identical = sum(one.found.identical for one in reproductions)
    terminal.say(f"{identical} of {len(reproductions)} runs identical")


def _share(text: str) -> float:
    """Such as "2%" or "0.02"."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise BadInput(f"--sample must be a share of the runs such as 2% or 0.02, not {text!r}")
    return share


def _stored(results: Path, run: str, on_damage: OnDamage = refuse) -> Rows:
    """The one stored run that ``run`` names."""
    from xsam.store import read

    grid, _, prefix = run.rpartition("/")
    with terminal.bad_input(ValueError, FileNotFoundError):
        rows = read(results, grids=[grid] if grid else None, on_damage=on_damage)
    chosen = rows[rows["run_id"].str.startswith(prefix) & ((rows["grid"] == grid) | (grid == ""))]
    if chosen.empty:
        raise BadInput(f"{results}: no stored run {run!r}; 'xsam-bench runs --results {results}' lists them")
    if len(chosen) > 1:
        names = ", ".join(f"{row['grid']}/{row['run_id']}" for row in chosen.head(5).to_dict("records"))
        raise BadInput(f"{run!r} fits {len(chosen)} stored runs: {names}")
    (row,) = chosen.to_dict("records")
    return {str(name): value for name, value in row.items()}, _epochs(results, row["grid"], row["run_id"], on_damage)


def _grid(results: Path, row: dict[str, Any], on_damage: OnDamage) -> Grid:
    """The grid that the run belongs to, which says how it is stored."""
    path = GridFolder(results, row["grid"]).grid_json
    try:
        return Grid.load(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: was removed; plan the grid again, and run writes it") from None
    except DamagedFile as damage:
        on_damage(damage)
        raise BadInput(f"run {row['run_id']} cannot be trained again without its grid") from None


def _cell(grid: Grid, results: Path, row: dict[str, Any]) -> pd.DataFrame:
    """The stored rows of the run's cell: those that differ from it in their seed alone, and its own."""
    from xsam.store import read

    with terminal.bad_input(ValueError, FileNotFoundError):
        rows = read(results, "runs", [row["grid"]], on_damage=ignore)
    own = next((run for run in grid.runs if run.run_id == row["run_id"]), None)
    cell = {run.run_id for run in grid.runs if own is not None and _but_seed(run) == _but_seed(own)}
    return rows[rows["run_id"].isin(cell)]


def _but_seed(run: RunSpec) -> tuple[str, dict[str, Any]]:
    return run.method, {name: value for name, value in run.params.items() if name != "seed"}


def _epochs(results: Path, grid: str, run_id: str, on_damage: OnDamage) -> list[dict[str, Any]]:
    from xsam.store import read

    with terminal.bad_input(ValueError):
        epochs = read(results, "epochs", [grid], on_damage=on_damage)
    rows = epochs[epochs["run_id"] == run_id].to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the new run goes: a temporary folder, unless it is to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="xsam-bench-") as temporary:
            yield Path(temporary)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise BadInput(f"{keep}: not an empty folder; a repetition is kept in one of its own")
    yield keep


def _trained(then: dict[str, Any], grid: Grid, folder: Path, data: Path, device: str | None) -> Rows:
    """Train the run of the row ``then`` in ``folder``, as ``run`` would."""
    from xsam.report.repetition import spec_of

    with terminal.bad_input(ValueError):
        spec = spec_of(then)
    grid = replace(grid, runs=(spec,), diagnostics=None)  # measurements of sharpness change no number
    plugged.require_for(grid, [spec])
    if device is None:
        device = "cpu" if json.loads(then["provenance"])["device"] == "cpu" else "auto"
    console = terminal.InertConsole(stderr=True)
    train = Training(folder, data, "local", 1, False, DEFAULT_CHECKPOINT_SECONDS, device, console)
    (state,) = train(grid, [spec])
    if state.state not in ("done", "diverged"):
        raise BadInput(f"run {spec.run_id} {look.name_of(spec)}: {state.state}. {state.last_line}".rstrip(". "))
    return _stored(folder, spec.run_id)


def _json(found: Repetition) -> dict[str, Any]:
    return {
        "identical": found.identical,
        "numbers": [{**asdict(one), "difference": one.difference} for one in found.numbers],
        "unstored": list(found.unstored),
        "explanation": found.explanation,
        "circumstances": [asdict(one) for one in found.circumstances],
    }


def _lines(found: Repetition) -> Iterator[str]:
    if found.explanation:
        yield f"why: {found.explanation}"
    for one in found.numbers:
        if one.epoch is None:
            by = "" if one.difference is None else f" ({one.difference:+.3g})"
            yield f"{one.name}: {one.then} then, {one.now} now{by}"
    names = dict.fromkeys(one.name for one in found.numbers if one.epoch is not None)
    for name in names:
        yield _epoch_line(name, [one for one in found.numbers if one.epoch is not None and one.name == name])
    if found.unstored:
        yield f"not stored then: {', '.join(found.unstored)}"
    for part in dict.fromkeys(one.part for one in found.circumstances):
        facts = (f"{one.name} {one.then} then, {one.now} now" for one in found.circumstances if one.part == part)
        yield f"{part}: {'; '.join(facts)}"
    if not found.circumstances:
        yield "same code, versions, hardware and data"


def _epoch_line(name: str, numbers: Sequence[Number]) -> str:
    sizes = [abs(one.difference) for one in numbers if one.difference is not None]
    by = f", by up to {max(sizes):.3g}" if sizes else ""
    count = f"{len(numbers)} epochs" if len(numbers) > 1 else "1 epoch"
    return f"{name}: in {count} from epoch {numbers[0].epoch} on{by}"
