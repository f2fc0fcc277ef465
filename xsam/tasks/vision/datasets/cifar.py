"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), and fewer of their training images for those who train on a CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xsam.tasks.vision.datasets.dataset import DataFile, Dataset

if TYPE_CHECKING:
    from xsam.tasks.archives import Tree
    from xsam.tasks.vision.canonical import Array, Content

MOST_BYTES = 1 << 30  # of a batch: no published one has a fifth of it


@dataclass(frozen=True)
class CifarDataset(Dataset):
    """A data set in CIFAR's batches, whose files are the batches in order.

    Attributes:
        label_key: key of the labels in a batch.
    """

    label_key: str = "labels"

    def read_published(self, tree: Tree) -> Content:
        """CIFAR's batches: pickled dictionaries with one row of 3·32·32 bytes an image, and a list of labels."""
        import numpy as np

        parts = []
        for files in (self.train_files, self.test_files):
            batches = [self._batch(tree, file) for file in files]
            parts.append(
                (np.concatenate([batch[0] for batch in batches]), np.concatenate([batch[1] for batch in batches]))
            )
        return self.named(*parts)

    def _batch(self, tree: Tree, file: DataFile) -> tuple[Array, Array]:
        from xsam.tasks.archives import reading
        from xsam.tasks.vision.datasets.cifar_pickle import read_batch

        path = tree.place / file.name
        try:
            with reading(path), tree.open(file.name) as stream:
                images, labels = read_batch(stream, self.label_key, MOST_BYTES)
            return images.reshape(-1, self.channels, self.size, self.size), labels
        except ValueError as error:
            raise ValueError(f"{path}: not in the format of {self.name} ({error})") from None


def _selected(whole: Dataset, name: str, train: int, checksum: str) -> Dataset:
    """Fewer training images of ``whole``, normalised as it is, for those who train on a CPU."""
    return replace(whole, name=name, train=train, folder=name, checksum=checksum, selected_from=whole.name)


CIFAR10 = CifarDataset(
    name="cifar10",
    channels=3,
    size=32,
    classes=10,
    train=50_000,
    test=10_000,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    folder="cifar10",
    published="cifar-10-batches-py",
    train_files=(
        DataFile("data_batch_1", "c99cafc152244af753f735de768cd75f"),
        DataFile("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
        DataFile("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
        DataFile("data_batch_4", "634d18415352ddfa80567beed471001a"),
        DataFile("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
    ),
    test_files=(DataFile("test_batch", "40351d587109b95175f43aff81a1287e"),),
    url="https://www.cs.toronto.edu/~kriz/",
    downloads=(DataFile("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),),
    checksum="1bfc07133540c0f7-af1227671396612a",
)

CIFAR100 = CifarDataset(
    name="cifar100",
    channels=3,
    size=32,
    classes=100,
    train=50_000,
    test=10_000,
    mean=(0.5071, 0.4866, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    folder="cifar100",
    published="cifar-100-python",
    train_files=(DataFile("train", "16019d7e3df5f24257cddd939b257f8d"),),
    test_files=(DataFile("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
    label_key="fine_labels",
    url="https://www.cs.toronto.edu/~kriz/",
    downloads=(DataFile("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),),
    checksum="e8f89626d393adb1-461341e8dcb42e44",
)

CIFAR10_12K = _selected(CIFAR10, "cifar10_12k", 12_000, "33d2a99c6709dc2c-af1227671396612a")
CIFAR100_12K = _selected(CIFAR100, "cifar100_12k", 12_000, "6a2d614636e90827-461341e8dcb42e44")
