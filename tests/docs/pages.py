"""The pages of ``docs`` as programs: their blocks of code in order, and why some of them are not run.

What stands above a block or at the top of a page, unseen by its readers:

    <!-- not run: WHY -->        of the next block
    <!-- needs: MODULE -->       of a page whose library may be missing
    <!-- continues: PAGE -->     of a page that goes on in the folder that another one leaves

Blocks of ``sh`` and ``python`` are run, those of ``yaml`` with a title are written to that file, and ``text`` is output
or a picture.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RUN = ("sh", "python")

_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+) -->\n)?"
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the file that it is, and the reason why it is not run, where there is one."""

    language: str
    code: str
    title: str | None = None
    why: str | None = None
    line: int = 0

    @property
    def does_something(self) -> bool:
        return self.why is None and (self.language in RUN or self.title is not None)


def pages() -> list[Path]:
    """Every page that is written by hand."""
    return sorted(DOCS.rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(one["language"], one["code"], one["title"], one["why"], text.count("\n", 0, one.start("language")) + 1)
        for one in _FENCE.finditer(text)
    ]


def said(page: Path, what: str) -> list[str]:
    """The values of the comments ``<!-- WHAT: VALUE -->`` on a page."""
    return re.findall(rf"^<!-- {what}: (\S+) -->$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def continued(page: Path) -> Path | None:
    """The page that this one goes on from."""
    named = said(page, "continues")
    return (page.parent / named[0]).resolve() if named else None


def environment() -> dict[str, str]:
    """Where ``xsam-bench`` and ``python`` are those under test."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    modules = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PATH": path, "PYTHONPATH": modules, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
