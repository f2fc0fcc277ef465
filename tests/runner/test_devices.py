"""One run on several processes: the numbers of one process, and whatever dies or stops, all of them do so together."""

from __future__ import annotations

import json
import os
import signal
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tests.conftest import Bench
from tests.gate import alive
from tests.runner.test_tracking import needs
from tests.runner.training import fresh, run_through, spec_of
from tests.waiting import PATIENCE, wait_until
from xsam.grid import load_grid
from xsam.runner import checkpoint, lease
from xsam.runner.distributed import ProcessGroup
from xsam.store import read
from xsam.store.layout import GridFolder
from xsam.track import place_of

# 1,293 images in batches of 100: the last batch has 93, which two processes cannot share equally.
GRID = """
name: shared
task: vision
matrix: {optimizer: [xsam]}
params: {model: mlp, dataset: digits, hidden: [128], epochs: 3, batch_size: 100, lr: 0.02, devices: 2,
  accumulation: 2}
"""
STEPS = 13  # an epoch
EPOCH, STEP = 1, 5  # where runs are held
TIMES = ["seconds", "train_seconds", "eval_seconds", "search_seconds"]


def start(bench: Bench) -> tuple[Path, GridFolder, str]:
    """The grid's file, its folder in the results, and its run."""
    grid = bench.write_grid(GRID)
    (run,) = load_grid(grid).runs
    return grid, GridFolder(bench.results, "shared"), run.run_id


def processes_of(folder: GridFolder, run_id: str) -> list[int]:
    """The pids that train the run, rank 0 first; none while it is not held."""
    _, record, held = lease.current(folder.leases(run_id))
    if not held or record is None:
        return []
    leader = record.holder.pid
    controller = int(Path(f"/proc/{leader}/stat").read_text().rpartition(")")[2].split()[1])
    tasks = [int(pid) for pid in Path(f"/proc/{controller}/task/{controller}/children").read_text().split()]
    return [leader, *(pid for pid in tasks if pid != leader)]


def held(bench: Bench, folder: GridFolder, run_id: str) -> list[int]:
    """Wait until both processes are held; their pids, rank 0 first."""
    pids = processes_of(folder, run_id) if set(bench.gate.wait(processes=2)) == {run_id} else []
    assert sorted(pids) == sorted(bench.gate.held()[run_id])
    return pids


