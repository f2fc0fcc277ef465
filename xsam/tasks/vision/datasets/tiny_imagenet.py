"""Tiny-ImageNet-200: 64×64 JPEG files, and the smaller images on which models of 32×32 are tested.

In the published layout ``wnids.txt`` has the names of the classes, which are numbered in alphabetical order here, as
torchvision's ``ImageFolder`` does. Training images are ``train/<wnid>/images/*.JPEG``, and ``val/val_annotations.txt``
names the class of each of ``val/images/*.JPEG``, which are the test part here: the published test images have no
labels.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from xsam.tasks.vision.datasets.dataset import PARTS, DataFile, Dataset, Scratch

if TYPE_CHECKING:
    from xsam.tasks.archives import Tree
    from xsam.tasks.vision.canonical import Array, Content

RESIZE_MARGIN = 4  # the paper's test view: Resize(36), then CenterCrop(32)
CLASSES = "wnids.txt"
ANNOTATIONS = "val/val_annotations.txt"
_CHUNK = 250  # images that are resized together
_THREADS = 4  # decoding and resizing leave the interpreter to others; more would wait for it


@dataclass(frozen=True)
class TinyImageNet(Dataset):
    """Tiny-ImageNet, whose files are the lists that name its images."""

    def stage_published(self, tree: Tree, scratch: Scratch) -> Content:
        """Both parts at each of the wanted sizes, in the order of class and file number; grey images become RGB.

        Raises ``ValueError`` (one line) that names the file for what is missing, surplus, damaged or of another size.
        """
        import numpy as np

        classes = sorted(_lines(tree, CLASSES))
        if not len(classes) == len(set(classes)) == self.classes:
            raise ValueError(f"{tree.place / CLASSES}: {len(set(classes))} classes; {self.name} has {self.classes}")
        parts = {"train": _training_files(tree, classes), "test": _labelled_files(tree, classes)}
        total, done = sum(map(len, parts.values())), 0
        content: dict[str, Array] = {}
        for part, files in parts.items():
            expected = self.train if part == "train" else self.test
            if len(files) != expected:
                raise ValueError(f"{tree.place}: {len(files):,} {part} images; {self.name} has {expected:,}")
            shapes = {size: (len(files), self.channels, size, size) for size in scratch.sizes}
            views = {size: scratch.create(f"{part}-{size}", shape, np.uint8) for size, shape in shapes.items()}
            for count in _fill(views, tree, [name for name, _ in files], self.raw_size):
                done += count
                scratch.report("reading images", done, total)
            labels = scratch.create(f"{part}-labels", (len(files),), np.int64)
            labels[:] = [label for _, label in files]
            content |= {f"{part}-{size}": view for size, view in views.items()} | {f"{part}-labels": labels}
        return content

    def with_views(self, content: Content, sizes: Sequence[int]) -> Content:
        """See :meth:`Dataset.with_views`; smaller images are :func:`eval_view`."""
        import numpy as np

        made = dict(content)
        for part in PARTS:
            for size in sizes:
                if f"{part}-{size}" not in made:
                    images = made[f"{part}-{self.raw_size}"].transpose(0, 2, 3, 1)
                    chunks = [
                        eval_view(images[start : start + _CHUNK], size) for start in range(0, len(images), _CHUNK)
                    ]
                    made[f"{part}-{size}"] = np.concatenate(chunks).transpose(0, 3, 1, 2)
        return made


def _fill(views: Mapping[int, Array], tree: Tree, names: Sequence[str], side: int) -> Iterator[int]:
    """Write the images ``names`` of ``side``×``side`` to the arrays ``views``, by size; yields counts as it goes."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    one_reads = Lock()  # archives know one position

    def fill(start: int) -> int:
        chunk = names[start : start + _CHUNK]
        with one_reads:
            encoded = [_encoded(tree, name) for name in chunk]
        images = np.stack([_decoded(*pair, tree, side) for pair in zip(chunk, encoded, strict=True)])
        for size, view in views.items():
            shown = images if size == side else eval_view(images, size)
            view[start : start + len(chunk)] = shown.transpose(0, 3, 1, 2)
        return len(chunk)

    pool = ThreadPoolExecutor(_THREADS)
    try:
        yield from pool.map(fill, range(0, len(names), _CHUNK))
    finally:
        pool.shutdown(cancel_futures=True)


