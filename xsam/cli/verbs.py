"""The verbs of ``xsam-bench``: help lists them without importing any, and a verb is imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# verb: the module in xsam.cli that holds the function of its name, or a group of its own, and what help says in one
# sentence, which is the first of the function's docstring.
VERBS = {
    "init": (
        "init",
        "Write a commented grid, or with --template a copy of any grid or cluster profile that comes with the package.",
    ),
    "plan": (
        "plan",
        "Show the runs of a grid, which of them are done, what they cost and what they can show. Writes nothing.",
    ),
    "run": (
        "run",
        "Train what is missing of a grid: finished runs are skipped, interrupted ones go on from their checkpoint.",
    ),
    "status": ("status", "Show how far every grid is, and why each of its runs that is not finished is not."),
    "failures": (
        "status",
        "Show the traceback of every failed run and what ended the jobs of others. Exit status 1 where there is one.",
    ),
    "logs": ("status", "Print a run's log."),
    "cancel": (
        "status",
        "End the jobs and workers of grids: running runs are saved, and another ``run`` goes on with them.",
    ),
    "watch": (
        "watch",
        "Show a grid while it trains: progress, rate, time left, curves of validation, failures; never the test set.",
    ),
    "runs": ("runs", "List runs with their ids and states: all of every grid, or those that the options leave."),
    "show": (
        "runs",
        "Show all of one run: its parameters, how it ended, what was measured, what it cost, where it comes from.",
    ),
    "rm": (
        "runs",
        "Remove stored runs: their rows, checkpoints, logs and outputs; or a whole grid's folder. Asks first.",
    ),
    "merge": (
        "runs",
        "Add the finished runs of one results folder or bundle to another, as from two machines that shared a grid.",
    ),
    "export": ("runs", "Write a table of stored runs to one file, for other programs. Lists are JSON in CSV."),
    "tune": (
        "tune",
        "Choose learning rate, radius and the like for every method of a grid, and write the grid with them.",
    ),
    "report": (
        "report",
        "Make the tables and figures of every grid in a results folder, or of those named, and show the tables.",
    ),
    "compare": (
        "compare",
        "Show which cells moved from one results folder to another, and which of their parameters differ.",
    ),
    "sharpness": (
        "sharpness",
        "Measure the final weights of finished runs, from their last checkpoints, and keep what was measured.",
    ),
    "evaluate": (
        "evaluate",
        "Score the kept weights of finished runs on test sets, and keep the scores; reports show them.",
    ),
    "translate": (
        "evaluate",
        "Translate raw text with a finished run: a line in, a line of plain text out, as soon as its batch is done.",
    ),
    "reproduce": (
        "reproduce",
        "Train a stored run again from its provenance, elsewhere, and compare every metric and epoch to the last bit.",
    ),
    "compact": (
        "compact",
        "Merge the files of finished runs into one file a table. Changes no row, and leaves runs alone that go on.",
    ),
    "doctor": (
        "doctor",
        "Say what of Python, libraries, GPU, SLURM, disk and data works here, and what to do for the rest.",
    ),
    "data": ("data", "List, prepare and verify data sets."),
    "bundle": ("bundle", "Write results to one file, or verify such a file."),
}


class Verb(TyperCommand):
    """A verb by its name and summary; the command itself takes over as soon as more than those is asked of it."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self.module = module

    def load(self) -> Any:
        """The command: it has the parameters, the whole help, and runs."""
        module = import_module(f"xsam.cli.{self.module}")
        app = getattr(module, "app", None)
        if app is None:
            app = typer.Typer(add_completion=False)
            app.command(self.name)(getattr(module, str(self.name)))
        return typer.main.get_command(app)

    def make_context(self, *args: Any, **options: Any) -> Any:
        return self.load().make_context(*args, **options)


class Verbs(TyperGroup):
    """The group of all verbs, in the order in which help shows them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (module, summary) in VERBS.items():
            self.add_command(Verb(name, module, summary))
