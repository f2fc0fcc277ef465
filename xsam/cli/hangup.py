"""The end of the terminal that a launch is watched from: SIGHUP ends the display, and says that nothing else does."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from rich.console import Console


@contextlib.contextmanager
def said(grid: str, console: Console) -> Iterator[None]:
    """While inside, a SIGHUP ends this process with the shell's status for it (129), and one line on standard error.

    Workers were started so that it does not reach them. Where it is ignored, as under nohup, it stays so.
    """
    former = signal.getsignal(signal.SIGHUP)
    if former == signal.SIG_IGN:
        yield
        return

    def receive(number: int, frame: FrameType | None) -> None:
        # A closed terminal takes no line, a log does.
        with contextlib.suppress(OSError):
            console.show_cursor()
        with contextlib.suppress(OSError):
            line = (
                f"xsam-bench: {grid}: the terminal is closed, the workers go on; 'xsam-bench status {grid}' tells how "
                f"far they are, the same command watches them again, 'xsam-bench cancel {grid}' ends them\n"
            )
            os.write(2, line.encode())
        os._exit(128 + number)

    signal.signal(signal.SIGHUP, receive)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, former)
