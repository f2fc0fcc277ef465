import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_task import read_columns

import xsam.tasks as tasks
from xsam.metrics import Metric
from xsam.optim.bases import BASES
from xsam.optim.registry import METHODS
from xsam.parameters import Parameter
from xsam.store import GridFolder, read, schema, write_epochs, write_run, write_sharpness
from xsam.store.schema import arrow_schema

Row = Callable[..., dict[str, Any]]
FIXED = [
    *("run_id", "grid", "task", "model", "dataset", "optimizer", "method", "ascent_steps", "seed", "status", "error"),
    *("note", "launch", "attempts", "deaths", "resumed_from_step", "started_at", "finished_at"),
    *("forwards", "backwards", "skipped_steps"),
    *("wall_seconds", "train_seconds", "eval_seconds", "search_seconds"),
    *("peak_memory_bytes", "parameters", "epoch_rows", "sharpness_rows", "provenance"),
]


def test_the_columns_of_runs_are_the_contract_then_parameters_then_metrics() -> None:
    names = arrow_schema("runs").names
    assert names[: len(FIXED)] == FIXED
    assert names[-2:] == ["test_accuracy_final", "test_accuracy_best_val"]
    parameters = names[len(FIXED) : -2]
    assert parameters == sorted(parameters)
    tables = [entry.parameters for entry in BASES.values()] + [entry.parameters for entry in METHODS.values()]
    registered = {name for table in tables for name in table}
    assert set(parameters) >= {f"param_{name}" for name in registered}
    assert {"param_hidden", "param_label_noise", "param_augment", "param_base"} <= set(parameters)


def test_each_kind_of_parameter_has_its_own_type() -> None:
    types = {field.name: str(field.type) for field in arrow_schema("runs")}
    assert types["param_rho"] == "double"
    assert types["param_ascent_steps"] == "int64"
    assert types["param_model"] == "string"
    assert types["param_augment"] == "bool"
    assert arrow_schema("runs").field("param_hidden").type == pa.list_(pa.int64())
    assert types["finished_at"] == "timestamp[us, tz=UTC]"


def test_epochs_and_sharpness_have_their_columns() -> None:
    epochs = "run_id grid epoch step train_loss lr alpha forwards backwards seconds train_seconds eval_seconds"
    assert arrow_schema("epochs").names == [*epochs.split(), "search_seconds", "val_accuracy", "test_accuracy"]
    sharpness = "run_id grid measure value error epoch forwards backwards products seconds details"
    assert arrow_schema("sharpness").names == sharpness.split()
    evaluations = "run_id grid test_set weights metric value examples signature checksum details evaluated_at"
    assert arrow_schema("evaluations").names == evaluations.split()
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        arrow_schema("epoch")


def test_values_come_back_with_their_types(folder: GridFolder) -> None:
    start = datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=timezone(timedelta(hours=2)))
    row = {
        "run_id": "a1",
        "grid": folder.name,
        "model": "mlp|x",
        "status": "failed",
        "error": "Traceback …\nline 2",
        "started_at": start,
        "finished_at": start + timedelta(seconds=1),
        "seed": np.int64(3),
        "forwards": 2**53 + 1,
        "wall_seconds": 1,
        "test_accuracy_final": 97.123456789012345,
        "test_accuracy_best_val": float("inf"),
        "param_hidden": (64, 32),
        "param_augment": False,
        "param_rho": 0.1,
        "provenance": '{"git": null}',
    }
    write_run(folder, row)
    frame = read(folder.results)
    assert len(frame) == 1
    stored = frame.iloc[0]
    for name in row:
        assert stored[name] == row[name], name
    assert stored["started_at"].utcoffset() == timedelta(0)
    assert pd.isna(stored["attempts"])
    assert pd.isna(stored["param_ascent_steps"])


def test_the_types_of_a_frame_do_not_depend_on_its_content(folder: GridFolder, row: Row) -> None:
    empty = read(folder.results)
    assert list(empty.columns) == read_columns("runs")
    assert len(empty) == 0
    write_run(folder, row("a1"))
    one = read(folder.results)
    write_run(folder, row("a2", seed=1, param_hidden=[8], param_augment=True, param_rho=0.5, ascent_steps=2))
    assert empty.dtypes.to_dict() == one.dtypes.to_dict() == read(folder.results).dtypes.to_dict()


