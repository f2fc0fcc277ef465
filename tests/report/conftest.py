"""Small grids and their rows, made by hand."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from xsam.grid.grid import Grid, ReportSpec
from xsam.grid.spec import RunSpec
from xsam.parameters import Value
from xsam.tasks.vision import VisionTask

MakeGrid = Callable[..., Grid]
MakeFrame = Callable[..., pd.DataFrame]


@pytest.fixture(autouse=True, scope="module")
def numerics_of_fixtures(request: pytest.FixtureRequest) -> Iterator[None]:
    """The task's ``NUMERICS`` is that of the made-up runs, so that a rise changes no expected file."""
    with pytest.MonkeyPatch.context() as patch:
        if request.module.__name__ != "tests.report.test_committed":  # whose runs are real
            patch.setattr(VisionTask, "numerics", 1)
        yield


@pytest.fixture
def make_grid() -> MakeGrid:
    """A grid of the given runs: ``(label, method, axes)`` each, once for each seed."""

    def make(
        runs: Iterable[tuple[str, str, dict[str, Value]]],
        axes: Mapping[str, tuple[Value, ...]],
        rows: tuple[str, ...],
        columns: tuple[str, ...],
        seeds: int = 3,
        metric: str = "test_accuracy",
        rule: str = "final",
        name: str = "toy",
    ) -> Grid:
        specs = tuple(
            RunSpec(
                task="vision",
                method=method,
                optimizer=label,
                params={"model": "mlp", "dataset": "digits", "rho": 0.1, **own, "label": label, "seed": seed},
                numerics=1,
                axes={**own, "optimizer": label, "seed": seed},
            )
            for label, method, own in runs
            for seed in range(seeds)
        )
        report = ReportSpec(rows, columns, metric, rule)
        return Grid(name, "vision", {**axes, "seed": tuple(range(seeds))}, report, specs)

    return make


@pytest.fixture
def make_row() -> Callable[..., dict[str, Any]]:
    """A row of the table ``runs``, as far as the report reads it."""

    def make(run_id: str, status: str, value: float | None, grid: str = "toy") -> dict[str, Any]:
        return {
            "run_id": run_id,
            "grid": grid,
            "status": status,
            "finished_at": datetime(2026, 1, 2, tzinfo=UTC),
            "test_accuracy_final": value,
            "test_loss_final": None if value is None else 1 - value / 100,
            "forwards": 1000,
            "backwards": 500,
            "wall_seconds": 2.5,
            "peak_memory_bytes": 3 * 2**20,
        }

    return make


@pytest.fixture
def multi_step(make_grid: MakeGrid, make_row: Callable[..., dict[str, Any]]) -> tuple[Grid, pd.DataFrame]:
    """Rows are model and ascent steps, columns optimizers; sgd has no ascent steps; everything went wrong once."""
    models = ("mlp", "res|net")
    runs: list[tuple[str, str, dict[str, Value]]] = [("sgd", "sgd", {"model": model}) for model in models]
    runs += [("sam", "sam", {"model": model, "ascent_steps": k}) for model in models for k in (1, 2)]
    runs += [("xsam", "xsam", {"model": "mlp", "ascent_steps": k}) for k in (1, 2)]
    axes = {"model": models, "optimizer": ("sgd", "sam", "xsam"), "ascent_steps": (1, 2)}
    grid = make_grid(runs, axes, ("model", "ascent_steps"), ("optimizer",))
    outcomes: dict[tuple[Value, ...], list[tuple[str, float | None] | None]] = {
        ("mlp", "sgd", None): [("done", 80.0), ("done", 81.0), ("done", 82.0)],
        ("mlp", "sam", 1): [("done", 83.0), ("done", 82.5), ("done", 84.0)],
        ("mlp", "sam", 2): [("done", 90.0), ("diverged", None), ("failed", None)],
        ("mlp", "xsam", 1): [("done", 85.0), None, ("done", 84.0)],
        ("mlp", "xsam", 2): [("diverged", None), ("diverged", None), None],
        ("res|net", "sgd", None): [("done", 70.0), ("done", 70.5), ("done", None)],
        ("res|net", "sam", 1): [("failed", None), ("failed", None), ("failed", None)],
        ("res|net", "sam", 2): [None, None, None],
    }
    rows = []
    for run in grid.runs:
        place = (run.axes["model"], run.optimizer, run.axes.get("ascent_steps"))
        outcome = outcomes[place][int(str(run.axes["seed"]))]
        if outcome is not None:
            rows.append(make_row(run.run_id, *outcome))
    rows += [make_row("feedfeedfeedfeed", "done", 99.9), make_row("f00df00df00df00d", "done", 99.9, grid="other")]
    return grid, pd.DataFrame(rows).sample(frac=1, random_state=0)  # in no particular order
