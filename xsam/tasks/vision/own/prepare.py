"""Preparing images of one's own: reading, one size, parts, canonical order, statistics, and a folder in one rename."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from xsam.atomic import sync
from xsam.tasks.data import OwnOptions, Report, Verified
from xsam.tasks.vision import prepared
from xsam.tasks.vision.canonical import Array, canonical_order
from xsam.tasks.vision.datasets.dataset import Dataset
from xsam.tasks.vision.own.arrays import Arrays
from xsam.tasks.vision.own.folders import LAYOUT, Folders
from xsam.tasks.vision.own.manifest import is_own, manifest_of, statistics
from xsam.tasks.vision.own.pixels import Shapes, fitted
from xsam.tasks.vision.own.source import TEST, TRAIN, VAL, Source, as_published, numbered
from xsam.tasks.vision.own.tables import Tables, parquet_files
from xsam.tasks.vision.sizes import allocate
from xsam.tasks.workspace import workspace

TEST_SHARE = 5  # where no test part is given, every fifth image becomes one
_CHUNK = 1000
_NOT = f"give a folder of images ({LAYOUT}), an .npz file, or a .parquet file or a folder of some"


def prepare_own(name: str, data_dir: Path, origin: Path, options: OwnOptions, report: Report) -> Verified:
    """Write the images in ``origin`` below ``data_dir`` as the data set ``name``, in place of an earlier one.

    Raises ``ValueError`` (one line) for a source without images and labels, damaged ones, and images of several sizes
    without ``options.size``; nothing is left then, and an earlier one stays.
    """
    target = data_dir / name
    if target.exists() and not is_own(target):
        raise ValueError(
            f"{target}: there already, and not made by 'data prepare'; choose another name, or another --data"
        )
    data_dir.mkdir(parents=True, exist_ok=True)
    with workspace(data_dir) as temporary:
        staged, unpacked, scratch = (temporary / part for part in ("staged", "unpacked", "scratch"))
        for folder in (staged, unpacked, scratch):
            folder.mkdir()
        source = _source(origin, unpacked, options)
        dataset, notes = _write(name, source, origin, options.size, scratch, staged, report)
        prepared.write_manifest(staged, manifest_of(dataset, origin.name))
        for path in (*staged.iterdir(), staged):
            sync(path)
        if target.exists():
            target.rename(temporary / "replaced")
        staged.rename(target)
    return Verified(name, dataset.parts, dataset.checksum or "", str(target), notes=tuple(notes))


def _source(origin: Path, unpacked: Path, options: OwnOptions) -> Source:
    columns = [f"--{name}" for name in ("image", "label") if getattr(options, name) is not None]
    tables = parquet_files(origin) if origin.is_dir() else origin.suffix == ".parquet" and origin.is_file()
    if columns and not tables:
        raise ValueError(f"{origin}: no parquet file, and has no columns: leave out {' and '.join(columns)}")
    if origin.name.endswith((".npz", ".npz.xz")) and origin.is_file():
        return Arrays.of(origin, unpacked)
    if tables:
        return Tables.of(origin, options.image, options.label)
    if origin.is_dir():
        return Folders.of(origin)
    raise ValueError(f"{origin}: no source of images; {_NOT}")


def _write(
    name: str, source: Source, origin: Path, size: int | None, scratch: Path, staged: Path, report: Report
) -> tuple[Dataset, list[str]]:
    """Write the arrays of ``source`` into ``staged``; returns the data set that they are, and notes."""
    place, notes = str(origin), list(source.notes)
    given = as_published(source.labels, place)
    numbers, class_names = numbered(given, source.class_names, place)
    shapes = source.shapes(report)
    side = _side(shapes, size, place)
    if size is not None and shapes.side != size:
        notes.append(f"{shapes} were resized to {size}×{size}: the shorter side, and then the middle")
    images = _read(source, numbers, shapes.channels, side, scratch, report)
    if TEST not in images and VAL in images:
        images[TEST], numbers[TEST] = images.pop(VAL), numbers.pop(VAL)
        notes.append("the one part that is held out is the test part; validation images are drawn from the others")
    orders = {part: canonical_order(images[part], numbers[part]) for part in images}
    digests = {part: _digests(images[part]) for part in images}
    origin_of = {part: part for part in orders}
    if TEST not in orders:
        chosen = tested(digests[TRAIN], numbers[TRAIN], place)
        orders[TEST] = np.array([one for one in orders[TRAIN] if chosen[one]], np.int64)
        orders[TRAIN] = np.array([one for one in orders[TRAIN] if not chosen[one]], np.int64)
        origin_of[TEST] = TRAIN
        notes.append(
            f"no test part was given: {len(orders[TEST]):,} of {len(chosen):,} images, of each class those whose "
            "content has the lowest SHA-256, became one"
        )
    notes += _twice({part: {digests[origin_of[part]][one] for one in order} for part, order in orders.items()})
    for part, order in orders.items():
        prepared.save(staged, f"{part}-{side}", images[origin_of[part]], order)
        prepared.save(staged, f"{part}-labels", numbers[origin_of[part]], order)
    mean, std = statistics(_histogram(prepared.array(staged, f"{TRAIN}-{side}")))
    dataset = Dataset(
        name=name,
        channels=shapes.channels,
        size=side,
        classes=len(class_names),
        class_names=class_names,
        train=len(orders[TRAIN]),
        validation=len(orders.get(VAL, ())),
        test=len(orders[TEST]),
        mean=mean,
        std=std,
        folder=name,
        balanced=False,
        own=True,
    )
    content = prepared.content(dataset, staged)
    dataset.check(content, origin)
    return replace(dataset, checksum=dataset.digest(content)), notes


def _side(shapes: Shapes, size: int | None, place: str) -> int:
    side = size or shapes.side
    if side is None:
        raise ValueError(
            f"{place}: {shapes}, and models take squares of one size: give --size N, to which each is resized "
            "(its shorter side, and then the middle)"
        )
    return side


def _read(
    source: Source, numbers: Mapping[str, Array], channels: int, side: int, scratch: Path, report: Report
) -> dict[str, Array]:
    """Part → its images, N×C×S×S, in files of ``scratch``."""
    found, count, total = {}, 0, sum(map(len, numbers.values()))
    for part, labels in numbers.items():
        array = prepared.create(scratch, part, (len(labels), channels, side, side), np.uint8)
        for index, image in enumerate(source.images(part, channels)):
            array[index] = fitted(image, side).transpose(2, 0, 1)
            count += 1
            report("reading images", count, total)
        found[part] = array
    return found


def _digests(images: Array) -> list[bytes]:
    """The SHA-256 of each image's bytes, as in ``xsam.tasks.vision.canonical``."""
    return [hashlib.sha256(np.ascontiguousarray(image.transpose(1, 2, 0)).data).digest() for image in images]


