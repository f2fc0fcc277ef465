"""Grids of a task that exists in these tests alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from xsam.grid import Grid, load_grid
from xsam.tasks import TASKS

LoadText = Callable[..., Grid]


@pytest.fixture(scope="package", autouse=True)
def fake_task() -> Iterator[None]:
    """The task ``fake`` of ``fake_task.py``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "fake", "tests.grid.fake_task:TASK")
        yield


@pytest.fixture(scope="session")
def load_text(tmp_path_factory: pytest.TempPathFactory) -> LoadText:
    """Load a grid from its text (or bytes), written to a file ``grid.yaml`` in the working directory's place."""
    folder: Path = tmp_path_factory.mktemp("grids")

    def load(text: str | bytes, sets: Sequence[str] = ()) -> Grid:
        path = folder / "grid.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_grid(path, sets)

    return load
