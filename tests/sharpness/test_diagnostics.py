"""Measurements as part of a grid, and of finished runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.conftest import Bench
from tests.waiting import PATIENCE
from xsam.grid import GridError, load_grid
from xsam.grid.diagnostics import Diagnostics
from xsam.grid.grid import Grid
from xsam.store import read

PLAIN = """
name: sharp
task: vision
matrix: {model: [mlp], dataset: [digits], optimizer: [sgd, xsam], seed: [0]}
params: {hidden: [8], epochs: 3, batch_size: 256, lr: 0.05, val_fraction: 0}
"""
KEEP = "keep_checkpoints: true\n"
BLOCK = """
diagnostics: {measure: [directions, hessian, measures, alpha], every: 2, batches: 2, samples: 3, eigenvalues: 2,
  steps: 2, rho: 0.1, ascent_steps: [1, 2]}
"""
COST = ["forwards", "backwards", "products", "seconds"]
TRAINED = ["run_id", "epoch", "train_loss", "test_loss", "test_accuracy", "alpha", "forwards", "backwards"]


@pytest.mark.slow
def test_a_grid_measures_while_it_trains_and_trains_as_without(bench: Bench) -> None:
    bench("run", bench.write_grid(PLAIN + BLOCK + KEEP), "--jobs", 1)
    measured = read(bench.results, "sharpness")
    epochs = read(bench.results, "epochs")
    bench("run", bench.write_grid(PLAIN), "--jobs", 1, "--results", "plain")
    pd.testing.assert_frame_equal(epochs[TRAINED], read(bench.folder / "plain", "epochs")[TRAINED])
    assert read(bench.folder / "plain", "sharpness").empty

    assert sorted(measured["epoch"].unique()) == [1, 2]
    per_epoch = measured.groupby(["run_id", "epoch"])["measure"].value_counts().unstack()
    assert len(per_epoch) == 4
    assert (per_epoch[["top_eigenvalue", "eigenvalue_2"]] == 1).all(axis=None)
    assert (per_epoch["direction/rise"] == 2 * 2 * 5).all(), "steps, ascent steps, directions"
    assert (per_epoch["direction/alpha_profile"] == 2).all()
    assert (per_epoch["train_loss"] == 1).all()
    assert measured["value"].notna().all()
    cost = measured.dropna(subset=["seconds"])
    assert (cost.groupby(["run_id", "epoch"]).size() == 4).all(), "one row a measurement says what it cost"
    hessian = cost[cost["measure"] == "top_eigenvalue"]
    assert (hessian["products"] > 3 + 2).all()
    assert (hessian["seconds"] > 0).all()
    directions = cost[cost["measure"] == "direction/rise"]
    assert (directions["backwards"] > 2 * 20).all()
    assert (directions["forwards"] > directions["backwards"]).all()

    run_id = measured["run_id"].iloc[0]
    shown = bench("sharpness", run_id[:8], "--measure", "hessian", "--rho", "0.1")
    assert "top_eigenvalue" in shown
    again = read(bench.results, "sharpness")
    pd.testing.assert_frame_equal(
        sorted_values(again.drop(columns=COST)), sorted_values(measured.drop(columns=COST)), check_exact=False
    )
    fresh = json.loads(bench("sharpness", run_id, "--measure", "planes", "--json", "--ascent-steps", "1"))
    (found,) = fresh
    assert found["run_id"] == run_id
    assert [row["measure"] for row in found["rows"]] == ["ascent_plane", "random_plane"]
    assert found["rows"][0]["details"]["radii"] == {"rho": 0.1, "rho_m": 0.2}
    assert len(read(bench.results, "sharpness")) == len(measured) + 2


def sorted_values(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["run_id", "epoch", "measure", "details"], ignore_index=True)


@pytest.mark.slow
@pytest.mark.faults
def test_an_interrupted_run_keeps_what_it_measured(bench: Bench) -> None:
    grid = bench.write_grid((PLAIN + BLOCK).replace("epochs: 3", "epochs: 4").replace(", xsam]", "]"))
    bench("run", grid, "--jobs", 1, "--results", "whole")

    bench.gate.hold(epoch=2, step=3)
    process = bench.start("run", grid, "--jobs", 1)
    bench.gate.wait()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    bench.gate.open()
    (path,) = bench.results.glob("*/state/*/checkpoint.pt")
    assert {row["epoch"] for row in torch.load(path, weights_only=True)["position"]["sharpness"]} == {1}
    bench("run", grid, "--jobs", 1)
    resumed = read(bench.results, "sharpness").drop(columns=["seconds"])
    assert (read(bench.results)["attempts"] == 2).all()
    pd.testing.assert_frame_equal(resumed, read(bench.folder / "whole", "sharpness").drop(columns=["seconds"]))


@pytest.mark.slow
def test_runs_that_cannot_be_measured_are_one_line(bench: Bench) -> None:
    grid = bench.write_grid(PLAIN)
    run_id = json.loads(bench("plan", grid, "--json"))["runs"][0]["run_id"]
    bench("run", grid, "--only", "optimizer=sgd", "--jobs", 1, "--set", "epochs=1")
    (stored,) = read(bench.results)["run_id"]
    assert "did you mean 'hessian'?" in bench("sharpness", stored, "--measure", "hesian", status=2)
    assert "no run" in bench("sharpness", run_id, status=2)
    for path in bench.results.glob("*/state/*/checkpoint.pt"):
        path.unlink()
    assert "no checkpoint" in bench("sharpness", stored, status=2)


def write(folder: Path, text: str) -> Path:
    path = folder / "grid.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_measurements_are_in_grid_json_and_in_no_run_id(tmp_path: Path) -> None:
    plain, measured = (load_grid(write(tmp_path, text)) for text in (PLAIN, PLAIN + BLOCK))
    assert [run.run_id for run in plain.runs] == [run.run_id for run in measured.runs]
    assert plain.diagnostics is None
    assert "diagnostics" not in plain.to_json()
    assert measured.diagnostics is not None
    assert measured.diagnostics.measure == ("hessian", "measures", "directions", "alpha")
    assert measured.diagnostics.radius == 0.2
    assert Grid.from_json(json.loads(json.dumps(measured.to_json()))) == measured
    short = load_grid(write(tmp_path, PLAIN + "diagnostics: [hessian]\n"))
    assert short.diagnostics is not None
    assert [short.diagnostics.due(epoch, epoch == 2) for epoch in range(3)] == [None, None, short.diagnostics]


def test_planes_are_measured_after_the_last_epoch_alone() -> None:
    def measured(names: list[str]) -> list[tuple[str, ...]]:
        wanted = Diagnostics.of({"measure": names, "every": 2})
        return [() if due is None else due.measure for due in (wanted.due(epoch, epoch == 4) for epoch in range(5))]

    assert measured(["planes", "alpha", "density"]) == [
        (),
        ("alpha",),
        (),
        ("alpha",),
        ("density", "alpha", "planes"),
    ]
    assert measured(["planes"]) == [(), (), (), (), ("planes",)]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("diagnostics: [hesian]", "did you mean 'hessian'?"),
        ("diagnostics: {measure: [hessian], evry: 2}", "did you mean 'every'?"),
        ("diagnostics: {measure: [hessian], rho: 0}", "rho must be above 0"),
        ("diagnostics: {every: 2}", "measure names nothing"),
        ("diagnostics: 3", "measure must be a list of names"),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, block: str, message: str) -> None:
    with pytest.raises(GridError, match=r"grid.yaml:6: ") as caught:
        load_grid(write(tmp_path, PLAIN + block + "\n"))
    assert message in str(caught.value)
