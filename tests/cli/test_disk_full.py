"""No space left, and the results folder gone: one line, nothing half-written, and the same command goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bench
from xsam.atomic import in_words
from xsam.launch.local_workers import LocalWorkers
from xsam.launch.slots import Slots
from xsam.runner.lease import Lease
from xsam.runner.order import WorkOrder
from xsam.store import GridFolder, read
from xsam.tasks.workspace import workspace

GRID = """
name: tight
task: vision
matrix: {model: [mlp], dataset: [digits], optimizer: [sgd], seed: {count: 12}}
params: {hidden: [256], epochs: 3, batch_size: 64, lr: 0.05}
"""
FREE = 600_000  # bytes: enough to begin


@pytest.fixture
def small_disk(bench: Bench) -> Iterator[Path]:
    """A file system of 3 MB, where this process may mount one."""
    place = bench.folder / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"may not mount a file system: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, leave: int) -> Path:
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free
    ballast.write_bytes(bytes(max(0, free - leave)))
    return ballast


def told(bench: Bench, *arguments: object) -> str:
    """The command's lines when the disk is full: the last one says so."""
    process = bench.start(*arguments)
    output, error = process.communicate(timeout=300)
    assert process.returncode == 1, output + error
    assert "Traceback" not in output + error
    lines = [line for line in error.splitlines() if "No space left" in line]
    assert len(lines) == 1, error
    assert lines[0].startswith("xsam-bench: ")
    return lines[0]


@pytest.mark.slow
@pytest.mark.needs("mount", "umount")
@pytest.mark.parametrize("leave", [0, FREE])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(bench: Bench, small_disk: Path, leave: int) -> None:
    """With no space the front end stumbles; with a little, a worker does, some runs later or within the first."""
    results = small_disk / "results"
    ballast = fill(small_disk, leave)
    arguments = ("run", bench.write_grid(GRID), "--results", results, "--jobs", 1, "--checkpoint-seconds", 0.02)
    assert str(small_disk) in told(bench, *arguments)
    assert not [path for path in results.rglob("*") if path.name.endswith(".tmp")], "nothing half-written"
    folder = GridFolder(results, "tight")
    if leave:
        assert folder.grid_json.exists()
        stored = read(results)
        assert set(stored["status"]) <= {"done"}, "no run failed of it"
    ballast.unlink()
    bench(*arguments)
    rows = read(results)
    assert list(rows["status"]) == ["done"] * 12
    assert len(read(results, "epochs")) == 12 * 3


@pytest.mark.needs("mount", "umount")
def test_what_a_worker_writes_for_itself_names_the_disk_too(small_disk: Path) -> None:
    fill(small_disk, 0)
    with pytest.raises(OSError, match="No space left") as leased:
        Lease.acquire(small_disk / "lease", launch="a")
    with pytest.raises(OSError, match="No space left") as placed:
        Slots(small_disk).take(1, "a")
    with pytest.raises(OSError, match="No space left") as prepared, workspace(small_disk) as folder:
        (folder / "images").write_bytes(bytes(1 << 16))
    for caught in (leased, placed, prepared):
        assert str(small_disk) in in_words(caught.value)
    assert not [path for path in small_disk.rglob(".*") if path.is_file()], "nothing half-written"


@pytest.mark.needs("mount", "umount")
def test_a_worker_that_cannot_be_started_names_the_disk(small_disk: Path) -> None:
    order = WorkOrder(small_disk, "tight", ("0" * 16,), small_disk, "launch")
    order.place.mkdir(parents=True)
    slot = Slots(small_disk).take(1, "launch")  # its file is there from an earlier worker
    assert slot is not None
    assert slot.file is not None
    os.close(slot.file)
    fill(small_disk, 0)
    with pytest.raises(OSError, match="No space left") as caught:
        LocalWorkers(order, 1).start(1)
    assert str(small_disk) in in_words(caught.value)
    assert not Slots(small_disk).taken(), "the place is free again"


@pytest.mark.needs("mount", "umount")
def test_reports_and_compaction_on_a_full_disk_are_one_line_and_change_nothing(stored: Bench, small_disk: Path) -> None:
    results = small_disk / "results"
    shutil.copytree(stored.results, results)
    before = read(results)
    fill(small_disk, 0)
    told(stored, "compact", "--results", results)
    told(stored, "report", "--results", results, "--out", small_disk / "reports", "--no-figures", "--no-page")
    assert read(results).equals(before)
    assert not [path for path in small_disk.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.slow
def test_a_results_folder_that_is_removed_meanwhile_is_made_again(bench: Bench) -> None:
    grid = bench.write_grid(GRID.replace("epochs: 3", "epochs: 60"))
    folder = GridFolder(bench.results, "tight")
    process = bench.start("run", grid, "--jobs", 1)
    deadline = time.monotonic() + 120
    while not list(folder.singles("runs").glob("*.parquet")):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    for _ in range(100):  # a worker may write into it while it is removed
        shutil.rmtree(bench.results, ignore_errors=True)
        if not folder.grid_json.exists():
            break
    output, error = process.communicate(timeout=300)
    assert "Traceback" not in output + error
    assert "removed" in error, output + error
    assert folder.grid_json.exists()
    if process.returncode:  # the worker had gone past the runs whose rows were removed
        bench("run", grid)
    assert list(read(bench.results)["status"]) == ["done"] * 12
