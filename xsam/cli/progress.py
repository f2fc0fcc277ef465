"""The display of a launch: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from xsam.launch.status import FINISHED, RunStatus, name_of, summary
from xsam.metrics import validation_of

LINE_SECONDS = 30.0


def describe(state: RunStatus, metric: str) -> str:
    """One run's progress in words: epoch, loss, what stands for ``metric`` in validation, time left."""
    facts = state.progress
    if not facts:
        return "starting" if state.state == "running" else ""
    parts = [f"epoch {facts['epoch']}/{facts['epochs']}"]
    for name in ("loss", validation_of(metric, facts)):
        if name is not None and facts.get(name) is not None:
            parts.append(f"{name.replace('_', ' ')} {facts[name]:.4g}")
    if facts.get("eta_seconds") is not None:
        parts.append(f"{duration(facts['eta_seconds'])} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as people say them: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Display:
    """Shows the state of a launch's runs; call it with every look at them.

    Args:
        console: where to.
        title: the grid's name.
        metric: of the grid's table; what stands for it in validation is shown.
    """

    def __init__(self, console: Console, title: str, metric: str) -> None:
        self.console = console
        self.title = title
        self.metric = metric
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}"))
        self._total = self._bar.add_task(title, total=None, facts="")
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._announced: set[str] | None = None
        self._began_at = self._told_at = time.monotonic()
        self._began_with = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, states: Sequence[RunStatus]) -> None:
        finished = [state for state in states if state.state in FINISHED]
        running = [state for state in states if state.state == "running"]
        done = len(finished) + sum(state.progress.get("done", 0.0) for state in running)
        if self._announced is None:  # the first look: what was finished before is not news
            self._announced = {state.run.run_id for state in finished}
            self._began_with = done
        for state in finished:
            if state.run.run_id not in self._announced:
                self._announced.add(state.run.run_id)
                self._say_finished(state, f"{len(self._announced)}/{len(states)}")
        if self._live:
            facts = f"{len(finished)}/{len(states)} runs, {self._time_left(done, len(states))}"
            self._bar.update(self._total, completed=done, total=len(states), facts=facts)
            table = Table.grid(padding=(0, 2))
            for state in running:
                table.add_row(state.run.run_id[:8], name_of(state.run), describe(state, self.metric))
            self._live.update(Group(self._bar, table))
        elif running and time.monotonic() - self._told_at >= LINE_SECONDS:
            self._told_at = time.monotonic()
            self.console.print(f"{self.title}: {summary(states)}, {self._time_left(done, len(states))}")
            for state in running:
                facts = describe(state, self.metric)
                self.console.print(f"  {state.run.run_id[:8]} {name_of(state.run)}: {facts}", markup=False)

    def _time_left(self, done: float, total: int) -> str:
        """For the whole grid, if the rest takes as long a run as what was done since this display began."""
        elapsed, gained = time.monotonic() - self._began_at, done - self._began_with
        if done >= total:
            return f"took {duration(elapsed)}"
        return f"about {duration(elapsed * (total - done) / gained)} left" if gained > 0 else "starting"

    def _say_finished(self, state: RunStatus, count: str) -> None:
        reason = f": {state.last_line}" if state.error else ""
        self.console.print(f"{count} {state.state} {state.run.run_id[:8]} {name_of(state.run)}{reason}", markup=False)
