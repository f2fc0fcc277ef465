"""A large grid, submitted to stand-ins of SLURM's commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.submission import GRID, PROFILE
from tests.conftest import Bench
from tests.launch.standin import StandIn

OPTIONS = ("--launcher", "slurm", "--profile", "profile.yaml", "--detach")


@pytest.fixture
def cluster(slurm: StandIn) -> StandIn:
    slurm.script(
        "sbatch",
        'case "$*" in *--test-only*) exit 0 ;; esac\necho "Submitted batch job $((1000 + $(wc -l < "$0.calls")))"',
    )
    slurm.command("squeue")
    slurm.command("srun")
    slurm.command("scontrol", "MaxArraySize            = 1001\n")
    return slurm


def ledger(bench: Bench, grid: str) -> dict[str, list[dict[str, list[list[str]]]]]:
    (path,) = (bench.results / grid / "launch").glob("*.json")
    content: dict[str, list[dict[str, list[list[str]]]]] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.slow
def test_ten_thousand_runs_are_ten_arrays_and_none_is_forgotten(bench: Bench, cluster: StandIn) -> None:
    grid = bench.write_grid(GRID)
    (bench.folder / "profile.yaml").write_text(PROFILE, encoding="utf-8")
    assert "submitted 10000 runs" in bench("run", grid, *OPTIONS)
    submissions = [call for call in cluster.calls("sbatch") if "--test-only" not in call]
    assert len(submissions) == 10
    arrays = ledger(bench, "large")["arrays"]
    shares = [run_id for array in arrays for share in array["shares"] for run_id in share]
    planned = [run["run_id"] for run in json.loads(bench("plan", grid, "--json"))["runs"]]
    assert shares == planned
    assert len(list((bench.results / "large" / "launch").glob("*/*_submitted.pkl"))) == 10_000


def test_a_refusal_is_one_line_and_leaves_no_pickle(bench: Bench, cluster: StandIn) -> None:
    cluster.script("sbatch", 'case "$*" in *--test-only*) exit 0 ;; esac\necho "sbatch: error: not today" >&2\nexit 1')
    grid = bench.write_grid(GRID.replace("{count: 250}", "[0]"))
    (bench.folder / "profile.yaml").write_text(PROFILE, encoding="utf-8")
    shown = bench("run", grid, *OPTIONS, status=2)
    assert "not today" in shown
    assert shown.splitlines()[-1].startswith("xsam-bench: the cluster refuses: ")
    assert "Traceback" not in shown
    assert not list(Path(bench.results).rglob("*.pkl"))


def test_bad_profiles_write_nothing(bench: Bench, cluster: StandIn) -> None:
    grid = bench.write_grid(GRID)
    (bench.folder / "profile.yaml").write_text("runs_per_job: 4\nat_a_time: 2\n", encoding="utf-8")
    assert "2 runs at a time of 1 threads need 2 cpus, a job has 1" in bench("run", grid, *OPTIONS, status=2)
    assert "needs --profile FILE" in bench("run", grid, "--launcher", "slurm", status=2)
    assert not bench.results.exists()
    assert cluster.calls("sbatch") == []
