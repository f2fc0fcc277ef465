"""Processes that wait for the test, so that what it does happens at the same point on a machine of any speed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.waiting import wait_until
from xsam.atomic import write_json

HOOK = Path(__file__).parent / "hook"


class Gate:
    """Holds processes that were started with :attr:`environment`, and runs that they train, until it is opened.

    A held run has finished a step, and neither saved nor looked whether it is to stop since. A wish to stop lets it go
    on, as far as to its checkpoint. Where the test's process is gone, they go on too, and wait for nobody.

    Args:
        folder: for what the gate and the processes tell each other.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """What processes need to be held; nothing where nobody asked for it."""
        if not self.folder.exists():
            return {}
        path = os.environ.get("PYTHONPATH")
        return {"XSAM_TEST_GATE": str(self.folder), "PYTHONPATH": f"{HOOK}:{path}" if path else str(HOOK)}

    def hold(self, epoch: int = 0, step: int = 1, passing: Iterable[str] = (), deaf: bool = False) -> None:
        """Hold runs after this step of this epoch (both from 0 and 1 on, as in a checkpoint), or any later one.

        Args:
            passing: ids of runs that are not held.
            deaf: hold them even where they are asked to stop.
        """
        self._close(epoch=epoch, step=step, passing=list(passing), deaf=deaf)

    def hold_before(self, event: str, path: str = "*") -> None:
        """Hold processes before they rename or remove a file (``os.rename``, ``os.remove``) of this pattern."""
        self._close(event=event, path=path)

    def _close(self, **where: Any) -> None:
        (self.folder / "held").mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "closed", {**where, "by": os.getpid()}, durable=False)

    def open(self) -> None:
        """Let all go on."""
        (self.folder / "closed").unlink()

    def held(self) -> dict[str, list[int]]:
        """Run id, or event → the living processes that wait there."""
        found: dict[str, list[int]] = {}
        for mark in (self.folder / "held").iterdir():
            name, _, pid = mark.name.rpartition(".")
            if alive(int(pid)):
                found.setdefault(name, []).append(int(pid))
        return found

    def wait(self, runs: int = 1, processes: int = 1) -> dict[str, list[int]]:
        """Wait until so many runs are held, each by so many processes."""

        def enough() -> dict[str, list[int]] | None:
            held = self.held()
            return held if len(held) >= runs and all(len(pids) == processes for pids in held.values()) else None

        found: dict[str, list[int]] = wait_until(enough, f"{runs} runs held by {processes} processes each")
        return found


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
