"""Which images a run trains on, which it validates on, and which of its labels are wrong.

Everything here is a function of the seed, never of the method, so runs with the same seed are paired across optimizers.
Each choice has a random stream of its own: changing one parameter does not move the others' draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from xsam.tasks.seeding import generator
from xsam.tasks.vision.sizes import allocate, part_sizes


@dataclass(frozen=True)
class Split:
    """Indices into the training images, ascending and disjoint: the part trained on, and the validation part."""

    train: torch.Tensor
    val: torch.Tensor


def split(labels: torch.Tensor, seed: int, train_subset: int | None, val_fraction: float) -> Split:
    """Draw the validation part, then the part to train on from the rest; both stratified by class.

    Args:
        labels: int64 label of each training image.
        train_subset, val_fraction: see :func:`xsam.tasks.vision.sizes.part_sizes`, whose errors this raises.

    >>> parts = split(torch.arange(100) % 10, seed=0, train_subset=50, val_fraction=0.2)
    >>> len(parts.train), len(parts.val), torch.bincount(parts.val % 10).tolist()
    (50, 10, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    """
    train_size, val_size = part_sizes(len(labels), train_subset, val_fraction)
    everything = torch.arange(len(labels))
    val = _draw(everything, labels, val_size, generator(seed, "validation"))
    free = torch.ones(len(labels), dtype=torch.bool)
    free[val] = False
    rest = everything[free]
    train = rest if train_subset is None else _draw(rest, labels, train_size, generator(seed, "subset"))
    return Split(train, val)


def _draw(pool: torch.Tensor, labels: torch.Tensor, total: int, stream: torch.Generator) -> torch.Tensor:
    """``total`` of the indices in ``pool``, drawn without replacement and stratified by class, ascending."""
    members = [pool[labels[pool] == c] for c in range(int(labels.max()) + 1)]
    shares = allocate([len(own) for own in members], total)
    chosen = [own[torch.randperm(len(own), generator=stream)[:n]] for own, n in zip(members, shares, strict=True)]
    return torch.cat(chosen).sort().values


def fixed_subset(images: int, test_subset: int | None) -> torch.Tensor | None:
    """Which of ``images`` test images a run is tested on, ascending; ``None``: all of them.

    The first ``test_subset`` in an order that is the same for every seed: runs stay comparable, and a larger subset has
    all the images of a smaller one.

    >>> fixed_subset(10, None) is None, len(fixed_subset(10, 4))
    (True, 4)
    """
    if test_subset is None:
        return None
    return torch.randperm(images, generator=generator(0, "test_subset"))[:test_subset].sort().values


def add_label_noise(labels: torch.Tensor, classes: int, fraction: float, seed: int) -> torch.Tensor:
    """A copy of ``labels`` with symmetric noise: round(``fraction`` · n) of them, drawn uniformly, are wrong.

    A wrong label is drawn uniformly from the other ``classes`` − 1 classes, so none stays right by chance.

    >>> clean = torch.zeros(10, dtype=torch.long)
    >>> int((add_label_noise(clean, classes=3, fraction=0.4, seed=0) != clean).sum())
    4
    """
    stream = generator(seed, "label_noise")
    wrong = torch.randperm(len(labels), generator=stream)[: round(fraction * len(labels))]
    offset = torch.randint(1, classes, (len(wrong),), generator=stream)
    noisy = labels.clone()
    noisy[wrong] = (labels[wrong] + offset) % classes
    return noisy
