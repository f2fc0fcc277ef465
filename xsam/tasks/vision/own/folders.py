"""Folders of images, one for each class, as torchvision's ``ImageFolder`` has them; in folders of parts or without."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xsam.tasks.data import Report
from xsam.tasks.vision.canonical import Array
from xsam.tasks.vision.own.pixels import FORMATS, Shapes, header, pixels
from xsam.tasks.vision.own.source import NAMES, TRAIN

LAYOUT = "FOLDER/train/CLASS/*.png and FOLDER/test/CLASS/*.png, or FOLDER/CLASS/*.png"


@dataclass
class Folders:
    """The images below a folder; see :class:`~xsam.tasks.vision.own.source.Source`."""

    place: Path
    files: dict[str, list[tuple[Path, str]]]
    labels: dict[str, Sequence[str]] = field(init=False)
    class_names: Sequence[str] = ()
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.labels = {part: [label for _, label in files] for part, files in self.files.items()}

    @classmethod
    def of(cls, place: Path) -> Folders:
        """The images below ``place``; raises ``ValueError`` (one line) where they are not in folders of classes."""
        parts = _parts(place)
        others = 0
        files: dict[str, list[tuple[Path, str]]] = {}
        for part, folder in (parts or {TRAIN: place}).items():
            files[part] = []
            loose = [one.name for one in os.scandir(folder) if one.is_file() and _is_image(one.name)]
            if loose:
                raise ValueError(f"{folder / min(loose)}: an image in no folder of a class; it takes {LAYOUT}")
            for name in sorted(one.name for one in os.scandir(folder) if one.is_dir() and not _hidden(one.name)):
                images, rest = _images(folder / name)
                others += rest
                if not parts:
                    _check_class(folder / name, images)
                files[part] += [(path, name) for path in images]
            if not files[part]:
                raise ValueError(f"{folder}: no images in folders of classes; it takes {LAYOUT}")
        what = "1 file that is no image was" if others == 1 else f"{others:,} files that are no images were"
        notes = [f"{what} left out"] if others else []
        return cls(place, files, notes=notes)

    def shapes(self, report: Report) -> Shapes:
        """See :meth:`Source.shapes`."""
        found = Shapes()
        everything = [path for files in self.files.values() for path, _ in files]
        for count, path in enumerate(everything, 1):
            with path.open("rb") as stream:
                found.take(*header(stream, str(path)))
            report("looking at images", count, len(everything))
        return found

    def images(self, part: str, channels: int) -> Iterator[Array]:
        """See :meth:`Source.images`."""
        for path, _ in self.files[part]:
            with path.open("rb") as stream:
                yield pixels(stream, str(path), channels)


def _parts(place: Path) -> dict[str, Path]:
    """The folders of the parts, where there are any."""
    found: dict[str, Path] = {}
    for name in sorted(one.name for one in os.scandir(place) if one.is_dir()):
        for part, names in NAMES.items():
            if name.lower() in names:
                if part in found:
                    raise ValueError(f"{place}: {found[part].name} and {name} are both {part}; leave one of them")
                found[part] = place / name
    if found and TRAIN not in found:
        raise ValueError(f"{place}: {found.popitem()[1].name} without a folder train; it takes {LAYOUT}")
    return found


def _images(folder: Path) -> tuple[list[Path], int]:
    """The images below ``folder`` in alphabetical order, and how many other files there are."""
    images, others = [], 0
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _hidden(name)]
        for name in names:
            if _hidden(name):
                continue
            if _is_image(name):
                path = Path(root) / name
                if not path.is_file():
                    raise ValueError(f"{path}: no file, but a broken link or a pipe; take it out")
                images.append(path)
            else:
                others += 1
    return sorted(images), others


def _check_class(folder: Path, images: list[Path]) -> None:
    """Raise ``ValueError`` where what stands for a class, beside no part, looks like a part itself."""
    inside = {path.relative_to(folder).parts[0] for path in images}
    if len(inside) > 1 and all((folder / name).is_dir() for name in inside):
        raise ValueError(
            f"{folder}: holds folders of images itself; is it a part of the data? Parts are called train, val and test"
        )


def _is_image(name: str) -> bool:
    return not _hidden(name) and Path(name).suffix.lower() in FORMATS


def _hidden(name: str) -> bool:
    return name.startswith(".")
