"""Looking at the processes that train, as any user of the machine sees them."""

from __future__ import annotations

import signal
from pathlib import Path


def workers(results: Path) -> list[int]:
    """The workers of a results folder that live, of whatever launch and front end.

    A zombie's command line is empty. What a worker starts has the worker's own until it becomes another program.
    """
    seen = {int(path.name) for path in Path("/proc").glob("[0-9]*") if _is_worker(path, results)}
    # Looking takes a while: who ended meanwhile and who came in its place were never there at once, and a child that
    # has ended no longer tells whose it was.
    above = {pid: parent(pid) for pid in seen}
    return sorted(pid for pid in seen if above[pid] not in seen and _is_worker(Path(f"/proc/{pid}"), results))


def _is_worker(process: Path, results: Path) -> bool:
    words = command(process / "cmdline")
    return "submitit.core._submit" in words and any(word.startswith(str(results)) for word in words)


def parent(pid: int) -> int | None:
    """The process that started this one; None where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def receives(pid: int, number: signal.Signals) -> bool:
    """Whether it has a handler of its own for this signal; Python has one for SIGINT alone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


def described(pid: int) -> str:
    """What tells whether a process has a worker's place: its parent, when it began, and what its standard input is."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        place = Path(f"/proc/{pid}/fd/0").readlink()
    except OSError as error:
        return f"{pid}: {error}"
    above = " ".join(command(Path(f"/proc/{stat[1]}/cmdline"))[:4])
    return f"{pid}: state {stat[0]}, began at tick {stat[19]}, child of {stat[1]} ({above}), with {place}"


def controller(pid: int) -> int | None:
    """The living process that watches over a worker; None where that was killed."""
    above = parent(pid)
    return above if above and "submitit.local._local" in command(Path(f"/proc/{above}/cmdline")) else None


def command(path: Path) -> list[str]:
    """The words of a command line in /proc."""
    try:
        return path.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
