"""scikit-learn's digits: 8×8 pixels, in every installation of the harness."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from xsam.tasks.seeding import derive
from xsam.tasks.vision.datasets.dataset import Dataset
from xsam.tasks.vision.sizes import allocate

if TYPE_CHECKING:
    from xsam.tasks.vision.canonical import Array

TEST_IMAGES = 360


def read() -> tuple[Array, Array, Array, Array]:
    """scikit-learn's digits, which come without a test part: a fifth of each class is one, the same for every seed.

    The order in which images are taken for it is that of a hash of their number, so it hangs on no library's generator.
    """
    import numpy as np

    images, labels = _stored()
    order = np.array(sorted(range(len(labels)), key=lambda i: derive(0, "digits test part", i)))
    shares = allocate(np.bincount(labels).tolist(), TEST_IMAGES)
    test = np.sort(np.concatenate([order[labels[order] == c][:share] for c, share in enumerate(shares)]))
    train = np.setdiff1d(order, test)
    return images[train], labels[train], images[test], labels[test]


def _stored() -> tuple[Array, Array]:
    """All images and labels, from the file in scikit-learn where it is known: importing the library takes seconds."""
    import numpy as np

    spec = find_spec("sklearn")
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
            return rows[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8), rows[:, -1]
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.uint8)[:, None], digits.target


DIGITS = Dataset(
    name="digits",
    channels=1,
    size=8,
    classes=10,
    train=1437,
    test=TEST_IMAGES,
    mean=(0.3051,),
    std=(0.3760,),
    peak=16,
    balanced=False,
    package="scikit-learn",
    read=read,
    checksum="5aed19ac58575b7e-964e6f70c03c208f",
)
