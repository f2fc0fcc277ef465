"""Where a data set's files are on disk. Needs the standard library alone."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from xsam.tasks import DataMissing
from xsam.tasks.data import Available
from xsam.tasks.vision.catalog import DATASETS, EVALUATION_SETS, DataFile, Dataset

EMBEDDED = "scikit-learn"
MANIFEST = "manifest.json"
LAYOUT = 2  # of prepared folders; 1 had the images in the order of their publication


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
        return Path(EMBEDDED if dataset.read is None else "plug-in")
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
    command = f"xsam-bench data prepare {dataset.name} --data {shlex.quote(str(data_dir))}"
    raise DataMissing(f"data set {dataset.name} is missing ({reason}): run `{command}`")


def describe(dataset: Dataset, data_dir: Path) -> Available:
    """Whether the data set is there, and where; opens no file."""
    try:
        folder, prepared = locate(dataset, data_dir), True
    except DataMissing:
        folder, prepared = data_dir / dataset.folder, False
    return Available(dataset.name, str(folder), prepared, dataset.facts)
