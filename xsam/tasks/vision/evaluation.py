"""Test sets that a finished model of images is evaluated on beside its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from xsam.parameters import nearest
from xsam.tasks.vision import prepared
from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS
from xsam.tasks.vision.datasets.cifar10_c import CORRUPTIONS, EXTRA_CORRUPTIONS, LABELS, SEVERITIES
from xsam.tasks.vision.images import ImageData, load
from xsam.tasks.vision.prepared import locate
from xsam.tasks.vision.summary import EVAL_SETS


class Images(NamedTuple):
    """Images with their labels, as ``Part.on`` takes them, and the digest of what they are from."""

    images: torch.Tensor
    labels: torch.Tensor
    checksum: str


@dataclass(frozen=True)
class Corrupted:
    """Corrupted test images on disk.

    Attributes:
        labels: int64, N; the same for every corruption and severity.
        checksum: of all the content; see :meth:`CorruptedDataset.digest`.
        source: the folder that holds it.
    """

    labels: torch.Tensor
    checksum: str
    source: Path

    def images(self, corruption: str, severity: int) -> torch.Tensor:
        """Test images (uint8, N×C×H×W, a view of the mapped file) under ``corruption`` at ``severity`` 1 … 5.

        Raises ``ValueError`` for a corruption or a severity that there is not.
        """
        if corruption not in CORRUPTIONS + EXTRA_CORRUPTIONS:
            raise ValueError(f"unknown corruption {corruption!r}{nearest(corruption, CORRUPTIONS + EXTRA_CORRUPTIONS)}")
        if severity not in SEVERITIES:
            raise ValueError(f"severity must be 1 to {SEVERITIES[-1]}, not {severity}")
        count = len(self.labels)
        rows = prepared.array(self.source, corruption)[(severity - 1) * count : severity * count]
        return torch.from_numpy(rows).permute(0, 3, 1, 2)


def load_corrupted(data_dir: Path) -> Corrupted:
    """The prepared CIFAR-10-C below ``data_dir``; its images are mapped as they are asked for.

    Raises ``DataMissing``, which names the command, where it is not prepared, and ``ValueError`` where it is damaged.

    Example (with ``xsam-bench data prepare cifar10_c`` done):
        >>> fog = load_corrupted(Path("data")).images("fog", severity=5)  # doctest: +SKIP
        >>> fog.shape, fog.dtype  # doctest: +SKIP
        (torch.Size([10000, 3, 32, 32]), torch.uint8)
    """
    dataset = EVALUATION_SETS["cifar10_c"]
    folder = locate(dataset, data_dir.absolute())
    content = prepared.content(dataset, folder)
    dataset.check(content, folder)
    labels = content[LABELS][: len(content[LABELS]) // len(SEVERITIES)]
    return Corrupted(torch.from_numpy(labels.astype(np.int64)), prepared.manifest(folder).checksum(dataset), folder)


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
