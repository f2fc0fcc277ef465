"""A tuned grid as files: the grid with what was chosen, and the whole curve."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from xsam.atomic import write_bytes
from xsam.grid.cost import total_passes
from xsam.grid.vocabulary import show
from xsam.grid.yaml_file import read_yaml
from xsam.parameters import Value
from xsam.plugins.load import is_path
from xsam.store.layout import GridFolder
from xsam.store.tuning import TUNED, FollowingCell, TriedPoint, TunedCell, TuningRecord, tuning_file
from xsam.text import csv_cells
from xsam.tune.search import Choice, Trial, Tuned

LINE = 116


def write(tuned: Tuned, source: Path, out: Path, folder: GridFolder) -> list[Path]:
    """Write the tuned grid to ``out``, and what was tried into ``folder``; returns all files.

    The grid is ``source`` without its block ``tune``, under the name ``NAME_tuned``, with an override for each choice;
    comments tell where these come from and what else was tried. Reports show what ``tuning.json`` holds; ``curve.csv``
    and ``curve.md`` are for people. The same results give the same bytes.

    Args:
        tuned: the outcome of the search.
        source: the grid file that was tuned.
        out: the new grid file.
        folder: of the grid ``NAME@tune``.
    """
    files = {
        out: _grid_text(tuned, source, out, folder),
        folder.root / "curve.csv": _csv(tuned),
        folder.root / "curve.md": _markdown(tuned),
        tuning_file(folder): json.dumps(record_of(tuned).to_json(), indent=1) + "\n",
    }
    for path, text in files.items():
        write_bytes(path, text.encode())
    return list(files)


def record_of(tuned: Tuned) -> TuningRecord:
    """The outcome as it is stored."""
    tuning = tuned.tuning
    cells = []
    for choice in tuned.choices:
        trials = tuple(
            TriedPoint(
                dict(zip(choice.group.values, trial.point, strict=True)),
                dict(zip(trial.scores, _by_seed(trial, trial.scores), strict=True)),
                trial.mean,
            )
            for trial in choice.trials
        )
        chosen = next(place for place, trial in enumerate(choice.trials) if trial is choice.winner)
        cells.append(TunedCell(choice.group.axes, trials, chosen, tuple(choice.edges)))
    lower = tuning.metric.lower_is_better
    following = tuple(FollowingCell(one.axes, one.leader, one.params) for one in tuned.followed)
    return TuningRecord(tuning.metric.name, tuning.rule, lower, tuning.seeds, tuning.trials, tuple(cells), following)


def _grid_text(tuned: Tuned, source: Path, out: Path, folder: GridFolder) -> str:
    content: dict[str, Any] = read_yaml(source).plain()
    content.pop("tune")
    content["name"] = f"{content['name']}{TUNED}"
    if "plugins" in content:
        content["plugins"] = [_plugin(reference, source.parent, out.parent) for reference in content["plugins"]]
    content["overrides"] = [
        *(content.get("overrides") or ()),
        *({"when": _lists(choice.group.axes), "params": choice.params} for choice in tuned.choices),
        *({"when": _lists(one.axes), "params": dict(one.params)} for one in tuned.followed),
    ]
    head = [f"{source.name} (sha256 {_digest(source)}) with what 'xsam-bench tune {source.name}' chose.", *_how(tuned)]
    head += _trained_by(folder)
    curve = ["The whole curve; the best of each list is what was chosen."]
    for choice in tuned.choices:
        curve += ["", f"{choice.group.name}: {_verdict(choice)}", *(f"  {_line(choice, one)}" for one in choice.trials)]
    body = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=LINE)
    return f"{_comment(head)}{body}{_comment(curve)}"


def _plugin(reference: str, source: Path, out: Path) -> str:
    """How a grid in the folder ``out`` names the plug-in that one in ``source`` calls so; the same one, wherever.

    >>> _plugin("./mine.py", Path("grids"), Path(".")), _plugin("../mine.py", Path("a/b"), Path("c"))
    ('./grids/mine.py', '../a/mine.py')
    >>> _plugin("./mine.py", Path("a"), Path("b/../a")), _plugin("mine.sam", Path("a"), Path("b"))
    ('./mine.py', 'mine.sam')
    """
    here, there = source.resolve(), out.resolve()
    if not is_path(reference) or Path(reference).is_absolute() or here == there:
        return reference
    path = Path(os.path.relpath(here / reference, there)).as_posix()
    return path if path.startswith("../") else f"./{path}"


def _lists(axes: Mapping[str, Value]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in axes.items()}


def _how(tuned: Tuned) -> list[str]:
    tuning = tuned.tuning
    seeds = f"seed{'s' if len(tuning.seeds) > 1 else ''} {', '.join(map(str, tuning.seeds))}"
    passes = total_passes(tuned.grid.runs)
    cost = "" if passes is None else f", {passes.forwards:,} forwards and {passes.backwards:,} backwards"
    middle = "the first values in logarithms" if tuning.trials is None else "its ranges"
    best = "smallest" if tuning.metric.lower_is_better else "largest"
    lines = [
        f"Chosen: the {best} mean of {tuning.metric.name} ({tuning.rule}) over the {seeds}; of equals the one nearest",
        f"to the middle of {middle}, then the one with the smaller values. A point of which a run",
        f"diverged or failed is worse than any other. {len(tuned.grid.runs):,} runs{cost}.",
    ]
    if tuning.trials is not None:
        lines.append(
            f"Every method tried {tuning.trials} points: its own part of one Sobol' sequence over all parameters."
        )
    for one in tuning.follow:
        made = ", ".join(f"{name} = {' × '.join(factors)}" for name, factors in one.params.items())
        lines.append(f"{one.label} has no trials of its own: {made} of {one.leader}.")
    if tuning.params:
        given = ", ".join(f"{name} {show(written.value)}" for name, written in tuning.params.items())
        lines.append(f"Tuning runs differ from the grid's in {given}.")
    return lines


def _trained_by(folder: GridFolder) -> list[str]:
    """The code, versions and devices that trained the runs, from their rows."""
    from xsam.store.frames import grid_table

    found = set()
    for text in grid_table(folder, "runs").column("provenance").to_pylist():
        if text is not None:
            facts = json.loads(text)
            code = facts["code"]
            commit = f"commit {code['commit']}{' with changes' if code['dirty'] else ''}" if code["commit"] else ""
            device = facts["gpu"] or facts["cpu"]
            torch = facts["packages"]["torch"]
            found.add(", ".join(filter(None, (f"xsam-bench {code['version']}", commit, f"torch {torch}", device))))
    return [f"Trained by {one}." for one in sorted(found)]


def _verdict(choice: Choice) -> str:
    chosen = ", ".join(f"{name} {value:g}" for name, value in choice.params.items())
    added = [f"{name} by {choice.group.added(name)}" for name in choice.group.values if choice.group.added(name)]
    notes = [f"extended {', '.join(added)}"] if added else []
    if choice.edges:
        notes.append(f"on the edge of what was tried: {', '.join(choice.edges)}")
    return "; ".join([chosen, f"{len(choice.trials)} points", *notes])


def _line(choice: Choice, trial: Trial) -> str:
    point = ", ".join(f"{name} {value:g}" for name, value in zip(choice.group.values, trial.point, strict=True))
    return f"{point}: {_result(trial)}"


def _result(trial: Trial) -> str:
    if trial.mean is not None:
        return f"{trial.mean:.4g}" + (f" ± {statistics.stdev(trial.values):.2g}" if len(trial.values) > 1 else "")
    bad = [
        score.status if score.status != "done" else "no value" for score in trial.scores.values() if score.value is None
    ]
    return ", ".join(f"{bad.count(status)} {status}" for status in dict.fromkeys(bad))


def _csv(tuned: Tuned) -> str:
    """One row a point: the group, the values, mean and standard deviation, and every seed's value or status."""
    axes = list(dict.fromkeys(name for choice in tuned.choices for name in choice.group.axes))
    names = list(tuned.tuning.names)
    seeds = tuned.tuning.seeds
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*axes, *names, "mean", "std", *(f"seed_{seed}" for seed in seeds), "extension", "chosen"])
    for choice in tuned.choices:
        for trial in choice.trials:
            point = dict(zip(choice.group.values, trial.point, strict=True))
            std = statistics.stdev(trial.values) if trial.mean is not None and len(trial.values) > 1 else ""
            row = csv_cells(
                [
                    *(choice.group.axes.get(name, "") for name in axes),
                    *(point.get(name, "") for name in names),
                    "" if trial.mean is None else trial.mean,
                    std,
                    *_by_seed(trial, seeds),
                    any(value not in choice.group.start[name] for name, value in point.items()),
                    trial is choice.winner,
                ]
            )
            rows.writerow(row)
    return text.getvalue()


def _by_seed(trial: Trial, seeds: Iterable[int]) -> list[str | float]:
    found: list[str | float] = []
    for seed in seeds:
        score = trial.scores.get(seed)
        found.append("" if score is None else score.status if score.value is None else score.value)
    return found


def _markdown(tuned: Tuned) -> str:
    lines = [f"# {tuned.grid.name}", "", " ".join(_how(tuned)), ""]
    for choice in tuned.choices:
        lines += [f"## {choice.group.name}", "", f"{_verdict(choice)}.", ""]
        lines += [f"| {' | '.join(choice.group.values)} | {tuned.tuning.metric.name} |"]
        lines += ["|" + " ---: |" * (len(choice.group.values) + 1)]
        for trial in choice.trials:
            result = f"**{_result(trial)}**" if trial is choice.winner else _result(trial)
            lines.append(f"| {' | '.join(f'{value:g}' for value in trial.point)} | {result} |")
        lines.append("")
    return "\n".join(lines)


def _comment(lines: Iterable[str]) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
