"""Failures of ``sbatch`` that pass, answers that get lost, and submissions that are cut short."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from submitit.core.utils import DelayedSubmission

from tests.launch.standin import StandIn, squeue_output
from xsam.grid.spec import RunSpec
from xsam.launch import cluster, squeue
from xsam.launch import slurm_arrays as launcher
from xsam.launch.cluster import ClusterError
from xsam.launch.ledger import ledgers
from xsam.launch.profile import Profile
from xsam.runner.order import WorkOrder

RUNS = tuple(
    RunSpec("vision", "sgd", "sgd", {"seed": seed, "model": "mlp", "dataset": "digits"}, 1) for seed in range(6)
)
TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
BUSY = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"
ACCEPT = 'echo "Submitted batch job $((1000 + $(grep -vc test-only "$0.calls")))"'


def pending(name: str) -> tuple[str, str, str, str, int, str, str]:
    return ("77", "0", "77", "PENDING", 0, "Priority", name)


@pytest.fixture
def order(tmp_path: Path) -> WorkOrder:
    return WorkOrder(tmp_path / "results", "grid", tuple(run.run_id for run in RUNS), tmp_path / "data", "a")


@pytest.fixture(autouse=True)
def _reachable(slurm: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "RETRY_PAUSES", (0.0, 0.0, 0.0))
    for name in ("squeue", "srun"):
        slurm.command(name)
    slurm.command("scontrol", "MaxArraySize            = 1001\n")


def sbatch(stand_in: StandIn, body: str) -> None:
    """What ``sbatch`` does with submissions; ``$n`` counts them."""
    count = 'n=$(grep -vc test-only "$0.calls")'
    stand_in.script("sbatch", f'case "$*" in *--test-only*) exit 0 ;; esac\n{count}\n{body}')


def submissions(stand_in: StandIn) -> list[str]:
    return [call for call in stand_in.calls("sbatch") if "--test-only" not in call]


@pytest.mark.parametrize("message", [TIMED_OUT, BUSY])
def test_a_passing_failure_is_tried_again(slurm: StandIn, order: WorkOrder, message: str) -> None:
    sbatch(slurm, f'[ $n -lt 3 ] && {{ echo "{message}" >&2; exit 1; }}\n{ACCEPT}')
    assert slurm_submit(order) == ["1003"]
    assert len(submissions(slurm)) == 3
    assert len(list(order.place.glob("*.pkl"))) == 3, "those of refused submissions are gone"


def slurm_submit(order: WorkOrder, **profile: int) -> list[str]:
    return launcher.submit(order, RUNS, Profile("mine", runs_per_job=2, **profile))


def test_an_array_that_was_taken_though_the_answer_got_lost_is_not_submitted_twice(
    slurm: StandIn, order: WorkOrder
) -> None:
    sbatch(slurm, f'echo "{TIMED_OUT}" >&2; exit 1')
    slurm.command("squeue", squeue_output([pending("xsam-a-0")]))
    assert slurm_submit(order) == ["77"]
    assert len(submissions(slurm)) == 1
    left = [DelayedSubmission.load(order.place / f"77_{index}_submitted.pkl") for index in range(3)]
    assert [one.args[0] for one in left] == [order.part(order.run_ids[start : start + 2]) for start in (0, 2, 4)]
    (ledger,) = ledgers(order.folder)
    assert [array.job for array in ledger.arrays] == ["77"]


def test_while_the_queue_cannot_be_seen_nothing_is_submitted_a_second_time(slurm: StandIn, order: WorkOrder) -> None:
    sbatch(slurm, f'echo "{TIMED_OUT}" >&2; exit 1')
    slurm.command("squeue", status=1)
    with pytest.raises(ClusterError, match="squeue gives no answer"):
        slurm_submit(order)
    assert len(submissions(slurm)) == 1


def test_what_does_not_pass_is_tried_once(slurm: StandIn, order: WorkOrder) -> None:
    sbatch(slurm, 'echo "sbatch: error: Batch job submission failed: Invalid account" >&2; exit 1')
    with pytest.raises(ClusterError, match=r"the cluster refuses: sbatch: error: .*Invalid account$"):
        slurm_submit(order)
    assert len(submissions(slurm)) == 1


def test_a_submission_that_is_cut_short_says_what_is_in_the_queue(slurm: StandIn, order: WorkOrder) -> None:
    limit = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
    sbatch(slurm, f'[ $n -gt 1 ] && {{ echo "{limit}" >&2; exit 1; }}\n{ACCEPT}')
    with pytest.raises(ClusterError) as caught:
        slurm_submit(order, max_array_size=2)
    said = f"the cluster refuses: {limit}; 4 of 6 runs are in job 1001, and the same command submits the rest"
    assert str(caught.value) == said
    rows = [("1001", str(index), "1001", "PENDING", 0, "Priority", "xsam-a-0") for index in range(2)]
    slurm.command("squeue", squeue_output(rows))
    squeue.forget()
    assert launcher.uncovered(order.folder, order.run_ids) == order.run_ids[4:]


def test_the_jobs_see_their_launchs_runs_whatever_another_launch_writes(slurm: StandIn, order: WorkOrder) -> None:
    sbatch(slurm, ACCEPT)
    slurm_submit(order)
    replace(order, launch="b").write_snapshot(RUNS[:1])
    (order.folder.root / "grid.json").write_text("{}")
    part = DelayedSubmission.load(order.place / "1001_2_submitted.pkl").args[0]
    assert part.snapshot()[part.run_ids[0]] == RUNS[4]
    assert order.place.stat().st_mode & 0o777 == 0o700
