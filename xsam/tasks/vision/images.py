"""Opening data sets for training. Prepared ones are mapped and not read here; nothing here downloads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from xsam.tasks.archives import Folder
from xsam.tasks.vision import prepared
from xsam.tasks.vision.canonical import Array, Content, canonical_order, part_checksum
from xsam.tasks.vision.datasets import DATASETS, Dataset
from xsam.tasks.vision.prepared import lacking, locate
from xsam.tasks.vision.published import READERS, packaged

PARTS = ("train", "test")
CACHED = 2  # a worker's next run mostly has the same data


@dataclass(frozen=True)
class ImageData:
    """A data set, in memory or mapped from files that never change.

    Attributes:
        train_images: uint8, N×C×R×R: what augmentation starts from.
        eval_train_images: uint8, N×C×S×S: the same images as a model sees them in a test; the same tensor where R = S.
        test_images: uint8, M×C×S×S.
        train_labels, test_labels: int64, N and M.
        mean, std: of each channel, of pixels divided by ``peak``.
        classes: number of classes.
        checksum: see :func:`checksum`; ends in ``+unverified`` for a copy that is not known to be the published data.
        source: the folder or package that it was read from.
    """

    train_images: torch.Tensor
    eval_train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    peak: int
    classes: int
    checksum: str
    source: str


def load(name: str, data_dir: Path) -> ImageData:
    """The data set ``name`` (a key of ``DATASETS``); the last few stay open for the next call.

    Raises ``DataMissing`` where it is not on disk, and ``ValueError`` (one line naming the file) where it is damaged.

    >>> load("digits", Path("data")).train_images.shape
    torch.Size([1437, 1, 8, 8])
    """
    return _load(DATASETS[name], data_dir.absolute())


def read(dataset: Dataset, data_dir: Path) -> ImageData:
    """As :func:`load`, from disk every time."""
    folder = locate(dataset, data_dir)
    if not dataset.folder:
        content = packaged(dataset)
    elif lacking(dataset, folder):  # a system package's published files
        content = READERS[dataset.format](dataset, Folder(folder))
    else:
        content = prepared.content(dataset, folder)
        return _image_data(dataset, content, prepared.manifest(folder).checksum(dataset), folder)
    check(dataset, content, folder)
    content = ordered(dataset, content)
    digest = checksum(dataset, content)
    if dataset.checksum not in (None, digest):
        raise ValueError(f"{folder}: {other_content(dataset, digest)}")
    return _image_data(dataset, content, digest, folder)


_load = lru_cache(maxsize=CACHED)(read)


def checksum(dataset: Dataset, content: Content) -> str:
    """The checksums of the training and of the test part, joined by a hyphen; see ``xsam.tasks.vision.canonical``.

    >>> digits = DATASETS["digits"]
    >>> checksum(digits, ordered(digits, packaged(digits)))
    '5aed19ac58575b7e-964e6f70c03c208f'
    """
    train = [content[f"train-{size}"] for size in dict.fromkeys((dataset.raw_size, dataset.size))]
    test = [content[f"test-{dataset.size}"]]
    return "-".join([part_checksum(train, content["train-labels"]), part_checksum(test, content["test-labels"])])


def ordered(dataset: Dataset, content: Content) -> Content:
    """``content`` in memory, both parts in canonical order."""
    order = {part: canonical_order(content[f"{part}-{dataset.raw_size}"], content[f"{part}-labels"]) for part in PARTS}
    return {name: array[order[name.partition("-")[0]]] for name, array in content.items()}


def other_content(dataset: Dataset, digest: str) -> str:
    """What is said of content with a digest that is not the one on record."""
    return f"not {dataset.name} as published (content {digest}, not {dataset.checksum})"


def check(dataset: Dataset, content: Content, place: Path) -> None:
    """Raise ``ValueError`` (one line) where counts, image sizes, types or labels are not those of the data set."""
    for part, expected, sizes in (
        ("train", dataset.train, (dataset.raw_size, dataset.size)),
        ("test", dataset.test, (dataset.size,)),
    ):
        labels = content[f"{part}-labels"]
        for size in sizes:
            images = content[f"{part}-{size}"]
            shape = (expected, dataset.channels, size, size)
            if images.dtype != np.uint8 or images.shape != shape or labels.shape != (expected,):
                raise ValueError(
                    f"{place}: {part} part has images {images.shape} and {len(labels):,} labels;"
                    f" {dataset.name} has {shape}"
                )
        _check_labels(dataset, part, labels, place)


def _check_labels(dataset: Dataset, part: str, labels: Array, place: Path) -> None:
    wrong = labels.min() if labels.min() < 0 else labels.max()
    if not 0 <= wrong < dataset.classes:
        raise ValueError(f"{place}: {part} labels reach {wrong}; {dataset.name} has {dataset.classes} classes")
    counts = np.bincount(labels, minlength=dataset.classes)
    if dataset.balanced and counts.min() != counts.max():
        raise ValueError(
            f"{place}: {part} part has {counts.min():,} to {counts.max():,} images of a class;"
            f" {dataset.name} has {len(labels) // dataset.classes:,} of each"
        )


def _image_data(dataset: Dataset, content: Content, digest: str, folder: Path) -> ImageData:
    check(dataset, content, folder)
    tensors = {
        name: torch.from_numpy(
            array.astype(np.int64, copy=False) if name.endswith("labels") else np.ascontiguousarray(array)
        )
        for name, array in content.items()
    }
    return ImageData(
        train_images=tensors[f"train-{dataset.raw_size}"],
        eval_train_images=tensors[f"train-{dataset.size}"],
        train_labels=tensors["train-labels"],
        test_images=tensors[f"test-{dataset.size}"],
        test_labels=tensors["test-labels"],
        mean=dataset.mean,
        std=dataset.std,
        peak=dataset.peak,
        classes=dataset.classes,
        checksum=digest,
        source=str(folder),
    )
