"""Fixtures that every part uses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest


class Bench:
    """The command ``xsam-bench``, run for real in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"

    def write_grid(self, text: str, name: str = "grid.yaml") -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """Start the command in a process group of its own, as a terminal does."""
        return subprocess.Popen(
            [sys.executable, "-m", "xsam.cli.main", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Tests that run in a shell's background inherit that Ctrl-C is ignored.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            **options,
        )

    def __call__(self, *arguments: object, status: int | None = 0) -> str:
        """Run the command to its end; returns its standard output, with its standard error behind it."""
        process = self.start(*arguments)
        output, error = process.communicate(timeout=300)
        assert status is None or process.returncode == status, f"exit status {process.returncode}\n{output}\n{error}"
        return output + error


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The command in an empty folder whose name has blanks and quotes."""
    folder = tmp_path / 'it\'s a "folder"'
    folder.mkdir()
    return Bench(folder)
