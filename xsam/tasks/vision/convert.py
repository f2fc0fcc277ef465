"""From published files to prepared arrays: reading, checking against what is on record, writing."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from xsam.atomic import sync
from xsam.tasks.archives import Folder, Tree, opened
from xsam.tasks.data import Report
from xsam.tasks.download import file_md5
from xsam.tasks.vision import formats, images, prepared
from xsam.tasks.vision.canonical import Content, first_of_each_class
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.datasets.dataset import Dataset, Scratch
from xsam.tasks.vision.prepared import Manifest, lacking, locate, views


def examine(dataset: Dataset, data_dir: Path) -> str:
    """Read a data set from end to end and return its checksum; raises ``ValueError`` (one line) where it is damaged."""
    folder = locate(dataset, data_dir)
    if lacking(dataset, folder):
        return images.read(dataset, data_dir).checksum  # which has read and checked it all
    content, manifest = prepared.content(dataset, folder), prepared.manifest(folder)
    dataset.check(content, folder)
    digest, recorded = dataset.digest(content), manifest.checksums[dataset.name]
    if digest != recorded:
        raise ValueError(f"{folder}: content {digest}, not {recorded} as when it was prepared; prepare it again")
    return manifest.checksum(dataset)


def take(dataset: Dataset, origin: Path, temporary: Path, allow_unverified: bool, report: Report) -> Manifest:
    """Write the folder of ``dataset`` into ``temporary``, from the archive or folder ``origin``.

    Raises ``ValueError`` (one line) where ``origin`` does not hold the data, or, unless ``allow_unverified``, where it
    is not known to be the published data.
    """
    staged, unpacked, scratch = (temporary / name for name in (dataset.folder, "unpacked", "scratch"))
    for folder in (staged, unpacked, scratch):
        folder.mkdir()
    origin = _archive_in(origin, dataset)
    try:
        content, doubt = _read(dataset, origin, unpacked, scratch, allow_unverified, report)
        _write(dataset, content, staged, origin)
    except ValueError as error:
        raise ValueError(str(error).replace(str(unpacked), str(origin)).replace(str(scratch), str(origin))) from None
    checksums = {one.name: one.digest(prepared.content(one, staged)) for one in views(dataset)}
    found = checksums[dataset.name]
    if dataset.checksum is not None:
        doubt = None if found == dataset.checksum else doubt or f"{origin}: {dataset.other_content(found)}"
        _accept(doubt, allow_unverified)
    manifest = Manifest(origin.name, doubt is None, checksums)
    prepared.write_manifest(staged, manifest)
    for path in (*staged.iterdir(), staged):
        sync(path)
    return manifest


def _read(
    dataset: Dataset, origin: Path, unpacked: Path, scratch: Path, allow_unverified: bool, report: Report
) -> tuple[Content, str | None]:
    """The images of ``origin`` in its own order, and why it is not known to be the published data, if it is not."""
    doubt = None if dataset.checksum else f"{origin}: nothing is on record to tell whether it is {dataset.name}"
    prepared_as = next((one for one in _sources(dataset) if not lacking(one, origin)), None)
    if (
        prepared_as
        or formats.is_npz(origin)
        or (not _is_published(dataset, origin) and formats.is_class_folders(origin))
    ):
        if dataset.checksum is None:
            _accept(doubt, allow_unverified)
        if prepared_as:
            return prepared.content(prepared_as, origin), doubt
        if origin.is_file():
            return formats.read_npz(dataset, origin, scratch), doubt
        return formats.read_class_folders(dataset, origin), doubt
    with opened(origin, unpacked, lambda name: _wanted(dataset, name)) as root:
        tree = _published_tree(dataset, root, origin)
        doubt = _archive_doubt(dataset, origin) or _file_doubt(dataset, tree)
        if dataset.checksum is None:
            _accept(doubt, allow_unverified)  # before anything is decoded
        return dataset.stage_published(tree, _scratch(dataset, scratch, report)), doubt


def _scratch(dataset: Dataset, folder: Path, report: Report) -> Scratch:
    create, array = partial(prepared.create, folder), partial(prepared.array, folder)
    return Scratch(folder, _sizes(dataset), create, array, report)


def _sources(dataset: Dataset) -> list[Dataset]:
    """The data sets that ``dataset`` can be made from."""
    return [dataset, *([DATASETS[dataset.selected_from]] if dataset.selected_from else [])]


def _is_published(dataset: Dataset, origin: Path) -> bool:
    return origin.is_dir() and _base(dataset, Folder(origin)) is not None


def _write(dataset: Dataset, content: Content, into: Path, origin: Path) -> None:
    """Check the images of all views, and write them in canonical order."""
    whole = DATASETS[dataset.selected_from] if dataset.selected_from else dataset
    if whole is not dataset and len(content["train-labels"]) != whole.train:
        whole = dataset
    content = dataset.with_views(content, _sizes(dataset))
    for one in views(dataset) if whole is dataset else [whole]:
        one.check(content, origin)
    orders = dataset.orders(content)
    if whole is not dataset:
        order = orders["train-labels"]
        chosen = order[first_of_each_class(content["train-labels"][order], dataset.train // dataset.classes)]
        orders |= {name: chosen for name in orders if name.startswith("train")}
    for name in {name for one in views(dataset) for name in one.arrays}:
        prepared.save(into, name, content[name], orders[name])


def _sizes(dataset: Dataset) -> list[int]:
    """Sides of the images of all views, the largest first."""
    return sorted({size for one in views(dataset) for size in (one.raw_size, one.size)}, reverse=True)


def _accept(doubt: str | None, allow_unverified: bool) -> None:
    if doubt is not None and not allow_unverified:
        raise ValueError(f"{doubt}; --allow-unverified takes it all the same, and each run's provenance tells")


def form(dataset: Dataset) -> str:
    """What a source of the data set looks like, in words."""
    names = ", ".join(file.name for file in dataset.files[:4]) + (" …" if len(dataset.files) > 4 else "")
    return " or ".join([*([dataset.archive.name] if dataset.archive else []), f"the folder with {names}"])


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
    if dataset.archive is None or any(file.md5 for file in dataset.files):
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
