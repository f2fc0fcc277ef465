"""The launcher ``slurm``: arrays of jobs on a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from shutil import which

from xsam.grid.source import GridError
from xsam.grid.spec import RunSpec
from xsam.launch import cluster, launcher, slurm_status, squeue
from xsam.launch.cancel import cancel_jobs
from xsam.launch.cluster import ClusterError
from xsam.launch.launcher import Finding, Launch, LaunchError, Options, Show, Survey, Tell
from xsam.launch.profile import Profile, load_profile
from xsam.launch.status import RunStatus
from xsam.runner.order import WorkOrder
from xsam.runner.stop import StopFlag
from xsam.store.layout import GridFolder


class Slurm:
    """Has runs trained by jobs of a cluster that SLURM serves."""

    here = False

    def own_job(self) -> tuple[str, int] | None:
        number = os.environ.get("SLURM_JOB_ID", "")
        return (number, int(os.environ.get("SLURM_RESTART_COUNT", "0"))) if number else None

    def alive(self, number: str, restart: int) -> bool | None:
        return squeue.start_alive(number, restart)

    def check(self, grid: str, runs: Sequence[RunSpec], options: Options) -> None:
        _profile(runs, options)

    def submit(self, order: WorkOrder, runs: Sequence[RunSpec], options: Options) -> Launch:
        from xsam.launch import slurm_arrays

        profile = _profile(runs, options)
        wanted = slurm_arrays.uncovered(order.folder, [one.run_id for one in runs])
        parts = launcher.apart(order, launcher.chosen(runs, wanted))
        arrays = [array for part in parts for array in slurm_arrays.submit(part, runs, profile)]
        already = len(runs) - len(wanted)
        said = (
            f"{order.grid}: submitted {len(wanted)} runs"
            + (f" as job {', '.join(arrays)}" if arrays else "")
            + (f"; {already} are waiting or running already" if already else "")
            + ("; 'xsam-bench status' tells how far they are" if options.detach else "")
        )
        return Watched(order, said)

    def status(self, surveys: Sequence[Survey]) -> list[list[RunStatus]]:
        return slurm_status.explain(surveys)

    def cancel(self, folder: GridFolder, runs: Sequence[RunSpec]) -> str:
        return f"cancelled {len(cancel_jobs(folder))} jobs"

    def findings(self) -> Iterator[Finding]:
        """SLURM and, where its commands are here, munge."""
        if which("sinfo") is None:
            yield Finding("slurm", False, "no sinfo here", "--launcher slurm needs the login node of a cluster")
            return
        socket = None
        try:
            version, size = cluster.version(), cluster.max_array_size() + 1
            facts = f"{version}, MaxArraySize {size}; {'; '.join(cluster.partitions())}"
            socket = cluster.munge_socket()
            yield Finding("slurm", True, facts)
        except ClusterError as error:
            advice = "--launcher slurm needs a controller that answers; see slurm/README.md"
            yield Finding("slurm", False, str(error), advice)
        try:
            cluster.check_munge(socket)
            yield Finding("munge", True, "signs credentials")
        except ClusterError as error:
            yield Finding("munge", False, str(error), "start munged, unless the cluster authenticates in another way")


SLURM = Slurm()


@dataclass(frozen=True)
class Watched:
    """Submitted jobs, which need nobody who watches them."""

    order: WorkOrder
    said: str

    def follow(self, runs: Sequence[RunSpec], show: Show, tell: Tell) -> list[RunStatus]:
        """Show how the runs go on; a signal ends the display alone."""
        from xsam.launch import slurm_arrays

        stop = StopFlag()
        stop.install()
        states = slurm_arrays.watch(self.order, runs, stop, show)
        if stop.requested:
            tell(f"{self.order.grid}: its jobs go on; 'xsam-bench cancel {self.order.grid}' ends them")
        return launcher.explain([(self.order.folder, states)])[0]


def _profile(runs: Sequence[RunSpec], options: Options) -> Profile:
    path = options.profile
    if path is None:
        raise LaunchError(
            "--launcher slurm needs --profile FILE; 'xsam-bench init --template slurm/gpu-cluster' writes one"
        )
    try:
        profile = load_profile(path)
    except GridError as error:
        raise LaunchError(str(error)) from error
    if profile.members > 1 and any(one.config.training.devices != 1 for one in runs):
        raise LaunchError(f"{path}: a job trains runs on several devices one after the other; set at_a_time to 1")
    threads = max(one.config.training.threads for one in runs)
    if profile.members * threads > profile.cpus:
        raise LaunchError(
            f"{path}: {profile.members} runs at a time of {threads} threads need {profile.members * threads} cpus, "
            f"a job has {profile.cpus}; raise cpus or lower at_a_time"
        )
    return profile if options.jobs is None else replace(profile, parallelism=options.jobs)
