"""One thing that was looked at, and what has to be there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """What has to be there.

    Attributes:
        libraries: of ``"torch"``, ``"torchvision"``, ``"timm"`` and ``"translation"``; without any, folders and the
            version of Python are not needed either.
        data: names of data sets.
        cores: CPU cores of the largest run.
    """

    libraries: frozenset[str] = frozenset()
    data: frozenset[str] = frozenset()
    cores: int = 0


@dataclass(frozen=True)
class Item:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        works: whether it can be used.
        facts: what was found, in one line.
        advice: what to do where it does not work, or should be known though it does.
        needed: whether it has to work.
    """

    name: str
    works: bool
    facts: str
    advice: str = ""
    needed: bool = False

    @property
    def state(self) -> str:
        """``"works"``, ``"missing"`` where it is needed and does not, else ``"absent"``."""
        return "works" if self.works else "missing" if self.needed else "absent"
