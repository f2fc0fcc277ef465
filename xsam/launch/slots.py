"""Places for workers: however many grids and front ends share a results folder, no host has more workers than asked.

A place is a file that is locked while a worker has it. The lock belongs to the open file, which a new worker gets as
its standard input: the system keeps it until the worker and all its processes have ended, in whatever way and whoever
started them, and no front end needs to live for that.
"""

from __future__ import annotations

import fcntl
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from xsam.atomic import naming


@dataclass(frozen=True)
class Slot:
    """A place that a worker has, or is about to get.

    Attributes:
        number: the place's, from 0.
        launch: the launch of the worker.
        file: descriptor of the locked file, for the new worker; None where another process has it.
    """

    number: int
    launch: str
    file: int | None = None


class Slots:
    """The places on this host for workers of the folder ``results``.

    Example:
        >>> import tempfile
        >>> slots = Slots(Path(tempfile.mkdtemp()))
        >>> slot = slots.take(limit=1, launch="a")
        >>> slots.take(limit=1, launch="b") is None, [one.launch for one in slots.taken()]
        (True, ['a'])
        >>> os.close(slot.file)
        >>> slots.taken()
        []
    """

    def __init__(self, results: Path) -> None:
        self._folder = results / ".workers" / socket.gethostname()

    def take(self, limit: int, launch: str) -> Slot | None:
        """A free place with its lock; None where ``limit`` workers, of whatever launch, have one already.

        Never waits: a front end that is frozen in the middle of this holds nobody up.
        """
        busy = {slot.number for slot in self.taken()}
        if len(busy) >= limit:
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        for number in (number for number in range(limit) if number not in busy):
            file = os.open(self._path(number), os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with naming(self._path(number)):
                    os.ftruncate(file, 0)
                    os.write(file, launch.encode())
            except BlockingIOError:  # another was faster, or looks at this moment
                os.close(file)
                continue
            except OSError:
                os.close(file)
                raise
            if len(self.taken()) > limit:  # another took one above our limit meanwhile
                os.close(file)
                return None
            return Slot(number, launch, file)
        return None

    def taken(self) -> list[Slot]:
        """The places that workers have now, of whatever launch and grid."""
        found = []
        for path in sorted(self._folder.glob("[0-9]*.lock")):
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.append(Slot(int(path.stem), file.read().decode(errors="replace")))
        return found

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:03d}.lock"
