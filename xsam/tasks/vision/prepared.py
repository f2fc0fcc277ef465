"""The folder of a prepared data set: one memory-mapped ``.npy`` file for each array, and a manifest.

A data set is there when its manifest is: folders appear whole, by a rename.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from xsam.tasks.data import UNVERIFIED
from xsam.tasks.vision.catalog import Dataset
from xsam.tasks.vision.files import LAYOUT, MANIFEST
from xsam.tasks.vision.order import Array
from xsam.tasks.vision.published import Content

_CHUNK = 1000  # images copied at once


@dataclass(frozen=True)
class Manifest:
    """Where prepared data come from.

    Attributes:
        source: the archive, folder or address.
        verified: whether it was found to be the published data, by digests on record.
        checksums: digest of the content of each data set in the folder.
        format: layout of the folder.
    """

    source: str
    verified: bool
    checksums: Mapping[str, str]
    format: int = LAYOUT

    def checksum(self, dataset: Dataset) -> str:
        """The recorded digest; one that ends in ``UNVERIFIED`` tells of a copy that is not known to be the published.

        >>> from xsam.tasks.vision.catalog import DATASETS
        >>> Manifest("copy.tar.gz", False, {"cifar10": "0123456789abcdef"}).checksum(DATASETS["cifar10"])
        '0123456789abcdef+unverified'
        """
        return self.checksums[dataset.name] + ("" if self.verified else UNVERIFIED)


def manifest(folder: Path) -> Manifest:
    """The manifest in ``folder``; raises ``ValueError`` (one line) where it cannot be understood."""
    path = folder / MANIFEST
    try:
        read = Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: damaged ({error}); prepare the data set again") from None
    if read.format != LAYOUT:
        raise ValueError(f"{path}: layout {read.format}, not {LAYOUT}; prepare the data set again")
    return read


def write_manifest(folder: Path, content: Manifest) -> None:
    """Write ``content`` as the manifest of ``folder``."""
    (folder / MANIFEST).write_text(json.dumps(asdict(content), indent=2) + "\n", encoding="utf-8")


def content(dataset: Dataset, folder: Path) -> Content:
    """The arrays of ``dataset``, mapped; nothing of them is read yet."""
    return {name: array(folder, name) for name in dataset.arrays}


def array(folder: Path, name: str) -> Array:
    """One mapped array. Writing to it changes this process's memory alone, never the file.

    (A read-only map would do, but torch warns of every tensor that is made from one.)
    """
    path = folder / f"{name}.npy"
    try:
        mapped: Array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, EOFError, OverflowError, TypeError, MemoryError) as error:
        raise ValueError(f"{path}: damaged ({str(error).rstrip('.')}); prepare the data set again") from None
    return mapped


def create(folder: Path, name: str, shape: tuple[int, ...], kind: type[np.generic]) -> Array:
    """A new array on disk, to be filled."""
    return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.dtype(kind), shape=shape)


def save(folder: Path, name: str, values: Array, order: Array) -> None:
    """Write ``values[order]``: images as they are, labels as int64. What is mapped is read some at a time."""
    kind = np.int64 if name.endswith("labels") else np.uint8
    written = create(folder, name, (len(order), *values.shape[1:]), kind)
    for start in range(0, len(order), _CHUNK):
        written[start : start + _CHUNK] = values[order[start : start + _CHUNK]]
