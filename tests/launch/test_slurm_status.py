"""Why runs are not finished, for every answer that SLURM can give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.launch.standin import StandIn, squeue_output
from xsam.grid.spec import RunSpec
from xsam.launch.cancel import cancel_jobs
from xsam.launch.launcher import explain
from xsam.launch.ledger import Array, Ledger
from xsam.launch.slurm_arrays import uncovered
from xsam.launch.status import RunStatus, survey
from xsam.runner.order import WorkOrder
from xsam.store.layout import GridFolder

RUNS = tuple(
    RunSpec("vision", "sgd", "sgd", {"seed": seed, "model": "mlp", "dataset": "digits"}, 1) for seed in range(12)
)
NAME = "xsam-a-0"


def submitted(results: Path, shares: int = len(RUNS), job: str | None = "7", launch: str = "a") -> GridFolder:
    """A grid whose runs were submitted, one a job, as elements of the array 7."""
    folder = GridFolder(results, "grid")
    ids = tuple(run.run_id for run in RUNS)
    order = WorkOrder(results, "grid", ids, Path("data"), launch)
    array = Array(f"xsam-{launch}-0", job, tuple((run_id,) for run_id in ids[:shares]))
    Ledger(order, "profile", (array,)).write()
    return folder


def whys(folder: GridFolder) -> list[RunStatus]:
    (states,) = explain([(folder, survey(folder, RUNS))])
    return states


def element(
    index: int, state: str, restarts: int = 0, reason: str = "None"
) -> tuple[str, str, str, str, int, str, str]:
    number = "7" if state == "PENDING" else str(100 + index)
    return ("7", str(index), number, state, restarts, reason, NAME)


def test_every_cause_has_its_words_and_costs_two_calls(tmp_path: Path, slurm: StandIn) -> None:
    folder = submitted(tmp_path, shares=11)
    slurm.command(
        "squeue",
        squeue_output(
            [
                element(0, "PENDING", reason="Resources"),
                element(1, "RUNNING"),
                element(2, "PENDING", restarts=1, reason="Priority"),
                element(3, "RUNNING", restarts=2),
                element(4, "TIMEOUT"),
            ]
        ),
    )
    slurm.command(
        "sacct",
        "7_2|PREEMPTED|0:0\n7_2|PENDING|0:0\n7_3|TIMEOUT|0:0\n7_3|NODE_FAIL|1:0\n7_3|RUNNING|0:0\n"
        "7_5|OUT_OF_MEMORY|0:125\n7_6|CANCELLED by 0|0:15\n7_7|FAILED|9:0\n7_8|NODE_FAIL|1:0\n7_9|COMPLETED|0:0\n",
    )
    job_files = folder.launches / "a"
    job_files.mkdir(parents=True)
    (job_files / "7_7_0_log.err").write_text("Traceback\nMemoryError: no\nsrun: error: task 0 exited\n")

    states = whys(folder)
    assert [state.why for state in states] == [
        "pending (Resources)",
        "waits for its turn in job 7_1",
        "preempted, pending (Priority)",
        "node failed, waits for its turn in job 7_3",
        "timed out (job 7_4)",
        "out of memory (job 7_5)",
        "cancelled (job 7_6)",
        "job failed (job 7_7, exit 9:0): MemoryError: no",
        "node failed (job 7_8)",
        "its job ended without it (job 7_9)",
        "cancelled before it started",
        "never started",
    ]
    assert [state.lost for state in states] == [False] * 4 + [True] * 7 + [False]
    assert (len(slurm.calls("squeue")), len(slurm.calls("sacct"))) == (1, 1)


def test_accounts_are_asked_only_about_what_the_queue_does_not_explain(tmp_path: Path, slurm: StandIn) -> None:
    folder = submitted(tmp_path)
    slurm.command("squeue", squeue_output([element(index, "PENDING", reason="Priority") for index in range(12)]))
    slurm.command("sacct", status=1)
    assert {state.why for state in whys(folder)} == {"pending (Priority)"}
    assert slurm.calls("sacct") == []


def test_no_answer_is_said_and_nothing_is_submitted_in_the_dark(tmp_path: Path, slurm: StandIn) -> None:
    from xsam.launch.cluster import ClusterError

    folder = submitted(tmp_path)
    slurm.command("squeue", status=1)
    slurm.command("sacct", status=1)
    assert {state.why for state in whys(folder)} == {"SLURM gives no answer"}
    with pytest.raises(ClusterError, match="squeue gives no answer"):
        uncovered(folder, [run.run_id for run in RUNS])


def test_a_cluster_without_accounts(tmp_path: Path, slurm: StandIn) -> None:
    folder = submitted(tmp_path)
    slurm.command("squeue")
    slurm.command("sacct", status=1)
    assert {state.why for state in whys(folder)} == {"gone from the queue, and the cluster keeps no accounts"}


def test_a_submission_that_was_cut_short(tmp_path: Path, slurm: StandIn) -> None:
    folder = submitted(tmp_path, job=None)
    slurm.command("squeue", squeue_output([("9", "0", "9", "PENDING", 0, "Priority", "somebody-elses")]))
    slurm.command("sacct")
    assert {state.why for state in whys(folder)} == {"never started: the submission was cut short"}


def test_only_runs_that_no_job_will_do_are_submitted(tmp_path: Path, slurm: StandIn) -> None:
    folder = submitted(tmp_path, job=None)  # found by its name
    slurm.command(
        "squeue",
        squeue_output([element(0, "PENDING"), element(1, "RUNNING"), element(2, "COMPLETING"), element(3, "FAILED")]),
    )
    ids = [run.run_id for run in RUNS]
    assert uncovered(folder, ids) == tuple(ids[3:])


def test_the_newest_submission_explains_a_run(tmp_path: Path, slurm: StandIn) -> None:
    folder = submitted(tmp_path)
    submitted(tmp_path, job="8", launch="b")
    slurm.command("squeue", squeue_output([("8", "0", "8", "PENDING", 0, "Priority", "xsam-b-0")]))
    slurm.command("sacct", "7_0|CANCELLED|0:0\n")
    assert whys(folder)[0].why == "pending (Priority)"


def test_cancel_ends_the_grids_jobs_and_no_others(tmp_path: Path, slurm: StandIn) -> None:
    folder = submitted(tmp_path)
    others = ("9", "0", "9", "RUNNING", 0, "None", "another")
    slurm.command("squeue", squeue_output([element(0, "PENDING"), element(1, "RUNNING"), element(2, "FAILED"), others]))
    slurm.command("scancel")
    assert cancel_jobs(folder) == ["7_0", "7_1"]
    assert slurm.calls("scancel") == ["7_0 7_1"]


def test_a_ledger_reads_as_it_was_written(tmp_path: Path) -> None:
    folder = submitted(tmp_path)
    (path,) = folder.launches.glob("*.json")
    ledger = Ledger.read(path, tmp_path)
    assert ledger.order == replace(ledger.order, launch="a", grid="grid", results=tmp_path)
    assert ledger.order.run_ids == tuple(run.run_id for run in RUNS)
    assert [ledger.arrays[0].element(index) for index in (0, 11)] == ["7_0", "7_11"]
