"""The image data sets as data: sizes, normalisation, file names and their checks. Needs the standard library alone.

A new data set in one of the known formats is one entry in ``DATASETS``; ``EVALUATION_SETS`` are never trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from xsam.registries import Registry


@dataclass(frozen=True)
class DataFile:
    """A file's name and, where its bytes are the same everywhere, its MD5 digest as published with it."""

    name: str
    md5: str | None = None


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is read.

    Attributes:
        format: who reads it: ``"digits"`` (scikit-learn's own), ``"idx"`` (the MNIST family), ``"cifar"``,
            ``"tiny_imagenet"``, ``"corruptions"`` or ``"plugin"`` (``read``).
        channels, size, classes: images of ``channels`` × ``size`` × ``size`` go into models; labels are
            0 … ``classes`` − 1.
        train, test: numbers of images.
        mean, std: a value for each channel, of pixels divided by ``peak``; images are normalised with them.
        peak: the largest pixel value.
        raw_size: side of the stored training images, from which augmentation crops ``size``; ``size`` if not given.
        folder: where ``data prepare`` puts it, below the data folder; empty for one that comes with a Python package.
            Data sets that are views of the same images share one.
        published: the folder of the published files, in archives and below torchvision's root.
        train_files, test_files: for ``idx`` the images, then the labels; for ``cifar`` the batches in order; for
            ``tiny_imagenet`` the lists that name its images; for ``corruptions`` a file each, then the labels.
        label_key: for ``cifar`` the key of the labels in a batch.
        url, downloads: where to fetch it, and the files there.
        system_folders: folders where a system package puts the published files; they are read where they are.
        balanced: whether every class has the same number of images.
        checksum: of the content in canonical order (``xsam.tasks.vision.canonical``), where it is on record: that of
            the training part, a hyphen, that of the test part. A copy with it is known to be the data set.
        selected_from: the data set whose training images these are the first of, an equal number of each class, in
            canonical order; the test images are all of its.
        class_names: the classes in the order of their labels, where that is not the alphabetical one.
        read: of a plug-in's data set: returns training images and labels, test images and labels, as arrays.
    """

    name: str
    format: str
    channels: int
    size: int
    classes: int
    train: int
    test: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    peak: int = 255
    raw_size: int = 0
    folder: str = ""
    published: str = ""
    train_files: tuple[DataFile, ...] = ()
    test_files: tuple[DataFile, ...] = ()
    label_key: str = ""
    url: str = ""
    downloads: tuple[DataFile, ...] = ()
    system_folders: tuple[str, ...] = ()
    balanced: bool = True
    checksum: str | None = None
    selected_from: str = ""
    class_names: tuple[str, ...] = ()
    read: Callable[[], tuple[Any, Any, Any, Any]] | None = None

    def __post_init__(self) -> None:
        if not self.raw_size:
            object.__setattr__(self, "raw_size", self.size)

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The published files that are known by name."""
        return (*self.train_files, *self.test_files)

    @property
    def archive(self) -> DataFile | None:
        """The one archive that holds all of it, where it is published so."""
        return self.downloads[0] if len(self.downloads) == 1 else None

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays that it is prepared as, each in ``<name>.npy``.

        >>> DATASETS["tiny_imagenet"].arrays
        ('train-64', 'train-labels', 'train-32', 'test-32', 'test-labels')
        """
        if self.format == "corruptions":
            return tuple(file.name.removesuffix(".npy") for file in self.test_files)
        sizes = dict.fromkeys((self.raw_size, self.size))
        raw, *views = (f"train-{size}" for size in sizes)
        return (raw, "train-labels", *views, f"test-{self.size}", "test-labels")

    @property
    def facts(self) -> str:
        """Counts and image format in a few words.

        >>> DATASETS["cifar10"].facts
        '50,000 training and 10,000 test images, 3×32×32, 10 classes'
        """
        counts = (
            f"{self.train:,} training and {self.test:,} test images" if self.train else f"{self.test:,} test images"
        )
        shape = f"{self.channels}×{self.size}×{self.size}"
        stored = f" (stored {self.raw_size}×{self.raw_size})" if self.raw_size != self.size else ""
        return f"{counts}, {shape}{stored}, {self.classes} classes"


_DIGITS = Dataset(
    name="digits",
    format="digits",
    channels=1,
    size=8,
    classes=10,
    train=1437,
    test=360,
    mean=(0.3051,),
    std=(0.3760,),
    peak=16,
    balanced=False,
    checksum="5aed19ac58575b7e-964e6f70c03c208f",
)

_FASHION_MNIST = Dataset(
    name="fashion_mnist",
    format="idx",
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

_CIFAR10 = Dataset(
    name="cifar10",
    format="cifar",
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
    label_key="labels",
    url="https://www.cs.toronto.edu/~kriz/",
    downloads=(DataFile("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),),
    checksum="1bfc07133540c0f7-af1227671396612a",
)

_CIFAR100 = Dataset(
    name="cifar100",
    format="cifar",
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

_TINY_IMAGENET = Dataset(
    name="tiny_imagenet",
    format="tiny_imagenet",
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
    train_files=(DataFile("wnids.txt"),),
    test_files=(DataFile("val/val_annotations.txt"),),
    url="http://cs231n.stanford.edu/",
    downloads=(DataFile("tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de"),),
)

CORRUPTIONS = (
    *(
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        "snow",
    ),
    *("frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
EXTRA_CORRUPTIONS = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
SEVERITIES = (1, 2, 3, 4, 5)

_CIFAR10_C = Dataset(
    name="cifar10_c",
    format="corruptions",
    channels=3,
    size=32,
    classes=10,
    train=0,
    test=len(CORRUPTIONS + EXTRA_CORRUPTIONS) * len(SEVERITIES) * _CIFAR10.test,
    mean=_CIFAR10.mean,
    std=_CIFAR10.std,
    folder="cifar10_c",
    published="CIFAR-10-C",
    test_files=tuple(DataFile(f"{name}.npy") for name in (*CORRUPTIONS, *EXTRA_CORRUPTIONS, "labels")),
    url="https://zenodo.org/records/2535967/files/",
    downloads=(DataFile("CIFAR-10-C.tar", "56bf5dcef84df0e2308c6dcbcbbd8499"),),
)


def _selected(whole: Dataset, name: str, train: int, checksum: str) -> Dataset:
    """Fewer training images of ``whole``, normalised as it is, for those who train on a CPU."""
    return replace(whole, name=name, train=train, folder=name, checksum=checksum, selected_from=whole.name)


DATASETS: Registry[Dataset] = Registry(
    "data set",
    {
        dataset.name: dataset
        for dataset in (
            _DIGITS,
            _FASHION_MNIST,
            _CIFAR10,
            _CIFAR100,
            _selected(_CIFAR10, "cifar10_12k", 12_000, "33d2a99c6709dc2c-af1227671396612a"),
            _selected(_CIFAR100, "cifar100_12k", 12_000, "6a2d614636e90827-461341e8dcb42e44"),
            _TINY_IMAGENET,
            replace(_TINY_IMAGENET, name="tiny_imagenet_64", size=64, std=(0.276, 0.269, 0.281)),
        )
    },
)
EVALUATION_SETS: Mapping[str, Dataset] = {_CIFAR10_C.name: _CIFAR10_C}
