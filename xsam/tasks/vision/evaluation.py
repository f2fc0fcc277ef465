"""Test sets that a finished model of images is evaluated on beside its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from xsam.parameters import nearest
from xsam.tasks.vision.datasets import CORRUPTIONS, DATASETS, EVALUATION_SETS, SEVERITIES
from xsam.tasks.vision.datasets.cifar10_c import load_corrupted
from xsam.tasks.vision.images import ImageData, load
from xsam.tasks.vision.summary import EVAL_SETS


class Images(NamedTuple):
    """Images with their labels, as ``Part.on`` takes them, and the digest of what they are from."""

    images: torch.Tensor
    labels: torch.Tensor
    checksum: str


def corrupted(name: str) -> bool:
    """Whether the set is one of corrupted images, whose score is the mean over corruptions and severities."""
    return name in EVALUATION_SETS


def parts_of(name: str, trained_on: str, data: ImageData, data_dir: Path) -> Iterator[Images]:
    """The images of the prepared data set ``name``: one part, or one for each corruption and severity.

    Args:
        name: the data set, whose test images are taken.
        trained_on, data: the model's own data set.
        data_dir: where prepared data are.

    Raises ``DataMissing`` where it is not prepared, and ``ValueError`` (one line) for an unknown name, and for images
    that the model does not take or that have other classes.
    """
    if corrupted(name):
        if EVAL_SETS[name] != trained_on:
            raise ValueError(f"{name} tests what was trained on {EVAL_SETS[name]}, not on {trained_on}")
        found = load_corrupted(data_dir)
        for corruption in CORRUPTIONS:
            for severity in SEVERITIES:
                yield Images(found.images(corruption, severity), found.labels, found.checksum)
        return
    if name not in DATASETS:
        known = ["test", "val", *DATASETS, *EVALUATION_SETS]
        raise ValueError(f"unknown test set {name!r}{nearest(name, known)}; valid: {', '.join(known)}")
    other = load(name, data_dir)
    for what, theirs, ours in (
        ("images of shape", tuple(other.test_images.shape[1:]), tuple(data.test_images.shape[1:])),
        ("classes", other.classes, data.classes),
        ("pixels up to", other.peak, data.peak),
    ):
        if theirs != ours:
            raise ValueError(f"{name} has {what} {theirs}, and the model was trained on {trained_on} with {ours}")
    yield Images(other.test_images, other.test_labels, other.checksum)
