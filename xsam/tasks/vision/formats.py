"""Reading copies of a data set that are not in its published format: ``.npz`` files, and folders of images per class.

What is read is not checked yet; that it is the data set is shown by its canonical checksum.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from xsam.tasks.archives import opened, unpack_xz
from xsam.tasks.vision.canonical import Array, Content
from xsam.tasks.vision.datasets.dataset import PARTS, Dataset

NPZ = (".npz", ".npz.xz")
_TEST_FOLDERS = ("test", "val")
_IMAGES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".ppm": "PPM", ".pgm": "PPM"}


def is_npz(origin: Path) -> bool:
    """Whether ``origin`` is called as a file of NumPy arrays, which may be packed with xz."""
    return origin.is_file() and origin.name.endswith(NPZ)


def read_npz(dataset: Dataset, origin: Path, scratch: Path) -> Content:
    """The arrays ``x_train``, ``y_train``, ``x_test`` and ``y_test``, in any order of the images.

    Args:
        origin: images are uint8, N×H×W×C, N×C×H×W or, where they are grey, N×H×W; labels are integers, N or N×1.
        scratch: an empty folder for what has to be unpacked.

    Raises ``ValueError`` (one line) for a file without them.
    """
    path = unpack_xz(origin, scratch / origin.stem) if origin.suffix == ".xz" else origin
    parts = []
    with opened(path, scratch, lambda name: True) as tree:
        for part in PARTS:
            arrays = []
            for name in (f"x_{part}", f"y_{part}"):
                if not tree.has(f"{name}.npy"):
                    raise ValueError(f"{origin}: no array {name}; it takes x_train, y_train, x_test and y_test")
                with tree.open(f"{name}.npy") as stream:
                    arrays.append(read_npy(stream, f"{origin}: {name}"))
            images, labels = arrays
            if images.dtype != np.uint8 or labels.dtype.kind not in "iu":
                raise ValueError(
                    f"{origin}: x_{part} of {images.dtype} and y_{part} of {labels.dtype}, not of bytes and integers"
                )
            parts.append((_planar(images, dataset.channels), labels.reshape(-1).astype(np.int64)))
    return dataset.named(*parts)


def read_npy(stream: IO[bytes], place: str) -> Array:
    """An array of numbers; never more memory than the file has bytes, whatever its header claims."""
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, by_columns, kind = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, by_columns, kind = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version}")
    except (ValueError, TypeError, SyntaxError, OverflowError, MemoryError) as error:
        raise ValueError(f"{place} is not an array ({' '.join(str(error).split())[:200]})") from None
    if min(shape, default=0) < 0:
        raise ValueError(f"{place} is not an array (shape {shape})")
    if kind.kind not in "iu":
        raise ValueError(f"{place} is an array of {kind}, not of integers")
    size = int(np.prod(shape, dtype=object)) * kind.itemsize
    content = stream.read(min(size, sys.maxsize - 1) + 1)
    if len(content) != size:
        raise ValueError(f"{place} has other than the {size:,} bytes of data that its header tells; truncated?")
    return np.frombuffer(content, kind).reshape(shape, order="F" if by_columns else "C")


def _planar(images: Array, channels: int) -> Array:
    """``images`` as N×C×H×W where their shape is one of those that are taken, else as they are."""
    if images.ndim == 3 and channels == 1:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] != channels and images.shape[3] == channels:
        return images.transpose(0, 3, 1, 2)
    return images


def is_class_folders(origin: Path) -> bool:
    """Whether ``origin`` has a folder of images for each class below ``train``, as torchvision's ``ImageFolder``."""
    return _test_folder(origin) is not None and bool(_classes(origin / "train"))


def read_class_folders(dataset: Dataset, origin: Path) -> Content:
    """Images in ``train/<class>/`` and ``test/<class>/`` (or ``val/<class>/``), in any order and with any file names.

    Classes are the names of the folders: numbers count as they are, the names that the data set is published with have
    its labels, and others are numbered in alphabetical order. Grey images become RGB where the data set is.

    Raises ``ValueError`` (one line) that names the file for one that is no image or of another size.
    """
    test = _test_folder(origin)
    assert test is not None
    known = _classes(origin / "train")
    if _classes(test) != known or len(known) != dataset.classes:
        raise ValueError(
            f"{origin}: {len(known)} folders of classes below train and {len(_classes(test))} below {test.name};"
            f" {dataset.name} has {dataset.classes} classes, the same in both"
        )
    parts = []
    for folder in (origin / "train", test):
        files = [
            (path, label) for label, name in enumerate(_numbered(known, dataset)) for path in _files(folder / name)
        ]
        images = np.empty((len(files), dataset.channels, dataset.raw_size, dataset.raw_size), np.uint8)
        for image, (path, _) in zip(images, files, strict=True):
            image[:] = _pixels(path, dataset)
        parts.append((images, np.array([label for _, label in files], np.int64)))
    return dataset.named(*parts)


def _test_folder(origin: Path) -> Path | None:
    return next((origin / name for name in _TEST_FOLDERS if _classes(origin / name)), None)


def _classes(folder: Path) -> list[str]:
    """Names of the folders in ``folder`` with an image in each, in alphabetical order."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and _files(Path(entry.path)))


def _files(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(folder) if Path(entry.name).suffix.lower() in _IMAGES]


def _numbered(names: list[str], dataset: Dataset) -> list[str]:
    """The folders' names in the order of the labels."""
    if all(name.isdecimal() for name in names):
        return sorted(names, key=int)
    spelled = {_plain(name): name for name in names}
    published = [_plain(name) for name in dataset.class_names]
    return [spelled[name] for name in published] if sorted(spelled) == sorted(published) else names


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _pixels(path: Path, dataset: Dataset) -> Array:
    side, mode = dataset.raw_size, "L" if dataset.channels == 1 else "RGB"
    try:
        with Image.open(path, formats=tuple(set(_IMAGES.values()))) as image:
            size = image.size  # of the header: nothing larger is decoded
            pixels = np.asarray(image.convert(mode)) if size == (side, side) else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: not a whole image ({error})") from None
    if pixels is None:
        raise ValueError(f"{path}: {size[0]}×{size[1]} pixels, not {side}×{side}")
    return pixels.reshape(side, side, -1).transpose(2, 0, 1)
