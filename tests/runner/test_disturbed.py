"""Kill workers, front ends, and all at once, at many points: the same command again, and the numbers are the same."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tests.conftest import Bench
from xsam.grid import Grid
from xsam.runner import lease
from xsam.store import read
from xsam.store.layout import GridFolder

pytestmark = [pytest.mark.slow, pytest.mark.alone]

# Dropout-free and tiny, yet every epoch has 90 steps, so that most moments are in the middle of one.
GRID = """
name: disturbed
task: vision
matrix:
  optimizer: [sgd, xsam]
  seed: [0, 1]
params: {model: mlp, dataset: digits, hidden: [256, 256], epochs: 4, batch_size: 16, lr: 0.02, augment: crop_flip}
"""
NAME = "disturbed"
# A checkpoint every few steps, so that a kill in the middle of an epoch always finds one there.
RUN = ("--checkpoint-seconds", "0.02")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    bench = Bench(tmp_path_factory.mktemp("undisturbed"))
    bench("run", bench.write_grid(GRID), "--jobs", 1)
    return numbers(bench)


def numbers(bench: Bench) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Everything of the tables that must not depend on how often a run was interrupted."""
    runs = read(bench.results).set_index("run_id").sort_index()
    epochs = read(bench.results, "epochs").sort_values(["run_id", "epoch"]).reset_index(drop=True)
    told = [column for column in runs if column.startswith(("test_", "val_", "param_", "best_"))]
    times = [column for column in epochs if column.endswith("seconds")]
    return runs[["status", "forwards", "backwards", *told]], epochs.drop(columns=times)


