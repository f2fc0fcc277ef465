"""``xsam-bench doctor``: what it finds, what a grid needs of it, and that nothing broken breaks it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import GRID
from tests.conftest import REQUIRE_ALL, Bench
from xsam.doctor import Needs, places
from xsam.launch.slurm import SLURM
from xsam.tasks.data import available
from xsam.tasks.vision.datasets import DATASETS

TRANSLATION = ("fairseq", "sacrebleu", "sacremoses", "subword_nmt")


def items(output: str) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in json.loads(output)["items"]}


def test_a_grid_that_this_machine_can_train_lacks_nothing(bench: Bench) -> None:
    grid = bench.write_grid(GRID)
    before = set(bench.folder.rglob("*"))
    found = items(bench("doctor", "--grid", grid, "--json"))
    assert set(bench.folder.rglob("*")) == before, "what was tried out is removed"
    needed = {name for name, item in found.items() if item["needed"]}
    assert needed == {"python", "cores", "torch", "results", "leases", "data digits"}
    assert {found[name]["state"] for name in needed} == {"works"}
    assert {name.removeprefix("data ") for name in found if name.startswith("data ")} == {
        one.name for one in available(bench.folder)
    }
    assert f"{sys.version_info.major}.{sys.version_info.minor}." in found["python"]["facts"]
    assert f" of {shutil.disk_usage(bench.folder).total / 2**30:,.1f}" in found["results"]["facts"]


def test_what_a_grid_lacks_is_told_with_the_command_that_brings_it(bench: Bench) -> None:
    grid = bench.write_grid(
        "name: big\ntask: vision\nmatrix: {model: [resnet18], dataset: [cifar10], optimizer: [sgd]}\n"
        "params: {threads: 1000}\n"
    )
    lines = bench("doctor", "--grid", grid, status=1).splitlines()
    found = {line.split("  ")[1].strip(): line for line in lines[:-1]}
    assert lines[-1] == f"{grid}: missing: cores, data cifar10"
    assert "a run takes 1000: lower threads or devices" in found["cores"]
    assert "xsam-bench data prepare cifar10 --data data" in found["data cifar10"]
    assert found["data cifar10"].startswith("missing")
    assert found["data cifar100"].startswith("absent"), "this grid does not need it"


def test_nothing_that_is_broken_breaks_it(bench: Bench) -> None:
    """A torch that cannot be loaded, a manifest that is none, and a results folder that is a file."""
    (bench.folder / "torch.py").write_text("raise ImportError('libtorch.so is missing')\n")
    folder = bench.folder / "data" / "cifar10"
    folder.mkdir(parents=True)
    for name in ("manifest.json", *(f"{name}.npy" for name in DATASETS["cifar10"].arrays)):
        (folder / name).write_text("[]")
    (bench.folder / "results").write_text("")
    process = bench.start("doctor", "--json", "--grid", bench.write_grid(GRID))
    output, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (1, "")
    found = items(output)
    assert found["torch"]["facts"] == "libtorch.so is missing"
    assert "pip install" in found["torch"]["advice"]
    assert found["gpu"]["state"] == "absent"
    assert found["data cifar10"]["facts"].startswith("damaged: ")
    assert "is no folder" in found["results"]["facts"]
    assert {name for name, item in found.items() if item["state"] == "missing"} == {"torch", "results", "leases"}


def test_translation_is_imported_only_for_a_grid_that_needs_it(bench: Bench) -> None:
    if any(importlib.util.find_spec(name) is None for name in TRANSLATION) and not REQUIRE_ALL:
        pytest.skip("needs the extra translation")
    (bench.folder / "fairseq.py").write_text("raise ImportError('no libbleu')\n")
    assert items(bench("doctor", "--json"))["translation"]["state"] == "works"
    grid = bench.write_grid(
        "name: text\ntask: translation\nmatrix: {model: [transformer_iwslt_de_en], dataset: [multi30k_de_en], "
        "optimizer: [adam]}\n"
    )
    found = items(bench("doctor", "--json", "--grid", grid, status=1))["translation"]
    assert found["state"] == "missing"
    assert "no libbleu" in found["advice"]


@pytest.mark.parametrize(
    ("scripts", "facts"),
    [
        ({}, "no sinfo here"),
        (
            {"sinfo": "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1"},
            "Unable to contact",
        ),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripts: dict[str, str], facts: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    found = {item.name: item for item in SLURM.findings()}
    assert not found["slurm"].works
    assert facts in found["slurm"].facts
    assert ("munge" in found) == bool(scripts)


def test_a_manifest_tells_whether_data_are_the_published_ones(tmp_path: Path) -> None:
    folder = tmp_path / "cifar10"
    folder.mkdir()
    for name in DATASETS["cifar10"].arrays:
        (folder / f"{name}.npy").touch()
    manifest = {"source": "copy", "verified": False, "checksums": {"cifar10": "0123456789abcdef"}, "format": 2}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (found,) = (item for item in places.items(tmp_path, tmp_path, Needs()) if item.name == "data cifar10")
    assert found.state == "works"
    assert found.facts == f"prepared in {folder}, checksum 0123456789abcdef+unverified"
    assert "not known to be the published data" in found.advice
