"""Records for trackers: what the trackers' own readers find in them, and that no run depends on them."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REQUIRE_ALL, Bench
from tests.stored import assert_same_numbers, numbers
from xsam.store import read
from xsam.track import place_of

GRID = """
name: small
task: vision
matrix: {model: [mlp], dataset: [digits], optimizer: [sgd, xsam], seed: [0, 1]}
params: {hidden: [8], epochs: 3, batch_size: 256, lr: 0.05VECTORISE}
"""
PLUGIN = """
import os, random, signal
from pathlib import Path
import numpy, torch
from xsam.plugins import Plugin
from xsam.track.mlflow import MLflow
from xsam.track.tensorboard import TensorBoard
from xsam.track.wandb import WandB

plugin = Plugin("trackers", version="1")


def killed_once(kind):
    class Killed(kind):
        def __init__(self, place, grid):
            super().__init__(place, grid)
            self.mark = place / "killed"

        def log(self, epoch, metrics):
            super().log(epoch, metrics)
            if epoch == 1 and not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    return Killed


plugin.tracker("killed_mlflow")(killed_once(MLflow))
plugin.tracker("killed_tensorboard")(killed_once(TensorBoard))
plugin.tracker("killed_wandb")(killed_once(WandB))


@plugin.tracker("full")
class Full:
    def __init__(self, place, grid): ...

    def start(self, run):
        random.random(), numpy.random.rand(), torch.rand(1)

    def log(self, epoch, metrics):
        torch.manual_seed(epoch)
        if epoch == 1:
            raise OSError(28, "No space left on device")

    def finish(self, status, metrics): ...


@plugin.tracker("lacking")
class Lacking(Full):
    libraries = ("no_such_library",)


@plugin.tracker("refused")
def refused(place, grid):
    raise PermissionError(13, "Permission denied")
"""


def needs(library: str) -> None:
    if find_spec(library) is None:
        (pytest.fail if REQUIRE_ALL else pytest.skip)(f"needs {library} (pip install 'xsam-bench[{library}]')")


def started(bench: Bench, vectorise: bool = False) -> Path:
    (bench.folder / "trackers.py").write_text(PLUGIN, encoding="utf-8")
    return bench.write_grid(GRID.replace("VECTORISE", ", vectorise: seeds" if vectorise else ""))


def of_tensorboard(results: Path, name: str) -> dict[str, tuple[dict[str, list[tuple[int, float]]], str]]:
    """Run id → its metrics as (step, value) in order, and its status."""
    accumulator = import_module("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    found = {}
    for folder in (place_of(results, name) / "small").iterdir():
        events: Any = accumulator(str(folder)).Reload()
        metrics = {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        (status,) = events.Tensors("status/text_summary")
        (params,) = events.Tensors("parameters/text_summary")
        assert b'"lr": 0.05' in params.tensor_proto.string_val[0]
        found[folder.name.rpartition("-")[2]] = metrics, status.tensor_proto.string_val[0].decode().split("\n")[1]
    return found


def of_mlflow(results: Path, name: str) -> dict[str, tuple[dict[str, list[tuple[int, float]]], str]]:
    client: Any = import_module("mlflow.tracking").MlflowClient((place_of(results, name) / "mlruns").as_uri())
    found = {}
    runs = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    assert len({run.data.tags["xsam.run_id"] for run in runs}) == len(runs)
    for run in runs:
        assert (run.data.params["lr"], run.info.status) == ("0.05", "FINISHED")
        history = {each: client.get_metric_history(run.info.run_id, each) for each in run.data.metrics}
        metrics = {each: [(one.step, one.value) for one in points] for each, points in history.items()}
        found[run.data.tags["xsam.run_id"]] = metrics, run.data.tags["xsam.status"]
    return found


def of_wandb(results: Path, name: str) -> dict[str, tuple[dict[str, list[tuple[int, float]]], str]]:
    record: Any = import_module("wandb.proto.wandb_internal_pb2").Record
    found = {}
    files = sorted((place_of(results, name) / "wandb").glob("offline-run-*/*.wandb"))
    for file in files:
        run_id, metrics, summary, params, status = "", dict[str, list[tuple[int, float]]](), {}, {}, None
        for message in map(record.FromString, log_of_leveldb(file.read_bytes())):
            kind = message.WhichOneof("record_type")
            if kind == "run":
                run_id = message.run.run_id
                assert message.run.project == "small"
                params.update({item.key: json.loads(item.value_json) for item in message.run.config.update})
            elif kind == "history":
                values = {"/".join(item.nested_key) or item.key: item.value_json for item in message.history.item}
                for key, value in values.items():
                    if not key.startswith("_"):
                        metrics.setdefault(key, []).append((int(values["_step"]), json.loads(value)))
            elif kind == "summary":
                summary.update({item.key: json.loads(item.value_json) for item in message.summary.update})
            elif kind == "exit":
                status = message.exit.exit_code
        assert (params["lr"], status) == (0.05, 0)
        last = max(step for points in metrics.values() for step, _ in points)
        ends = {key: value for key, value in summary.items() if "test" in key}
        assert not set(ends) & set(metrics)
        found[run_id] = {**metrics, **{key: [(last, value)] for key, value in ends.items()}}, summary["status"]
    assert len(found) == len(files)
    return found


def log_of_leveldb(content: bytes) -> list[bytes]:
    """The records of a file in LevelDB's log format, in which W&B keeps a run: 7 bytes of W&B's own come first."""
    assert content[:4] == b":W&B"
    records, whole, at = [], b"", 7
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:  # a header is never split between blocks
            at += left
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole in itself, or its last piece
            records.append(whole)
            whole = b""
    return records


@pytest.fixture(autouse=True)
def read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What MLflow's own reader wants to be told of a store of files."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


READERS = {"tensorboard": of_tensorboard, "mlflow": of_mlflow, "wandb": of_wandb}


def check(results: Path, tracker: str, name: str) -> None:
    """The record holds each epoch once, and of the test set the numbers of the end."""
    runs, epochs = read(results), read(results, "epochs")
    records = READERS[tracker](results, name)
    assert set(records) == set(runs["run_id"])
    for run_id, (metrics, status) in records.items():
        assert status == "done"
        own = epochs[epochs["run_id"] == run_id].sort_values("epoch")
        for column in ("train_loss", "val_accuracy", "forwards"):
            assert [step for step, _ in metrics[column]] == [0, 1, 2]
            assert [value for _, value in metrics[column]] == pytest.approx(own[column].tolist(), rel=1e-6)
        (row,) = runs[runs["run_id"] == run_id].to_dict("records")
        tested = {each: points for each, points in metrics.items() if "test" in each}
        assert tested["test_accuracy_final"] == [(2, pytest.approx(row["test_accuracy_final"], rel=1e-6))]
        assert all([step for step, _ in points] == [2] for points in tested.values())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of ``GRID`` that nobody has tracked."""
    bench = Bench(tmp_path_factory.mktemp("plain"))
    bench("run", started(bench), "--jobs", 1)
    return bench.results