def assert_same_numbers(bench: Bench, expected: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    runs, epochs = numbers(bench)
    pd.testing.assert_frame_equal(runs, expected[0], check_exact=True)
    pd.testing.assert_frame_equal(epochs, expected[1], check_exact=True)


def folder_of(bench: Bench) -> GridFolder:
    return GridFolder(bench.results, NAME)


def run_ids(bench: Bench) -> list[str]:
    return [run.run_id for run in Grid.load(folder_of(bench).grid_json).runs]


def position(path: Path) -> tuple[int, int]:
    """Epoch and step of a checkpoint."""
    content = torch.load(path, weights_only=True)
    return content["position"]["epoch"], content["position"]["step"]


def holders(bench: Bench) -> dict[str, int]:
    """run id → pid of the worker that holds it now."""
    if not folder_of(bench).grid_json.exists():
        return {}
    found = {}
    for run_id in run_ids(bench):
        _, record, held = lease.current(folder_of(bench).leases(run_id))
        if held and record is not None:
            found[run_id] = record.holder.pid
    return found


def wait_until(found: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
    return value


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Hold processes still, so that what they were doing can be looked at before they are killed."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def catch_in_mid_epoch(bench: Bench, finished: int, workers: int = 1) -> dict[str, tuple[int, tuple[int, int]]]:
    """Wait until ``finished`` runs are done and another is caught in the middle of an epoch; its worker stays stopped.

    All ``workers`` that still have a run to train hold one at that moment, and stay stopped. Returns run id → (worker's
    pid, its checkpoint's epoch and step) of these.
    """

    def look() -> dict[str, tuple[int, tuple[int, int]]] | None:
        folder = folder_of(bench)
        done = len(list(folder.singles("runs").glob("*.parquet")))
        if done < finished or not folder.grid_json.exists():
            return None
        held = holders(bench)
        for pid in held.values():
            os.kill(pid, signal.SIGSTOP)
        caught = {
            run_id: (pid, position(folder.checkpoint(run_id)))
            for run_id, pid in held.items()
            if folder.checkpoint(run_id).exists() and not folder.run_file(run_id).exists()
        }
        busy = len(caught) == len(held) == min(workers, len(run_ids(bench)) - done)
        if busy and any(step > 0 for _, (_, step) in caught.values()):
            return caught
        for pid in held.values():
            os.kill(pid, signal.SIGCONT)
        return None

    caught: dict[str, tuple[int, tuple[int, int]]] = wait_until(look)
    return caught


def assert_resumed_from_the_checkpoint(bench: Bench, caught: dict[str, tuple[int, tuple[int, int]]]) -> None:
    """A killed run went on from the very step of its last checkpoint: nothing before it was trained again."""
    rows = read(bench.results).set_index("run_id")
    for run_id, (_, (epoch, step)) in caught.items():
        steps_per_epoch = rows.loc[run_id, "backwards"] // (4 * (2 if rows.loc[run_id, "method"] == "xsam" else 1))
        assert rows.loc[run_id, "resumed_from_step"] == epoch * steps_per_epoch + step
        assert rows.loc[run_id, "resumed_from_step"] > 0
        assert rows.loc[run_id, "attempts"] == 2


def assert_none_trained_twice(bench: Bench) -> None:
    for run_id in run_ids(bench):
        log = folder_of(bench).log(run_id).read_text()
        assert log.count("INFO done") == 1, log


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=120)


@pytest.mark.parametrize("finished", [0, 1, 3])
def test_a_killed_worker_is_replaced_and_its_run_resumed(
    bench: Bench, undisturbed: tuple[pd.DataFrame, pd.DataFrame], finished: int
) -> None:
    front_end = bench.start("run", bench.write_grid(GRID), "--jobs", 1, *RUN)
    caught = catch_in_mid_epoch(bench, finished)
    for pid, _ in caught.values():
        os.kill(pid, signal.SIGKILL)
    output, error = front_end.communicate(timeout=120)
    assert front_end.returncode == 0, output + error
    assert_same_numbers(bench, undisturbed)
    assert_resumed_from_the_checkpoint(bench, caught)
    assert_none_trained_twice(bench)


def test_workers_live_on_without_their_front_end(bench: Bench, undisturbed: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    grid = bench.write_grid(GRID)
    front_end = bench.start("run", grid, "--jobs", 1, *RUN)
    wait_until(lambda: holders(bench))
    front_end.kill()
    front_end.wait()
    bench("run", grid, "--jobs", 1)
    assert_same_numbers(bench, undisturbed)
    assert_none_trained_twice(bench)
    assert set(read(bench.results)["attempts"]) == {1}, "the new front end left the living worker its run"


@pytest.mark.parametrize("finished", [0, 2])
def test_killed_all_at_once_the_same_command_goes_on(
    bench: Bench, undisturbed: tuple[pd.DataFrame, pd.DataFrame], finished: int
) -> None:
    grid = bench.write_grid(GRID)
    front_end = bench.start("run", grid, "--jobs", 2, *RUN)
    caught = catch_in_mid_epoch(bench, finished, workers=2)
    front_end.kill()
    for pid, _ in caught.values():
        os.kill(pid, signal.SIGKILL)
    front_end.wait()
    status = bench("status", NAME)
    assert "interrupted" in status
    assert "running" not in status
    bench("run", grid, "--jobs", 2)
    assert_same_numbers(bench, undisturbed)
    assert_resumed_from_the_checkpoint(bench, caught)
    assert_none_trained_twice(bench)


def test_two_front_ends_share_a_grid(bench: Bench, undisturbed: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    grid = bench.write_grid(GRID)
    front_ends = [bench.start("run", grid, "--jobs", 1) for _ in range(2)]
    for front_end in front_ends:
        output, error = front_end.communicate(timeout=120)
        assert front_end.returncode == 0, output + error
    assert_same_numbers(bench, undisturbed)
    assert_none_trained_twice(bench)


def test_a_checkpoint_that_cannot_be_trusted_is_set_aside_and_the_run_begins_anew(
    bench: Bench, undisturbed: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    grid = bench.write_grid(GRID)
    front_end = bench.start("run", grid, "--jobs", 1, *RUN)
    caught = catch_in_mid_epoch(bench, 0)
    front_end.kill()
    front_end.wait()
    for pid, _ in caught.values():
        os.kill(pid, signal.SIGKILL)
    run_id = next(iter(caught))
    path = folder_of(bench).checkpoint(run_id)
    content = torch.load(path, weights_only=True)
    name = next(iter(content["model"]))
    content["model"][name] = content["model"][name] * 1.0000001
    torch.save(content, path)
    bench("run", grid, "--jobs", 1)
    assert_same_numbers(bench, undisturbed)
    row = read(bench.results).set_index("run_id").loc[run_id]
    assert (row["resumed_from_step"], row["attempts"]) == (0, 2)
    assert "trained anew" in row["note"]
    assert "checkpoint.pt: damaged" in bench("logs", run_id)
    assert [path.name for path in folder_of(bench).damaged.iterdir()] == [f"state-{run_id}-checkpoint.pt.1"]
    assert not list(bench.results.glob("*/state/*/checkpoint.pt")), "finished runs need none"


def test_ctrl_c_once_saves_and_stops(bench: Bench, undisturbed: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    grid = bench.write_grid(GRID)
    front_end = bench.start("run", grid, "--jobs", 1, "--checkpoint-seconds", 600)
    run_id = wait_until(lambda: next(iter(holders(bench)), None))
    wait_until(lambda: folder_of(bench).progress(run_id).exists())
    os.killpg(front_end.pid, signal.SIGINT)
    output, error = front_end.communicate(timeout=60)
    assert front_end.returncode == 1, output + error
    assert not holders(bench)
    assert "interrupted" in output
    bench("run", grid, "--jobs", 1)
    assert_same_numbers(bench, undisturbed)
    assert read(bench.results).set_index("run_id").loc[run_id, "resumed_from_step"] > 0


def test_ctrl_c_twice_stops_at_once(bench: Bench) -> None:
    front_end = bench.start("run", bench.write_grid(GRID), "--jobs", 1)
    (pid,) = wait_until(lambda: list(holders(bench).values()))
    os.kill(pid, signal.SIGSTOP)  # a worker that cannot reach its next step
    os.killpg(front_end.pid, signal.SIGINT)
    time.sleep(1)
    os.killpg(front_end.pid, signal.SIGINT)
    front_end.communicate(timeout=10)
    wait_until(lambda: not holders(bench), seconds=10)
