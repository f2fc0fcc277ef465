"""Tiny data sets in the published file formats, so that the real readers, archives and checks run on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.tasks import archives
from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS
from xsam.tasks.vision.datasets.dataset import Dataset
from xsam.tasks.vision.vision_run import VisionRun


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def params() -> Callable[..., VisionRun]:
    """A run's configuration: the defaults, and what the test gives."""
    return lambda **given: VisionRun.of(given)


@dataclasses.dataclass
class Published:
    """A tiny data set in the published form, put in the place of the real one.

    Attributes:
        source: its archive, or the folder of its files.
        dataset: its entry, with its own counts and digests.
    """

    source: Path
    dataset: Dataset


@pytest.fixture
def tiny_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """``cifar10`` of 100 training and 20 test images, in an archive."""
    archive = tmp_path / "cifar-10-python.tar.gz"
    dataset = archives.write_cifar10(archive, train=100, test=20)
    monkeypatch.setitem(DATASETS, "cifar10", dataset)
    return Published(archive, dataset)


@pytest.fixture
def tiny_fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """``fashion_mnist`` of 20 training and 10 test images, in a folder; no system package has it."""
    folder = tmp_path / "idx"
    dataset = archives.write_fashion_mnist(folder, train=20, test=10)
    monkeypatch.setitem(DATASETS, "fashion_mnist", dataset)
    return Published(folder, dataset)


@pytest.fixture
def tiny_imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """``tiny_imagenet`` and ``tiny_imagenet_64`` of 5 classes, 60 training and 10 test images, in an archive."""
    archive = tmp_path / "tiny-imagenet-200.zip"
    both = archives.write_tiny_imagenet_zip(archive, per_class=12, val_per_class=2, classes=5, distinct=70)
    for dataset in both:
        monkeypatch.setitem(DATASETS, dataset.name, dataset)
    return Published(archive, both[0])


@pytest.fixture
def tiny_cifar10_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """``cifar10_c`` of 10 images at each severity, in an archive."""
    archive = tmp_path / "CIFAR-10-C.tar"
    dataset = archives.write_cifar10_c(archive, images=10)
    monkeypatch.setitem(EVALUATION_SETS, "cifar10_c", dataset)
    return Published(archive, dataset)
