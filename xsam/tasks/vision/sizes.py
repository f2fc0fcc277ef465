"""How many images a run trains on, validates on and takes a step with. Needs the standard library alone."""

from __future__ import annotations

from collections.abc import Sequence


def allocate(counts: Sequence[int], total: int) -> list[int]:
    """Share ``total`` among classes in proportion to ``counts`` by largest remainder (ties: the lower class).

    The shares add up to ``total``, each is within 1 of its proportion, and none is above its count.

    >>> allocate([50, 30, 20], 7)
    [4, 2, 1]
    """
    size = sum(counts)
    if not 0 <= total <= size:
        raise ValueError(f"cannot take {total:,} of {size:,} images")
    if total == 0:
        return [0] * len(counts)
    shares = [count * total // size for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda c: (-(counts[c] * total % size), c))
    for c in by_remainder[: total - sum(shares)]:
        shares[c] += 1
    return shares


def part_sizes(images: int, train_subset: int | None, val_fraction: float) -> tuple[int, int]:
    """Numbers of images to train on and to validate on, of ``images`` training images.

    The validation part is ``val_fraction`` of ``train_subset`` (of all images, where that is ``None``), rounded; the
    part trained on is ``train_subset`` other images, or all others.

    Raises ``ValueError`` (one line) where the images do not suffice, or where a part would be empty.

    >>> part_sizes(60_000, 5_000, 0.1), part_sizes(60_000, None, 0.1)
    ((5000, 500), (54000, 6000))
    """
    val = round(val_fraction * (train_subset or images))
    train = train_subset or images - val
    if val_fraction > 0 and val == 0:
        raise ValueError(f"val_fraction {val_fraction:g} of {train:,} images is not one image; set it to 0 or higher")
    if train < 1:
        raise ValueError(f"val_fraction {val_fraction:g} leaves no image to train on")
    if train + val > images:
        raise ValueError(
            f"train_subset {train:,} with val_fraction {val_fraction:g} needs {train + val:,} images;"
            f" there are {images:,}"
        )
    return train, val


def smallest_batch(images: int, batch_size: int) -> int:
    """Images in the smallest batch of one pass over ``images`` images; see :func:`steps_per_epoch`.

    >>> smallest_batch(257, 128), smallest_batch(258, 128), smallest_batch(1, 128)
    (128, 2, 1)
    """
    last = images - (steps_per_epoch(images, batch_size) - 1) * batch_size
    return min(last, batch_size)


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Batches in one pass over ``images`` images; the last one may be smaller than the others.

    A last batch of a single image is left out (another image each epoch, since the order is drawn anew): BatchNorm has
    no variance to divide by there, and its gradient would weigh as much as a whole batch's.

    >>> steps_per_epoch(256, 128), steps_per_epoch(257, 128), steps_per_epoch(258, 128), steps_per_epoch(1, 128)
    (2, 2, 3, 1)
    """
    whole, rest = divmod(images, batch_size)
    return whole + (rest > 1 or (rest == 1 and whole == 0))
