"""CIFAR-10-C (Hendrycks & Dietterich, ICLR 2019): the test images of CIFAR-10, corrupted. Only ever evaluated on.

19 corruptions at 5 severities each; the published mean is over the first 15 (``CORRUPTIONS``), the other four
(``EXTRA_CORRUPTIONS``) are for tuning. The prepared files are N×H×W×C as the published ones; images of
each severity are in the canonical order of those of the first corruption at severity 1.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xsam.tasks.vision.datasets.cifar import CIFAR10
from xsam.tasks.vision.datasets.dataset import DataFile, Dataset, Scratch

if TYPE_CHECKING:
    from pathlib import Path

    from xsam.tasks.archives import Tree
    from xsam.tasks.vision.canonical import Array, Content

LABELS = "labels"
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


@dataclass(frozen=True)
class CorruptedDataset(Dataset):
    """Corrupted test images, whose files are one for each corruption, and then the labels."""

    @property
    def arrays(self) -> tuple[str, ...]:
        """See :attr:`Dataset.arrays`: those of the published files."""
        return tuple(file.name.removesuffix(".npy") for file in self.test_files)

    def stage_published(self, tree: Tree, scratch: Scratch) -> Content:
        """See :meth:`Dataset.stage_published`: copies of the published files, mapped."""
        for count, file in enumerate(self.files, 1):
            with tree.open(file.name) as reading, (scratch.folder / file.name).open("wb") as writing:
                shutil.copyfileobj(reading, writing, 1 << 20)
            scratch.report("copying", count, len(self.files))
        return {name: scratch.map(name) for name in self.arrays}

    def check(self, content: Content, place: Path) -> None:
        """Raise ``ValueError`` (one line) where an array does not have the published shape, type or labels."""
        import numpy as np

        count = self.test // (len(self.files) - 1)
        for name in self.arrays:
            array = content[name]
            shape = (count,) if name == LABELS else (count, self.size, self.size, self.channels)
            kinds = "iu" if name == LABELS else "u"
            if array.shape != shape or array.dtype.kind not in kinds or (name != LABELS and array.itemsize != 1):
                raise ValueError(f"{place}: {name} is {array.dtype} {array.shape}; {self.name} has {shape}")
        labels = content[LABELS].reshape(len(SEVERITIES), -1)
        if labels.min() < 0 or labels.max() >= self.classes:
            raise ValueError(f"{place}: labels reach {labels.max()}; {self.name} has {self.classes} classes")
        if (labels != labels[0]).any():
            raise ValueError(f"{place}: labels differ between the severities")
        if len(set(np.bincount(labels[0], minlength=self.classes).tolist())) != 1:
            raise ValueError(f"{place}: not the same number of images of each class")

    def orders(self, content: Content) -> dict[str, Array]:
        """See :meth:`Dataset.orders`: the same order of the images at each severity."""
        import numpy as np

        from xsam.tasks.vision.canonical import canonical_order

        labels = content[LABELS]
        count = len(labels) // len(SEVERITIES)
        first = content[self.arrays[0]][:count].transpose(0, 3, 1, 2)
        of_one = canonical_order(first, labels[:count])
        order = np.concatenate([of_one + severity * count for severity in range(len(SEVERITIES))])
        return dict.fromkeys(content, order)

    def digest(self, content: Content) -> str:
        """First 16 hex digits of the SHA-256 of the arrays' bytes in their order, labels as one byte each."""
        import numpy as np

        from xsam.tasks.vision.canonical import CHECKSUM_DIGITS

        digest = hashlib.sha256()
        for name in self.arrays:
            digest.update(content[name].astype(np.uint8, copy=False).data)
        return digest.hexdigest()[:CHECKSUM_DIGITS]


CIFAR10_C = CorruptedDataset(
    name="cifar10_c",
    channels=3,
    size=32,
    classes=10,
    train=0,
    test=len(CORRUPTIONS + EXTRA_CORRUPTIONS) * len(SEVERITIES) * CIFAR10.test,
    mean=CIFAR10.mean,
    std=CIFAR10.std,
    folder="cifar10_c",
    published="CIFAR-10-C",
    test_files=tuple(DataFile(f"{name}.npy") for name in (*CORRUPTIONS, *EXTRA_CORRUPTIONS, LABELS)),
    url="https://zenodo.org/records/2535967/files/",
    trained_on=CIFAR10.name,
    downloads=(DataFile("CIFAR-10-C.tar", "56bf5dcef84df0e2308c6dcbcbbd8499"),),
)
