"""Submissions whose answer gets lost, to a real SLURM that took them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import Bench
from tests.slurm.conftest import Launch, ask
from tests.stored import Numbers


@pytest.mark.parametrize("runs_per_job", [2, 4])
def test_a_submission_whose_answer_got_lost_is_adopted_and_its_jobs_find_their_work(
    bench: Bench, undisturbed: Numbers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs_per_job: int
) -> None:
    real, commands = shutil.which("sbatch"), tmp_path / "commands"
    commands.mkdir()
    (commands / "sbatch").write_text(
        f'#!/bin/sh\n{real} "$@" || exit\ncase "$*" in *--test-only*) exit 0 ;; esac\necho asked >> "$0.calls"\n'
        'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2\nexit 1\n'
    )
    (commands / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    launch = Launch(bench, f"lost{runs_per_job}", runs_per_job=runs_per_job)
    launch.hold()
    assert "submitted 4 runs as job " in launch.submit()
    assert (commands / "sbatch.calls").read_text().count("asked") == 1
    jobs = ask("squeue", "--noheader", "--array", "--format=%j").split()
    assert len([job for job in jobs if job.startswith("xsam-")]) == 4 // runs_per_job
    launch.release()
    launch.settle()
    launch.check(undisturbed)