def eval_view(images: Array, size: int) -> Array:
    """The test-time view of square images: ``Resize(size + 4)`` with PIL's bilinear filter, then ``CenterCrop(size)``.

    PIL filters the rows of an image and then its columns, each without regard to the others, and rounds to bytes in
    between. So all images stacked in one column have their rows filtered at once, and side by side their columns: the
    same bytes as one image at a time, as torchvision does it, at half the time.

    Args:
        images: uint8, N×H×H×C.

    >>> import numpy as np
    >>> eval_view(np.full((2, 64, 64, 3), 7, np.uint8), 32).shape
    (2, 32, 32, 3)
    """
    import numpy as np
    from PIL import Image

    count, side, _, channels = images.shape
    small = size + RESIZE_MARGIN
    column = Image.fromarray(images.reshape(count * side, side, channels))
    rows = np.asarray(column.resize((small, count * side), Image.Resampling.BILINEAR))
    beside = rows.reshape(count, side, small, channels).transpose(1, 0, 2, 3).reshape(side, count * small, channels)
    row = Image.fromarray(np.ascontiguousarray(beside))
    both = np.asarray(row.resize((count * small, small), Image.Resampling.BILINEAR))
    margin = RESIZE_MARGIN // 2
    kept = both.reshape(small, count, small, channels)[margin:-margin, :, margin:-margin]
    return np.ascontiguousarray(kept.transpose(1, 0, 2, 3))


def _training_files(tree: Tree, classes: Sequence[str]) -> list[tuple[str, int]]:
    files = []
    for label, wnid in enumerate(classes):
        folder = f"train/{wnid}/images"
        files += [(f"{folder}/{name}", label) for name in sorted(_images(tree, folder), key=_number)]
    return files


def _labelled_files(tree: Tree, classes: Sequence[str]) -> list[tuple[str, int]]:
    place, label_of = tree.place / ANNOTATIONS, {wnid: label for label, wnid in enumerate(classes)}
    labels: dict[str, int] = {}
    for number, line in enumerate(_lines(tree, ANNOTATIONS), 1):
        name, wnid, *_ = (*line.split("\t"), "", "")
        if wnid not in label_of:
            raise ValueError(f"{place}: line {number} names class {wnid!r}, which {CLASSES} does not have")
        if name in labels:
            raise ValueError(f"{place}: line {number} names {name} a second time")
        labels[name] = label_of[wnid]
    there = set(_images(tree, "val/images"))
    for name in sorted(there - labels.keys(), key=_number):
        raise ValueError(f"{place}: no line for val/images/{name}")
    for name in sorted(labels.keys() - there):
        raise ValueError(f"{place}: names {name}, which is not in val/images")
    return [(f"val/images/{name}", labels[name]) for name in sorted(labels, key=_number)]


def _images(tree: Tree, folder: str) -> list[str]:
    return [name for name in tree.files(folder) if name.endswith(".JPEG")]


def _number(name: str) -> tuple[int, str]:
    """Orders files by the number at the end of their name: ``val_10.JPEG`` after ``val_9.JPEG``."""
    digits = re.search(r"(\d+)\.\w+$", name)
    return (int(digits[1]) if digits else 0, name)


def _lines(tree: Tree, name: str) -> list[str]:
    with tree.open(name) as stream:
        return stream.read().decode(errors="replace").splitlines()


def _encoded(tree: Tree, name: str) -> bytes:
    with tree.open(name) as stream:
        return stream.read()


def _decoded(name: str, encoded: bytes, tree: Tree, side: int) -> Array:
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG",)) as image:
            size = image.size  # of the header: nothing larger is decoded
            pixels = np.asarray(image.convert("RGB")) if size == (side, side) else None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{tree.place / name}: not a whole JPEG image ({error})") from None
    if pixels is None:
        raise ValueError(f"{tree.place / name}: {size[0]}×{size[1]} pixels, not {side}×{side}")
    return pixels


TINY_IMAGENET = TinyImageNet(
    name="tiny_imagenet",
    channels=3,
    size=32,
    raw_size=64,
    classes=200,
    train=100_000,
    test=10_000,
    mean=(0.4803, 0.4481, 0.3975),
    std=(0.2541, 0.2456, 0.2604),
    folder="tiny_imagenet",
    published="tiny-imagenet-200",
    train_files=(DataFile(CLASSES),),
    test_files=(DataFile(ANNOTATIONS),),
    url="http://cs231n.stanford.edu/",
    downloads=(DataFile("tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de"),),
)
TINY_IMAGENET_64 = replace(TINY_IMAGENET, name="tiny_imagenet_64", size=64, std=(0.276, 0.269, 0.281))