def epochs_of(bench: Bench) -> pd.DataFrame:
    return read(bench.results, "epochs").sort_values("epoch").reset_index(drop=True).drop(columns=[*TIMES, "run_id"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("undisturbed"))
    grid, _, _ = start(bench)
    bench("run", grid, "--jobs", 1)
    return bench


@pytest.mark.slow
def test_two_processes_give_one_processs_numbers(undisturbed: Bench, tmp_path: Path) -> None:
    (run,) = load_grid(undisturbed.folder / "grid.yaml").runs
    given = {name: run.params[name] for name in ("epochs", "batch_size", "lr")}
    _, position = run_through(spec_of(tmp_path, "xsam", hidden=[128], **given), tmp_path)
    one, two = pd.DataFrame(position.history), epochs_of(undisturbed)
    assert list(two["forwards"]) == list(one["forwards"])
    assert list(two["backwards"]) == list(one["backwards"])
    # From the same weights the searches see the same losses but for rounding; where two angles tie, either may win, and
    # what follows from it differs a little.
    assert two["alpha"][0] == pytest.approx(one["alpha"][0], abs=1.01 * run.params["alpha_step"])
    for column in ("train_loss", "test_loss", "val_loss"):
        assert two[column][0] == pytest.approx(one[column][0], rel=1e-2)
    row = read(undisturbed.results).iloc[0]
    assert (row["status"], row["param_devices"]) == ("done", 2)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_takes_the_others_along_and_the_run_is_resumed(
    bench: Bench, undisturbed: Bench, rank: int
) -> None:
    grid, folder, run_id = start(bench)
    bench.gate.hold(EPOCH, STEP)
    front_end = bench.start("run", grid, "--jobs", 1, "--checkpoint-seconds", 0)
    pids = held(bench, folder, run_id)
    os.kill(pids[rank], signal.SIGKILL)
    bench.gate.open()
    wait_until(lambda: not alive(pids[1 - rank]), "the other process's end")
    output, error = front_end.communicate(timeout=PATIENCE)
    assert front_end.returncode == 0, output + error
    row = read(bench.results).iloc[0]
    assert (row["status"], row["attempts"]) == ("done", 2)
    assert row["resumed_from_step"] == EPOCH * STEPS + STEP - 1
    pd.testing.assert_frame_equal(epochs_of(bench), epochs_of(undisturbed), check_exact=True)


@pytest.mark.slow
@pytest.mark.faults
def test_all_processes_save_and_stop_at_the_same_step_and_go_on_bit_for_bit(bench: Bench, undisturbed: Bench) -> None:
    grid, folder, run_id = start(bench)
    bench.gate.hold(EPOCH, STEP)
    front_end = bench.start("run", grid, "--jobs", 1, "--checkpoint-seconds", 600)
    pids = held(bench, folder, run_id)
    os.kill(pids[1], signal.SIGTERM)  # the wish of one is the wish of all
    bench.gate.open()
    wait_until(lambda: not any(map(alive, pids)), "both processes' end")
    front_end.communicate(timeout=PATIENCE)  # it has started other workers
    row = read(bench.results).iloc[0]
    assert (row["status"], row["resumed_from_step"]) == ("done", EPOCH * STEPS + STEP)
    pd.testing.assert_frame_equal(epochs_of(bench), epochs_of(undisturbed), check_exact=True)


@pytest.mark.slow
@pytest.mark.faults
def test_a_failure_of_one_process_is_the_runs_own_failure(bench: Bench) -> None:
    grid, folder, run_id = start(bench)
    bench.gate.hold(EPOCH, STEP)
    front_end = bench.start("run", grid, "--jobs", 1, "--checkpoint-seconds", 0)
    pids = held(bench, folder, run_id)
    for pid in (front_end.pid, *pids):  # no new workers, and none that could save once more
        os.kill(pid, signal.SIGKILL)
    front_end.communicate(timeout=PATIENCE)
    bench.gate.open()
    path = folder.checkpoint(run_id)
    content = torch.load(path, weights_only=True)
    content["rng"] = content["rng"][:1]  # as after a run of one process: rank 1 finds no state of its own
    facts = json.loads(path.read_bytes().rpartition(b"xsam-checkpoint")[2])
    checkpoint.write(path, checkpoint.Identity(facts["run_id"], facts["data_checksum"]), content)
    output = bench("run", grid, "--jobs", 1, status=1)
    row = read(bench.results).iloc[0]
    assert row["status"] == "failed", output
    assert "IndexError" in row["error"]


@pytest.mark.slow
def test_a_run_on_two_processes_has_one_record_and_the_same_numbers(
    bench: Bench, undisturbed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("mlflow")
    grid, _, run_id = start(bench)
    bench("run", grid, "--jobs", 1, "--track", "mlflow")
    pd.testing.assert_frame_equal(epochs_of(bench), epochs_of(undisturbed), check_exact=True)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client: Any = import_module("mlflow.tracking").MlflowClient((place_of(bench.results, "mlflow") / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("shared").experiment_id])
    assert (run.data.tags["xsam.run_id"], run.data.tags["xsam.status"]) == (run_id, "done")
    points = client.get_metric_history(run.info.run_id, "train_loss")
    assert [(one.step, one.value) for one in points] == list(enumerate(epochs_of(bench)["train_loss"]))


def test_runs_of_different_sizes_are_not_launched_together(bench: Bench) -> None:
    grid = bench.write_grid(GRID.replace("[xsam]}", "[sgd], devices: [1, 2]}").replace("devices: 2,", ""))
    output = bench("run", grid, "--jobs", 1, status=2)
    assert "--only devices=1" in output


def test_every_process_has_its_share_of_the_batch_and_a_superfluous_one_no_weight(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "sgd", batch_size=5, train_subset=40, accumulation=2)
    whole = fresh(spec, tmp_path)
    batch = whole.problem.batch(0, 0)
    whole.step(batch)
    gradients = [parameter.grad for parameter in whole.problem.model.parameters()]
    size = 6  # twelve parts of five images: rank 5 has none
    total = [torch.zeros_like(gradient) for gradient in gradients if gradient is not None]
    for rank in range(size):
        trainer = fresh(spec, tmp_path)
        trainer._group = _Pretending(rank, size)
        trainer.step(batch)
        for sum_, parameter in zip(total, trainer.problem.model.parameters(), strict=True):
            assert parameter.grad is not None
            sum_ += parameter.grad / size
    for sum_, gradient in zip(total, gradients, strict=True):
        torch.testing.assert_close(sum_, gradient)


class _Pretending(ProcessGroup):
    """A rank whose means are its own, so that the test can add them up."""

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        return value
