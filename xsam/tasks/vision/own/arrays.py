"""Images in a ``.npz`` file: ``x_train``, ``y_train`` and so on, or ``train_images``, ``train_labels``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xsam.tasks.archives import Tree, opened, unpack_xz
from xsam.tasks.data import Report
from xsam.tasks.vision.canonical import Array
from xsam.tasks.vision.formats import read_npy
from xsam.tasks.vision.own.pixels import Shapes
from xsam.tasks.vision.own.source import NAMES, TRAIN, Label

MOST_CHANNELS = 16


@dataclass
class Arrays:
    """The arrays of a file; see :class:`~xsam.tasks.vision.own.source.Source`."""

    place: Path
    content: dict[str, Array]  # part → N×H×W×C
    labels: dict[str, Sequence[Label]]
    class_names: Sequence[str] = ()
    notes: Sequence[str] = ()

    @classmethod
    def of(cls, place: Path, scratch: Path) -> Arrays:
        """The images of the file ``place``.

        Args:
            scratch: an empty folder for what has to be unpacked.

        Raises ``ValueError`` (one line) for a file without them, and for arrays that are not images with labels.
        """
        path = unpack_xz(place, scratch / place.stem) if place.suffix == ".xz" else place
        content: dict[str, Array] = {}
        labels: dict[str, Sequence[Label]] = {}
        with path.open("rb") as stream:
            if stream.read(2) != b"PK":
                raise ValueError(f"{place}: not an .npz file, which numpy.savez writes")
        with opened(path, scratch, lambda name: True) as tree:
            for part, names in NAMES.items():
                found = _names(tree, names)
                if found is None:
                    continue
                images, numbers = (_array(tree, name, place) for name in found)
                content[part] = _channels_last(images, f"{place}: {found[0]}")
                if numbers.reshape(-1).shape != (len(images),):
                    raise ValueError(f"{place}: {len(images):,} images in {found[0]} and {numbers.shape} {found[1]}")
                labels[part] = numbers.reshape(-1).tolist()
        if TRAIN not in content:
            raise ValueError(
                f"{place}: no arrays x_train and y_train; it takes these, x_test and y_test, and x_val and y_val"
            )
        shapes = {images.shape[1:] for images in content.values()}
        if len(shapes) > 1:
            raise ValueError(f"{place}: images of different shapes in its parts: {' and '.join(map(str, shapes))}")
        return cls(place, content, labels)

    def shapes(self, report: Report) -> Shapes:
        """See :meth:`Source.shapes`."""
        found = Shapes()
        for images in self.content.values():
            found.take(images.shape[2], images.shape[1], images.shape[3])
        return found

    def images(self, part: str, channels: int) -> Iterator[Array]:
        """See :meth:`Source.images`."""
        yield from self.content[part]


def _names(tree: Tree, parts: Sequence[str]) -> tuple[str, str] | None:
    """The names of a part's images and labels; None where there is neither."""
    for part in parts:
        for names in ((f"x_{part}", f"y_{part}"), (f"{part}_images", f"{part}_labels")):
            there = [tree.has(f"{name}.npy") for name in names]
            if all(there):
                return names
            if any(there):
                raise ValueError(f"{tree.place}: {names[there.index(True)]} without {names[there.index(False)]}")
    return None


def _array(tree: Tree, name: str, place: Path) -> Array:
    with tree.open(f"{name}.npy") as stream:
        return read_npy(stream, f"{place}: {name}")


def _channels_last(images: Array, place: str) -> Array:
    """N×H×W, N×H×W×C or N×C×H×W as N×H×W×C: squares rather than others, then the channels last."""
    if images.dtype != np.uint8:
        raise ValueError(f"{place} is of {images.dtype}; images are bytes from 0 to 255 (uint8)")
    if images.ndim == 3:
        return images[..., None]
    ways = [images, images.transpose(0, 2, 3, 1)] if images.ndim == 4 else []
    possible = [one for one in ways if 1 <= one.shape[3] <= MOST_CHANNELS and min(one.shape[1:3]) > 0]
    if not possible:
        raise ValueError(
            f"{place} has the shape {images.shape}; images are N×H×W, N×H×W×C or N×C×H×W, of at most "
            f"{MOST_CHANNELS} channels"
        )
    return min(possible, key=lambda one: one.shape[1] != one.shape[2])
