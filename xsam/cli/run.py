"""``xsam-bench run``: train what is missing of a grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from xsam import store, templates
from xsam.atomic import is_full, read_text, refuse_full, write_json
from xsam.cli import arguments, completion, devices, hangup, named, plugged, terminal
from xsam.cli.prerequisites import check_data, check_numerics
from xsam.cli.progress import Display
from xsam.cli.terminal import BadInput
from xsam.grid import Grid, RunSpec
from xsam.launch import status
from xsam.launch.launcher import LaunchError, Options, new_launch
from xsam.launch.launcher import launcher as find_launcher
from xsam.launch.starts import WorkersFail
from xsam.plugins import PluginError
from xsam.plugins.installed import load_announced
from xsam.plugins.kinds import LAUNCHERS
from xsam.runner.order import WorkOrder, settled_runs, tried_again
from xsam.store import GridFolder, locks
from xsam.track import TRACKERS, TrackerMissing, open_tracker, place_of

Launch = Annotated[
    str, typer.Option("--launcher", metavar="|".join(LAUNCHERS), help="Who starts the workers.", show_default=True)
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="FILE",
        help="The cluster, for --launcher slurm; 'init --list' shows some.",
        autocompletion=completion.profiles,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Workers at a time on this machine, those of other launches in the results folder counted; with SLURM, "
        "jobs at a time. By default as many as cores, or the profile, allow.",
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Train runs again that failed with a traceback.")]
CheckpointSeconds = Annotated[
    float, typer.Option(min=0.0, help="Longest time between two checkpoints; the first of a start come sooner.")
]
Track = Annotated[
    str,
    typer.Option(
        "--track",
        metavar="|".join(TRACKERS),
        help="Keep a record of every run for this program, in RESULTS-tracking beside the results folder; nothing is "
        "sent anywhere.",
        show_default=False,
    ),
]

DEFAULT_CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Training:
    """How a verb has runs trained: where, by whom, and what is said about it (the options of ``run``)."""

    results: Path
    data: Path
    launcher: str
    jobs: int | None
    retry_failed: bool
    checkpoint_seconds: float
    device: str
    console: Console
    profile: Path | None = None
    track: str = ""

    def __call__(self, grid: Grid, runs: Sequence[RunSpec], detach: bool = False) -> list[status.RunStatus]:
        """Train what is missing of ``runs`` of ``grid``; returns how all of them stand when no worker is left.

        With ``detach``, as soon as workers are started. Raises ``BadInput`` where nothing can be trained.
        """
        named.refuse_file(self.results, "--results")
        with terminal.bad_input(LaunchError, PluginError):
            load_announced({self.launcher, self.track})
            launcher = find_launcher(self.launcher)
            profile = self.profile and named.packaged(self.profile, templates.profiles(), "profile")
            options = Options(self.jobs, self.device, profile, devices.available_cores(), detach)
            check_numerics(runs, self.device, here=launcher.here)
            launcher.check(grid.name, runs, options)
        folder = GridFolder(self.results.resolve(), grid.name)
        if self.track:
            _check_tracker(self.track, folder)
        _repair(folder)
        ends = store.finished_runs(folder)
        run_ids = tuple(one.run_id for one in runs)
        order = WorkOrder(
            results=folder.results,
            grid=grid.name,
            run_ids=run_ids,
            data_dir=self.data.resolve(),
            launch=new_launch(),
            again=tried_again(ends, run_ids, self.retry_failed),
            checkpoint_seconds=self.checkpoint_seconds,
            device=self.device,
            diagnostics=grid.diagnostics,
            devices=_devices(runs, grid.name),
            keep_checkpoints=grid.keep_checkpoints,
            track=self.track,
        )
        over = settled_runs(order, ends)
        missing = [one for one in runs if one.run_id not in over]
        plugged.say_changed(folder.results, grid, [one for one in runs if one.run_id in over])
        check_data(missing, self.data)
        _store_grid(grid, order)
        _check_disk(order.folder.root, file_locks=launcher.here)
        if not missing:
            states = status.survey(order.folder, runs)
            self.console.print(f"{grid.name}: nothing to do, {status.summary(states)}")
            return states
        order = order.part([one.run_id for one in missing])
        with terminal.bad_input(LaunchError, OSError):
            launch = launcher.submit(order, missing, options)
        if launch.said:
            self._tell(launch.said)
        if detach:
            return status.survey(order.folder, runs)
        display = Display(self.console, order.grid, grid.report.metric)
        with hangup.said(order.grid, self.console), display:
            try:
                states = launch.follow(runs, display, self._tell)
            except WorkersFail as error:
                refuse_full(order.results)
                _written_again(grid, order)
                terminal.say(f"xsam-bench: {order.grid}: {error}", error=True)
                raise typer.Exit(terminal.EXIT_INCOMPLETE) from None
        states = self._as_stored(grid, order, states)
        self.console.print(f"{grid.name}: {status.summary(states)}")
        if self.track:
            _say_records(self.track, order)
        for state in states:
            if state.state == "failed" or state.lost:
                reason = state.last_line or state.why
                self.console.print(
                    f"  {state.state} {state.run.run_id} {status.name_of(state.run)}: {reason}", markup=False
                )
        return states

    def _tell(self, line: str) -> None:
        self.console.print(line, markup=False)

    def _as_stored(self, grid: Grid, order: WorkOrder, states: list[status.RunStatus]) -> list[status.RunStatus]:
        """The states, where what was finished is still stored: somebody may have removed the folder meanwhile."""
        _written_again(grid, order)
        now = status.survey(order.folder, [one.run for one in states])
        lost = [was for was, found in zip(states, now, strict=True) if _finished(was) and not _finished(found)]
        if lost:
            terminal.say(
                f"xsam-bench: {order.folder.root}: the rows of {len(lost)} finished runs were removed meanwhile; "
                "the same command trains them again",
                error=True,
            )
        return [found if was in lost else was for was, found in zip(states, now, strict=True)]


def _written_again(grid: Grid, order: WorkOrder) -> None:
    """Store the grid again where somebody removed the folder meanwhile: workers that begin then find nothing."""
    if not order.folder.grid_json.exists():
        terminal.say(f"xsam-bench: {order.folder.grid_json}: was removed; written again", error=True)
        _store_grid(grid, order)


def run(
    grid_file: arguments.GridFile,
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    data: arguments.Data = arguments.DEFAULT_DATA,
    launcher: Launch = "local",
    profile: Profile = None,
    jobs: Jobs = None,
    sets: arguments.Sets = [],  # noqa: B006
    only: arguments.Only = [],  # noqa: B006
    detach: Annotated[bool, typer.Option("--detach", help="Start the workers and return.")] = False,
    retry_failed: RetryFailed = False,
    checkpoint_seconds: CheckpointSeconds = DEFAULT_CHECKPOINT_SECONDS,
    device: arguments.Device = "auto",
    track: Track = "",
    as_json: arguments.InJson = False,
) -> None:
    """Train what is missing of a grid: finished runs are skipped, interrupted ones go on from their checkpoint.

    Ctrl-C once saves and stops; twice stops at once. The same command goes on later. On a cluster Ctrl-C ends the
    display alone: jobs need nobody who watches, and the same command submits what no job has.

    Example: xsam-bench run quickstart --jobs 2
    """
    grid, runs = named.load(grid_file, sets, only, data)
    console = terminal.console(error=as_json)
    train = Training(results, data, launcher, jobs, retry_failed, checkpoint_seconds, device, console, profile, track)
    try:
        states = train(grid, runs, detach)
    except (
        typer.Exit
    ):  # workers end without getting on, which was said: a program learns how the runs stand all the same
        if as_json:
            folder = GridFolder(results, grid.name)
            terminal.print_json(outcome(folder, status.survey(folder, runs)))
        raise
    if as_json:
        terminal.print_json(outcome(GridFolder(results, grid.name), states))
    if not detach:
        raise typer.Exit(_exit_status(states))


def outcome(folder: GridFolder, states: Sequence[status.RunStatus]) -> dict[str, Any]:
    """How runs of a grid stand, for programs: numbers by state, every run, and the log of each that was started."""
    counts = Counter(state.state for state in states)
    return {
        "grid": folder.name,
        "folder": str(folder.root),
        "counts": {state: counts[state] for state in status.STATES},
        "failed": [one.run.run_id for one in states if one.state == "failed" or one.lost],
        "runs": [{**one.to_json(), "log": _log(folder, one.run.run_id)} for one in states],
    }


def _log(folder: GridFolder, run_id: str) -> str | None:
    path = folder.log(run_id)
    return str(path) if path.exists() else None


def _check_tracker(name: str, folder: GridFolder) -> None:
    """Refuse a tracker that cannot work before any run: no such name, its library missing, or its folder."""
    try:
        open_tracker(name, folder.results, folder.name)
    except TrackerMissing as error:
        raise BadInput(str(error)) from None
    except Exception as error:  # a broken library may raise anything
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInput(f"--track {name}: no record can be kept in {place_of(folder.results, name)}: {words}") from None


def _say_records(name: str, order: WorkOrder) -> None:
    """Say of how many runs the record is not whole, and why of one."""
    broken = [path for run_id in order.run_ids if (path := order.folder.untracked(run_id)).exists()]
    if broken:
        terminal.say(
            f"xsam-bench: {order.grid}: the records of {len(broken)} runs in {place_of(order.results, name)} are not "
            f"whole ({read_text(broken[0])}); the runs themselves are",
            error=True,
        )


def _devices(runs: Sequence[RunSpec], grid: str) -> int:
    """Processes that train one run, the same for all ``runs``, since a launch starts workers of one size."""
    sizes = sorted({one.config.training.devices for one in runs})
    if len(sizes) > 1:
        raise BadInput(
            f"{grid}: runs on {' and '.join(map(str, sizes))} devices need workers of different sizes; "
            f"train them one after the other, with --only devices={sizes[0]} first"
        )
    return sizes[0]


def _finished(state: status.RunStatus) -> bool:
    return state.state in status.FINISHED


def _repair(folder: GridFolder) -> None:
    """Set aside what is damaged of the stored runs, and say so: those runs are done again."""
    if not folder.root.exists():
        return
    from xsam.store.repair import repair

    damage = repair(folder)
    for file in damage.files:
        terminal.say(f"xsam-bench: {file}; set aside in {folder.damaged}, its runs are done again", error=True)


def _store_grid(grid: Grid, order: WorkOrder) -> None:
    path = order.folder.grid_json
    try:
        if path.is_dir():
            from xsam.store.repair import set_aside

            set_aside(order.folder, path)
        write_json(path, grid.to_json())
    except OSError as error:
        if is_full(error):
            raise
        raise BadInput(f"cannot write {path}: {error.strerror}; choose another folder with --results") from None


def _check_disk(folder: Path, file_locks: bool) -> None:
    """Say what the disk cannot do before a worker stumbles over it, as ``doctor`` does."""
    with terminal.bad_input(OSError):
        trouble = locks.trouble(folder, file_locks)
    if trouble:
        raise BadInput(f"{folder}: {trouble}; {locks.OTHER_DISK}")


def _exit_status(states: list[status.RunStatus]) -> int:
    return 0 if all(state.state in ("done", "diverged") for state in states) else terminal.EXIT_INCOMPLETE
