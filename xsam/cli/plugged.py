"""What verbs say about plug-ins: that one has changed under stored runs, that one is missing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from xsam import plugins
from xsam.cli import terminal
from xsam.damage import ignore
from xsam.grid import Grid, RunSpec
from xsam.plugins.usage import require
from xsam.store.layout import GridFolder


def load(references: Iterable[str]) -> None:
    """Load the plug-ins that the command line names, whose paths begin at the working folder."""
    with terminal.bad_input(plugins.PluginError):
        for reference in references:
            plugins.load(reference)


def require_for(grid: Grid, runs: Iterable[RunSpec]) -> None:
    """Refuse to train or measure stored runs whose plug-ins are not loaded; installed ones are loaded here."""
    from xsam.plugins.installed import load_modules

    references = {record["name"]: record["reference"] for record in grid.plugins}
    with terminal.bad_input(plugins.PluginError):
        for run in runs:
            load_modules(references[name] for name in run.plugins if name in references)
            require(run.run_id, run.plugins, references)


def say_changed(results: Path, grid: Grid, runs: Sequence[RunSpec]) -> None:
    """Say, one line a plug-in, that stored runs were made by other content under the same version.

    Their ids are the same, so they count as done: whoever changed what a plug-in computes has to raise its version.
    """
    using = {run.run_id for run in runs if run.plugins}
    folder = GridFolder(results, grid.name)
    if not using or not folder.has_rows("runs"):
        return
    from xsam.store import read

    with terminal.bad_input(ValueError, FileNotFoundError):
        rows = read(results, "runs", [grid.name], ["provenance"], ignore) if folder.grid_json.exists() else None
    if rows is None:
        return
    changed: Counter[str] = Counter()
    for run_id, text in zip(rows["run_id"], rows["provenance"], strict=True):
        if run_id in using and isinstance(text, str):
            for name, facts in json.loads(text).get("plugins", {}).items():
                now = plugins.loaded().get(name)
                changed[name] += now is not None and facts["sha256"] != now.sha256
    for name, count in changed.items():
        if count:
            now = plugins.loaded()[name]
            terminal.say(
                f"xsam-bench: {grid.name}: the plug-in {name} ({now.reference}) has changed, and {count} stored runs "
                f"of the same version {now.version!r} are kept; where it computes other numbers, raise its version, "
                "and they are trained again",
                error=True,
            )
