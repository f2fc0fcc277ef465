"""The paper's single-step grid, every one of its 63 cells, from archives in their published form to the table."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import Bench
from tests.tasks import archives
from xsam.grid import load_grid
from xsam.grid.cost import passes_of
from xsam.store import read

GRID = Path(__file__).parents[2] / "configs" / "paper" / "single_step.yaml"
SMALL = (
    "seed=0",
    "epochs=1",
    "batch_size=16",
    "train_subset=32",
    "test_subset=64",
    "channels_last=true",
    "alpha_step=0.5",
)

# Of the networks with 10 classes; each further class is a row of the last layer and its bias.
PARAMETERS = {"vgg11_bn": 28_149_514, "resnet18": 11_173_962, "densenet121": 6_956_298}
LAST_LAYER = {"vgg11_bn": 4096, "resnet18": 512, "densenet121": 1024}
CLASSES = {"cifar10": 10, "cifar100": 100, "tiny_imagenet": 200}
METHODS = ["sgd", "sgd_plus", "sam", "asam", "gsam", "wsam", "xsam"]


@pytest.fixture
def prepared(bench: Bench) -> Iterator[Bench]:
    """The command, with the paper's three data sets prepared from archives of full size and random pixels."""
    archives.write_cifar10(bench.folder / "cifar-10-python.tar.gz")
    archives.write_cifar100(bench.folder / "cifar-100-python.tar.gz")
    archives.write_tiny_imagenet_zip(bench.folder / "tiny-imagenet-200.zip")
    for name, archive in (
        ("cifar10", "cifar-10-python.tar.gz"),
        ("cifar100", "cifar-100-python.tar.gz"),
        ("tiny_imagenet", "tiny-imagenet-200.zip"),
    ):
        bench("data", "prepare", name, "--from", archive, "--allow-unverified")
        (bench.folder / archive).unlink()
    yield bench
    shutil.rmtree(bench.folder)  # gigabytes of images and checkpoints


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(1500)
def test_all_63_cells_train_evaluate_and_land_in_a_table(prepared: Bench) -> None:
    document = yaml.safe_load(GRID.read_text())
    del document["diagnostics"]  # a Hessian of 28 million weights takes a processor longer than all 63 runs
    undiagnosed = prepared.folder / "single_step.yaml"
    undiagnosed.write_text(yaml.safe_dump(document, sort_keys=False))
    sets = [word for text in SMALL for word in ("--set", text)]
    command = prepared.start("run", undiagnosed, *sets, "--jobs", 2, "--device", "cpu")
    output, error = command.communicate(timeout=1200)
    assert command.returncode == 0, output + error

    grid = load_grid(undiagnosed, SMALL)
    runs = read(prepared.results).set_index("run_id")
    assert len(runs) == len(grid.runs) == 63
    assert (runs["status"] == "done").all()
    for spec in grid.runs:
        row = runs.loc[spec.run_id]
        passes = passes_of(spec)
        assert passes is not None
        assert (row["forwards"], row["backwards"]) == (passes.forwards, passes.backwards)
        model, classes = row["model"], CLASSES[row["dataset"]]
        assert row["parameters"] == PARAMETERS[model] + (classes - 10) * (LAST_LAYER[model] + 1)
        assert (64 * row["test_accuracy"] / 100).is_integer(), "a share of 64 images"
    assert read(prepared.results, "epochs")["train_loss"].between(0, 100).all()

    prepared("report", grid.name, "--out", "reports", "--no-figures")
    table = pd.read_csv(prepared.folder / "reports" / grid.name / "table.csv")
    assert sorted(zip(table["model"], table["dataset"], table["optimizer"], strict=True)) == sorted(
        itertools.product(PARAMETERS, CLASSES, METHODS)
    )
    assert (table["n"] == 1).all()
    assert table["mean"].between(0, 100).all()