@pytest.mark.slow
@pytest.mark.parametrize("tracker", READERS)
def test_a_record_is_read_back_and_changes_no_number(bench: Bench, plain: Path, tracker: str) -> None:
    needs(tracker)
    bench("run", started(bench), "--jobs", 2, "--track", tracker)
    check(bench.results, tracker, tracker)
    assert_same_numbers(bench.results, numbers(plain))


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("tracker", READERS)
def test_a_worker_killed_between_epochs_leaves_no_epoch_twice(bench: Bench, plain: Path, tracker: str) -> None:
    needs(tracker)
    name = f"killed_{tracker}"
    command = ("--plugin", "trackers.py", "run", started(bench), "--jobs", 1, "--track", name)
    bench(*command, "--checkpoint-seconds", 0)
    assert read(bench.results)["attempts"].max() == 2
    check(bench.results, tracker, name)
    assert_same_numbers(bench.results, numbers(plain))


@pytest.mark.slow
def test_seeds_that_train_together_have_records_of_their_own(bench: Bench) -> None:
    needs("tensorboard")
    bench("run", started(bench, vectorise=True), "--jobs", 1, "--track", "tensorboard")
    check(bench.results, "tensorboard", "tensorboard")


@pytest.mark.slow
def test_a_tracker_that_fails_is_said_once_and_no_run_is_the_worse(bench: Bench, plain: Path) -> None:
    said = bench("--plugin", "trackers.py", "run", started(bench), "--jobs", 1, "--track", "full")
    assert said.count("No space left") == 1
    assert "small: the records of 4 runs in " in said
    assert "full are not whole (OSError: [Errno 28] No space left on device); the runs themselves are" in said
    assert_same_numbers(bench.results, numbers(plain))
    logs = [path.read_text(encoding="utf-8") for path in bench.results.glob("small/state/*/log.txt")]
    assert [log.count("full records nothing more of this run: OSError") for log in logs] == [1] * 4


@pytest.mark.parametrize(
    ("tracker", "message"),
    [
        ("lacking", "--track lacking: no_such_library is not installed: pip install 'xsam-bench[lacking]'"),
        ("mlfow", "--track mlfow: there is no such tracker; did you mean 'mlflow'?"),
        ("refused", "results-tracking/refused: PermissionError: [Errno 13] Permission denied"),
    ],
)
def test_a_tracker_that_cannot_work_is_one_line_before_any_run(bench: Bench, tracker: str, message: str) -> None:
    said = bench("--plugin", "trackers.py", "run", started(bench), "--track", tracker, status=2)
    assert message in said
    assert said.count("\n") == 1
    assert not bench.results.exists()
