"""Bringing data sets to where training reads them, and checking them. Imports no torch until something is read.

Whatever comes from outside is read from end to end into a temporary folder below the data folder, which is renamed to
its place only when all of it was found right.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from xsam.tasks.data import Available, OwnOptions, Report, Verified, silent
from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS
from xsam.tasks.vision.datasets.dataset import Dataset
from xsam.tasks.vision.prepared import (
    describe,
    earlier_layout,
    lacking,
    locate,
    prepared_in,
    published_in,
    system_folder,
)
from xsam.tasks.workspace import workspace

_DOWNLOADS = ".downloads"


def names() -> tuple[str, ...]:
    """The data sets' names, in the order of their tables; those that are only evaluated on come last."""
    return (*DATASETS, *EVALUATION_SETS)


def available(data_dir: Path) -> list[Available]:
    """Where each data set is; opens no file.

    >>> available(Path("data"))[0].where
    'scikit-learn'
    """
    return [describe(_dataset(name), data_dir) for name in names()]


def require(name: str, data_dir: Path) -> None:
    """Raise ``DataMissing`` where the files of ``name`` are not there; opens none."""
    locate(_dataset(name), data_dir)


def recorded(name: str, data_dir: Path) -> str:
    """The checksum in the manifest of ``name``; empty where it is read as published.

    >>> recorded("digits", Path("data"))
    ''
    """
    from xsam.tasks.vision.prepared import manifest

    dataset = _dataset(name)
    folder = locate(dataset, data_dir)
    return "" if lacking(dataset, folder) else manifest(folder).checksum(dataset)


def verify(name: str, data_dir: Path) -> Verified:
    """Read ``name`` from end to end; check its counts, labels, class balance and content.

    Damage is told in ``problem``; raises ``DataMissing`` where the data set is not on disk.

    >>> verify("digits", Path("data")).counts
    {'train': 1437, 'test': 360}
    """
    from xsam.tasks.vision.convert import examine

    dataset = _dataset(name)
    source = locate(dataset, data_dir)
    try:
        checksum = examine(dataset, data_dir)
    except ValueError as error:
        return Verified(name, {}, "", str(source), str(error))
    return _verified(dataset, checksum, source)


def prepare(
    name: str,
    data_dir: Path,
    source: Path | None = None,
    *,
    bpe_merges: int | None = None,
    allow_unverified: bool = False,
    report: Report = silent,
) -> Verified:
    """Write ``name`` below ``data_dir``, checked and as training reads it; does nothing where it is and is right.

    Args:
        source: the published archive or files: an archive, the folder that it unpacks to, or a folder with either. Or
            another copy: a ``.npz`` file, a folder of images per class, a prepared folder. See ``copies``.
            ``None``: what is below ``data_dir`` already, published or prepared, or a system package's, else a download.
        bpe_merges: of parallel corpora; refused here.
        allow_unverified: take a source that is not known to be the published data; its checksum then says so.
        report: told of downloading and reading.

    Raises ``ValueError`` (one line) for a source without the data or with other data, and for a failed download.
    """
    dataset = _dataset(name)
    if bpe_merges is not None:
        raise ValueError(f"{name} holds images: leave out --bpe-merges")
    if not dataset.folder:
        return verify(name, data_dir)
    target = data_dir / dataset.folder
    if prepared_in(dataset, target):
        found = verify(name, data_dir)
        if found.ok and (allow_unverified or found.verified):
            return found
    if source is not None and not source.exists():
        raise ValueError(f"{source}: no such file or folder")
    from xsam.tasks.vision.convert import take

    data_dir.mkdir(parents=True, exist_ok=True)
    with workspace(data_dir) as temporary:
        origin = source or _at_hand(dataset, data_dir) or _download(dataset, data_dir / _DOWNLOADS, report)
        manifest = take(dataset, origin, temporary, allow_unverified, report)
        _install(temporary / dataset.folder, target, temporary)
    _discard_downloads(dataset, data_dir / _DOWNLOADS)
    return _verified(dataset, manifest.checksum(dataset), target)


def looks_own(source: Path) -> bool:
    """Whether ``source`` looks like images of one's own."""
    return source.suffix in (".npz", ".xz", ".parquet")


def prepare_own(name: str, data_dir: Path, source: Path, options: OwnOptions, report: Report) -> Verified:
    """See :func:`xsam.tasks.vision.own.prepare.prepare_own`."""
    from xsam.tasks.vision.own.prepare import prepare_own as made

    if options.bpe_merges is not None:
        raise ValueError(f"{name} holds images: leave out --bpe-merges")
    return made(name, data_dir, source, options, report)


def _dataset(name: str) -> Dataset:
    return (EVALUATION_SETS if name in EVALUATION_SETS else DATASETS)[name]


def _verified(dataset: Dataset, checksum: str, source: Path) -> Verified:
    return Verified(dataset.name, dataset.parts, checksum, str(source))


def _at_hand(dataset: Dataset, data_dir: Path) -> Path | None:
    """Where the images are already: in a folder of an earlier layout, of the whole data set, or as published."""
    own, published = data_dir / dataset.folder, data_dir / dataset.published
    if published_in(dataset, published):
        return published
    if earlier_layout(dataset, own):
        return own
    whole = DATASETS.get(dataset.selected_from)
    if whole and prepared_in(whole, data_dir / whole.folder):
        return data_dir / whole.folder
    return system_folder(dataset)


def _download(dataset: Dataset, into: Path, report: Report) -> Path:
    from xsam.tasks.download import fetch
    from xsam.tasks.vision.convert import form

    folder = into / dataset.folder
    folder.mkdir(parents=True, exist_ok=True)
    for file in dataset.downloads:
        if (folder / file.name).exists():
            continue
        try:
            fetch(dataset.url + file.name, folder / file.name, file.md5, report)
        except ValueError as error:
            _discard_empty(folder)
            raise ValueError(
                f"cannot download {dataset.url}{file.name} ({error}); the same command goes on where it ended,"
                f" or fetch it elsewhere and give --from {form(dataset)}"
            ) from None
    return folder / dataset.archive.name if dataset.archive else folder


def _discard_downloads(dataset: Dataset, downloads: Path) -> None:
    shutil.rmtree(downloads / dataset.folder, ignore_errors=True)
    _discard_empty(downloads)


def _discard_empty(folder: Path) -> None:
    """Remove ``folder`` and the one around it where nothing is in them."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def _install(staged: Path, target: Path, temporary: Path) -> None:
    """Put the finished folder in its place; what was there goes with the temporary folder."""
    if target.exists():
        os.replace(target, temporary / "replaced")
    os.replace(staged, target)
