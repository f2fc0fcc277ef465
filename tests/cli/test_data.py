"""``xsam-bench data``: what it prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Bench
from tests.tasks import archives


def test_listing_for_programs_names_every_data_set(bench: Bench) -> None:
    rows = {row["name"]: row for row in json.loads(bench("data", "list", "--json"))}
    assert {"digits", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet", "tiny_imagenet_64", "cifar10_c"} <= set(
        rows
    )
    assert rows["digits"]["prepared"]
    assert not rows["cifar10_c"]["prepared"]


@pytest.mark.slow
def test_an_unverified_copy_of_full_size_is_taken_on_demand_and_verified_again(bench: Bench, tmp_path: Path) -> None:
    archive = tmp_path / "cifar-10-python.tar.gz"
    archives.write_cifar10(archive)
    refused = bench("data", "prepare", "cifar10", "--from", archive, status=2)
    assert refused.count("\n") == 1
    assert "--allow-unverified" in refused
    assert not (bench.folder / "data" / "cifar10").exists()
    shown = bench("data", "prepare", "cifar10", "--from", archive, "--allow-unverified")
    assert "cifar10: 50,000 train, 10,000 test, checksum " in shown
    assert "+unverified" in shown
    assert "+unverified" in bench("data", "verify", "cifar10")

    images = bench.folder / "data" / "cifar10" / "test-32.npy"
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    assert "as when it was prepared" in bench("data", "verify", "cifar10", status=1)


def test_bad_input_is_one_line(bench: Bench) -> None:
    assert "did you mean 'tiny_imagenet'" in bench("data", "prepare", "tiny_imagent", status=2)
    assert "no such file or folder" in bench("data", "prepare", "cifar100", "--from", "nowhere", status=2)
    missing = bench("data", "verify", "tiny_imagenet_64", status=2)
    assert missing.count("\n") == 1
    assert "xsam-bench data prepare tiny_imagenet_64" in missing
