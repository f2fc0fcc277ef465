from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import xsam.tasks as tasks
from xsam.store import GridFolder, schema

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture(autouse=True)
def toy_task(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only the toy task is registered."""
    monkeypatch.setattr(tasks, "TASKS", {"toy": "toy_task:TASK"})
    schema._schema.cache_clear()
    yield
    schema._schema.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> GridFolder:
    """An empty grid in a path that is hard on careless code."""
    grid = GridFolder(tmp_path / 'it\'s a "path"; with spaces', "toy@1a2b")
    grid.root.mkdir(parents=True)
    grid.grid_json.write_text('{"report": {"rule": "final"}}')
    return grid


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """A finished run's row, ``hours`` after the start."""

    def make(run_id: str, hours: float = 0, **columns: Any) -> dict[str, Any]:
        end = START + timedelta(hours=hours)
        return {"run_id": run_id, "status": "done", "finished_at": end, "test_accuracy_final": 90.0, **columns}

    return make
