"""Commands that stand in for SLURM's: each prints what it is told to and records how it was called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

SQUEUE_WIDTH = 80  # of each column that the project asks for


class StandIn:
    """A folder of commands at the head of PATH."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def command(self, name: str, output: str = "", status: int = 0) -> None:
        """Let the command ``name`` print ``output``."""
        (self.folder / f"{name}.out").write_text(output, encoding="utf-8")
        self.script(name, f'cat "$0.out"\nexit {status}')

    def script(self, name: str, body: str) -> None:
        """Let the command ``name`` run this."""
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "$@" >> "$0.calls"\n{body}\n', encoding="utf-8")
        path.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        """The arguments of each call so far."""
        path = self.folder / f"{name}.calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def squeue_output(rows: Sequence[tuple[str, str, str, str, int, str, str]]) -> str:
    """Rows of array, task, job, state, restarts, reason and name, as ``squeue --Format`` prints them."""
    return "".join("".join(f"{cell!s:{SQUEUE_WIDTH}}" for cell in row) + "\n" for row in rows)
