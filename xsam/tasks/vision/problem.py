"""One vision run's model, data and measurements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from xsam.tasks import Evaluation, Metrics
from xsam.tasks.seeding import derive, generator
from xsam.tasks.vision.augment import Augmentation, Normalise
from xsam.tasks.vision.datasets.cifar10_c import CORRUPTIONS, SEVERITIES
from xsam.tasks.vision.evaluation import Corrupted, parts_of
from xsam.tasks.vision.images import ImageData
from xsam.tasks.vision.models import build
from xsam.tasks.vision.sizes import steps_per_epoch
from xsam.tasks.vision.splits import add_label_noise, fixed_subset, split
from xsam.tasks.vision.summary import summarise
from xsam.tasks.vision.vision_run import DataConfig, ModelConfig, VisionRun

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Part:
    """Images (uint8, N×C×H×W) and labels (int64, N) of one part of the data, in the same order.

    Labels are on the device. Images are there too where they :func:`fit <fits>`, whole, and pinned in the host's memory
    otherwise. They may be a read-only map of a file: nothing writes to them.
    """

    images: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def on(
        cls, device: torch.device, images: torch.Tensor, labels: torch.Tensor, chosen: torch.Tensor | None = None
    ) -> Part:
        """The part of ``images`` and ``labels`` with the indices ``chosen``, or all of it, for a run on ``device``.

        >>> part = Part.on(torch.device("cpu"), torch.zeros(4, 1, 8, 8), torch.arange(4), torch.tensor([3, 1]))
        >>> part.labels.tolist()
        [3, 1]
        """
        if chosen is not None:
            images, labels = images[chosen], labels[chosen]
        placed = images.to(device) if fits(images.nbytes, free_memory(device)) else images.pin_memory()
        return cls(placed, labels.to(device))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels with the indices ``chosen`` (int64, on the images' device), on the device.

        >>> part = Part.on(torch.device("cpu"), torch.zeros(4, 1, 8, 8), torch.arange(4))
        >>> [tensor.shape for tensor in part.take(torch.tensor([2, 0]))]
        [torch.Size([2, 1, 8, 8]), torch.Size([2])]
        """
        if self.images.device == self.labels.device:
            return self.images.index_select(0, chosen), self.labels.index_select(0, chosen)
        shape = (len(chosen), *self.images.shape[1:])
        pinned = self.images.device.type == "cpu" and self.images.is_pinned()
        images = torch.empty(shape, dtype=self.images.dtype, device=self.images.device, pin_memory=pinned)
        torch.index_select(self.images, 0, chosen, out=images)
        device = self.labels.device
        return images.to(device, non_blocking=True), self.labels.index_select(0, chosen.to(device, non_blocking=True))

    def slice(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels ``start`` … ``stop`` − 1 on the device; views where they are there already."""
        return self.images[start:stop].to(self.labels.device, non_blocking=True), self.labels[start:stop]


class VisionProblem:
    """Image classification with cross entropy; see ``xsam.tasks.Problem``.

    Images stay uint8 on the device and are augmented and normalised there batch by batch. Training data, initial
    weights, order and augmentation hang on ``run.seed`` alone, each by its own random stream.

    Args:
        run: the run's configuration.
        data: the data set.
        device: where the model and the data are put.
        eval_sets: further test sets by their names, for :meth:`finish`.

    Raises ``ValueError`` (one line) where the data set has too few images for the parts.
    """

    def __init__(
        self,
        run: VisionRun,
        data: ImageData,
        device: torch.device,
        eval_sets: Mapping[str, Corrupted] = MappingProxyType({}),
    ) -> None:
        self.data_checksum = "+".join([data.checksum, *(eval_set.checksum for eval_set in eval_sets.values())])
        self._eval_sets = eval_sets
        self._trained_on, self._data = run.data.name, data
        self._seed = run.seed
        self.batch_size = run.data.batch_size
        self.eval_batch_size = run.data.eval_batch_size
        self._label_smoothing = run.training.label_smoothing
        self.normalise = Normalise.of(data.mean, data.std, data.peak, device, run.model.channels_last)
        self._augment = _augmentation(run.data, self.normalise, data.eval_train_images.shape[-1])
        self._load(run.data, data, device)
        self.steps_per_epoch = steps_per_epoch(len(self.train), self.batch_size)
        self._order: tuple[int, torch.Tensor] | None = None
        model = self._initial_model(run.model, data).to(device).train()
        self.model = model.to(memory_format=self.normalise.memory_format)
        self.network: nn.Module = self.model

    def _load(self, wanted: DataConfig, data: ImageData, device: torch.device) -> None:
        fraction = wanted.val_fraction if data.val_images is None else 0.0  # it has a validation part of its own
        indices = split(data.train_labels, self._seed, wanted.train_subset, fraction)
        labels = data.train_labels.clone()
        labels[indices.train] = add_label_noise(labels[indices.train], data.classes, wanted.label_noise, self._seed)
        source = data.train_images if self._augment.kind == "resized_crop_flip" else data.eval_train_images
        everything = len(indices.train) == len(labels)
        self.train = Part.on(device, source, labels, None if everything else indices.train)
        if data.val_images is None or data.val_labels is None:
            self.val = Part.on(device, data.eval_train_images, labels, indices.val)
        else:
            self.val = Part.on(device, data.val_images, data.val_labels)
        self._tested = fixed_subset(len(data.test_labels), wanted.test_subset)
        self.test = Part.on(device, data.test_images, data.test_labels, self._tested)

    def _initial_model(self, wanted: ModelConfig, data: ImageData) -> nn.Module:
        _, channels, size, _ = data.eval_train_images.shape
        with torch.random.fork_rng(devices=[]):
            # Only the CPU's generator: torch.manual_seed would also seed those of the accelerators.
            torch.default_generator.manual_seed(derive(self._seed, "init"))
            return build(wanted.name, channels, size, data.classes, wanted.own)

    def batch(self, epoch: int, step: int) -> Batch:
        """Normalised float32 images B×C×H×W and int64 labels B of 0-based ``step`` of ``epoch``.

        A pure function of (seed, epoch, step); raises ``IndexError`` for a step that the epoch does not have.
        """
        if not 0 <= step < self.steps_per_epoch:
            raise IndexError(f"step {step} of an epoch of {self.steps_per_epoch}")
        order = self._epoch_order(epoch)
        images, labels = self.train.take(order[step * self.batch_size : (step + 1) * self.batch_size])
        if not self._augment.random:
            return self.normalise(images), labels
        return self._augment(images, generator(self._seed, "augment", epoch, step)), labels

    @property
    def plain(self) -> bool:
        """Whether batches are the stored images, normalised and nothing else."""
        return not self._augment.random

    def stored(self, epoch: int, first: int, last: int) -> Batch:
        """Images and labels of the steps ``first`` … ``last`` − 1 of ``epoch``, as they are stored."""
        return self.train.take(self._epoch_order(epoch)[first * self.batch_size : last * self.batch_size])

    def _epoch_order(self, epoch: int) -> torch.Tensor:
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(len(self.train), generator=generator(self._seed, "order", epoch))
            self._order = (epoch, order.to(self.train.images.device))
        return self._order[1]

    def parts(self, batch: Batch, count: int) -> list[tuple[Batch, float]]:
        """``batch`` in ``count`` parts, or as many as it has images, each with its share of the images as weight.

        The first parts have one image more where ``count`` does not divide the batch.
        """
        images, labels = batch
        count = min(count, len(labels))
        cut = zip(images.tensor_split(count), labels.tensor_split(count), strict=True)
        return [(part, len(part[1]) / len(labels)) for part in cut]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean cross entropy of ``batch``, with the run's label smoothing, at the current weights."""
        images, labels = batch
        return F.cross_entropy(self.network(images), labels, label_smoothing=self._label_smoothing)

    def evaluate(self) -> Metrics:
        """Accuracy in percent and mean cross entropy (without smoothing) on the validation and the test part.

        NaN for a validation part of no images. Leaves the model in training mode and the random state as it was.
        """
        with self._evaluating():
            return {
                f"{name}_{metric}": value
                for name, part in (("val", self.val), ("test", self.test))
                for metric, value in self._measure(part).items()
            }

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train()

    def _measure(self, part: Part) -> Metrics:
        if len(part) == 0:
            return {"accuracy": math.nan, "loss": math.nan}
        sums = []  # stay on the device, so that only the end of all batches waits for it
        for start in range(0, len(part), self.eval_batch_size):
            images, labels = part.slice(start, start + self.eval_batch_size)
            scores = self.model(self.normalise(images))
            loss = F.cross_entropy(scores, labels, reduction="sum")
            sums.append(torch.stack([loss.double(), (scores.argmax(dim=1) == labels).sum().double()]))
        losses, correct = torch.stack(sums).T.tolist()
        return {"accuracy": 100 * math.fsum(correct) / len(part), "loss": math.fsum(losses) / len(part)}

    def summarise(self, history: Sequence[Mapping[str, float]]) -> Metrics:
        """The run's final metrics from its epochs' rows; see :func:`xsam.tasks.vision.summary.summarise`."""
        return summarise(history)

    def state(self) -> dict[str, Any]:
        """Nothing: further test sets need no more than the weights."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Nothing to go on from."""

    def finish(self, folder: Path) -> Metrics:
        """Accuracy in percent on each further test set, the mean over corruptions and severities.

        A test subset is one there too: the same images under every corruption. Writes nothing into ``folder``.
        """
        with self._evaluating():
            return {f"{name}_accuracy": self._mean_accuracy(images) for name, images in self._eval_sets.items()}

    def evaluate_on(self, test_set: str, data_dir: Path, folder: Path) -> list[Evaluation]:
        """Accuracy in percent and mean cross entropy of the final weights.

        Args:
            test_set: ``"test"`` or ``"val"`` of the run itself, or a prepared data set, of which the test images are
                taken (:func:`xsam.tasks.vision.evaluation.parts_of`). They are normalised as in training.
            data_dir: where prepared data are.
            folder: nothing is written there.
        """
        own = {"test": self.test, "val": self.val}
        device = self.test.labels.device
        with self._evaluating():
            if test_set in own:
                sizes, checksum = [len(own[test_set])], self.data_checksum
                found = [self._measure(own[test_set])]
            else:
                sizes, checksum, found = [], "", []
                for images in parts_of(test_set, self._trained_on, self._data, data_dir):
                    part = Part.on(device, images.images, images.labels)
                    sizes, checksum = [*sizes, len(part)], images.checksum
                    found.append(self._measure(part))
        if not sum(sizes):
            raise ValueError(f"this run has no {test_set} images")
        return [
            Evaluation(test_set, "final", name, fmean(one[name] for one in found), sum(sizes), checksum)
            for name in ("accuracy", "loss")
        ]

    def _mean_accuracy(self, corrupted: Corrupted) -> float:
        device = self.test.labels.device
        parts = (
            Part.on(device, corrupted.images(corruption, severity), corrupted.labels, self._tested)
            for corruption in CORRUPTIONS
            for severity in SEVERITIES
        )
        return fmean(self._measure(part)["accuracy"] for part in parts)


def fits(size: int, free: int | None) -> bool:
    """Whether ``size`` bytes are kept on a device with ``free`` bytes (``None``: it shares the host's memory).

    At most half of what is free goes to a part's images: the network, its gradients and activations need the rest.

    >>> fits(100, 200), fits(101, 200), fits(101, None)
    (True, False, True)
    """
    return free is None or 2 * size <= free


def free_memory(device: torch.device) -> int | None:
    """Bytes that tensors can still take on ``device``; ``None`` where it shares the host's memory.

    >>> free_memory(torch.device("cpu")) is None
    True
    """
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _augmentation(wanted: DataConfig, normalise: Normalise, size: int) -> Augmentation:
    return Augmentation(
        normalise,
        kind=wanted.augment,
        size=size,
        crop_scale_min=wanted.crop_scale_min,
        cutout=wanted.cutout,
        cutout_probability=wanted.cutout_probability,
        erasing_probability=wanted.erasing_probability,
    )