def test_nan_is_stored_as_null_and_infinity_is_kept(folder: GridFolder, row: Row) -> None:
    columns = {
        "test_accuracy_final": np.float32("nan"),
        "test_accuracy_best_val": float("nan"),
        "param_rho": float("inf"),
    }
    write_run(folder, row("a1", **columns))
    table = pq.read_table(folder.run_file("a1"))
    assert table["test_accuracy_final"].null_count == table["test_accuracy_best_val"].null_count == 1
    assert table["param_rho"].to_pylist() == [float("inf")]
    write_epochs(folder, "a1", [{"epoch": 0, "val_accuracy": float("nan"), "test_accuracy": 1.5}])
    assert pq.read_table(folder.epochs_file("a1")).select(["val_accuracy", "test_accuracy"]).to_pylist() == [
        {"val_accuracy": None, "test_accuracy": 1.5}
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"test_acuracy_final": 1.0}, "unknown column .* of table runs; did you mean 'test_accuracy_final'"),
        ({"param_rho": "big"}, "column param_rho is double"),
        ({"param_rho": True}, "column param_rho is double, not True"),
        ({"seed": 1.5}, "column seed is int64"),
        ({"seed": True}, "column seed is int64"),
        ({"seed": 2**70}, "column seed is int64"),
        ({"param_augment": 1}, "column param_augment is bool"),
        ({"model": 3}, "column model is string"),
        ({"param_hidden": [1.5]}, "column param_hidden is list"),
        ({"finished_at": datetime(2026, 1, 1)}, "column finished_at is timestamp.us, tz=UTC., not datetime"),
        ({"finished_at": None}, "column finished_at needs a value"),
        ({"run_id": None}, "column run_id needs a value"),
        ({"status": "finished"}, "unknown status 'finished'; valid: done, failed, diverged"),
        ({"grid": "other"}, "a row with grid 'other' does not belong to grid 'toy@1a2b'"),
    ],
)
def test_a_wrong_row_is_one_clear_error_and_writes_nothing(
    folder: GridFolder, row: Row, columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_run(folder, {**row("a1"), **columns})
    assert sorted(path.name for path in folder.root.rglob("*")) == ["grid.json"]


def test_rows_of_epochs_and_sharpness_are_checked_too(folder: GridFolder) -> None:
    with pytest.raises(ValueError, match="unknown column 'train_los' of table epochs; did you mean 'train_loss'"):
        write_epochs(folder, "a1", [{"epoch": 0}, {"epoch": 1, "train_los": 1.0}])
    with pytest.raises(ValueError, match="column epoch needs a value"):
        write_epochs(folder, "a1", [{"train_loss": 1.0}])
    with pytest.raises(ValueError, match="a row with run_id 'a2' does not belong to run_id 'a1'"):
        write_sharpness(folder, "a1", [{"run_id": "a2", "measure": "trace"}])


def test_a_parameter_of_two_kinds_and_a_metric_named_like_a_column_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def register(**changes: Any) -> None:
        task = tasks.get_task("toy")
        module = SimpleNamespace(TASK=SimpleNamespace(**{**vars(task), **changes}))
        monkeypatch.setitem(sys.modules, "other_task", module)
        monkeypatch.setattr(tasks, "TASKS", {"toy": "toy_task:TASK", "other": "other_task:TASK"})
        schema._schema.cache_clear()

    register(config=SimpleNamespace(parameters=lambda: {"rho": Parameter("int", 1)}))
    with pytest.raises(ValueError, match="parameter 'rho' is registered as int and as float"):
        arrow_schema("runs")
    monkeypatch.undo()
    monkeypatch.setattr(tasks, "TASKS", {"toy": "toy_task:TASK"})
    register(run_metrics=(Metric("seed", "seed"),))
    with pytest.raises(ValueError, match="metric 'seed' has the name of a column"):
        arrow_schema("runs")


def test_paths_are_found_without_importing_pandas_pyarrow_or_torch() -> None:
    code = "import sys, xsam.store.layout, xsam.atomic; print(*{'pandas', 'pyarrow', 'torch'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert answer.stdout.strip() == ""


def test_reading_and_writing_do_not_import_torch() -> None:
    code = "import sys, xsam.store.compaction, xsam.report; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert answer.stdout.strip() == "False"
