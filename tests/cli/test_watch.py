"""``xsam-bench watch`` on runs that a gate holds in the middle of training."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys

import pytest

from tests.cli.conftest import GRID
from tests.conftest import Bench, as_in_a_terminal
from tests.waiting import wait_until
from xsam.cli.watch import curves
from xsam.store import GridFolder


def test_a_finished_grid_is_told_in_one_look_that_writes_nothing(stored: Bench) -> None:
    before = {path: path.stat().st_mtime_ns for path in stored.results.rglob("*")}
    said = stored("watch", "small", "--once")
    assert "6 done" in said
    assert "left" not in said
    assert {path: path.stat().st_mtime_ns for path in stored.results.rglob("*")} == before
    assert "did you mean 'small'?" in stored("watch", "smal", status=2)


def test_a_curve_that_cannot_be_read_is_none(stored: Bench) -> None:
    folder = GridFolder(stored.results, "small")
    path = folder.progress("0")
    path.parent.mkdir(parents=True)
    for text in ("", "[]", '{"curve": 3}', '{"curve": {"val_accuracy": 3}}'):
        path.write_text(text)
        assert curves(folder, "0") == {}
    path.write_text('{"curve": {"val_accuracy": [1, null, "x", 2.5]}}')
    assert curves(folder, "0") == {"val_accuracy": [1.0, None, None, 2.5]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("val_fraction", "metric", "shown"),
    [(0.2, "test_accuracy", "val accuracy"), (0.2, "test_loss", "val loss"), (0, "test_accuracy", "train loss")],
)
def test_a_running_grid_shows_validation_and_never_the_test_set(
    bench: Bench, val_fraction: float, metric: str, shown: str
) -> None:
    text = GRID.replace("epochs: 2", f"epochs: 5000, val_fraction: {val_fraction}")
    grid = bench.write_grid(f"{text}report: {{metric: {metric}}}\n")
    bench.gate.hold(epoch=4000)
    bench("run", grid, "--only", "seed=0", "--only", "optimizer=sgd", "--jobs", 1, "--detach")
    folder = GridFolder(bench.results, "small")
    run_id = next(iter(wait_until(folder.started, "a run that was started")))
    wait_until(lambda: curves(folder, run_id), "a curve", every=0.1)
    said = bench("watch", "small", "--once")
    told = json.loads(folder.progress(run_id).read_text())
    assert "1 running" in said
    assert run_id[:8] in said
    assert shown in said
    assert "test" not in said
    assert not any("test" in name for name in told["curve"])
    for verb in (("status", "small"), ("status", "small", "--json"), ("logs", run_id)):
        said = bench(*verb).replace("_", " ")
        assert shown.removeprefix("train ") in said
        assert "test accuracy" not in said
        assert "test loss" not in said

    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "xsam.cli.main", "watch", "small", "--every", "0.5"],
        cwd=bench.folder,
        env={**os.environ, "COLUMNS": "160", "TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=as_in_a_terminal,
    )
    os.close(slave)
    seen = b""
    with contextlib.suppress(OSError):
        while shown not in seen.decode(errors="ignore"):
            seen += os.read(master, 65536)
    process.send_signal(2)
    assert process.wait(60) == 0, "Ctrl-C ends the display"
    os.close(master)
    assert "test" not in seen.decode(errors="ignore")
    bench("cancel", "small")
    bench.gate.open()
