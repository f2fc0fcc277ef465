"""``xsam-bench run``: train what is missing of a grid."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from xsam import store, templates
from xsam.atomic import is_full, refuse_full, write_json
from xsam.cli import common, plugged
from xsam.cli.common import BadInput
from xsam.cli.progress import Display
from xsam.grid import Grid, GridError, RunSpec
from xsam.launch import status
from xsam.launch.profile import Profile as ClusterProfile
from xsam.launch.profile import load_profile
from xsam.launch.starts import WorkersFail
from xsam.launch.supervise import look, supervise
from xsam.runner import numerics
from xsam.runner.order import WorkOrder, settled_runs, tried_again, utc_now
from xsam.runner.stop import StopFlag
from xsam.store import GridFolder, locks
from xsam.tasks import DataMissing
from xsam.tasks.config import PORTABLE
from xsam.tasks.data import data_sets, require


class LauncherName(StrEnum):
    """Who starts the workers."""

    local = "local"
    slurm = "slurm"


Launch = Annotated[LauncherName, typer.Option("--launcher", help="Who starts the workers.")]
Profile = Annotated[
    Path | None,
    typer.Option("--profile", metavar="FILE", help="The cluster, for --launcher slurm; 'init --list' shows some."),
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
Device = Annotated[
    str, typer.Option(help="torch's name of the device, such as cpu or cuda; auto: a GPU if there is one.")
]

DEFAULT_CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Training:
    """How a verb has runs trained: where, by whom, and what is said about it (the options of ``run``)."""

    results: Path
    data: Path
    launcher: LauncherName
    jobs: int | None
    retry_failed: bool
    checkpoint_seconds: float
    device: str
    console: Console
    profile: Path | None = None

    def __call__(self, grid: Grid, runs: Sequence[RunSpec], detach: bool = False) -> list[status.RunStatus]:
        """Train what is missing of ``runs`` of ``grid``; returns how all of them stand when no worker is left.

        With ``detach``, as soon as workers are started. Raises ``BadInput`` where nothing can be trained.
        """
        check_numerics(runs, self.device, here=self.launcher is LauncherName.local)
        start = self._cluster(runs) if self.launcher is LauncherName.slurm else self._machine(grid, runs)
        folder = GridFolder(self.results.resolve(), grid.name)
        _repair(folder)
        ends = store.finished_runs(folder)
        run_ids = tuple(one.run_id for one in runs)
        order = WorkOrder(
            results=folder.results,
            grid=grid.name,
            run_ids=run_ids,
            data_dir=self.data.resolve(),
            launch=_new_launch(),
            again=tried_again(ends, run_ids, self.retry_failed),
            checkpoint_seconds=self.checkpoint_seconds,
            device=self.device,
            diagnostics=grid.diagnostics,
            devices=_devices(runs, grid.name),
            keep_checkpoints=grid.keep_checkpoints,
        )
        over = settled_runs(order, ends)
        missing = [one for one in runs if one.run_id not in over]
        plugged.say_changed(folder.results, grid, [one for one in runs if one.run_id in over])
        check_data(missing, self.data)
        _store_grid(grid, order)
        _check_disk(order.folder.root, file_locks=self.launcher is LauncherName.local)
        if not missing:
            states = status.survey(order.folder, runs)
            self.console.print(f"{grid.name}: nothing to do, {status.summary(states)}")
            return states
        order = order.part([one.run_id for one in missing])
        states = start(order, runs, missing, detach)
        if detach:
            return states
        states = self._as_stored(grid, order, states)
        self.console.print(f"{grid.name}: {status.summary(states)}")
        for state in states:
            if state.state == "failed" or state.lost:
                reason = state.last_line or state.why
                self.console.print(
                    f"  {state.state} {state.run.run_id} {status.name_of(state.run)}: {reason}", markup=False
                )
        return states

    def _tell(self, line: str) -> None:
        self.console.print(line, markup=False)

    def _as_stored(self, grid: Grid, order: WorkOrder, states: States) -> States:
        """The states, where what was finished is still stored: somebody may have removed the folder meanwhile."""
        if not order.folder.grid_json.exists():
            common.say(f"xsam-bench: {order.folder.grid_json}: was removed; written again", error=True)
            _store_grid(grid, order)
        now = status.survey(order.folder, [one.run for one in states])
        lost = [was for was, found in zip(states, now, strict=True) if _finished(was) and not _finished(found)]
        if lost:
            common.say(
                f"xsam-bench: {order.folder.root}: the rows of {len(lost)} finished runs were removed meanwhile; "
                "the same command trains them again",
                error=True,
            )
        return [found if was in lost else was for was, found in zip(states, now, strict=True)]

    def _machine(self, grid: Grid, runs: Sequence[RunSpec]) -> Start:
        """How runs are trained on this machine."""
        from xsam.launch.local import LocalLauncher, visible_gpus

        jobs = _jobs(self.jobs, runs, grid.name)

        def start(order: WorkOrder, runs: Sequence[RunSpec], missing: Sequence[RunSpec], detach: bool) -> States:
            gpus = visible_gpus() if self.device != "cpu" else ()
            launches = [LocalLauncher(part, jobs, gpus) for part in _apart(order, missing)]
            with common.bad_input(OSError):
                for workers in launches:
                    workers.order.write_snapshot(missing)
            if detach:
                if len(launches) > 1:
                    raise BadInput(
                        f"{order.grid}: workers compute with one setting of numerics, and these runs have two; "
                        "start them one after the other, with --only numerics=native first"
                    )
                started = workers.start(min(jobs, len(missing)))
                if not started:
                    raise BadInput(
                        f"{order.grid}: no worker started, since {workers.others()} of other launches are at work in "
                        f"{self.results}; raise --jobs, or give the command again later"
                    )
                self.console.print(
                    f"{order.grid}: started {started} workers; 'xsam-bench status' tells how far they are"
                )
                return status.survey(order.folder, runs)

            def kill() -> None:
                for workers in launches:
                    workers.kill()

            stop = StopFlag(before_exit=kill)
            stop.install()
            with Display(self.console, order.grid) as display:
                try:
                    for workers in launches:
                        chosen = runs if len(launches) == 1 else _those(runs, workers.order.run_ids)
                        states = supervise(workers.order, chosen, workers, jobs, stop, display, self._tell)
                        if any(one.state not in status.FINISHED for one in states):
                            break  # stopped or cancelled
                    return states if len(launches) == 1 else look(order, runs, {})
                except WorkersFail as error:
                    refuse_full(order.results)
                    common.say(f"xsam-bench: {order.grid}: {error}", error=True)
                    raise typer.Exit(common.EXIT_INCOMPLETE) from None

        return start

    def _cluster(self, runs: Sequence[RunSpec]) -> Start:
        """How runs are trained on a cluster."""
        from xsam.launch import slurm
        from xsam.launch.cluster import ClusterError
        from xsam.launch.slurm_status import explain

        profile = _profile(self.profile, self.jobs, runs)

        def start(order: WorkOrder, runs: Sequence[RunSpec], missing: Sequence[RunSpec], detach: bool) -> States:
            with common.bad_input(ClusterError, OSError):
                wanted = slurm.uncovered(order.folder, [one.run_id for one in missing])
                parts = _apart(order, _those(missing, wanted))
                arrays = [array for part in parts for array in slurm.submit(part, missing, profile)]
            already = len(missing) - len(wanted)
            self.console.print(
                f"{order.grid}: submitted {len(wanted)} runs"
                + (f" as job {', '.join(arrays)}" if arrays else "")
                + (f"; {already} are waiting or running already" if already else "")
                + ("; 'xsam-bench status' tells how far they are" if detach else "")
            )
            if detach:
                return status.survey(order.folder, runs)
            stop = StopFlag()
            stop.install()
            with Display(self.console, order.grid) as display:
                states = slurm.watch(order, runs, stop, display)
            if stop.requested:
                self.console.print(f"{order.grid}: its jobs go on; 'xsam-bench cancel {order.grid}' ends them")
            return explain([(order.folder, states)])[0]

        return start


States = list[status.RunStatus]
Start = Callable[[WorkOrder, Sequence[RunSpec], Sequence[RunSpec], bool], States]


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(
    grid_file: common.GridFile,
    results: common.Results = common.DEFAULT_RESULTS,
    data: common.Data = common.DEFAULT_DATA,
    launcher: Launch = LauncherName.local,
    profile: Profile = None,
    jobs: Jobs = None,
    sets: common.Sets = [],  # noqa: B006
    only: common.Only = [],  # noqa: B006
    detach: Annotated[bool, typer.Option("--detach", help="Start the workers and return.")] = False,
    retry_failed: RetryFailed = False,
    checkpoint_seconds: CheckpointSeconds = DEFAULT_CHECKPOINT_SECONDS,
    device: Device = "auto",
) -> None:
    """Train what is missing of a grid: finished runs are skipped, interrupted ones go on from their checkpoint.

    Ctrl-C once saves and stops; twice stops at once. The same command goes on later. On a cluster Ctrl-C ends the
    display alone: jobs need nobody who watches, and the same command submits what no job has.

    Example: xsam-bench run quickstart --jobs 2
    """
    grid, runs = common.load(grid_file, sets, only)
    train = Training(results, data, launcher, jobs, retry_failed, checkpoint_seconds, device, common.console(), profile)
    states = train(grid, runs, detach)
    if not detach:
        raise typer.Exit(_exit_status(states))


def _profile(path: Path | None, jobs: int | None, runs: Sequence[RunSpec]) -> ClusterProfile:
    if path is None:
        raise BadInput(
            "--launcher slurm needs --profile FILE; 'xsam-bench init --template slurm/gpu-cluster' writes one"
        )
    path = common.packaged(path, templates.profiles(), "profile")
    with common.bad_input(GridError):
        profile = load_profile(path)
    if profile.members > 1 and any(one.config.training.devices != 1 for one in runs):
        raise BadInput(f"{path}: a job trains runs on several devices one after the other; set at_a_time to 1")
    threads = max(one.config.training.threads for one in runs)
    if profile.members * threads > profile.cpus:
        raise BadInput(
            f"{path}: {profile.members} runs at a time of {threads} threads need {profile.members * threads} cpus, "
            f"a job has {profile.cpus}; raise cpus or lower at_a_time"
        )
    return profile if jobs is None else replace(profile, parallelism=jobs)


def _devices(runs: Sequence[RunSpec], grid: str) -> int:
    """Processes that train one run, the same for all ``runs``, since a launch starts workers of one size."""
    sizes = sorted({one.config.training.devices for one in runs})
    if len(sizes) > 1:
        raise BadInput(
            f"{grid}: runs on {' and '.join(map(str, sizes))} devices need workers of different sizes; "
            f"train them one after the other, with --only devices={sizes[0]} first"
        )
    return sizes[0]


def _jobs(jobs: int | None, runs: Sequence[RunSpec], grid: str) -> int:
    threads = max(one.config.training.threads * one.config.training.devices for one in runs)
    cores = common.available_cores()
    if jobs is None:
        jobs = max(1, cores // threads)
    if jobs * threads > cores:
        raise BadInput(
            f"{grid}: {jobs} jobs of {threads} threads need {jobs * threads} cores, there are {cores}; use fewer jobs"
        )
    return jobs


def check_numerics(runs: Sequence[RunSpec], device: str, here: bool = True) -> None:
    """Refuse runs with a setting of ``numerics`` that ``device``, or the CPU where they train ``here``, cannot keep."""
    with common.bad_input(numerics.NotPortable):
        for setting in {one.config.training.numerics for one in runs}:
            if here:
                numerics.check(setting, device)
            else:
                numerics.check(setting, device, "x86_64", numerics.NEEDED)


def enter_numerics(runs: Sequence[RunSpec], device: str) -> None:
    """Bring this process to the one setting of ``numerics`` that ``runs`` have, before it loads torch."""
    settings = {one.config.training.numerics for one in runs}
    if len(settings) > 1:
        raise BadInput(
            "some of these runs have portable numerics and some native, and one process has one of them: "
            "choose those with numerics=native first"
        )
    check_numerics(runs, device)
    with common.bad_input(numerics.NotPortable):
        for setting in settings:
            numerics.enter(setting)


def _apart(order: WorkOrder, runs: Sequence[RunSpec]) -> list[WorkOrder]:
    """The order's part for each setting of ``numerics`` that ``runs`` have, since a worker's process has one of them.

    Each part is a launch of its own, the first of them the order's. Portable runs train on the CPU.
    """
    shares: dict[str, list[str]] = {}
    for one in runs:
        shares.setdefault(one.config.training.numerics, []).append(one.run_id)
    launches = [order.launch, *(_new_launch() for _ in shares)]
    return [
        replace(order.part(run_ids), launch=launch, device="cpu" if setting == PORTABLE else order.device)
        for (setting, run_ids), launch in zip(shares.items(), launches, strict=False)
    ]


def _those(runs: Sequence[RunSpec], run_ids: Sequence[str]) -> list[RunSpec]:
    chosen = set(run_ids)
    return [one for one in runs if one.run_id in chosen]


def _new_launch() -> str:
    return f"{utc_now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def check_data(runs: Sequence[RunSpec], data: Path) -> None:
    """Say what is missing before a hundred runs fail of it."""
    for name in sorted(data_sets(run.params for run in runs)):
        with common.bad_input(DataMissing):
            require(name, data)


def _finished(state: status.RunStatus) -> bool:
    return state.state in status.FINISHED


def _repair(folder: GridFolder) -> None:
    """Set aside what is damaged of the stored runs, and say so: those runs are done again."""
    if not folder.root.exists():
        return
    from xsam.store.repair import repair

    damage = repair(folder)
    for file in damage.files:
        common.say(f"xsam-bench: {file}; set aside in {folder.damaged}, its runs are done again", error=True)


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
    with common.bad_input(OSError):
        trouble = locks.trouble(folder, file_locks)
    if trouble:
        raise BadInput(f"{folder}: {trouble}; {locks.OTHER_DISK}")


def _exit_status(states: list[status.RunStatus]) -> int:
    return 0 if all(state.state in ("done", "diverged") for state in states) else common.EXIT_INCOMPLETE
