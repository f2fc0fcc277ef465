"""The canonical order of a data set's images, and the checksums over it.

Images are ordered by the SHA-256 of their bytes (uint8, H×W×C), ties by label. So every complete copy of a data set,
whatever its archive, format or order, is prepared as the same files, and a seed draws the same subsets from it. A
part's checksum is the first 16 hex digits of the SHA-256 of its images' bytes in that order, one after the other, and
then its labels', one byte each (four, of a set with more than 256 classes); a data set's is that of the training and
of the test part, joined by a hyphen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Content = Mapping[str, Array]  # Dataset.arrays: uint8 images N×C×H×W, integer labels N

CHECKSUM_DIGITS = 16
LABELS_OF_ONE_BYTE = 256  # classes
_CHUNK = 1000  # images in memory at once, of those mapped from a file


def canonical_order(images: Array, labels: Array) -> Array:
    """Indices that bring ``images`` (uint8, N×C×H×W) and ``labels`` (N) into the canonical order.

    >>> pixels = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    >>> [hashlib.sha256(bytes([i])).hexdigest()[:2] for i in range(4)]
    ['6e', '4b', 'db', '08']
    >>> canonical_order(pixels, np.zeros(4, int)).tolist()
    [3, 1, 0, 2]
    """
    digests = [hashlib.sha256(image.data).digest() for chunk in _interleaved(images) for image in chunk]
    return np.array(sorted(range(len(digests)), key=lambda i: (digests[i], labels[i])), dtype=np.int64)


def first_of_each_class(labels: Array, count: int) -> Array:
    """Indices, ascending, of the first ``count`` of each class in ``labels``.

    >>> first_of_each_class(np.array([1, 0, 1, 1, 0, 0]), 2).tolist()
    [0, 1, 2, 4]
    """
    chosen = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    return np.sort(np.concatenate(chosen))


def part_checksum(views: list[Array], labels: Array, wide: bool = False) -> str:
    """Checksum of one part in the order that it has.

    Args:
        views: its images (uint8, N×C×H×W) at each of their sizes, the largest first.
        labels: integers, N; below 256 unless ``wide``.
        wide: labels count as four bytes each, the lowest first, instead of one: for more than 256 classes.

    >>> part_checksum([np.zeros((1, 3, 2, 2), np.uint8)], np.array([7]))
    'e5918c544dd22bc0'
    """
    digest = hashlib.sha256()
    for images in views:
        for chunk in _interleaved(images):
            digest.update(chunk.data)
    digest.update(labels.astype("<u4" if wide else np.uint8).data)
    return digest.hexdigest()[:CHECKSUM_DIGITS]


def _interleaved(images: Array) -> Iterator[Array]:
    """``images`` as N×H×W×C, some at a time."""
    for start in range(0, len(images), _CHUNK):
        yield np.ascontiguousarray(images[start : start + _CHUNK].transpose(0, 2, 3, 1))
