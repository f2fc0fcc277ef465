"""A folder for data sets of one's own, which are forgotten after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from xsam.tasks import own


@pytest.fixture(autouse=True)
def forgotten(tmp_path: Path) -> Iterator[None]:
    """No set of one's own outlives its test."""
    yield
    own.enter(tmp_path / "nothing here")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"
