"""Arrays, packing, devices, profiles and limits on a real SLURM."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bench
from tests.runner import test_tracking
from tests.slurm.conftest import MAX_ARRAY_SIZE, PATIENCE, Launch, ask, wait_until
from tests.stored import numbers
from xsam.store import read

MANY = """
name: GRIDNAME
task: vision
matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: [sgd, sam]
  seed: {count: 60}
params: {hidden: [8], epochs: 1, batch_size: 256, lr: 0.05}
"""


def environment(pid: int) -> dict[str, str]:
    """What a process was started with."""
    text = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)


def test_120_runs_survive_their_front_end_and_equal_local_ones(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    launch = Launch(bench, "many", MANY, runs_per_job=30)
    launch.gate.hold()
    front_end = bench.start("run", launch.grid, *launch.options)
    wait_until(lambda: any('"job": "' in path.read_text() for path in launch.folder.launches.glob("*.json")), "a job")
    os.killpg(front_end.pid, signal.SIGKILL)
    front_end.communicate()
    launch.release()

    plain = Bench(tmp_path_factory.mktemp("plain"))
    plain("run", plain.write_grid(MANY.replace("GRIDNAME", "many")))
    launch.settle()
    assert [state["status"] for state in launch.states()] == ["done"] * 120
    launch.check(numbers(plain.results))
    assert set(read(bench.results)["attempts"]) == {1}


def test_more_jobs_than_an_array_may_have_are_several_arrays(bench: Bench) -> None:
    text = MANY.replace("{count: 60}", f"{{count: {MAX_ARRAY_SIZE + 1}}}").replace("[sgd, sam]", "[sgd]")
    launch = Launch(bench, "split", text, runs_per_job=1)
    shown = launch.finish()
    arrays = shown.partition("as job ")[2].splitlines()[0].split(", ")
    assert len(arrays) == 2
    assert (read(bench.results)["status"] == "done").all()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"cpus": 64}, "node configuration is not available"),
        ({"time": "9-00:00"}, "Partition(TimeLimit|Config)"),  # the main scheduler's word, and backfill's
        ({"partition": "gpu"}, "Invalid partition"),
        ({"constraint": "a100"}, "Invalid feature"),
    ],
)
def test_what_the_cluster_cannot_give_is_reported_at_once(
    bench: Bench, request_: dict[str, object], message: str
) -> None:
    launch = Launch(bench, "impossible", MANY, **request_)
    shown = bench("run", launch.grid, *launch.options, "--detach", status=2)
    assert re.search(message, shown)
    assert "'impossible-profile'" in shown
    assert "xsam-" not in ask("squeue", "--noheader", "--format=%j")


def test_each_run_of_a_job_has_a_gpu_of_its_own(bench: Bench) -> None:
    launch = Launch(bench, "devices", runs_per_job=2, cpus=2, gpus=2)
    launch.hold()
    launch.submit()
    held = launch.training(4)
    environments = [environment(record.holder.pid) for record in held.values()]
    devices = sorted((one["SLURMD_NODENAME"], one["CUDA_VISIBLE_DEVICES"]) for one in environments)
    assert devices == [("n1", "0"), ("n1", "1"), ("n2", "0"), ("n2", "1")]
    launch.release()
    launch.settle()


def test_nodes_without_network_with_scratch_of_their_own(bench: Bench, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    launch = Launch(
        bench,
        "node",
        runs_per_job=2,
        container="unshare --net" if os.getuid() == 0 else "unshare --user --net",
        scratch=f"{scratch}/$SLURMD_NODENAME/tmp",
        offline=True,
        options={"nodes": "1", "comment": "it's a test"},
    )
    launch.hold()
    former = os.umask(0o027)
    try:
        launch.submit()
    finally:
        os.umask(former)
    held = launch.training(2)
    for record in held.values():
        given = environment(record.holder.pid)
        assert given["TMPDIR"].startswith(f"{scratch}/{given['SLURMD_NODENAME']}/tmp/")
        assert given["HF_HUB_OFFLINE"] == "1"
        interfaces = Path(f"/proc/{record.holder.pid}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    launch.release()
    launch.settle()
    for run_id in launch.run_ids():
        assert stat.S_IMODE(launch.folder.run_file(run_id).stat().st_mode) == 0o640
    (job_files,) = (path for path in launch.folder.launches.iterdir() if path.is_dir())
    assert stat.S_IMODE(job_files.stat().st_mode) == 0o700
    wait_until(lambda: not list(scratch.glob("*/tmp/*")), "scratch is empty again")


def test_status_watches_and_logs_follow_to_the_end(bench: Bench) -> None:
    launch = Launch(bench, "watched")
    launch.hold()
    launch.submit()
    (run_id,) = launch.training()
    watch = bench.start("status", "watched", "--watch", "--every", "1")
    follow = bench.start("logs", run_id, "-f")
    with pytest.raises(subprocess.TimeoutExpired):
        follow.communicate(timeout=3)
    assert watch.poll() is None
    launch.release()
    shown, _ = watch.communicate(timeout=PATIENCE)
    assert "watched: 4 done" in shown
    log, _ = follow.communicate(timeout=PATIENCE)
    assert log == launch.folder.log(run_id).read_text()
    assert log.endswith("INFO done\n")


def test_jobs_that_run_side_by_side_record_their_runs_and_the_numbers_stay(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_tracking.needs("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    text = test_tracking.GRID.replace("VECTORISE", "")
    plain = Bench(tmp_path_factory.mktemp("plain"))
    plain("run", plain.write_grid(text))
    launch = Launch(bench, "small", text, runs_per_job=2)
    launch.finish("--track", "mlflow")
    launch.check(numbers(plain.results))
    test_tracking.check(bench.results, "mlflow", "mlflow")
