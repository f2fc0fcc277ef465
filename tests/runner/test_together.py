"""``vectorise: seeds`` through the command: rows of their own, the same bits in any company, and what is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Bench
from tests.stopping import StopAfter
from xsam.grid import load_grid
from xsam.runner.lease import Lease
from xsam.runner.order import WorkOrder
from xsam.runner.run import fresh_trainer
from xsam.runner.stop import Interrupted, StopFlag
from xsam.runner.together.run import execute
from xsam.runner.together.trainer import Together
from xsam.store import read

GRID = """
name: small
task: vision
matrix: {{optimizer: [sam, xsam], seed: {seeds}}}
params: {{model: mlp, dataset: digits, hidden: [16], epochs: 2, lr: {lr}, vectorise: seeds, label_noise: 0.1}}
"""
NUMBERS = ["test_accuracy_final", "test_loss_final", "val_accuracy_best", "forwards", "backwards"]


def test_seeds_have_rows_of_their_own_and_the_same_bits_in_any_company(bench: Bench) -> None:
    all_five = bench.write_grid(GRID.format(seeds="[0, 1, 2, 3, 4]", lr=0.05))
    assert "10 done" in bench("run", all_five, "--jobs", "1")
    rows = read(bench.results)
    assert set(rows["param_numerics"]) == {"vectorised"}
    assert set(rows["status"]) == {"done"}
    assert rows["test_loss_final"].nunique() == 10
    assert "5 seeds together" in (bench.results / "small/state" / rows["run_id"].iloc[0] / "log.txt").read_text()
    two = bench.write_grid(GRID.format(seeds="[3, 1]", lr=0.05))
    assert "4 done" in bench("run", two, "--jobs", "1", "--results", "two")
    fewer = read(bench.folder / "two").set_index("run_id")
    assert (fewer[NUMBERS] == rows.set_index("run_id").loc[fewer.index, NUMBERS]).all(axis=None)
    assert ": identical" in bench("reproduce", rows["run_id"].iloc[0])


def test_they_are_near_the_runs_by_themselves(bench: Bench) -> None:
    text = GRID.format(seeds="[0, 1, 2]", lr=0.05).replace("vectorise: seeds", "epochs: 1").replace("epochs: 2, ", "")
    axis = text.replace("{optimizer: [sam, xsam],", "{optimizer: [sam], vectorise: [none, seeds],")
    bench("run", bench.write_grid(axis), "--jobs", "1")
    rows = read(bench.results).set_index("seed").sort_index()
    kinds = [rows[rows["param_vectorise"] == kind] for kind in ("none", "seeds")]
    assert kinds[0]["test_loss_final"].tolist() == pytest.approx(kinds[1]["test_loss_final"].tolist(), rel=1e-3)
    assert kinds[0]["forwards"].tolist() == kinds[1]["forwards"].tolist()


def test_runs_that_were_stopped_end_with_the_same_bits_whatever_their_company(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID.format(seeds="[0, 1, 2]", lr=0.05).replace("[sam, xsam]", "[xsam]"))
    runs = {run.run_id: run for run in load_grid(path).runs}

    def train(name: str, ids: Sequence[str], stop: StopFlag) -> None:
        order = WorkOrder(tmp_path / name, "small", tuple(runs), tmp_path, "launch")
        leases = {run_id: Lease.acquire(order.folder.leases(run_id), "launch") for run_id in ids}
        try:
            execute({run_id: lease for run_id, lease in leases.items() if lease}, runs, order, stop)
        finally:
            for lease in leases.values():
                assert lease is not None
                lease.release()

    first, *others = runs
    train("straight", list(runs), StopFlag())
    with pytest.raises(Interrupted):
        train("stopped", list(runs), StopAfter(15))
    train("stopped", [first], StopFlag())
    train("stopped", others, StopFlag())
    straight, stopped = (read(tmp_path / name).set_index("run_id").sort_index() for name in ("straight", "stopped"))
    assert (stopped["resumed_from_step"] > 0).all()
    assert (straight[NUMBERS] == stopped[NUMBERS]).all(axis=None)


# Trains all runs of an order together, saves after every step, and dies without a word.
DIE = """
import os, signal, sys
from pathlib import Path
from xsam.grid import load_grid
from xsam.runner.lease import Lease
from xsam.runner.order import WorkOrder
from xsam.runner.stop import StopFlag
from xsam.runner.together.run import execute

