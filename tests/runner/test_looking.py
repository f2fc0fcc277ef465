"""Whoever looks at a run changes no number of it: weights, optimizer and random states end bit for bit the same."""

from __future__ import annotations

import random
from dataclasses import fields
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.optim.family import same
from tests.runner.training import spec_of
from tests.tasks import archives
from xsam.atomic import write_json
from xsam.grid import load_grid
from xsam.grid.diagnostics import Diagnostics
from xsam.grid.spec import RunSpec
from xsam.optim import registry
from xsam.plugins.kinds import MEASUREMENTS
from xsam.runner import callbacks
from xsam.runner.measure import measure
from xsam.runner.order import WorkOrder
from xsam.runner.stop import StopFlag
from xsam.runner.worker import work
from xsam.store import read
from xsam.tasks import vision
from xsam.tasks.data import prepare
from xsam.tasks.vision import TASK
from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS
from xsam.tasks.vision.problem import VisionProblem

pytestmark = pytest.mark.slow

Given = dict[str, Any]
SMALL: Given = {"train_subset": 72, "batch_size": 32, "epochs": 2}  # two steps of 32 images and one of 8
MODELS: dict[str, Given] = {"mlp": {"augment": "crop_flip"}, "resnet8": {"model": "resnet8"}}
SIZES: Given = {"batches": 1, "samples": 2, "eigenvalues": 1, "steps": 1, "ascent_steps": [1, 2]}
EVERYTHING: Given = {
    "checkpoint_seconds": 0.0,
    "progress_seconds": 0.0,
    "diagnostics": {"measure": list(MEASUREMENTS), "every": 1, **SIZES},
    "params": {"eval_batch_size": 7, "test_subset": 10, "ema_decay": 0.9},
}

# What each option is: those that only look are in EVERYTHING, or have a test of their own.
LOOKING_PARAMETERS = {"eval_batch_size", "test_subset", "eval_sets", "ema_decay"}
TRAINING_PARAMETERS = {
    *("accumulation", "augment", "batch_size", "channels_last", "compile", "crop_scale_min", "cutout"),
    *("cutout_probability", "dataset", "decay_factor", "devices", "epochs", "erasing_probability", "hidden", "init"),
    *("label_noise", "label_smoothing", "max_grad_norm", "max_updates", "milestones", "model", "numerics"),
    *("pass_budget", "precision", "schedule", "seed", "threads", "train_subset", "val_fraction", "warmup_epochs"),
    *("vectorise", "warmup_start", "warmup_updates"),
}
LOOKING_ORDERS = {"checkpoint_seconds", "diagnostics", "keep_checkpoints", "track"}  # track: test_tracking
ORDERS = {"results", "grid", "run_ids", "data_dir", "launch", "again", "device", "devices"}


def test_every_option_is_known_to_look_or_to_train() -> None:
    """A new option fails here until it is said to be of one kind or the other."""
    assert {each.name for each in fields(WorkOrder)} == LOOKING_ORDERS | ORDERS
    assert set(TASK.config.parameters()) == LOOKING_PARAMETERS | TRAINING_PARAMETERS


def trained(folder: Path, method: str, params: Given, looking: Given) -> tuple[RunSpec, WorkOrder, Path]:
    """Train a run by a worker, looked at like this; its order and last checkpoint."""
    spec = spec_of(folder, method, **{**SMALL, **params, **looking.get("params", {})})
    grid = load_grid(folder / "grid.yaml")
    wanted = looking.get("diagnostics")
    order = WorkOrder(
        results=folder / "results",
        grid=grid.name,
        run_ids=(spec.run_id,),
        data_dir=folder / "data",
        launch="launch",
        keep_checkpoints=True,
        checkpoint_seconds=looking.get("checkpoint_seconds", 1e9),
        diagnostics=None if wanted is None else Diagnostics.of(wanted),
    )
    write_json(order.folder.grid_json, grid.to_json())
    order.write_snapshot(grid.runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "PROGRESS_SECONDS", looking.get("progress_seconds", 1e9))
        assert work(order, StopFlag()) == 1
    (row,) = read(order.results).to_dict("records")
    assert row["status"] == "done", row["error"]
    return spec, order, order.folder.checkpoint(spec.run_id)


def numbers(checkpoint: Path) -> dict[str, Any]:
    """What training made, and what it would go on from."""
    content = torch.load(checkpoint, weights_only=True)
    assert content["position"]["epoch"] == SMALL["epochs"]
    history = [
        {name: row[name] for name in ("train_loss", "lr", "alpha", "forwards", "backwards")}
        for row in content["position"]["history"]
    ]
    return {"history": history, **{name: content[name] for name in ("model", "optimizer", "scaler", "rng")}}


