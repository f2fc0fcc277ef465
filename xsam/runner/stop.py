"""The wish to stop, as a flag: signals only set it, and the training loop looks at it between steps."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType


class StopFlag:
    """Set by SIGTERM or SIGINT; a second signal ends the process at once (its runs resume from their last checkpoints).

    SLURM says the same thing with several signals, to every process of a job: there a second one changes nothing.

    A handler must not save by itself: in the middle of a step the weights are perturbed.

    Args:
        before_exit: called at the second signal.
        patient: a second signal changes nothing.
    """

    def __init__(self, before_exit: Callable[[], None] | None = None, patient: bool = False) -> None:
        self.requested = False
        self.before_exit = before_exit
        self.patient = patient

    def install(self, *more: signal.Signals) -> None:
        """Let this flag receive the process's signals (after the launcher's own handlers, which it replaces).

        Args:
            more: signals beside SIGTERM and SIGINT.
        """
        for number in (signal.SIGTERM, *more):
            signal.signal(number, self._receive)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # ignored: the front end passes a Ctrl-C on by itself
            signal.signal(signal.SIGINT, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested and not self.patient:
            if self.before_exit is not None:
                self.before_exit()
            os._exit(128 + number)
        self.requested = True


class Interrupted(Exception):
    """The run stopped between two steps, with its checkpoint on disk."""
