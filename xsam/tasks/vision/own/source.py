"""What a source of images gives, whatever it is: the labels of its parts, the formats, and then the images in order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from xsam.tasks.data import Report
from xsam.tasks.vision.canonical import Array
from xsam.tasks.vision.own.pixels import Shapes

Label = str | int
TRAIN, VAL, TEST = "train", "val", "test"
# What sources call the parts, in lower case.
NAMES = {TRAIN: ("train", "training"), VAL: ("val", "valid", "validation"), TEST: ("test", "testing")}
_WORD = re.compile(r"[a-z]+")


class Source(Protocol):
    """Images with labels, some in each part.

    Attributes:
        labels: part → the label of each image, in the order of :meth:`images`; ``"train"`` alone where nothing says
            which images are for what.
        class_names: names of the labels 0, 1, …, where the source tells them.
        notes: what somebody should know of what was left out, in sentences.
    """

    @property
    def labels(self) -> Mapping[str, Sequence[Label]]: ...

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def notes(self) -> Sequence[str]: ...

    def shapes(self, report: Report) -> Shapes:
        """The formats of all images, from their headers."""

    def images(self, part: str, channels: int) -> Iterator[Array]:
        """The images of ``part``, uint8, H×W×C, at the size that they have."""


def part_called(name: str) -> str | None:
    """The part that a file or folder ``name`` is of; None where its name says none, or more than one.

    >>> part_called("validation-00000-of-00002"), part_called("birds_Test"), part_called("trained")
    ('val', 'test', None)
    """
    words = set(_WORD.findall(name.lower()))
    found = [part for part, names in NAMES.items() if words & {*names}]
    return found[0] if len(found) == 1 else None


def as_published(labels: Mapping[str, Sequence[Label]], place: str) -> Mapping[str, Sequence[Label]]:
    """``labels`` of parts as they are used: what is held out beside the training part, alone, is the test part.

    Raises ``ValueError`` (one line that begins with ``place``) where there is no training part, or an empty part.
    """
    if TRAIN not in labels:
        raise ValueError(f"{place}: {' and '.join(labels)} without a training part; call it train")
    for part, own in labels.items():
        if not len(own):
            raise ValueError(f"{place}: no image in the part {part}")
    return labels


def numbered(
    labels: Mapping[str, Sequence[Label]], class_names: Sequence[str], place: str
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Labels as numbers from 0, without gaps, and the classes' names in their order.

    Classes are those of the training part: whole numbers, and texts that all spell some, in their order, other texts in
    alphabetical order.

    Args:
        class_names: names of the labels 0, 1, … where they are known.

    Raises ``ValueError`` (one line that begins with ``place``) for a class that the training part lacks, negative
    labels, and one class alone.

    >>> numbers, names = numbered({"train": ["10", "9"], "test": ["9"]}, (), "birds")
    >>> numbers["train"].tolist(), numbers["test"].tolist(), names
    ([1, 0], [0], ('9', '10'))
    """
    present = set(labels[TRAIN])
    digits = all(isinstance(one, int) or one.isdecimal() for one in present)
    ordered = sorted(present, key=int) if digits else sorted(present, key=str)
    if digits and ordered and int(ordered[0]) < 0:
        raise ValueError(f"{place}: the label {ordered[0]}; labels count from 0, and images without one are left out")
    if len(ordered) < 2:
        raise ValueError(f"{place}: {len(ordered)} class in the training part; there must be two or more")
    number = {label: index for index, label in enumerate(ordered)}
    for part, own in labels.items():
        unknown = sorted(map(str, set(own) - present))
        if unknown:
            raise ValueError(f"{place}: the class {unknown[0]!r} of the part {part} has no image in the part train")
    named = [class_names[one] if isinstance(one, int) and one < len(class_names) else str(one) for one in ordered]
    return {part: np.array([number[one] for one in own], np.int64) for part, own in labels.items()}, tuple(named)
