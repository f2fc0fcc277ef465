"""From published files to prepared arrays: reading, checking against what is on record, writing."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from xsam.atomic import sync
from xsam.tasks.archives import Folder, Tree, opened
from xsam.tasks.data import Report
from xsam.tasks.download import file_md5
from xsam.tasks.vision import corruptions, datasets, prepared, tiny_imagenet
from xsam.tasks.vision.catalog import Dataset
from xsam.tasks.vision.files import lacking, locate, views
from xsam.tasks.vision.prepared import Manifest
from xsam.tasks.vision.published import READERS, Content


def examine(dataset: Dataset, data_dir: Path) -> str:
    """Read a data set from end to end and return its checksum; raises ``ValueError`` (one line) where it is damaged."""
    folder = locate(dataset, data_dir)
    if lacking(dataset, folder):
        return datasets.read(dataset, data_dir).checksum  # which has read and checked it all
    content, manifest = prepared.content(dataset, folder), prepared.manifest(folder)
    _check(dataset, content, folder)
    digest, recorded = datasets.checksum(dataset, content), manifest.checksums[dataset.name]
    if digest != recorded:
        raise ValueError(f"{folder}: content {digest}, not {recorded} as when it was prepared; prepare it again")
    return manifest.checksum(dataset)


def take(dataset: Dataset, origin: Path, temporary: Path, allow_unverified: bool, report: Report) -> Manifest:
    """Write the folder of ``dataset`` into ``temporary``, from the archive or folder ``origin``.

    Raises ``ValueError`` (one line) where ``origin`` does not hold the data, or, unless ``allow_unverified``, where it
    is not known to be the published data.
    """
    staged, unpacked = temporary / dataset.folder, temporary / "unpacked"
    staged.mkdir()
    unpacked.mkdir()
    origin = _archive_in(origin, dataset)
    try:
        with opened(origin, unpacked, lambda name: _wanted(dataset, name)) as root:
            tree = _published_tree(dataset, root, origin)
            doubt = _archive_doubt(dataset, origin) or _file_doubt(dataset, tree)
            _accept(doubt, allow_unverified)  # before anything is decoded
            content = _written(dataset, tree, staged, report)
    except ValueError as error:
        raise ValueError(str(error).replace(str(unpacked), str(origin)).replace(str(staged), str(origin))) from None
    for one in views(dataset):
        _check(one, content, origin)
    checksums = {one.name: datasets.checksum(one, content) for one in views(dataset)}
    if dataset.checksum not in (None, checksums[dataset.name]):
        doubt = f"{origin}: {datasets.other_content(dataset, checksums[dataset.name])}"
        _accept(doubt, allow_unverified)
    manifest = Manifest(origin.name, doubt is None, checksums)
    prepared.write_manifest(staged, manifest)
    for path in (*staged.iterdir(), staged):
        sync(path)
    return manifest


def _accept(doubt: str | None, allow_unverified: bool) -> None:
    if doubt is not None and not allow_unverified:
        raise ValueError(f"{doubt}; --allow-unverified takes it all the same, and each run's provenance tells")


def form(dataset: Dataset) -> str:
    """What a source of the data set looks like, in words."""
    names = ", ".join(file.name for file in dataset.files[:4]) + (" …" if len(dataset.files) > 4 else "")
    return " or ".join([*([dataset.archive.name] if dataset.archive else []), f"the folder with {names}"])


def _check(dataset: Dataset, content: Content, place: Path) -> None:
    check = corruptions.check if dataset.format == "corruptions" else datasets.check
    check(dataset, content, place)


def _archive_in(origin: Path, dataset: Dataset) -> Path:
    """The archive in ``origin``, where that is a folder with the archive instead of what it unpacks to."""
    archive = dataset.archive
    if archive and (origin / archive.name).is_file() and _base(dataset, Folder(origin)) is None:
        return origin / archive.name
    return origin


def _published_tree(dataset: Dataset, root: Tree, origin: Path) -> Tree:
    tree = _base(dataset, root)
    if tree is None:
        raise ValueError(f"{origin}: no {dataset.name} here; give {form(dataset)}")
    for file in dataset.files:
        if not _has(tree, file.name):
            raise ValueError(f"{tree.place}: no file {file.name}")
    return tree


def _base(dataset: Dataset, root: Tree) -> Tree | None:
    """The part of ``root`` with the published files, told by the first of them."""
    below = (root.below(folder) for folder in (dataset.published, Path(dataset.published).name))
    return next((tree for tree in (root, *below) if _has(tree, dataset.files[0].name)), None)


def _has(tree: Tree, name: str) -> bool:
    return tree.has(name) or tree.has(f"{name}.gz")


def _wanted(dataset: Dataset, name: str) -> bool:
    return name.endswith((*(f"/{file.name}" for file in dataset.files), ".JPEG"))


def _archive_doubt(dataset: Dataset, origin: Path) -> str | None:
    """Why ``origin`` is not known to be the published archive, for data sets whose archive alone is on record."""
    if dataset.archive is None or dataset.checksum or any(file.md5 for file in dataset.files):
        return None
    if origin.is_dir():
        return f"{origin}: a folder cannot be checked against the MD5 digest of {dataset.archive.name}"
    digest = file_md5(origin)
    if digest == dataset.archive.md5:
        return None
    return f"{origin}: not the published {dataset.archive.name} (MD5 {digest}, not {dataset.archive.md5})"


def _file_doubt(dataset: Dataset, tree: Tree) -> str | None:
    for file in dataset.files:
        if file.md5:
            with tree.open(file.name) as stream:
                digest = hashlib.md5(stream.read()).hexdigest()
            if digest != file.md5:
                return f"{tree.place / file.name}: not the published file (MD5 {digest}, not {file.md5})"
    return None


def _written(dataset: Dataset, tree: Tree, into: Path, report: Report) -> Content:
    """The arrays of the data set and of its other views, written to ``into``."""
    if dataset.format == "tiny_imagenet":
        sizes = sorted({size for one in views(dataset) for size in (one.raw_size, one.size)})
        return tiny_imagenet.read(
            dataset,
            tree,
            sizes,
            lambda name, shape, kind: prepared.create(into, name, shape, kind),
            lambda done, total: report("reading images", done, total),
        )
    if dataset.format == "corruptions":
        for count, file in enumerate(dataset.files, 1):
            with tree.open(file.name) as reading, (into / file.name).open("wb") as writing:
                shutil.copyfileobj(reading, writing, 1 << 20)
            report("copying", count, len(dataset.files))
    else:
        for name, array in READERS[dataset.format](dataset, tree).items():
            prepared.save(into, name, array)
    return prepared.content(dataset, into)
