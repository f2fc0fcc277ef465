"""Opening data sets for training. Prepared ones are mapped and not read here; nothing here downloads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from xsam.tasks.archives import Folder
from xsam.tasks.vision import prepared
from xsam.tasks.vision.canonical import Content
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.datasets.dataset import Dataset
from xsam.tasks.vision.prepared import lacking, locate

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
        checksum: see :meth:`Dataset.digest`; ends in ``+unverified`` for a copy that is not known to be the published
            data.
        source: the folder or package that it was read from.
        val_images, val_labels: of a data set with a validation part of its own; None for others.
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
    val_images: torch.Tensor | None = None
    val_labels: torch.Tensor | None = None


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
        content = dataset.packaged()
    elif lacking(dataset, folder):  # a system package's published files
        content = dataset.read_published(Folder(folder))
    else:
        content = prepared.content(dataset, folder)
        checksum = prepared.manifest(folder).checksum(dataset)
        if dataset.own and checksum != dataset.checksum:
            raise ValueError(f"{folder}: prepared anew with other content meanwhile; give the command again")
        return _image_data(dataset, content, checksum, folder)
    dataset.check(content, folder)
    order = dataset.orders(content)
    content = {name: array[order[name]] for name, array in content.items()}
    digest = dataset.digest(content)
    if dataset.checksum not in (None, digest):
        raise ValueError(f"{folder}: {dataset.other_content(digest)}")
    return _image_data(dataset, content, digest, folder)


_load = lru_cache(maxsize=CACHED)(read)


def _image_data(dataset: Dataset, content: Content, digest: str, folder: Path) -> ImageData:
    dataset.check(content, folder)
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
        val_images=tensors.get(f"val-{dataset.size}"),
        val_labels=tensors.get("val-labels"),
    )
