"""What happens to jobs: every run is finished with at most one more ``run``, and ``status`` said what had happened."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch

from tests.conftest import Bench
from tests.slurm.conftest import Launch, ask, wait_until
from tests.stored import Numbers
from xsam.runner import checkpoint
from xsam.runner.checkpoint import Identity
from xsam.store import read


def parent_of(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("PPid"))
    return int(line.split()[1])


def only(launch: Launch) -> tuple[int, str]:
    """Process and job of the one run that is in training."""
    (record,) = launch.training().values()
    return record.holder.pid, record.holder.job


def test_a_killed_worker_is_replaced_within_its_job(bench: Bench, undisturbed: Numbers) -> None:
    launch = Launch(bench, "worker")
    launch.hold()
    launch.submit()
    disturbed = launch.training()
    pid, _ = only(launch)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: [pid] not in launch.gate.held().values() and launch.gate.held(), "another worker")
    launch.release()
    launch.settle()
    launch.check(undisturbed, disturbed)


def test_a_killed_job_is_submitted_again(bench: Bench, undisturbed: Numbers) -> None:
    launch = Launch(bench, "killed")
    launch.hold()
    launch.submit()
    disturbed = launch.training()
    pid, _ = only(launch)
    os.kill(parent_of(pid), signal.SIGKILL)
    wait_until(lambda: all("job failed" in why for why in launch.why()), "failed in status")
    assert "exit 9:0" in bench("failures", "killed", status=1)
    launch.release()
    assert "submitted 4 runs" in launch.finish()
    launch.check(undisturbed, disturbed)


def test_a_cancelled_job_is_submitted_again(bench: Bench, undisturbed: Numbers) -> None:
    launch = Launch(bench, "cancelled", parallelism=1, runs_per_job=2)
    launch.hold()
    launch.submit()
    disturbed = launch.training()
    assert "submitted 0 runs; 4 are waiting or running already" in launch.submit()
    wait_until(lambda: launch.states()[0].get("progress"), "progress in status")
    states = launch.states()
    assert [state["status"] for state in states] == ["running", "pending", "pending", "pending"]
    assert states[0]["progress"]["eta_seconds"] > 0
    assert "waits for its turn" in states[1]["why"]
    assert [state["why"] for state in states[2:]] == ["pending (JobArrayTaskLimit)"] * 2
    _, job = only(launch)
    array = ask("squeue", "--noheader", "--jobs", job, "--format=%F").split()[0]
    ask("scancel", f"{array}_1")
    wait_until(lambda: all("cancelled" in why for why in launch.why()[2:]), "the waiting one cancelled in status")
    ask("scancel", f"{array}_0")
    wait_until(lambda: all("cancelled" in why for why in launch.why()), "both cancelled in status")
    assert bench("failures", "cancelled", status=1).count("cancelled") >= 4
    launch.release()
    assert "submitted 4 runs" in launch.finish()
    launch.check(undisturbed, disturbed)


def test_a_requeued_job_goes_on_by_itself(bench: Bench, undisturbed: Numbers) -> None:
    launch = Launch(bench, "requeued")
    launch.hold()
    launch.submit()
    disturbed = launch.training()
    _, job = only(launch)
    ask("scontrol", "requeue", job)
    wait_until(lambda: any(why.startswith("requeued, ") for why in launch.why()), "requeued in status")
    launch.release()
    launch.settle()
    launch.check(undisturbed, disturbed)


def test_a_preempted_job_goes_on_by_itself(bench: Bench, undisturbed: Numbers) -> None:
    launch = Launch(bench, "preempted", partition="low")
    launch.hold()
    launch.submit()
    disturbed = launch.training()
    urgent = ask("sbatch", "--parsable", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 300").strip()
    wait_until(lambda: any("pending (" in why for why in launch.why()), "pending in status")
    wait_until(lambda: any(why.startswith(("preempted, ", "requeued, ")) for why in launch.why()), "why in status")
    ask("scancel", urgent)
    launch.release()
    launch.settle()
    launch.check(undisturbed, disturbed)


def test_a_lost_node_costs_nothing(bench: Bench, undisturbed: Numbers) -> None:
    launch = Launch(bench, "lost")
    launch.hold()
    launch.submit()
    disturbed = launch.training()
    _, job = only(launch)
    node = ask("squeue", "--noheader", "--jobs", job, "--format=%N").strip()
    ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        wait_until(lambda: any(why.startswith("node failed, ") for why in launch.why()), "node failed in status")
        launch.release()
        launch.settle()
    finally:
        ask("scontrol", "update", f"nodename={node}", "state=resume")
    launch.check(undisturbed, disturbed)


def test_jobs_at_their_time_limit(bench: Bench, undisturbed: Numbers) -> None:
    """One hears the warning and goes on by itself, the other is too busy to hear it and says what happened."""
    # SLURM looks every 30 s and warns that much too early; the late one must be busy before.
    late, warned = (Launch(bench, name, time=time, warn_seconds=10) for name, time in (("late", 2), ("warned", 1)))
    late.hold()
    late.submit()
    disturbed = {late: late.training()}
    late.hold(deaf=True)
    warned.hold()
    warned.submit()
    disturbed[warned] = warned.training()
    _, job = only(warned)
    shown = ("squeue", "--noheader", "--jobs", job, "--Format=RestartCnt")
    wait_until(lambda: ask(*shown).split() == ["1"], "requeued by itself")
    warned.release()
    wait_until(lambda: all("timed out" in why for why in late.why()), "timed out in status")
    assert "timed out" in bench("failures", "late", status=1)
    warned.settle()
    late.release()
    late.finish()
    for launch in (warned, late):
        launch.check(undisturbed, disturbed[launch])


def test_a_foreign_checkpoint_is_set_aside(bench: Bench) -> None:
    launch = Launch(bench, "foreign")
    launch.hold()
    launch.submit("--only", "seed=0", "--only", "optimizer=sgd")
    (run_id,) = launch.training()
    bench("cancel", "foreign")
    wait_until(lambda: all("cancelled" in why for why in launch.why()[:1]), "cancelled in status")
    path = launch.folder.checkpoint(run_id)
    checkpoint.write(path, Identity(run_id, "of other data"), torch.load(path, weights_only=True))
    launch.release()
    bench("run", launch.grid, *launch.options, "--only", "seed=0", "--only", "optimizer=sgd")
    (row,) = read(bench.results, grids=["foreign"]).to_dict("records")
    assert "made with data_checksum of other data" in row["note"]
    assert row["resumed_from_step"] == 0


def test_a_front_end_that_died_between_submission_and_ledger_loses_no_job(bench: Bench) -> None:
    launch = Launch(bench, "cut")
    launch.hold()
    launch.submit()
    (path,) = launch.folder.launches.glob("*.json")
    path.write_text(path.read_text().replace('"job": "', '"job": null, "was": "'))
    assert "4 are waiting or running already" in launch.submit()
    launch.training()
