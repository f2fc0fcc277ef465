"""Data sets in their published forms, with random pixels: what the real readers, archives and checks run on.

Each function writes one form at any number of images, and returns the data set's entry with these counts and the
digests of what was written, for ``monkeypatch.setitem(DATASETS, name, entry)``. Without that, full counts can be
prepared with ``allow_unverified=True``.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS
from xsam.tasks.vision.datasets.cifar import CifarDataset
from xsam.tasks.vision.datasets.dataset import DataFile, Dataset

GREY_EVERY = 60  # about as many of Tiny-ImageNet's files are grey


def write_cifar10(target: Path, train: int = 50_000, test: int = 10_000, seed: int = 0) -> Dataset:
    """CIFAR-10's Python version: ``target`` is the ``.tar.gz`` to write, or the folder that it would unpack to."""
    return _write_cifar(DATASETS["cifar10"], target, train, test, seed, {"batches.meta": "label_names"})


def write_cifar100(target: Path, train: int = 50_000, test: int = 10_000, seed: int = 0) -> Dataset:
    """CIFAR-100's Python version; coarse labels are all wrong. See :func:`write_cifar10`."""
    return _write_cifar(DATASETS["cifar100"], target, train, test, seed, {"meta": "fine_label_names"})


def write_fashion_mnist(folder: Path, train: int = 60_000, test: int = 10_000, seed: int = 0) -> Dataset:
    """Fashion-MNIST's four gzipped IDX files; the entry returned has no system package's folders."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for part, count in (("train", train), ("t10k", test)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(count, dtype=np.uint8) % 10)):
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array), 0))
    real = DATASETS["fashion_mnist"]
    downloads = tuple(_described(folder / file.name) for file in real.downloads)
    return dataclasses.replace(real, train=train, test=test, downloads=downloads, system_folders=(), checksum=None)


def write_tiny_imagenet_zip(
    target: Path, per_class: int = 500, val_per_class: int = 50, classes: int = 200, distinct: int = 240, seed: int = 0
) -> tuple[Dataset, Dataset]:
    """Tiny-ImageNet-200's zip archive, of ``distinct`` different JPEG files, some grey, used again and again.

    Returns the entries of ``tiny_imagenet`` and ``tiny_imagenet_64``. Classes are not in alphabetical order.
    """
    random = np.random.default_rng(seed)
    wnids = [f"n{number:08d}" for number in random.choice(10**8, classes, replace=False)]
    files = [jpeg(random_image(random, grey=i % GREY_EVERY == 0)) for i in range(distinct)]
    with zipfile.ZipFile(target, "w") as archive:
        top = "tiny-imagenet-200/"
        archive.writestr(top, b"")
        archive.writestr(f"{top}wnids.txt", "\n".join(wnids))
        archive.writestr(f"{top}words.txt", "".join(f"{wnid}\tthing\n" for wnid in sorted(wnids)))
        archive.writestr(f"{top}test/images/test_0.JPEG", files[0])
        count = 0
        for wnid in sorted(wnids):
            archive.writestr(f"{top}train/{wnid}/{wnid}_boxes.txt", f"{wnid}_0.JPEG\t0\t0\t62\t62\n")
            for number in range(per_class):
                archive.writestr(f"{top}train/{wnid}/images/{wnid}_{number}.JPEG", files[count % distinct])
                count += 1
        labels = random.permutation(np.arange(classes * val_per_class) % classes)
        lines = [f"val_{number}.JPEG\t{wnids[label]}\t0\t0\t62\t62\n" for number, label in enumerate(labels)]
        archive.writestr(f"{top}val/val_annotations.txt", "".join(random.permutation(np.array(lines)).tolist()))
        for number in range(len(labels)):
            archive.writestr(f"{top}val/images/val_{number}.JPEG", files[number % distinct])
    counts: dict[str, Any] = {"classes": classes, "train": classes * per_class, "test": classes * val_per_class}
    first, second = (
        dataclasses.replace(DATASETS[name], **counts, downloads=(_described(target),))
        for name in ("tiny_imagenet", "tiny_imagenet_64")
    )
    return first, second


def write_cifar10_c(target: Path, images: int = 10_000, seed: int = 0) -> Dataset:
    """CIFAR-10-C's ``.tar`` (or, where ``target`` has no suffix, its folder) with ``images`` at each severity."""
    random = np.random.default_rng(seed)
    real = EVALUATION_SETS["cifar10_c"]
    arrays = {name: random.integers(0, 256, (5 * images, 32, 32, 3), dtype=np.uint8) for name in real.arrays}
    arrays["labels"] = np.tile(np.arange(images) % 10, 5)
    _write_files(target, real.published, {f"{name}.npy": _npy(array) for name, array in arrays.items()})
    downloads = (_described(target),) if target.suffix else real.downloads
    return dataclasses.replace(real, test=(len(arrays) - 1) * 5 * images, downloads=downloads)


