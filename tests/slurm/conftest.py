"""A real SLURM for the tests of this folder, and what they do with it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from tests import waiting
from tests.conftest import Bench
from tests.gate import HOOK, Gate
from tests.stored import Numbers, assert_same_numbers, numbers
from xsam.grid import Grid
from xsam.runner import lease
from xsam.store import read
from xsam.store.layout import GridFolder

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "slurm" / "dev-cluster.sh"
DAEMONS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd")
MAX_ARRAY_SIZE = 7
PATIENCE = waiting.PATIENCE

GRID = """
name: GRIDNAME
task: vision
matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: [sgd, xsam]
  seed: [0, 1]
params: {hidden: [16], epochs: 4, batch_size: 128, lr: 0.05}
"""
EPOCH, STEP = 1, 5  # where runs are held


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slurm)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.alone)
            item.add_marker(pytest.mark.needs(*DAEMONS))


@pytest.fixture(scope="session")
def cluster(worker_id: str) -> Iterator[None]:
    """The cluster of slurm/dev-cluster.sh, in a folder of its own; this process and its children talk to it."""
    folder = tempfile.mkdtemp(prefix="xs")
    settings = {
        **os.environ,
        "DEVCLUSTER_DIR": folder,
        "DEVCLUSTER_PORT": str(_free_ports(worker_id)),
        "DEVCLUSTER_MAX_ARRAY": str(MAX_ARRAY_SIZE),
        "DEVCLUSTER_CPUS": "2",
    }
    try:
        subprocess.run([SCRIPT, "up"], env=settings, check=True, timeout=PATIENCE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", f"{folder}/etc/slurm.conf")
            yield
    finally:
        subprocess.run([SCRIPT, "down", "--purge"], env=settings, check=True, timeout=PATIENCE)


@pytest.fixture(autouse=True)
def _nothing_left_for_the_next_test(cluster: None) -> Iterator[None]:
    yield
    ask("scancel", "--user", str(os.getuid()))
    wait_until(lambda: not ask("squeue", "--noheader"), "an empty queue")


def _free_ports(worker_id: str) -> int:
    """The first of a row of ports that nobody listens on."""
    first = 29000 + 1000 * int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 29000
    for start in range(first, first + 1000, 10):
        try:
            for port in range(start, start + 10):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return start
    pytest.fail("no ten free ports in a row")


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """This process's name among those of pytest-xdist, which defines it only where it is in use."""
    return os.environ.get("PYTEST_XDIST_WORKER", "master")


def ask(*command: str) -> str:
    """A command's standard output."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout


def wait_until(found: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """As :func:`tests.waiting.wait_until`; says how the queue stands where it was in vain."""
    try:
        return waiting.wait_until(found, what, seconds, every=0.3)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{ask('squeue', '--states=all')}") from None


class Launch:
    """A grid on the cluster, whose runs can be held."""

    def __init__(self, bench: Bench, name: str, text: str = GRID, **profile: Any) -> None:
        self.bench = bench
        self.folder = GridFolder(bench.results, name)
        self.grid = bench.write_grid(text.replace("GRIDNAME", name), f"{name}.yaml")
        self.gate = Gate(bench.folder.parent / f"{name}.gate")
        self.profile = bench.folder / f"{name}-profile.yaml"
        paths = f"PYTHONPATH={quote(str(HOOK))}${{PYTHONPATH:+:$PYTHONPATH}}"
        gate = f"XSAM_TEST_GATE={quote(str(self.gate.folder))}"
        setup = [f"export {paths} {gate}", *profile.pop("setup", [])]
        content = {"time": 10, "mem": "600M", "warn_seconds": 20, "runs_per_job": 4, **profile, "setup": setup}
        self.profile.write_text(json.dumps(content), encoding="utf-8")
        self.options = ("--launcher", "slurm", "--profile", self.profile, "--checkpoint-seconds", "0")

    def hold(self, deaf: bool = False) -> None:
        """Hold runs in their second epoch; ``deaf``: even those that are asked to stop."""
        self.gate.hold(EPOCH, STEP, deaf=deaf)

    def release(self) -> None:
        """Let them go on."""
        self.gate.open()

    def submit(self, *more: object) -> str:
        return self.bench("run", self.grid, *self.options, "--detach", *more)

    def finish(self, *more: object) -> str:
        """The same command again, to the end."""
        return self.bench("run", self.grid, *self.options, *more)

    def states(self) -> list[dict[str, Any]]:
        """What ``status`` says of each run."""
        shown: list[dict[str, Any]] = json.loads(self.bench("status", self.folder.name, "--json"))[self.folder.name]
        return shown

    def why(self) -> list[str]:
        return [state["why"] for state in self.states()]

    def run_ids(self) -> list[str]:
        return [run.run_id for run in Grid.load(self.folder.grid_json).runs]

    def holders(self) -> dict[str, lease.Record]:
        """Run id → lease, of the runs that are trained now."""
        found = {}
        for run_id in self.run_ids():
            _, record, held = lease.current(self.folder.leases(run_id))
            if held and record is not None:
                found[run_id] = record
        return found

    def training(self, count: int = 1) -> dict[str, lease.Record]:
        """Wait until so many runs are held, each with a checkpoint in the middle of its work."""
        wait_until(lambda: len(self.gate.held()) >= count, f"{count} runs in training")
        held = self.holders()
        assert {run_id: [record.holder.pid] for run_id, record in held.items()} == self.gate.held()
        assert all(self.folder.checkpoint(run_id).exists() for run_id in held)
        return held

    def settle(self) -> None:
        """Wait until the jobs that are there have finished everything, without another ``run``."""
        runs = self.folder.singles("runs")
        wait_until(lambda: len(list(runs.glob("*.parquet"))) == len(self.run_ids()), "all runs finished")

    def check(self, expected: Numbers, disturbed: Mapping[str, lease.Record] | None = None) -> None:
        """All numbers are those of an undisturbed local run; each run was trained once, those disturbed went on."""
        assert_same_numbers(self.bench.results, expected, self.folder.name)
        rows = read(self.bench.results, grids=[self.folder.name]).set_index("run_id")
        for run_id in self.run_ids():
            assert self.folder.log(run_id).read_text().count("INFO done") == 1
        for run_id in disturbed or {}:
            assert rows.loc[run_id, "resumed_from_step"] > 0
            assert rows.loc[run_id, "attempts"] == 2


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    """The numbers of ``GRID`` from a plain local run."""
    bench = Bench(tmp_path_factory.mktemp("undisturbed"))
    bench("run", bench.write_grid(GRID.replace("GRIDNAME", "plain")))
    return numbers(bench.results)
