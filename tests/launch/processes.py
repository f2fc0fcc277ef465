"""Looking at the processes that train, as any user of the machine sees them."""

from __future__ import annotations

from pathlib import Path


def workers(results: Path) -> list[int]:
    """The workers of a results folder that live, of whatever launch and front end.

    A zombie's command line is empty. What a worker starts has the worker's own until it becomes another program.
    """
    found = {
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if "submitit.core._submit" in (words := command(path)) and any(word.startswith(str(results)) for word in words)
    }
    return sorted(pid for pid in found if parent(pid) not in found)


def parent(pid: int) -> int | None:
    """The process that started this one; None where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


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