def idx(array: np.ndarray) -> bytes:
    """``array`` of bytes in the IDX format."""
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def random_image(random: np.random.Generator, grey: bool = False, side: int = 64) -> Image.Image:
    """A smooth image of random colours, as photographs are mostly smooth."""
    coarse = random.integers(0, 256, (8, 8) if grey else (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BILINEAR)


def jpeg(image: Image.Image) -> bytes:
    """``image`` as the bytes of a JPEG file."""
    stream = io.BytesIO()
    image.save(stream, "JPEG")
    return stream.getvalue()


class Python2Pickler(pickle._Pickler):
    """Writes the pickles of Python 2 and its NumPy, which CIFAR's are."""

    write: Callable[[bytes], None]
    memoize: Callable[[object], None]
    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def _save_string(self, value: bytes | str) -> None:
        content = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = _save_string

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = "numpy.core.multiarray" if obj.__name__ == "_reconstruct" else obj.__module__
        self.write(pickle.GLOBAL + f"{module}\n{obj.__name__}\n".encode())
        self.memoize(obj)


def pickled(content: object) -> bytes:
    """``content`` as Python 2 would pickle it with protocol 2."""
    stream = io.BytesIO()
    Python2Pickler(stream, 2).dump(content)
    return stream.getvalue()


def _write_cifar(real: CifarDataset, target: Path, train: int, test: int, seed: int, meta: dict[str, str]) -> Dataset:
    random = np.random.default_rng(seed)
    files: dict[str, bytes] = {}
    for batches, total in ((real.train_files, train), (real.test_files, test)):
        count = total // len(batches)
        for batch in batches:
            labels = (np.arange(count) % real.classes).tolist()
            content = {
                "batch_label": batch.name,
                real.label_key: labels,
                "coarse_labels": [19 - label // 5 for label in labels],
                "data": random.integers(0, 256, (count, 3072), dtype=np.uint8),
                "filenames": [f"thing_s_{number:06d}.png" for number in range(count)],
            }
            if real.label_key == "labels":
                del content["coarse_labels"]
            files[batch.name] = pickled(content)
    described = {name: DataFile(name, hashlib.md5(content).hexdigest()) for name, content in files.items()}
    for name, key in meta.items():
        files[name] = pickled({key: [f"class {label}" for label in range(real.classes)]})
    _write_files(target, real.published, files)
    return dataclasses.replace(
        real,
        train=train,
        test=test,
        train_files=tuple(described[file.name] for file in real.train_files),
        test_files=tuple(described[file.name] for file in real.test_files),
        downloads=(_described(target),) if target.suffix else real.downloads,
        checksum=None,
    )


def _write_files(target: Path, folder: str, files: dict[str, bytes]) -> None:
    """A folder, or an archive with the files below ``folder``; not compressed, for speed: pixels are random."""
    if not target.suffix:
        target.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (target / name).write_bytes(content)
        return
    with gzip.open(target, "wb", 0) if target.suffix == ".gz" else target.open("wb") as stream:  # noqa: SIM117
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(f"{folder}/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _described(path: Path) -> DataFile:
    return DataFile(path.name, hashlib.md5(path.read_bytes()).hexdigest())
