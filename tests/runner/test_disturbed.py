"""Kill workers, front ends, and all at once, at many points: the same command again, and the numbers are the same."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from tests.conftest import Bench
from tests.stored import Numbers, assert_same_numbers, numbers
from tests.waiting import PATIENCE, wait_until
from xsam.grid import load_grid
from xsam.runner import lease
from xsam.store import read
from xsam.store.layout import GridFolder

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.faults]

GRID = """
name: disturbed
task: vision
matrix:
  optimizer: [sgd, xsam]
  seed: [0, 1]
params: {model: mlp, dataset: digits, hidden: [64, 64], epochs: 4, batch_size: 64, lr: 0.02, augment: crop_flip}
"""
NAME = "disturbed"
STEPS = 21  # an epoch: 1,293 images
EPOCH, STEP = 1, 10  # where runs are held, in the middle of an epoch
REACHED = EPOCH * STEPS + STEP
# A checkpoint after every step: one that is held has its last from the step before.
RUN = ("--checkpoint-seconds", "0")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    bench = Bench(tmp_path_factory.mktemp("undisturbed"))
    bench("run", bench.write_grid(GRID), "--jobs", 1)
    return numbers(bench.results)


def folder_of(bench: Bench) -> GridFolder:
    return GridFolder(bench.results, NAME)


def run_ids(bench: Bench) -> list[str]:
    return [run.run_id for run in load_grid(bench.folder / "grid.yaml").runs]


def holders(bench: Bench) -> dict[str, int]:
    """run id → pid of the worker that holds it now."""
    found = {}
    for run_id in run_ids(bench):
        _, record, held = lease.current(folder_of(bench).leases(run_id))
        if held and record is not None:
            found[run_id] = record.holder.pid
    return found


def held(bench: Bench, runs: int = 1) -> dict[str, int]:
    """Wait until so many runs are held in the middle of an epoch; run id → pid of its worker."""
    found = {run_id: pid for run_id, (pid,) in bench.gate.wait(runs).items()}
    assert holders(bench) == found
    return found


def assert_saved(bench: Bench, run_ids: Iterable[str]) -> None:
    """Each run's checkpoint is of the step before the one that it is held after."""
    for run_id in run_ids:
        position = torch.load(folder_of(bench).checkpoint(run_id), weights_only=True)["position"]
        assert (position["epoch"], position["step"]) == (EPOCH, STEP - 1)


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a command that succeeds; returns all that it says."""
    output, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output + error
    return output + error


def assert_resumed(bench: Bench, run_ids: Iterable[str], step: int) -> None:
    """A run went on from the very step of its last checkpoint: nothing before it was trained again."""
    rows = read(bench.results).set_index("run_id")
    for run_id in run_ids:
        assert (rows.loc[run_id, "resumed_from_step"], rows.loc[run_id, "attempts"]) == (step, 2)


def assert_none_trained_twice(bench: Bench) -> None:
    for run_id in run_ids(bench):
        log = folder_of(bench).log(run_id).read_text()
        assert log.count("INFO done") == 1, log


@pytest.mark.parametrize("finished", [0, 1, 3])
def test_a_killed_worker_is_replaced_and_its_run_resumed(bench: Bench, undisturbed: Numbers, finished: int) -> None:
    grid = bench.write_grid(GRID)
    bench.gate.hold(EPOCH, STEP, passing=run_ids(bench)[:finished])
    front_end = bench.start("run", grid, "--jobs", 1, *RUN)
    caught = held(bench)
    assert list(caught) == [run_ids(bench)[finished]]
    assert_saved(bench, caught)
    kill(caught.values())
    bench.gate.open()
    finish(front_end)
    assert_same_numbers(bench.results, undisturbed)
    assert_resumed(bench, caught, REACHED - 1)
    assert_none_trained_twice(bench)


def test_workers_live_on_without_their_front_end(bench: Bench, undisturbed: Numbers) -> None:
    grid = bench.write_grid(GRID)
    bench.gate.hold()
    front_end = bench.start("run", grid, "--jobs", 1, *RUN)
    held(bench)
    front_end.kill()
    front_end.wait()
    another = bench.start("run", grid, "--jobs", 2)  # one has its place already
    held(bench, 2)
    bench.gate.open()
    finish(another)
    assert_same_numbers(bench.results, undisturbed)
    assert_none_trained_twice(bench)
    assert set(read(bench.results)["attempts"]) == {1}, "the new front end left the living worker its run"


@pytest.mark.parametrize("finished", [0, 2])
def test_killed_all_at_once_the_same_command_goes_on(bench: Bench, undisturbed: Numbers, finished: int) -> None:
    grid = bench.write_grid(GRID)
    bench.gate.hold(EPOCH, STEP, passing=run_ids(bench)[:finished])
    front_end = bench.start("run", grid, "--jobs", 2, *RUN)
    caught = held(bench, 2)
    assert_saved(bench, caught)
    front_end.kill()
    kill(caught.values())
    front_end.wait()
    status = bench("status", NAME)
    assert "2 interrupted" in status
    assert "running" not in status
    bench.gate.open()
    bench("run", grid, "--jobs", 2)
    assert_same_numbers(bench.results, undisturbed)
    assert_resumed(bench, caught, REACHED - 1)
    assert_none_trained_twice(bench)


def test_two_front_ends_share_a_grid(bench: Bench, undisturbed: Numbers) -> None:
    grid = bench.write_grid(GRID)
    bench.gate.hold()
    front_ends = []
    for workers in (1, 2):  # in all
        front_ends.append(bench.start("run", grid, "--jobs", workers))
        held(bench, workers)
    bench.gate.open()
    for front_end in front_ends:
        finish(front_end)
    assert_same_numbers(bench.results, undisturbed)
    assert_none_trained_twice(bench)


def test_a_checkpoint_that_cannot_be_trusted_is_set_aside_and_the_run_begins_anew(
    bench: Bench, undisturbed: Numbers
) -> None:
    grid = bench.write_grid(GRID)
    bench.gate.hold(EPOCH, STEP)
    front_end = bench.start("run", grid, "--jobs", 1, *RUN)
    caught = held(bench)
    front_end.kill()
    front_end.wait()
    kill(caught.values())
    bench.gate.open()
    (run_id,) = caught
    path = folder_of(bench).checkpoint(run_id)
    content = torch.load(path, weights_only=True)
    name = next(iter(content["model"]))
    content["model"][name] = content["model"][name] * 1.0000001
    torch.save(content, path)
    bench("run", grid, "--jobs", 1)
    assert_same_numbers(bench.results, undisturbed)
    row = read(bench.results).set_index("run_id").loc[run_id]
    assert (row["resumed_from_step"], row["attempts"]) == (0, 2)
    assert "trained anew" in row["note"]
    assert "checkpoint.pt: damaged" in bench("logs", run_id)
    assert [path.name for path in folder_of(bench).damaged.iterdir()] == [f"state-{run_id}-checkpoint.pt.1"]
    assert not list(bench.results.glob("*/state/*/checkpoint.pt")), "finished runs need none"


def test_ctrl_c_once_saves_and_stops(bench: Bench, undisturbed: Numbers) -> None:
    grid = bench.write_grid(GRID)
    bench.gate.hold(EPOCH, STEP)
    front_end = bench.start("run", grid, "--jobs", 1, "--checkpoint-seconds", 600)
    caught = held(bench)
    os.killpg(front_end.pid, signal.SIGINT)
    output, error = front_end.communicate(timeout=PATIENCE)
    assert front_end.returncode == 1, output + error
    assert not holders(bench)
    assert "1 interrupted" in output
    bench.gate.open()
    bench("run", grid, "--jobs", 1)
    assert_same_numbers(bench.results, undisturbed)
    assert_resumed(bench, caught, REACHED)


def test_ctrl_c_twice_stops_at_once(bench: Bench) -> None:
    grid = bench.write_grid(GRID)
    bench.gate.hold()
    front_end = bench.start("run", grid, "--jobs", 1)
    (pid,) = held(bench).values()
    os.kill(pid, signal.SIGSTOP)  # a worker that cannot reach its next step
    os.killpg(front_end.pid, signal.SIGINT)
    wait_until(lambda: awaits(pid, signal.SIGTERM), "the first Ctrl-C at the worker")
    os.killpg(front_end.pid, signal.SIGINT)
    front_end.communicate(timeout=PATIENCE)
    wait_until(lambda: not holders(bench), "the worker's end")


def awaits(pid: int, number: signal.Signals) -> bool:
    """Whether a stopped process has a signal before it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)
