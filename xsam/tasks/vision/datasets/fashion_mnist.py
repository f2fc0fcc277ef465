"""Fashion-MNIST, and the IDX files in which the MNIST family is published."""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from xsam.tasks.vision.datasets.dataset import DataFile, Dataset

if TYPE_CHECKING:
    from xsam.tasks.archives import Tree
    from xsam.tasks.vision.canonical import Array, Content

MOST_BYTES = 1 << 30  # of a file that is read as a whole: no published one has a fifth of it
_UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class IdxDataset(Dataset):
    """A data set in IDX files, plain or gzipped."""

    def read_published(self, tree: Tree) -> Content:
        """Four IDX files: images and labels of the training and the test part."""
        parts = [
            (_idx_array(tree, images, 3)[:, None], _idx_array(tree, labels, 1))
            for images, labels in (self.train_files, self.test_files)
        ]
        return self.named(*parts)


def _idx_array(tree: Tree, file: DataFile, dims: int) -> Array:
    """The array of unsigned bytes with ``dims`` dimensions in an IDX file, plain or gzipped.

    The format: two zero bytes, the type, the number of dimensions; each dimension in four bytes, big-endian; the data.
    """
    import numpy as np

    from xsam.tasks.archives import reading

    packed = not tree.has(file.name)
    path = tree.place / (f"{file.name}.gz" if packed else file.name)
    with reading(path), tree.open(path.name) as stream:
        plain = cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if packed else stream
        content = plain.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path}: more than {MOST_BYTES:,} bytes")
    header = 4 + 4 * dims
    if len(content) < header or content[:4] != bytes((0, 0, _UNSIGNED_BYTE, dims)):
        raise ValueError(f"{path}: not an IDX file of bytes with {dims} dimensions")
    shape = struct.unpack(f">{dims}I", content[4:header])
    size = int(np.prod(shape, dtype=object))
    if len(content) - header != size:
        raise ValueError(f"{path}: {len(content) - header:,} bytes of data where its header tells {size:,}; truncated?")
    return np.frombuffer(bytearray(content), np.uint8, offset=header).reshape(shape)


FASHION_MNIST = IdxDataset(
    name="fashion_mnist",
    channels=1,
    size=28,
    classes=10,
    train=60_000,
    test=10_000,
    mean=(0.2860,),
    std=(0.3530,),
    folder="fashion_mnist",
    published="FashionMNIST/raw",
    train_files=(DataFile("train-images-idx3-ubyte"), DataFile("train-labels-idx1-ubyte")),
    test_files=(DataFile("t10k-images-idx3-ubyte"), DataFile("t10k-labels-idx1-ubyte")),
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    downloads=(
        DataFile("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        DataFile("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        DataFile("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        DataFile("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
    system_folders=("/usr/share/datasets/fashion-mnist",),
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    checksum="cdc8fa65fd596d6e-af1fd82af8f72634",
)
