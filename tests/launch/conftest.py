"""Fixtures of the launchers' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launch.standin import StandIn
from xsam.launch import squeue


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Stand-ins for SLURM's commands, asked anew by every test."""
    squeue.forget()
    yield StandIn(tmp_path / "commands", monkeypatch)
    squeue.forget()
