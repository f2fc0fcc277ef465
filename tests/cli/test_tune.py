"""``xsam-bench tune`` on digits, trained for real."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import Bench
from tests.waiting import PATIENCE, wait_until
from xsam.store import read

GRID = """
name: small
task: vision
matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: [sgd]
  seed: {count: 2}
params: {hidden: [64], epochs: 4, batch_size: 64, lr: 0.05, train_subset: 400}
tune:
  space: {lr: [1.0e-3, 1.0e-2]}
  seeds: [1000, 1001, 1002, 1003]
  params: {epochs: 2, val_fraction: 0.2}
  rule: final
  max_extensions: 1
"""


def whatever_the_commit(text: str) -> str:
    """Without the line on the code that trained, since this checkout may be worked on while its tests run."""
    return re.sub(r"^# Trained by .*\n", "", text, count=1, flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.faults
def test_tuning_extends_to_larger_rates_writes_a_grid_that_runs_and_goes_on_where_it_was_stopped(bench: Bench) -> None:
    grid = bench.write_grid(GRID)
    bench.gate.hold()
    process = bench.start("tune", grid, "--jobs", 1)
    (first,) = bench.gate.wait()
    bench.gate.hold(passing=[first])
    wait_until(lambda: set(bench.gate.held()) - {first}, "the second run")
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=PATIENCE)
    bench.gate.open()
    assert process.returncode == 1, output + error
    assert "not finished; give the same command again" in output
    assert not (bench.folder / "grid_tuned.yaml").exists()
    before = read(bench.results)
    assert list(before["run_id"]) == [first]

    bench("tune", grid, "--results", bench.results)
    after = read(bench.results)
    kept = after[after["run_id"].isin(before["run_id"])]
    assert list(kept["finished_at"]) == list(before["finished_at"]), "finished runs are not trained again"
    assert set(after["seed"]) == {1000, 1001, 1002, 1003}
    assert set(after["param_epochs"]) == {2}
    assert after["param_lr"].max() > 0.01, "at 0.01 two epochs learn next to nothing, so the space must have grown"
    text = (bench.folder / "grid_tuned.yaml").read_text()

    bench("tune", grid, "--results", "elsewhere", "--out", "other.yaml")
    other = (bench.folder / "other.yaml").read_text()
    assert whatever_the_commit(other) == whatever_the_commit(text), "neither the stop nor the folder makes a difference"

    again = bench("tune", grid)
    assert "nothing to do" in again
    assert (bench.folder / "grid_tuned.yaml").read_text() == text

    bench("run", "grid_tuned.yaml", "--only", "seed=0")
    tuned = read(bench.results, grids=["small_tuned"])
    assert set(tuned["status"]) == {"done"}
    assert set(tuned["param_epochs"]) == {4}
    assert "small@tune" in bench("report", "--no-figures")


@pytest.mark.slow
def test_a_tuned_grid_in_another_folder_has_the_same_plugins(bench: Bench) -> None:
    shutil.copyfile(Path(__file__).parents[1] / "plugins" / "my_sam.py", bench.folder / "my_sam.py")
    (bench.folder / "further").mkdir()
    (bench.folder / "further" / "my_sam.py").write_text("raise SystemExit('another one')")
    grid = bench.write_grid(
        "name: mine\ntask: vision\nplugins: [./my_sam.py]\n"
        "matrix: {model: [my_net], dataset: [my_blobs], optimizer: [my_sam], seed: [0]}\n"
        "params: {epochs: 1, batch_size: 20, lr: 0.05, rho: 0.1}\n"
        "tune: {space: {shrink: [0.5, 1.0]}, seeds: [1000], params: {val_fraction: 0.2}, max_extensions: 0}\n"
    )
    bench("tune", grid, "--out", "further/tuned.yaml")
    assert "plugins: [../my_sam.py]" in (bench.folder / "further" / "tuned.yaml").read_text()
    assert "1 done" in bench("run", "further/tuned.yaml")
    tuned = read(bench.results, grids=["mine_tuned"])
    assert tuned["param_shrink"][0] in (0.5, 1.0)


def test_a_mistake_in_the_block_is_bad_input(bench: Bench) -> None:
    grid = bench.write_grid(GRID.replace("[1000, 1001, 1002, 1003]", "[0, 1001]"))
    assert "grid.yaml:10: seed 0 of tune is one of the grid's own" in bench("tune", grid, status=2)
    grid = bench.write_grid(GRID.partition("tune:")[0])
    assert "the grid has no block 'tune'" in bench("tune", grid, status=2)
    assert not bench.results.exists()


def test_the_verb_helps_with_an_example(bench: Bench) -> None:
    assert "xsam-bench tune" in bench("tune", "--help").partition("Example:")[2]
