"""Damaged files: how they are told of, and what is done about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


class DamagedFile(ValueError):
    """A file that is not what was written there; ``path`` is the file, the message one line that names it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


OnDamage = Callable[[DamagedFile], None]


def refuse(damage: DamagedFile) -> None:
    """What is done about a damaged file where nothing else is said: raise it."""
    raise damage


def ignore(damage: DamagedFile) -> None:
    """Go on as if the file were not there."""
