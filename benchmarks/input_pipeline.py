"""What it takes to make training batches of CIFAR images: crop, flip, cutout and normalise, from stored bytes.

Ours is the suite's own input: one batch at a time as tensor operations, on the one thread that would train. The other
side is the usual one: torchvision's transforms on PIL images, cutout by the image, in a DataLoader with 2 worker
processes besides the one that takes the batches. Both make float32 N×3×32×32 of 50,000 images in random order. They
take turns by blocks of batches; starting the workers is not counted, nor what they make ahead while they wait.

The images are random bytes: none of these operations looks at them.

Targets:
    input_over_pil ≥ 5  (images a second, the smaller of the figures at batch 125 and at batch 128)
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.measure import Step, Target, finish, options
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.images import ImageData
from xsam.tasks.vision.problem import VisionProblem
from xsam.tasks.vision.vision_run import VisionRun

TARGETS = {"input_over_pil": Target(5, at_most=False)}
CIFAR = DATASETS["cifar10"]
BATCH_SIZES = (125, 128)
CUTOUT = 16
WORKERS = 2
ROUNDS, BLOCK = 9, 30  # with the uncounted ones within the 390 batches of an epoch


def cifar() -> ImageData:
    """Random bytes in the shape of CIFAR-10; its test part is not looked at."""
    images = torch.randint(0, 256, (CIFAR.train, 3, CIFAR.size, CIFAR.size), dtype=torch.uint8)
    labels = torch.arange(CIFAR.train) % CIFAR.classes
    return ImageData(
        train_images=images,
        train_labels=labels,
        eval_train_images=images,
        test_images=images[:1],
        test_labels=labels[:1],
        mean=CIFAR.mean,
        std=CIFAR.std,
        peak=CIFAR.peak,
        classes=CIFAR.classes,
        checksum="",
        source="random bytes",
    )


def ours(data: ImageData, batch_size: int) -> Step:
    """One call makes the suite's next batch."""
    run = VisionRun.of(
        {"hidden": (), "val_fraction": 0.0, "batch_size": batch_size, "augment": "crop_flip", "cutout": CUTOUT}
    )
    problem = VisionProblem(run, data, torch.device("cpu"))
    places = ((epoch, step) for epoch in itertools.count() for step in range(problem.steps_per_epoch))

    def step() -> None:
        problem.batch(*next(places))

    return step


class Cutout:
    """Cutout by the image, as research code has it."""

    def __call__(self, image: Tensor) -> Tensor:
        if float(torch.rand(())) < 0.5:
            size = image.shape[-1]
            top, left = (int(torch.randint(-(CUTOUT // 2), size - CUTOUT // 2, ())) for _ in range(2))
            image[:, max(0, top) : top + CUTOUT, max(0, left) : left + CUTOUT] = 0
        return image


class Pictures(Dataset[tuple[Tensor, int]]):
    """PIL images through torchvision's transforms, as ``torchvision.datasets.CIFAR10`` reads them."""

    def __init__(self, data: ImageData) -> None:
        self.images: np.ndarray[Any, Any] = data.train_images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = data.train_labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(CIFAR.size, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(CIFAR.mean, CIFAR.std),
                Cutout(),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def pil(data: ImageData, batch_size: int) -> Step:
    """One call takes the next batch of an epoch of the usual loader."""
    batches = iter(DataLoader(Pictures(data), batch_size, shuffle=True, num_workers=WORKERS))

    def step() -> None:
        next(batches)

    return step


def block_seconds(step: Step) -> float:
    """Seconds a call; those before them, uncounted, use up what workers made ahead in the other side's turn."""
    for _ in range(2 * WORKERS + 1):
        step()
    start = time.perf_counter()
    for _ in range(BLOCK):
        step()
    return (time.perf_counter() - start) / BLOCK


def images_per_second(batch_size: int) -> dict[str, float]:
    """Median images a second of both sides."""
    data = cifar()
    sides = {"ours": ours(data, batch_size), "pil": pil(data, batch_size)}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, step in sides.items():
            measured = block_seconds(step)
            if turn:
                seconds[name].append(measured)
    return {name: batch_size / statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Measure, print, and compare with the target."""
    arguments = options(__doc__).parse_args()
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    for batch_size in BATCH_SIZES:
        speeds = images_per_second(batch_size)
        print(f"batch {batch_size}: ours {speeds['ours']:,.0f} images/s, PIL {speeds['pil']:,.0f} images/s")
        figures[f"batch{batch_size}_over_pil"] = speeds["ours"] / speeds["pil"]
    figures["input_over_pil"] = min(figures.values())
    finish(figures, TARGETS, arguments)


if __name__ == "__main__":
    main()
