"""Readers of the formats in which data sets are published. What they return is not checked yet."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Mapping
from typing import IO, cast

import numpy as np

from xsam.tasks.archives import Tree, reading
from xsam.tasks.seeding import derive
from xsam.tasks.vision.canonical import Array, Content
from xsam.tasks.vision.datasets import DataFile, Dataset
from xsam.tasks.vision.datasets.cifar_pickle import read_batch
from xsam.tasks.vision.sizes import allocate

MOST_BYTES = 1 << 30  # of a file that is read as a whole: no published one has a fifth of it
_IDX_UNSIGNED_BYTE = 0x08


def packaged(dataset: Dataset) -> Content:
    """A data set that comes with a Python package: scikit-learn's digits, or a plug-in's."""
    if dataset.read is None:
        return digits(dataset)
    train_images, train_labels, test_images, test_labels = map(np.asarray, dataset.read())
    return named(dataset, (train_images, train_labels), (test_images, test_labels))


def digits(dataset: Dataset) -> Content:
    """scikit-learn's digits, which come without a test part: a fifth of each class is one, the same for every seed.

    The order in which images are taken for it is that of a hash of their number, so it hangs on no library's generator.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, None]
    labels: Array = digits.target
    order = np.array(sorted(range(len(labels)), key=lambda i: derive(0, "digits test part", i)))
    shares = allocate(np.bincount(labels).tolist(), dataset.test)
    test = np.sort(np.concatenate([order[labels[order] == c][:share] for c, share in enumerate(shares)]))
    train = np.setdiff1d(order, test)
    return named(dataset, (images[train], labels[train]), (images[test], labels[test]))


def idx(dataset: Dataset, tree: Tree) -> Content:
    """Four IDX files: images and labels of the training and the test part."""
    parts = [
        (_idx_array(tree, images, 3)[:, None], _idx_array(tree, labels, 1))
        for images, labels in (dataset.train_files, dataset.test_files)
    ]
    return named(dataset, *parts)


def _idx_array(tree: Tree, file: DataFile, dims: int) -> Array:
    """The array of unsigned bytes with ``dims`` dimensions in an IDX file, plain or gzipped.

    The format: two zero bytes, the type, the number of dimensions; each dimension in four bytes, big-endian; the data.
    """
    packed = not tree.has(file.name)
    path = tree.place / (f"{file.name}.gz" if packed else file.name)
    with reading(path), tree.open(path.name) as stream:
        plain = cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if packed else stream
        content = plain.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path}: more than {MOST_BYTES:,} bytes")
    header = 4 + 4 * dims
    if len(content) < header or content[:4] != bytes((0, 0, _IDX_UNSIGNED_BYTE, dims)):
        raise ValueError(f"{path}: not an IDX file of bytes with {dims} dimensions")
    shape = struct.unpack(f">{dims}I", content[4:header])
    size = int(np.prod(shape, dtype=object))
    if len(content) - header != size:
        raise ValueError(f"{path}: {len(content) - header:,} bytes of data where its header tells {size:,}; truncated?")
    return np.frombuffer(bytearray(content), np.uint8, offset=header).reshape(shape)


def cifar(dataset: Dataset, tree: Tree) -> Content:
    """CIFAR's batches: pickled dictionaries with one row of 3·32·32 bytes an image, and a list of labels."""
    parts = []
    for files in (dataset.train_files, dataset.test_files):
        batches = [_cifar_batch(dataset, tree, file) for file in files]
        parts.append((np.concatenate([batch[0] for batch in batches]), np.concatenate([batch[1] for batch in batches])))
    return named(dataset, *parts)


def _cifar_batch(dataset: Dataset, tree: Tree, file: DataFile) -> tuple[Array, Array]:
    path = tree.place / file.name
    try:
        with reading(path), tree.open(file.name) as stream:
            images, labels = read_batch(stream, dataset.label_key, MOST_BYTES)
        return images.reshape(-1, dataset.channels, dataset.size, dataset.size), labels
    except ValueError as error:
        raise ValueError(f"{path}: not in the format of {dataset.name} ({error})") from None


def named(dataset: Dataset, train: tuple[Array, Array], test: tuple[Array, Array]) -> Content:
    """Images (N×C×H×W) and labels (N) of both parts by the names of their arrays, at the size of the stored images."""
    names = (f"{part}-{what}" for part in ("train", "test") for what in (dataset.raw_size, "labels"))
    return dict(zip(names, (*train, *test), strict=True))


READERS: Mapping[str, Callable[[Dataset, Tree], Content]] = {"idx": idx, "cifar": cifar}