def tested(digests: Sequence[bytes], labels: Array, place: str) -> list[bool]:
    """Which images become the test part, where none is given: of each class a fifth, by their content alone.

    Images are gone through by the SHA-256 of their bytes, whatever order they came in, and taken while their classes'
    shares last. All copies of an image are on the same side.

    Raises ``ValueError`` (one line that begins with ``place``) where there are too few images.

    >>> digests = [bytes([i]) for i in (7, 1, 5, 3, 9, 2, 8, 4, 6, 0)]
    >>> tested(digests, np.zeros(10, np.int64), "birds").index(True), sum(tested(digests, np.zeros(10, int), "birds"))
    (1, 2)
    """
    counts = np.bincount(labels).tolist()
    left = allocate(counts, len(labels) // TEST_SHARE)
    same: dict[bytes, list[int]] = {}
    for index, digest in enumerate(digests):
        same.setdefault(digest, []).append(index)
    chosen = [False] * len(labels)
    for digest in sorted(same):
        needed = np.bincount(labels[same[digest]], minlength=len(left)).tolist()
        if all(one <= other for one, other in zip(needed, left, strict=True)):
            left = [other - one for one, other in zip(needed, left, strict=True)]
            for index in same[digest]:
                chosen[index] = True
    if not any(chosen):
        raise ValueError(f"{place}: {len(labels)} images are too few to take a test part from; give train and test")
    return chosen


def _twice(parts: Mapping[str, set[bytes]]) -> list[str]:
    """What is to be said of images that are held out and trained on."""
    return [
        f"{len(shared):,} images of the {part} part are in the training part too"
        for part, own in parts.items()
        if part != TRAIN and (shared := own & parts[TRAIN])
    ]


def _histogram(images: Array) -> list[list[int]]:
    counts = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        for channel in range(images.shape[1]):
            counts[channel] += np.bincount(chunk[:, channel].ravel(), minlength=256)
    return [[int(count) for count in channel] for channel in counts]
