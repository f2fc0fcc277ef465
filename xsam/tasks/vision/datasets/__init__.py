"""The image data sets by their names. Importing this needs the standard library alone.

A new data set is one file beside this one, with all that is known of it, and one line in ``DATASETS``;
``EVALUATION_SETS`` are never trained on.
"""

from __future__ import annotations

from collections.abc import Mapping

from xsam.registries import Registry
from xsam.tasks.vision.datasets import cifar, cifar10_c, digits, fashion_mnist, tiny_imagenet
from xsam.tasks.vision.datasets.dataset import Dataset

DATASETS: Registry[Dataset] = Registry(
    "data set",
    {
        dataset.name: dataset
        for dataset in (
            digits.DIGITS,
            fashion_mnist.FASHION_MNIST,
            cifar.CIFAR10,
            cifar.CIFAR100,
            cifar.CIFAR10_12K,
            cifar.CIFAR100_12K,
            tiny_imagenet.TINY_IMAGENET,
            tiny_imagenet.TINY_IMAGENET_64,
        )
    },
)
EVALUATION_SETS: Mapping[str, Dataset] = {dataset.name: dataset for dataset in (cifar10_c.CIFAR10_C,)}
