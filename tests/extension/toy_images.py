"""A small data set in a format of its own: a byte of label, then 16 of pixels, for each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xsam.tasks.vision.datasets.dataset import DataFile, Dataset

if TYPE_CHECKING:
    from xsam.tasks.archives import Tree
    from xsam.tasks.vision.canonical import Array, Content


@dataclass(frozen=True)
class ToyDataset(Dataset):
    """A data set in two files of bytes."""

    def read_published(self, tree: Tree) -> Content:
        """Both files."""
        return self.named(self._part(tree, "train.bin"), self._part(tree, "test.bin"))

    def _part(self, tree: Tree, name: str) -> tuple[Array, Array]:
        import numpy as np

        with tree.open(name) as stream:
            rows = np.frombuffer(stream.read(), np.uint8).reshape(-1, 1 + self.size**2)
        return rows[:, 1:].reshape(-1, 1, self.size, self.size), rows[:, 0]


TOY_IMAGES = ToyDataset(
    name="toy_images",
    channels=1,
    size=4,
    classes=4,
    train=100,
    test=20,
    mean=(0.5,),
    std=(0.3,),
    folder="toy_images",
    published="toy-images",
    train_files=(DataFile("train.bin"),),
    test_files=(DataFile("test.bin"),),
    checksum="8bd22cdea34f1ba6-adb87fe17d0792ed",
)
