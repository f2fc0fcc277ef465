"""Splits and label noise: exact sizes, stratification, independence of the streams."""

from __future__ import annotations

import collections
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xsam.tasks.vision.sizes import allocate, part_sizes, steps_per_epoch
from xsam.tasks.vision.splits import add_label_noise, split

counts = st.lists(st.integers(1, 60), min_size=2, max_size=12)


@given(counts=st.lists(st.integers(0, 200), min_size=1, max_size=20), data=st.data())
def test_allocation_adds_up_and_stays_within_one_of_proportional(counts, data):
    total = data.draw(st.integers(0, sum(counts)))
    shares = allocate(counts, total)
    assert sum(shares) == total
    for count, share in zip(counts, shares, strict=True):
        assert 0 <= share <= count
        if sum(counts):
            assert abs(share - Fraction(count * total, sum(counts))) < 1


def test_allocation_by_hand():
    # Quotas 4.2, 2.6, 1.2: floors 4, 2, 1, and the one left goes to the largest remainder.
    assert allocate([21, 13, 6], 8) == [4, 3, 1]
    with pytest.raises(ValueError, match="cannot take 41 of 40 images"):
        allocate([21, 13, 6], 41)


@settings(max_examples=60)
@given(counts=counts, seed=st.integers(0, 1000), val_fraction=st.floats(0, 0.9), data=st.data())
def test_parts_are_disjoint_stratified_and_exact(counts, seed, val_fraction, data):
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(7))]
    subset = data.draw(st.none() | st.integers(1, len(labels)))
    wanted_val = round(val_fraction * (subset or len(labels)))
    wanted_train = subset or len(labels) - wanted_val
    possible = wanted_train + wanted_val <= len(labels) and wanted_train > 0 and (wanted_val > 0 or val_fraction == 0)
    if not possible:
        with pytest.raises(ValueError, match=r"val_fraction"):
            split(labels, seed, subset, val_fraction)
        return
    parts = split(labels, seed, subset, val_fraction)
    assert (len(parts.train), len(parts.val)) == (wanted_train, wanted_val)
    indices = parts.train.tolist() + parts.val.tolist()
    assert len(set(indices)) == len(indices)
    assert all(0 <= index < len(labels) for index in indices)
    for part, others in ((parts.val, torch.tensor([], dtype=torch.long)), (parts.train, parts.val)):
        pool = [n - int((labels[others] == c).sum()) for c, n in enumerate(counts)]
        for c, n in enumerate(pool):
            assert abs(int((labels[part] == c).sum()) - n * len(part) / sum(pool)) < 1


def test_the_seed_alone_decides_the_split():
    labels = torch.arange(1000) % 10
    first, again, other = (split(labels, seed, 300, 0.2) for seed in (0, 0, 1))
    assert torch.equal(first.train, again.train)
    assert torch.equal(first.val, again.val)
    assert not torch.equal(first.train, other.train)
    assert not torch.equal(first.val, other.val)


def test_every_image_is_drawn_equally_often():
    labels = torch.arange(40) % 4
    drawn = collections.Counter(i for seed in range(400) for i in split(labels, seed, 10, 0.0).train.tolist())
    # Binomial(400, 1/4): mean 100, standard deviation 8.7.
    assert set(drawn) == set(range(40))
    assert max(abs(n - 100) for n in drawn.values()) < 5 * 8.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((100, 95, 0.1), "train_subset 95 with val_fraction 0.1 needs 105 images; there are 100"),
        ((100, 101, 0.0), "needs 101 images"),
        ((100, 3, 0.1), "is not one image"),
        ((3, None, 0.9), "leaves no image to train on"),
    ],
)
def test_impossible_sizes_are_one_line(arguments, message):
    images, train_subset, val_fraction = arguments
    with pytest.raises(ValueError, match=message):
        part_sizes(images, train_subset, val_fraction)


@settings(max_examples=60)
@given(n=st.integers(1, 300), classes=st.integers(2, 10), fraction=st.floats(0, 1), seed=st.integers(0, 1000))
def test_label_noise_changes_exactly_the_given_share(n, classes, fraction, seed):
    labels = torch.arange(n) % classes
    before = labels.clone()
    noisy = add_label_noise(labels, classes, fraction, seed)
    assert torch.equal(labels, before), "the clean labels stay"
    assert int((noisy != labels).sum()) == round(fraction * n)
    assert int(noisy.min()) >= 0
    assert int(noisy.max()) < classes
    assert torch.equal(noisy, add_label_noise(labels, classes, fraction, seed))


def test_wrong_labels_are_uniform_over_the_other_classes():
    noisy = add_label_noise(torch.full((9000,), 3), classes=10, fraction=1.0, seed=0)
    drawn = torch.bincount(noisy, minlength=10).tolist()
    assert drawn[3] == 0
    # Nine classes with 1000 expected each, standard deviation 29.8.
    assert max(abs(n - 1000) for c, n in enumerate(drawn) if c != 3) < 5 * 29.8


def test_more_noise_keeps_the_images_that_less_noise_had():
    labels = torch.zeros(100, dtype=torch.long)
    some = set(add_label_noise(labels, 10, 0.2, seed=0).nonzero().flatten().tolist())
    more = set(add_label_noise(labels, 10, 0.4, seed=0).nonzero().flatten().tolist())
    assert some < more


@given(images=st.integers(1, 2000), batch_size=st.integers(1, 300))
def test_an_epoch_covers_all_images_but_a_last_single_one(images, batch_size):
    steps = steps_per_epoch(images, batch_size)
    sizes = [len(range(images)[start : start + batch_size]) for start in range(0, images, batch_size)]
    assert steps in (len(sizes), len(sizes) - 1)
    left_out = sum(sizes[steps:])
    single_last = len(sizes) > 1 and sizes[-1] == 1 and batch_size > 1
    assert left_out == (1 if single_last else 0)
    assert steps == math.ceil((images - left_out) / batch_size)
