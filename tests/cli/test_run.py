"""The verbs on real grids, from the first run to the report."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Bench
from tests.waiting import PATIENCE
from xsam.store import read

SMALL = """
name: small
task: vision
matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: [sgd, sam, {half: {method: xsam, alpha: 0.5}}]
  seed: [0, 1]
params: {hidden: [16], epochs: 2, batch_size: 128, lr: 0.05}
"""


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_grid_runs_once_and_shows_itself(bench: Bench) -> None:
    grid = bench.write_grid(SMALL)
    before = tree(bench.folder)
    planned = json.loads(bench("plan", grid, "--json"))
    assert [run["status"] for run in planned["runs"]] == ["pending"] * 6
    assert tree(bench.folder) == before, "a plan writes nothing"

    bench("run", grid)
    runs = read(bench.results)
    assert list(runs["status"]) == ["done"] * 6
    assert set(runs["run_id"]) == {run["run_id"] for run in planned["runs"]}
    assert set(runs["optimizer"]) == {"sgd", "sam", "half"}
    steps = 2 * -(-round(0.9 * 1437) // 128)
    assert list(runs.query("method == 'sgd'")["forwards"].unique()) == [steps]
    assert list(runs.query("method == 'sam'")["forwards"].unique()) == [2 * steps]
    assert runs["test_accuracy"].equals(runs["test_accuracy_final"])
    epochs = read(bench.results, "epochs")
    assert epochs.groupby("run_id").size().eq(2).all()

    written = {path: path.stat().st_mtime_ns for path in (bench.results / "small" / "runs").iterdir()}
    assert "nothing to do, 6 done" in bench("run", grid)
    assert {path: path.stat().st_mtime_ns for path in (bench.results / "small" / "runs").iterdir()} == written

    grid = bench.write_grid(SMALL + "report: {rule: best_test}\n")
    assert "nothing to do, 6 done" in bench("run", grid)
    ruled = read(bench.results)
    assert ruled["test_accuracy"].equals(ruled["test_accuracy_best_test"])
    bench("report", "--out", bench.folder / "reports", "--no-figures")
    table = pd.read_csv(bench.folder / "reports" / "small" / "table.csv")
    assert set(table["rule"]) == {"best_test"}
    means = ruled.groupby("optimizer")["test_accuracy_best_test"].mean()
    assert dict(zip(table["optimizer"], table["mean"], strict=True)) == pytest.approx(dict(means), rel=1e-7)

    assert "small: 6 done" in bench("status")
    assert "no failed runs" in bench("failures")
    assert "INFO done" in bench("logs", planned["runs"][0]["run_id"][:10])
    shown = bench("report", "small", "--out", "reports")
    assert "half" in shown
    table = (bench.folder / "reports" / "small" / "table.md").read_text()
    assert "±" in table
    assert bench("report", "small", "--out", "reports", "--check") == ""


@pytest.mark.slow
def test_only_takes_a_part_and_set_makes_a_grid_of_its_own(bench: Bench) -> None:
    grid = bench.write_grid(SMALL)
    bench("run", grid, "--only", "seed=0", "--only", "optimizer=sgd", "--set", "epochs=1")
    runs = read(bench.results)
    assert len(runs) == 1
    assert runs["grid"][0].startswith("small@")
    assert runs["param_epochs"][0] == 1
    report = bench("report")
    assert "missing" in report, "the rest of the grid is not there and must be seen to be missing"


@pytest.mark.slow
def test_one_runs_failure_is_its_own(bench: Bench) -> None:
    folder = bench.folder / "data" / "fashion_mnist"
    folder.mkdir(parents=True)
    for name in ("manifest.json", "train-28.npy", "train-labels.npy", "test-28.npy", "test-labels.npy"):
        (folder / name).write_bytes(b"not what it should be")
    grid = bench.write_grid(
        "name: partly\ntask: vision\nmatrix: {dataset: [fashion_mnist, digits], optimizer: [sgd], seed: [0]}\n"
        "params: {model: mlp, hidden: [8], epochs: 1}\n"
    )
    assert "1 done, 1 failed" in bench("run", grid, "--jobs", 1, status=1)
    failures = bench("failures", status=1)
    assert "fashion_mnist" in failures
    assert "Traceback" in failures
    runs = read(bench.results).set_index("status")
    assert "ValueError" in runs.loc["failed", "error"]

    finished_at = runs["finished_at"]
    assert "nothing to do" in bench("run", grid, status=1)
    bench("run", grid, "--retry-failed", status=1)
    again = read(bench.results).set_index("status")
    assert again.loc["failed", "finished_at"] > finished_at["failed"]
    assert again.loc["failed", "attempts"] == 2
    assert again.loc["done", "finished_at"] == finished_at["done"]


@pytest.mark.slow
def test_a_diverged_run_is_a_result(bench: Bench) -> None:
    grid = bench.write_grid(
        "name: wild\ntask: vision\nmatrix: {optimizer: [sgd], seed: [0]}\n"
        "params: {model: mlp, dataset: digits, hidden: [8, 8], epochs: 3, lr: 1.0e+30}\n"
    )
    assert "1 diverged" in bench("run", grid)
    row = read(bench.results).iloc[0]
    assert row["status"] == "diverged"
    assert row[["test_accuracy", "test_accuracy_final"]].isna().all()
    assert len(read(bench.results, "epochs")) == 1, "it ends with the epoch whose loss is not finite"


@pytest.mark.slow
def test_detached_workers_finish_alone(bench: Bench) -> None:
    grid = bench.write_grid(SMALL)
    bench.gate.hold()
    bench("run", grid, "--detach", "--jobs", 1)
    bench.gate.wait()
    another = bench.start("run", grid, "--jobs", 2)  # waits for what is still running
    bench.gate.wait(2)
    bench.gate.open()
    output, error = another.communicate(timeout=PATIENCE)
    assert another.returncode == 0, output + error
    assert list(read(bench.results)["status"]) == ["done"] * 6
    assert (read(bench.results)["attempts"] == 1).all()


@pytest.mark.slow
@pytest.mark.faults
def test_a_closed_terminal_ends_the_display_and_says_that_workers_go_on(bench: Bench) -> None:
    grid = bench.write_grid(SMALL)
    bench.gate.hold()
    process = bench.start("run", grid, "--jobs", 1)
    held = bench.gate.wait()
    process.send_signal(signal.SIGHUP)
    output, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGHUP, output + error
    assert "small: the terminal is closed, the workers go on; 'xsam-bench status small' tells" in error
    assert error.count("\n") == 1
    assert bench.gate.held() == held
    bench.gate.open()
    bench("run", grid)
    assert list(read(bench.results)["attempts"]) == [1] * 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "none.yaml"), "none.yaml"),
        (("run", "grid.yaml", "--set", "epoch=2"), "did you mean 'epochs'?"),
        (("run", "grid.yaml", "--only", "optimizer=sgq"), "did you mean 'sgd'?"),
        (("run", "grid.yaml", "--jobs", "1000"), "1000 jobs of 1 threads need 1000 cores"),
        (("run", "grid.yaml", "--set", "dataset=cifar10", "--data", "empty"), "xsam-bench data prepare cifar10"),
        (("status",), "no grid here"),
        (("report", "other"), "no grid here"),
        (("logs", "0123"), "no grid here"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(bench: Bench, arguments: tuple[str, ...], message: str) -> None:
    bench.write_grid(SMALL)
    before = tree(bench.folder)
    process = bench.start(*arguments)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 2, output + error
    assert output == ""
    assert error.startswith("xsam-bench: ")
    assert message in error
    assert error.count("\n") == 1
    assert tree(bench.folder) == before


def test_every_verb_helps_with_an_example(bench: Bench) -> None:
    top = bench("--help")
    for verb in ("plan", "run", "status", "failures", "logs", "report", "data"):
        assert verb in top
        assert "Usage" in bench(verb, "--help")
    for verb in ("plan", "run", "status", "failures", "logs", "report"):
        assert f"xsam-bench {verb}" in bench(verb, "--help").partition("Example:")[2]


FACTS = ("/100", "loss", "val accuracy", "left")  # of a run in its second epoch


@pytest.mark.slow
def test_a_terminal_gets_a_live_display(bench: Bench) -> None:
    grid = bench.write_grid(SMALL.replace("epochs: 2", "epochs: 100"))
    bench.gate.hold(epoch=1)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "xsam.cli.main", "run", str(grid), "--only", "seed=0", "--jobs", "1"],
        cwd=bench.folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", "TERM": "xterm", **bench.gate.environment},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown, held = b"", True
    with contextlib.suppress(OSError):  # how the end of a terminal reads
        while part := os.read(master, 65536):
            shown += part
            if held and all(fact in shown.decode(errors="ignore") for fact in FACTS):
                bench.gate.open()
                held = False
    os.close(master)
    assert process.wait() == 0
    assert "3/3 runs" in shown.decode()
    assert "test accuracy" not in shown.decode()