class KilledAfter(StopFlag):
    looks = 40

    @property
    def requested(self):
        self.looks -= 1
        if self.looks < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    @requested.setter
    def requested(self, value):
        pass

folder = Path(sys.argv[1])
runs = {run.run_id: run for run in load_grid(folder / "grid.yaml").runs}
order = WorkOrder(folder / "killed", "small", tuple(runs), folder, "launch", checkpoint_seconds=0)
leases = {run_id: Lease.acquire(order.folder.leases(run_id), "launch") for run_id in runs}
execute(leases, runs, order, KilledAfter())
"""


def test_runs_that_were_killed_together_go_on_and_end_with_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID.format(seeds="[0, 1, 2]", lr=0.05).replace("[sam, xsam]", "[xsam]"))
    runs = {run.run_id: run for run in load_grid(path).runs}
    killed = subprocess.run([sys.executable, "-c", DIE, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    for name in ("straight", "killed"):
        order = WorkOrder(tmp_path / name, "small", tuple(runs), tmp_path, "launch")
        leases = {run_id: Lease.acquire(order.folder.leases(run_id), "launch") for run_id in runs}
        execute({run_id: lease for run_id, lease in leases.items() if lease}, runs, order, StopFlag())
    straight, resumed = (read(tmp_path / name).set_index("run_id").sort_index() for name in ("straight", "killed"))
    assert (resumed["resumed_from_step"] > 0).all()
    assert (straight[NUMBERS] == resumed[NUMBERS]).all(axis=None)


def test_rows_are_evaluated_together_as_their_problems_are(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID.format(seeds="[0, 1, 2]", lr=0.05).replace("[sam, xsam]", "[sam]"))
    runs = list(load_grid(path).runs)
    trainers = [fresh_trainer(run, tmp_path, "cpu") for run in runs]
    together = Together(runs, trainers)
    for step in range(5):
        together.step(0, step)
    together.give()
    for found, trainer in zip(together.evaluate(), trainers, strict=True):
        assert found == pytest.approx(trainer.evaluate(), rel=1e-5)


def test_a_seed_that_diverges_ends_by_itself(bench: Bench) -> None:
    bench("run", bench.write_grid(GRID.format(seeds="[0, 1]", lr=1e30)), "--jobs", "1")
    assert set(read(bench.results)["status"]) == {"diverged"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model: resnet8", "does not train resnet8, only mlp"),
        ("hidden: [2048, 2048]", "is not for .* gained 1.4 times"),
        ("threads: 2", "needs threads 1"),
        ("accumulation: 2", "needs accumulation 1"),
        ("precision: bf16", "needs precision fp32"),
    ],
)
def test_what_cannot_or_need_not_is_refused_in_one_line(tmp_path: Path, change: str, message: str) -> None:
    name = change.partition(":")[0]
    params = {"model": "mlp", "dataset": "digits", "vectorise": "seeds", "hidden": "[16]"}
    params.pop("hidden") if name == "model" else None
    values = ", ".join([*(f"{key}: {value}" for key, value in params.items() if key != name), change])
    path = tmp_path / "grid.yaml"
    path.write_text(f"name: g\ntask: vision\nmatrix: {{optimizer: [sam]}}\nparams: {{{values}}}\n")
    with pytest.raises(ValueError, match=message) as refused:
        load_grid(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("method", ["zsharp", "eigen_sam"])
def test_a_method_that_cannot_step_in_rows_is_refused(tmp_path: Path, method: str) -> None:
    path = tmp_path / "grid.yaml"
    values = "model: mlp, dataset: digits, vectorise: seeds"
    path.write_text(f"name: g\ntask: vision\nmatrix: {{optimizer: [{method}]}}\nparams: {{{values}}}\n")
    with pytest.raises(ValueError, match=f"does not train {method}"):
        load_grid(path)


def test_both_kinds_stand_in_one_grid_on_an_axis_alone(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    start = "name: g\ntask: vision\nmatrix: {optimizer: [sgd, sam]}\nparams: {model: mlp, dataset: digits}\n"
    path.write_text(f"{start}overrides: [{{when: {{optimizer: sam}}, params: {{vectorise: seeds}}}}]\n")
    with pytest.raises(ValueError, match="stand in no table together"):
        load_grid(path)