@cache
def unseen(method: str, model: str, precision: str) -> dict[str, Any]:
    """The numbers of a run that nobody looks at."""
    with TemporaryDirectory() as folder:
        _, _, checkpoint = trained(Path(folder), method, {**MODELS[model], "precision": precision}, {})
        return numbers(checkpoint)


def check(method: str, model: str, precision: str, looking: Given) -> None:
    """Train with somebody looking on and measure once more afterwards: everything is as if nobody had."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        spec, order, checkpoint = trained(folder, method, {**MODELS[model], "precision": precision}, looking)
        assert same(numbers(checkpoint), unseen(method, model, precision))
        if order.diagnostics is not None:
            measured = read(order.results, "sharpness")
            assert set(measured["run_id"]) == {spec.run_id}
            before = checkpoint.read_bytes()
            assert measure(order.folder, spec, order.diagnostics, order.data_dir, "cpu")
            assert checkpoint.read_bytes() == before


@pytest.mark.parametrize("method", [name for name in registry.METHODS if name != "sam_on"])
def test_everything_at_once_changes_no_number(method: str) -> None:
    check(method, "mlp", "fp32", EVERYTHING)


@pytest.mark.parametrize(("method", "precision"), [("xsam", "bf16"), ("sam_on", "fp32")])
def test_everything_at_once_changes_no_running_statistics(method: str, precision: str) -> None:
    """On a network with normalisation layers, without which sam_on is refused."""
    measured = [name for name in MEASUREMENTS if name not in ("density", "planes")]  # which take long
    check(method, "resnet8", precision, {**EVERYTHING, "diagnostics": {"measure": measured, "every": None, **SIZES}})


def test_further_test_sets_change_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, corrupted = tmp_path / "cifar-10-python.tar.gz", tmp_path / "CIFAR-10-C.tar"
    monkeypatch.setitem(DATASETS, "cifar10", archives.write_cifar10(source, train=100, test=20))
    monkeypatch.setitem(EVALUATION_SETS, "cifar10_c", archives.write_cifar10_c(corrupted, images=20))
    found = []
    for looking in ({}, {"params": {"eval_sets": "[cifar10_c]"}}):
        folder = tmp_path / str(len(found))
        prepare("cifar10", folder / "data", source)
        prepare("cifar10_c", folder / "data", corrupted)
        _, order, checkpoint = trained(folder, "sam", {"dataset": "cifar10", "test_subset": 10}, looking)
        found.append(numbers(checkpoint))
        assert ("cifar10_c_accuracy" in read(order.results).dropna(axis="columns")) == bool(looking)
    assert same(*found)


def draws(*arguments: Any) -> None:
    """What a library or a plug-in may do where nobody expects it."""
    torch.rand(1)
    random.random()
    np.random.rand()


@pytest.mark.parametrize("place", ["opened", "evaluated", "measured"])
def test_random_numbers_that_others_draw_change_no_number(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = {
        "opened": (vision.images, "load"),
        "evaluated": (VisionProblem, "evaluate"),
        "measured": (callbacks, "diagnose"),
    }[place]
    called = getattr(owner, name)

    def drawing(*arguments: Any) -> Any:
        draws()
        return called(*arguments)

    expected = unseen("sam", "mlp", "fp32")
    monkeypatch.setattr(owner, name, drawing)
    with TemporaryDirectory() as folder:
        looking = {"diagnostics": {"measure": ["alpha"], "every": 1, **SIZES}}
        _, _, checkpoint = trained(Path(folder), "sam", MODELS["mlp"], looking)
        assert same(numbers(checkpoint), expected)


LOOKING = st.fixed_dictionaries(
    {"params": st.fixed_dictionaries({}, optional={
        "eval_batch_size": st.integers(1, 400), "test_subset": st.integers(1, 360), "ema_decay": st.sampled_from([0.5]),
    })},
    optional={
        "checkpoint_seconds": st.sampled_from([0.0, 0.01]),
        "progress_seconds": st.just(0.0),
        "diagnostics": st.fixed_dictionaries({
            "measure": st.lists(st.sampled_from(MEASUREMENTS), min_size=1, max_size=3, unique=True),
            "every": st.sampled_from([None, 1, 2]),
            **{name: st.just(value) for name, value in SIZES.items()},
        }),
    },
)  # fmt: skip


@settings(max_examples=20)
@given(
    method=st.sampled_from(["sgd", "sam", "xsam", "looksam"]),
    precision=st.sampled_from(["fp32", "bf16", "fp16"]),
    looking=LOOKING,
)
def test_any_way_to_look_changes_no_number(method: str, precision: str, looking: Given) -> None:
    check(method, "mlp", precision, looking)
