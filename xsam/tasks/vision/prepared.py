"""Prepared data sets on disk: where they are, and the folder of each.

A folder has one memory-mapped ``.npy`` file for each array, and a manifest. A data set is there when its manifest is:
folders appear whole, by a rename. Importing this needs the standard library alone.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xsam.tasks import DataMissing
from xsam.tasks.data import UNVERIFIED, Available
from xsam.tasks.own import SOURCES
from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS
from xsam.tasks.vision.datasets.dataset import DataFile, Dataset

if TYPE_CHECKING:
    import numpy as np

    from xsam.tasks.vision.canonical import Array, Content

MANIFEST = "manifest.json"
LAYOUT = 2  # of prepared folders; 1 had the images in the order of their publication
_CHUNK = 1000  # images copied at once


def views(dataset: Dataset) -> list[Dataset]:
    """The data sets that are prepared together with ``dataset``, itself among them."""
    return [one for one in (*DATASETS.values(), *EVALUATION_SETS.values()) if one.folder == dataset.folder]


def find(folder: Path, file: DataFile) -> Path | None:
    """Where a published file is in ``folder``: plain, or gzipped where its bytes are not on record; else ``None``."""
    names = (file.name,) if file.md5 else (file.name, f"{file.name}.gz")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def published_in(dataset: Dataset, folder: Path) -> bool:
    """Whether the published files of ``dataset`` are all in ``folder``."""
    return all(find(folder, file) for file in dataset.files)


def lacking(dataset: Dataset, folder: Path) -> list[str]:
    """Names of the prepared files that are not in ``folder``."""
    names = (MANIFEST, *(f"{name}.npy" for name in dataset.arrays))
    return [name for name in names if not (folder / name).is_file()]


def prepared_in(dataset: Dataset, folder: Path) -> bool:
    """Whether ``dataset`` is prepared in ``folder``, in today's layout."""
    return not lacking(dataset, folder) and layout(folder) == LAYOUT


def earlier_layout(dataset: Dataset, folder: Path) -> bool:
    """Whether ``folder`` was prepared in an earlier layout, and its content can be shown to be ``dataset``."""
    return dataset.checksum is not None and not lacking(dataset, folder) and layout(folder) < LAYOUT


def layout(folder: Path) -> int:
    """The layout of a prepared folder, as its manifest tells; today's where it cannot be read."""
    try:
        return int(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["format"])
    except (OSError, ValueError, TypeError, LookupError):
        return LAYOUT  # whoever reads the folder says what is wrong with it


def system_folder(dataset: Dataset) -> Path | None:
    """The folder where a system package keeps the published files, if one does."""
    return next((folder for folder in map(Path, dataset.system_folders) if published_in(dataset, folder)), None)


def locate(dataset: Dataset, data_dir: Path) -> Path:
    """The folder from which the data set is read: the prepared one below ``data_dir``, else a system package's.

    Raises ``DataMissing`` with the folders that were looked at and the command that prepares the data.
    """
    if not dataset.folder:
        return Path(dataset.package)
    folder = data_dir / dataset.folder
    missing = lacking(dataset, folder)
    current = prepared_in(dataset, folder)
    found = folder if current else system_folder(dataset)
    if found:
        return found
    if missing:
        reason = f"{folder} lacks {missing[0]}" if folder.is_dir() else f"no folder {folder}"
    else:
        reason = f"{folder} has layout {layout(folder)}, not {LAYOUT}, its images in another order; prepare it again"
    reason += "".join(f", nor is it in {other}" for other in dataset.system_folders)
    if published_in(dataset, data_dir / dataset.published):
        reason += f"; {data_dir / dataset.published} has the published files, which have to be prepared"
    origin = f" --from {SOURCES}" if dataset.own else ""
    command = f"xsam-bench data prepare {dataset.name}{origin} --data {shlex.quote(str(data_dir))}"
    raise DataMissing(f"data set {dataset.name} is missing ({reason}): run `{command}`")


def describe(dataset: Dataset, data_dir: Path) -> Available:
    """Whether the data set is there, and where; opens no file."""
    try:
        folder, prepared = locate(dataset, data_dir), True
    except DataMissing:
        folder, prepared = data_dir / dataset.folder, False
    return Available(dataset.name, str(folder), prepared, dataset.facts)


@dataclass(frozen=True)
class Manifest:
    """Where prepared data come from.

    Attributes:
        source: the archive, folder or address.
        verified: whether it was found to be the published data, by digests on record.
        checksums: digest of the content of each data set in the folder.
        format: layout of the folder.
        own: of a user's own data: what is known of them (:mod:`xsam.tasks.vision.own.manifest`).
    """

    source: str
    verified: bool
    checksums: Mapping[str, str]
    format: int = LAYOUT
    own: Mapping[str, Any] | None = None

    def checksum(self, dataset: Dataset) -> str:
        """The recorded digest; one that ends in ``UNVERIFIED`` tells of a copy that is not known to be the published.

        >>> from xsam.tasks.vision.datasets import DATASETS
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
    kept = {name: value for name, value in asdict(content).items() if name != "own" or value is not None}
    (folder / MANIFEST).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def content(dataset: Dataset, folder: Path) -> Content:
    """The arrays of ``dataset``, mapped; nothing of them is read yet."""
    return {name: array(folder, name) for name in dataset.arrays}


def array(folder: Path, name: str) -> Array:
    """One mapped array. Writing to it changes this process's memory alone, never the file.

    (A read-only map would do, but torch warns of every tensor that is made from one.)
    """
    import numpy as np

    path = folder / f"{name}.npy"
    try:
        mapped: Array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, EOFError, OverflowError, TypeError, MemoryError) as error:
        raise ValueError(f"{path}: damaged ({str(error).rstrip('.')}); prepare the data set again") from None
    return mapped


def create(folder: Path, name: str, shape: tuple[int, ...], kind: type[np.generic]) -> Array:
    """A new array on disk, to be filled."""
    import numpy as np

    return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.dtype(kind), shape=shape)


def save(folder: Path, name: str, values: Array, order: Array) -> None:
    """Write ``values[order]``: images as they are, labels as int64. What is mapped is read some at a time."""
    import numpy as np

    kind = np.int64 if name.endswith("labels") else np.uint8
    written = create(folder, name, (len(order), *values.shape[1:]), kind)
    for start in range(0, len(order), _CHUNK):
        written[start : start + _CHUNK] = values[order[start : start + _CHUNK]]
