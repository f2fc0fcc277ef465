"""CIFAR-10-C (Hendrycks & Dietterich, ICLR 2019): the test images of CIFAR-10, corrupted. Only ever evaluated on.

19 corruptions at 5 severities each; the published mean is over the first 15 (``CORRUPTIONS``), the other four
(``EXTRA_CORRUPTIONS``) are for tuning. The prepared files are N×H×W×C as the published ones; images of
each severity are in the canonical order of those of the first corruption at severity 1.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from xsam.parameters import nearest
from xsam.tasks.vision import canonical, prepared
from xsam.tasks.vision.canonical import CHECKSUM_DIGITS, Array, Content
from xsam.tasks.vision.datasets import CORRUPTIONS, EVALUATION_SETS, EXTRA_CORRUPTIONS, SEVERITIES, Dataset
from xsam.tasks.vision.prepared import locate

LABELS = "labels"


@dataclass(frozen=True)
class Corrupted:
    """Corrupted test images on disk.

    Attributes:
        labels: int64, N; the same for every corruption and severity.
        checksum: of all the content; see :func:`checksum`.
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
    check(dataset, content, folder)
    labels = content[LABELS][: len(content[LABELS]) // len(SEVERITIES)]
    return Corrupted(torch.from_numpy(labels.astype(np.int64)), prepared.manifest(folder).checksum(dataset), folder)


def check(dataset: Dataset, content: Content, place: Path) -> None:
    """Raise ``ValueError`` (one line) where an array does not have the published shape, type or labels."""
    count = dataset.test // (len(dataset.files) - 1)
    for name in dataset.arrays:
        array = content[name]
        shape = (count,) if name == LABELS else (count, dataset.size, dataset.size, dataset.channels)
        kinds = "iu" if name == LABELS else "u"
        if array.shape != shape or array.dtype.kind not in kinds or (name != LABELS and array.itemsize != 1):
            raise ValueError(f"{place}: {name} is {array.dtype} {array.shape}; {dataset.name} has {shape}")
    labels = content[LABELS].reshape(len(SEVERITIES), -1)
    if labels.min() < 0 or labels.max() >= dataset.classes:
        raise ValueError(f"{place}: labels reach {labels.max()}; {dataset.name} has {dataset.classes} classes")
    if (labels != labels[0]).any():
        raise ValueError(f"{place}: labels differ between the severities")
    if len(set(np.bincount(labels[0], minlength=dataset.classes).tolist())) != 1:
        raise ValueError(f"{place}: not the same number of images of each class")


def canonical_order(dataset: Dataset, content: Content) -> Array:
    """Indices into every array: the same order of the images at each severity."""
    labels = content[LABELS]
    count = len(labels) // len(SEVERITIES)
    first = content[dataset.arrays[0]][:count].transpose(0, 3, 1, 2)
    of_one = canonical.canonical_order(first, labels[:count])
    return np.concatenate([of_one + severity * count for severity in range(len(SEVERITIES))])


def checksum(dataset: Dataset, content: Content) -> str:
    """First 16 hex digits of the SHA-256 of the arrays' bytes in their order, labels as one byte each."""
    digest = hashlib.sha256()
    for name in dataset.arrays:
        digest.update(content[name].astype(np.uint8, copy=False).data)
    return digest.hexdigest()[:CHECKSUM_DIGITS]
