"""How long a grid of 10,000 runs takes to plan, and to submit to a cluster.

Both are the real command in a process of its own, from its start to its end. ``sbatch`` and the other commands of
SLURM are stand-ins that answer at once and count their calls, so that the time is this project's and submitit's alone:
one run a job, in arrays of at most 1,000.

Targets:
    plan_10000_seconds    ≤ 2
    submit_10000_seconds  ≤ 60
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Target, finish, options

TARGETS = {"plan_10000_seconds": Target(2.0), "submit_10000_seconds": Target(60.0)}
RUNS = 10_000
ROUNDS = 3
GRID = """
name: large
task: vision
matrix:
  model: [mlp, resnet8]
  dataset: [digits]
  optimizer: [sgd, sam, xsam, {sgd_plus: {method: xsam, alpha: 0}}]
  lr: [0.01, 0.02, 0.05, 0.1, 0.2]
  seed: {count: 250}
params: {epochs: 30, batch_size: 64}
"""
PROFILE = "time: 60\nmem: 2G\n"
# Each stand-in is a shell script; only sbatch has something to do: to hand out numbers.
COMMANDS = {
    "sbatch": """case "$*" in *--test-only*) exit 0 ;; esac
echo submission >> "$0.calls"
echo "Submitted batch job $((1000 + $(wc -l < "$0.calls")))"
""",
    "srun": "",
    "squeue": "",
    "scontrol": 'echo "MaxArraySize = 1001"',
}


def prepare(folder: Path) -> dict[str, str]:
    """Write the grid, the profile and the stand-ins; returns the environment in which they are SLURM."""
    (folder / "grid.yaml").write_text(GRID, encoding="utf-8")
    (folder / "profile.yaml").write_text(PROFILE, encoding="utf-8")
    commands = folder / "commands"
    commands.mkdir()
    for name, body in COMMANDS.items():
        path = commands / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
    return {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def timed(folder: Path, environment: dict[str, str], *arguments: str) -> float:
    """Seconds that the command takes."""
    command = [sys.executable, "-m", "xsam.cli.main", *arguments]
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure() -> dict[str, float]:
    """The medians of both commands."""
    plan, submit = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            environment = prepare(folder)
            plan.append(timed(folder, environment, "plan", "grid.yaml"))
            more = ("--launcher", "slurm", "--profile", "profile.yaml", "--detach")
            submit.append(timed(folder, environment, "run", "grid.yaml", *more))
            pickles = len(list(folder.glob("results/large/launch/*/*_submitted.pkl")))
            arrays = len((folder / "commands" / "sbatch.calls").read_text().splitlines())
            assert (pickles, arrays) == (RUNS, RUNS // 1000), f"{pickles} jobs in {arrays} arrays"
    return {"plan_10000_seconds": statistics.median(plan), "submit_10000_seconds": statistics.median(submit)}


def main() -> None:
    arguments = options(__doc__).parse_args()
    finish(measure(), TARGETS, arguments)


if __name__ == "__main__":
    main()
