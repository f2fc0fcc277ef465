"""Questions and requests to SLURM, each one command: what it allows, what has become of jobs, and their end."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from xsam.launch import squeue
from xsam.launch.launcher import LaunchError
from xsam.launch.profile import Profile

_Answer = TypeVar("_Answer")

TIMEOUT_SECONDS = 120.0
RETRY_PAUSES = (2.0, 4.0, 8.0, 16.0, 32.0)  # seconds; a controller that restarts is back within a minute
DEFAULT_MAX_ARRAY_SIZE = 1001

# Reasons of waiting that no waiting ends, as far as the request stays what it is.
_HOPELESS = re.compile(
    r"PartitionTimeLimit|PartitionNodeLimit|PartitionConfig|BadConstraints|InvalidAccount|InvalidQOS|QOSNotAllowed|"
    r"AccountNotAllowed|AccountingPolicy|(QOS|Assoc)(Max|Grp)\w*(PerJob|PerJobLimit|MinutesPerJobLimit)|Reservation"
    r"Deleted|JobArrayTaskLimitExceeded"
)

# What a controller says, or its commands say of it, that is busy or restarts.
_PASSING = re.compile(
    r"Socket timed out|temporarily unable|Unable to contact slurm controller|Zero Bytes were transmitted|"
    r"Connection (refused|reset|timed out)|Resource temporarily unavailable|Transport endpoint is not connected|"
    r"(Communication|Insane message|Message receive|Message send) (connection )?(failure|length)|"
    r"Slurm backup controller in standby mode|gives no answer",
    re.IGNORECASE,
)


class ClusterError(LaunchError):
    """The cluster refuses, or cannot be asked; the message is one line for the user."""


@dataclass(frozen=True)
class Ended:
    """How SLURM accounts for the end of a job, or of one start of it.

    Attributes:
        state: SLURM's word, such as ``"TIMEOUT"``.
        exit_code: exit status and signal, such as ``"1:0"``.
    """

    state: str
    exit_code: str


def check(profile: Profile, tasks: int = 1) -> None:
    """Raise :class:`ClusterError` where the cluster could never start a job of this profile, with so many tasks."""
    wanted = profile.sbatch(tasks).items()
    flags = [f"--{name}" if value is True else f"--{name}={value}" for name, value in wanted]
    try:
        patiently(partial(_ask, "sbatch", "--test-only", *flags, "--wrap=true"))
    except ClusterError as error:
        raise ClusterError(f"the profile {profile.name!r} asks for what the cluster cannot give: {error}") from None


def hopeless(reason: str) -> bool:
    """Whether a job that waits for this reason would wait for ever.

    >>> hopeless("PartitionTimeLimit"), hopeless("Resources")
    (True, False)
    """
    return _HOPELESS.fullmatch(reason) is not None


def passing(message: str) -> bool:
    """Whether a command failed of what passes by itself.

    >>> passing("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    True
    >>> passing("sbatch: error: Batch job submission failed: Invalid partition name specified")
    False
    """
    return _PASSING.search(message) is not None


def patiently(ask: Callable[[], _Answer]) -> _Answer:
    """What ``ask`` returns; called again, after growing pauses, where it fails of what passes by itself."""
    for pause in RETRY_PAUSES:
        try:
            return ask()
        except ClusterError as error:
            if not passing(str(error)):
                raise
        time.sleep(pause)
    return ask()


def queue() -> squeue.Queue:
    """The user's jobs; raises :class:`ClusterError` where SLURM does not answer."""
    known = squeue.queue()
    if known is None:
        raise ClusterError("squeue gives no answer; is this a machine of a SLURM cluster?")
    return known


def max_array_size() -> int:
    """How many jobs one array may have."""
    size = patiently(partial(_setting, "MaxArraySize"))
    return (int(size) if size.isdigit() else DEFAULT_MAX_ARRAY_SIZE) - 1


def _setting(name: str) -> str:
    """A value of the cluster's configuration; empty where it has none of this name."""
    match = re.search(rf"^{name}\s*=\s*(.*)$", _ask("scontrol", "show", "config"), re.MULTILINE)
    return match[1].strip() if match else ""


def version() -> str:
    """SLURM's name and version, such as ``"slurm 23.11.4"``; does not ask the controller."""
    return _ask("sinfo", "--version").strip()


def partitions() -> tuple[str, ...]:
    """The partitions that the user may see, each in a few words: name (the default with a star), state, nodes, limit.

    Raises :class:`ClusterError` where the controller does not answer.
    """
    lines = _ask("sinfo", "--noheader", "--format=%P|%a|%D|%l|%G").splitlines()
    return tuple(
        f"{name.strip()} {state}, {nodes} nodes, limit {limit}" + (f", {gres}" if gres != "(null)" else "")
        for name, state, nodes, limit, gres in (line.strip().split("|") for line in lines)
    )


def munge_socket() -> str | None:
    """Where this cluster's munge daemon listens; ``None``: where it does by default."""
    match = re.search(r"socket=([^,\s]+)", _setting("AuthInfo"))
    return match[1] if match else None


def check_munge(socket: str | None = None) -> None:
    """Raise :class:`ClusterError` where no munge daemon signs credentials here, which most clusters need."""
    _ask("munge", "--no-input", *([f"--socket={socket}"] if socket else []))


def accounting(jobs: Iterable[str]) -> Mapping[str, Ended] | None:
    """Element → how it, or its latest start that is over, ended; None where the cluster keeps no accounts.

    One call, however many jobs. A job that never started may be missing.

    Args:
        jobs: numbers of jobs or of whole arrays.
    """
    numbers = ",".join(sorted(set(jobs)))
    columns = "--format=JobID,State,ExitCode"
    options = ("--allocations", "--duplicates", "--noheader", "--parsable2", columns, "--starttime=now-90days")
    try:
        text = _ask("sacct", *options, f"--jobs={numbers}")
    except ClusterError:
        return None
    return read_accounting(text)


def read_accounting(text: str) -> dict[str, Ended]:
    """What ``sacct`` printed, the newest line of each job last.

    >>> read_accounting("7_0|PREEMPTED|0:0\\n7_0|PENDING|0:0\\n7_1|CANCELLED by 0|0:15")["7_1"].state
    'CANCELLED'
    """
    found = {}
    for line in text.splitlines():
        element, state, exit_code = line.split("|")[:3]
        word = state.split()[0] if state else ""
        if word == "REQUEUED" or (word and word not in squeue.ACTIVE):
            found[element] = Ended(word, exit_code)
    return found


def requeue(job: str) -> bool:
    """Put a running job back into the queue, under its number; False where SLURM itself has ended it."""
    shown = patiently(partial(_ask, "scontrol", "--oneliner", "show", "job", job))
    if "JobState=RUNNING" not in shown.split():
        return False
    patiently(partial(_ask, "scontrol", "requeue", job))
    return True


def cancel(jobs: Iterable[str]) -> None:
    """Take jobs, or elements, out of the queue, running ones too."""
    wanted = sorted(set(jobs))
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        patiently(partial(_ask, "scancel", *part))
    squeue.forget()


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except FileNotFoundError:
        raise ClusterError(f"no {command[0]!r} here; is this a machine of a SLURM cluster?") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{command[0]} gives no answer within {TIMEOUT_SECONDS:.0f} s") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
        raise ClusterError(f"{command[0]}: {lines[-1]}")
    return done.stdout
