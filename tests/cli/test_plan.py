"""What ``xsam-bench plan`` says about costs, next to what runs then cost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Bench
from xsam.stats import t_test_power
from xsam.store import read

EVERY_METHOD = """
name: costs
task: vision
matrix:
  model: [mlp]
  dataset: [digits]
  optimizer:
    - sgd
    - adamw
    - sam
    - asam
    - gsam
    - wsam
    - looksam
    - friendly_sam
    - fisher_sam
    - momentum_sam
    - lookbehind_sam
    - xsam
    - fixed: {method: xsam, alpha: 1.3}
    - fixed_and_searched: {method: xsam, alpha: 1.3, search_every: 4}
    - often: {method: xsam, search_every: 5, alpha_max: 3}
    - short: {method: xsam, max_updates: 7}
    - cheap: {method: sam, pass_budget: 5}
  ascent_steps: [2]
params: {hidden: [4], batch_size: 256, train_subset: 900, epochs: 3}
"""


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.slow
def test_the_planned_passes_are_those_that_runs_then_take(bench: Bench) -> None:
    grid = bench.write_grid(EVERY_METHOD)
    plan = json.loads(bench("plan", grid, "--json"))
    bench("run", grid)
    runs = read(bench.results).set_index("run_id")
    assert (runs["status"] == "done").all()
    planned = {run["run_id"]: (run["forwards"], run["backwards"]) for run in plan["runs"]}
    assert planned == {run_id: (row["forwards"], row["backwards"]) for run_id, row in runs.iterrows()}
    assert (plan["forwards"], plan["backwards"]) == (runs["forwards"].sum(), runs["backwards"].sum())


def test_seeds_in_a_row_are_shown_by_their_ends(bench: Bench) -> None:
    grid = bench.write_grid(EVERY_METHOD.replace("  ascent_steps: [2]", "  seed: [0, 7, 1, 2, 4, 5]"))
    assert bench("plan", grid).count(" 0–2, 4, 5, 7 ") == 17


def test_planning_a_new_grid_reads_no_tables(bench: Bench) -> None:
    grid = bench.write_grid(EVERY_METHOD)
    code = (
        "import sys; from xsam.cli.main import app; app(['plan', sys.argv[1]], standalone_mode=False); "
        "print('imported', {'torch', 'numpy', 'pandas', 'pyarrow', 'submitit'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(grid)]
    shown = subprocess.run(command, cwd=bench.folder, capture_output=True, text=True, check=True).stdout
    assert shown.endswith("imported set()\n")


@pytest.mark.slow
def test_a_bracket_search_takes_at_most_what_is_planned(bench: Bench) -> None:
    grid = bench.write_grid(
        EVERY_METHOD[: EVERY_METHOD.index("    - sgd\n")]
        + "    - bracket: {method: xsam, search: bracket, search_every: 1}\n"
        + EVERY_METHOD[EVERY_METHOD.index("params:") :]
    )
    (planned,) = json.loads(bench("plan", grid, "--json"))["runs"]
    bench("run", grid)
    steps = 3 * 4
    assert planned["forwards"] == 2 * steps + 7 * steps
    assert 2 * steps < read(bench.results)["forwards"][0] <= planned["forwards"]


@pytest.mark.slow
def test_calibration_tells_seconds_of_every_run_and_writes_nothing(bench: Bench) -> None:
    grid = bench.write_grid(
        "name: g\ntask: vision\nmatrix:\n  model: [mlp]\n  dataset: [digits]\n"
        "  optimizer: [sgd, sam, {wide: {method: sam, rho: 1}}, xsam]\n  epochs: [2, 4]\n  seed: [0, 1]\n"
        "params: {hidden: [32]}\n"
    )
    before = files(bench.folder)
    output = bench("plan", grid, "--calibrate", "--device", "cpu")
    assert files(bench.folder) == before
    assert "hours of one worker on cpu" in output
    assert output.count("timing") == 3, "sgd, sam and xsam; neither seed, epochs nor radius make another kind"
    plan = json.loads(bench("plan", grid, "--calibrate", "--device", "cpu", "--json").partition("\ntiming")[0])
    seconds = {
        (run["optimizer"], run["params"]["epochs"], run["params"]["seed"]): run["seconds"] for run in plan["runs"]
    }
    assert all(value > 0 for value in seconds.values())
    assert plan["hours"] == plan["hours_to_do"] == pytest.approx(sum(seconds.values()) / 3600)
    for optimizer in ("sgd", "sam", "wide", "xsam"):
        assert seconds[optimizer, 4, 0] == seconds[optimizer, 4, 1] == pytest.approx(2 * seconds[optimizer, 2, 0])
    assert seconds["sam", 2, 0] == seconds["wide", 2, 0]


def test_calibration_needs_data_and_planning_does_not(bench: Bench) -> None:
    grid = bench.write_grid(
        "name: g\ntask: vision\nmatrix: {model: [resnet18], dataset: [cifar10], optimizer: [sam], seed: [0]}\n"
    )
    output = bench("plan", grid, "--data", "empty")
    assert "1 runs: 21,120 forwards and 21,120 backwards" in output, "30 epochs of 352 batches of 128, two passes each"
    assert "xsam-bench data prepare cifar10" in bench("plan", grid, "--data", "empty", "--calibrate", status=2)


def test_declared_comparisons_say_what_they_can_show(bench: Bench) -> None:
    quick = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
    lines = bench("plan", quick, "--sd", 0.55).splitlines()
    (line,) = (line for line in lines if line.startswith("xsam − sam"))
    assert line.startswith("xsam − sam, 1 comparison, sd 0.55 (--sd): 5 seeds show 1.1 points, 8 show 0.74")
    assert line.endswith("18 show that equals are within 0.5")
    (power, _) = json.loads(bench("plan", quick, "--sd", 0.55, "--json"))["power"]
    assert (power["of"], power["with"], power["family"], power["seeds"]) == ("xsam", "sam", 2, 5)
    assert t_test_power(5, power["detectable"]["5"], 0.55, 0.05 / 2) == pytest.approx(0.8)
    without = [line for line in bench("plan", quick).splitlines() if line.startswith("xsam − sam")]
    assert without == ["xsam − sam, 1 comparison: no stored results tell what 5 seeds can show; give --sd"]
    assert "--sd must be a number above 0, not 0" in bench("plan", quick, "--sd", 0, status=2)
