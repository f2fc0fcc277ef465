"""The wish to stop, at a moment that the test says and not the clock."""

from __future__ import annotations

from xsam.runner.stop import StopFlag


class StopAfter(StopFlag):
    """A wish to stop after so many looks at it."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        super().__init__()

    @property
    def requested(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    @requested.setter
    def requested(self, value: bool) -> None: ...
