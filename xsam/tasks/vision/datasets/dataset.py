"""What is known of a data set of images, and what is asked of it. Importing this needs the standard library alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from xsam.tasks.archives import Tree
    from xsam.tasks.data import Report
    from xsam.tasks.vision.canonical import Array, Content

PARTS = ("train", "test")


@dataclass(frozen=True)
class Scratch:
    """Where a reader puts what memory would not hold.

    Attributes:
        folder: for files as they are.
        sizes: the sides of the images that are wanted, the largest first.
        create: makes the array of a name, shape and type in a file of the folder, which is filled.
        map: the array of this name in the folder, mapped.
        report: told of progress.
    """

    folder: Path
    sizes: Sequence[int]
    create: Callable[[str, tuple[int, ...], type[np.generic]], Array]
    map: Callable[[str], Array]
    report: Report


@dataclass(frozen=True)
class DataFile:
    """A file's name and, where its bytes are the same everywhere, its MD5 digest as published with it."""

    name: str
    md5: str | None = None


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is read; a subclass reads the files of its published form.

    Attributes:
        channels, size, classes: images of ``channels`` × ``size`` × ``size`` go into models; labels are
            0 … ``classes`` − 1.
        train, test: numbers of images.
        mean, std: a value for each channel, of pixels divided by ``peak``; images are normalised with them.
        peak: the largest pixel value.
        raw_size: side of the stored training images, from which augmentation crops ``size``; ``size`` if not given.
        folder: where ``data prepare`` puts it, below the data folder; empty for one that comes with a Python package.
            Data sets that are views of the same images share one.
        published: the folder of the published files, in archives and below torchvision's root.
        train_files, test_files: the published files of both parts, as its reader expects them.
        url, downloads: where to fetch it, and the files there.
        system_folders: folders where a system package puts the published files; they are read where they are.
        balanced: whether every class has the same number of images.
        checksum: of the content in canonical order (``xsam.tasks.vision.canonical``), where it is on record: that of
            the training part, a hyphen, that of the test part. A copy with it is known to be the data set.
        selected_from: the data set whose training images these are the first of, an equal number of each class, in
            canonical order; the test images are all of its.
        class_names: the classes in the order of their labels, where that is not the alphabetical one.
        package: of one that has no folder: where it comes from (``"scikit-learn"``).
        read: of one that has no folder: returns training images and labels, test images and labels, as arrays.
        trained_on: of one that is only evaluated on: the data set whose models it tests.
        validation: number of images of a validation part of its own, which then is that of every run.
        own: whether it is a user's own data, of which nothing is published.
    """

    name: str
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
    url: str = ""
    downloads: tuple[DataFile, ...] = ()
    system_folders: tuple[str, ...] = ()
    balanced: bool = True
    checksum: str | None = None
    selected_from: str = ""
    class_names: tuple[str, ...] = ()
    package: str = ""
    read: Callable[[], tuple[Any, Any, Any, Any]] | None = None
    trained_on: str = ""
    validation: int = 0
    own: bool = False

    def __post_init__(self) -> None:
        if not self.raw_size:
            object.__setattr__(self, "raw_size", self.size)

    @property
    def parts(self) -> dict[str, int]:
        """Part → number of its images, of the parts that it has."""
        counts = {"train": self.train, "val": self.validation, "test": self.test}
        return {part: count for part, count in counts.items() if count}

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

        >>> from xsam.tasks.vision.datasets import DATASETS
        >>> DATASETS["tiny_imagenet"].arrays
        ('train-64', 'train-labels', 'train-32', 'test-32', 'test-labels')
        """
        sizes = dict.fromkeys((self.raw_size, self.size))
        raw, *views = (f"train-{size}" for size in sizes)
        validation = (f"val-{self.size}", "val-labels") if self.validation else ()
        return (raw, "train-labels", *views, *validation, f"test-{self.size}", "test-labels")

    @property
    def facts(self) -> str:
        """Counts and image format in a few words.

        >>> from xsam.tasks.vision.datasets import DATASETS
        >>> DATASETS["cifar10"].facts
        '50,000 training and 10,000 test images, 3×32×32, 10 classes'
        """
        counts = (
            f"{self.train:,} training and {self.test:,} test images" if self.train else f"{self.test:,} test images"
        )
        if self.validation:
            counts = f"{self.train:,} training, {self.validation:,} validation and {self.test:,} test images"
        shape = f"{self.channels}×{self.size}×{self.size}"
        stored = f" (stored {self.raw_size}×{self.raw_size})" if self.raw_size != self.size else ""
        return f"{counts}, {shape}{stored}, {self.classes} classes{', your own' if self.own else ''}"

    def packaged(self) -> Content:
        """The content of a data set that comes with a Python package, as that has it."""
        import numpy as np

        assert self.read is not None
        train_images, train_labels, test_images, test_labels = map(np.asarray, self.read())
        return self.named((train_images, train_labels), (test_images, test_labels))

    def read_published(self, tree: Tree) -> Content:
        """The content of the published files in ``tree``, in their order; not checked yet.

        Raises ``ValueError`` (one line that names the file) for a file that is not in the published format.
        """
        raise NotImplementedError(f"{self.name} has no published files")

    def stage_published(self, tree: Tree, scratch: Scratch) -> Content:
        """As :meth:`read_published`, in files of ``scratch`` where memory would not do."""
        return self.read_published(tree)

    def with_views(self, content: Content, sizes: Sequence[int]) -> Content:
        """``content`` with its images at all of ``sizes``, where they are there at the stored size alone."""
        return content

    def named(self, train: tuple[Array, Array], test: tuple[Array, Array]) -> Content:
        """Images (N×C×H×W) and labels (N) of both parts by the names of their arrays, at the stored images' size."""
        names = (f"{part}-{what}" for part in PARTS for what in (self.raw_size, "labels"))
        return dict(zip(names, (*train, *test), strict=True))

    def orders(self, content: Content) -> dict[str, Array]:
        """For each array of ``content`` the indices that bring it into canonical order."""
        from xsam.tasks.vision.canonical import canonical_order

        of = {part: canonical_order(content[f"{part}-{self.raw_size}"], content[f"{part}-labels"]) for part in PARTS}
        return {name: of[name.partition("-")[0]] for name in content}

    def digest(self, content: Content) -> str:
        """The checksums of the training and of the test part, joined by a hyphen; see ``xsam.tasks.vision.canonical``.

        That of a validation part of its own stands between them.

        >>> from xsam.tasks.vision.datasets import DATASETS
        >>> digits = DATASETS["digits"]
        >>> content = digits.packaged()
        >>> order = digits.orders(content)
        >>> digits.digest({name: array[order[name]] for name, array in content.items()})
        '5aed19ac58575b7e-964e6f70c03c208f'
        """
        from xsam.tasks.vision.canonical import LABELS_OF_ONE_BYTE, part_checksum

        train = [content[f"train-{size}"] for size in dict.fromkeys((self.raw_size, self.size))]
        images = {part: [content[f"{part}-{self.size}"]] for part in self.parts} | {"train": train}
        wide = self.classes > LABELS_OF_ONE_BYTE
        return "-".join(part_checksum(images[part], content[f"{part}-labels"], wide) for part in self.parts)

    def other_content(self, digest: str) -> str:
        """What is said of content with a digest that is not the one on record."""
        return f"not {self.name} as published (content {digest}, not {self.checksum})"

    def check(self, content: Content, place: Path) -> None:
        """Raise ``ValueError`` (one line) where counts, image sizes, types or labels are not those of the data set."""
        import numpy as np

        for part, expected in self.parts.items():
            sizes = (self.raw_size, self.size) if part == "train" else (self.size,)
            labels = content[f"{part}-labels"]
            for size in sizes:
                images = content[f"{part}-{size}"]
                shape = (expected, self.channels, size, size)
                if images.dtype != np.uint8 or images.shape != shape or labels.shape != (expected,):
                    raise ValueError(
                        f"{place}: {part} part has images {images.shape} and {len(labels):,} labels;"
                        f" {self.name} has {shape}"
                    )
            self._check_labels(part, labels, place)

    def _check_labels(self, part: str, labels: Array, place: Path) -> None:
        import numpy as np

        wrong = labels.min() if labels.min() < 0 else labels.max()
        if not 0 <= wrong < self.classes:
            raise ValueError(f"{place}: {part} labels reach {wrong}; {self.name} has {self.classes} classes")
        counts = np.bincount(labels, minlength=self.classes)
        if self.balanced and counts.min() != counts.max():
            raise ValueError(
                f"{place}: {part} part has {counts.min():,} to {counts.max():,} images of a class;"
                f" {self.name} has {len(labels) // self.classes:,} of each"
            )
