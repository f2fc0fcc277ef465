"""Why runs are not finished: what the files say, explained by what SLURM says about the jobs that have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from xsam.launch import cluster, squeue
from xsam.launch.cluster import Ended
from xsam.launch.launcher import NEVER, Survey
from xsam.launch.ledger import Place, ledgers, places
from xsam.launch.squeue import Job, Queue
from xsam.launch.status import FINISHED, RunStatus
from xsam.store.layout import GridFolder

# SLURM's words for an end, in ours.
WORDS = {
    "CANCELLED": "cancelled",
    "TIMEOUT": "timed out",
    "DEADLINE": "timed out",
    "OUT_OF_MEMORY": "out of memory",
    "NODE_FAIL": "node failed",
    "BOOT_FAIL": "node failed",
    "PREEMPTED": "preempted",
    "FAILED": "job failed",
    "REQUEUED": "requeued",
    "COMPLETED": "its job ended without it",
}


def explain(surveys: Sequence[Survey]) -> list[list[RunStatus]]:
    """The same states with ``why`` and ``lost`` filled in for runs that are not finished, of all grids at once.

    Asks SLURM only where jobs were submitted for such runs, and then once for the queue and once for the accounts.
    """
    launches = {folder: ledgers(folder) for folder, states in surveys if any(_waits(state) for state in states)}
    queue = squeue.queue() if any(launches.values()) else None
    latest: dict[tuple[GridFolder, str], Place] = {}
    for folder, states in surveys:
        known = places(launches.get(folder, ()), queue)
        for state in states:
            if _waits(state) and state.run.run_id in known:
                latest[folder, state.run.run_id] = known[state.run.run_id][-1]
    ends = _ends(latest.values(), queue)
    return [
        [_explained(state, folder, latest.get((folder, state.run.run_id)), queue, ends) for state in states]
        for folder, states in surveys
    ]


def _waits(state: RunStatus) -> bool:
    return state.state not in (*FINISHED, "running")


def _ends(asked: Iterable[Place], queue: Queue | None) -> Mapping[str, Ended] | None:
    """How those jobs ended that the queue does not show as waiting or running for the first time."""
    numbers = set()
    for place in asked:
        job = place.job(queue) if queue is not None else None
        if place.element is not None and (job is None or not job.active or job.restarts):
            numbers.add(place.element.partition("_")[0])
    return cluster.accounting(numbers) if numbers else {}


def _explained(
    state: RunStatus, folder: GridFolder, place: Place | None, queue: Queue | None, ends: Mapping[str, Ended] | None
) -> RunStatus:
    if not _waits(state):
        return state
    if place is None:
        return state
    if queue is None:
        return replace(state, why="SLURM gives no answer")
    if place.element is None:
        return replace(state, why=f"{NEVER}: the submission was cut short", lost=True)
    job = place.job(queue)
    ended = ends.get(place.element) if ends is not None else None
    if job is not None and job.active:
        return replace(state, why=_active_in_words(place.element, job, ended))
    if ended is None and job is not None:  # the accounts are some seconds behind
        ended = Ended(job.state, "")
    if ended is not None:
        why = _end_in_words(folder, place, ended)
    elif ends is None:
        why = "gone from the queue, and the cluster keeps no accounts"
    else:
        why = "cancelled before it started"
    return replace(state, why=why, lost=True)


def _active_in_words(element: str, job: Job, ended: Ended | None) -> str:
    before = f"{WORDS.get(ended.state, ended.state.lower())}, " if ended is not None and job.restarts else ""
    if job.state == "PENDING":
        return f"{before}pending ({job.reason})"
    return f"{before}waits for its turn in job {element}" if job.state == "RUNNING" else job.state.lower()


def _end_in_words(folder: GridFolder, place: Place, ended: Ended) -> str:
    word = WORDS.get(ended.state, ended.state.lower())
    if ended.state != "FAILED":
        return f"{word} (job {place.element})"
    last = _last_line(folder.launches / place.order.launch / f"{place.element}_0_log.err")
    return f"{word} (job {place.element}, exit {ended.exit_code})" + (f": {last}" if last else "")


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:  # another user's, or gone
        return ""
    said = [line for line in lines if not line.startswith(("srun:", "slurmstepd:"))]
    return said[-1] if said else ""
