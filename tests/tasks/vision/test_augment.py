"""Augmentation by the batch against torchvision's transforms by the image: the same pictures, the same distributions.

Tests of distributions have fixed seeds; each fails a correct program with probability ALPHA over seeds.
"""

from __future__ import annotations

import collections
import hashlib
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision import transforms
from torchvision.transforms import functional as by_image

from xsam.tasks.vision.augment import (
    Augmentation,
    Boxes,
    Normalise,
    blank,
    crop_flip,
    cutout,
    draw_crops,
    draw_cutouts,
    draw_erasures,
    erase,
    resize,
    resized_crop_flip,
)

ALPHA = 1e-4
CPU = torch.device("cpu")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, channels: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, size, size), generator=stream(99)).to(torch.uint8)


def boxes_of(rows: Sequence[tuple[int, int, int, int]]) -> Boxes:
    return Boxes(*torch.tensor(rows).T)


def rows_of(boxes: Boxes) -> np.ndarray:
    return torch.stack([boxes.top, boxes.left, boxes.height, boxes.width], dim=1).numpy()


def assert_same_distribution(ours: np.ndarray, theirs: np.ndarray, bins: int = 16) -> None:
    """Chi-square test of homogeneity over about ``bins`` groups of values with equally many samples."""
    edges = np.unique(np.quantile(np.concatenate([ours, theirs]), np.linspace(0, 1, bins + 1)[1:-1]))
    counts = np.stack([np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1) for side in (ours, theirs)])
    assert stats.chi2_contingency(counts[:, counts.sum(axis=0) > 0]).pvalue > ALPHA


def assert_same_boxes(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal distributions of place and sides, and of what ties them together."""
    for column in range(4):
        assert_same_distribution(ours[:, column], theirs[:, column])
    for combined in (
        lambda b: b[:, 2] * b[:, 3],  # area
        lambda b: b[:, 2] / b[:, 3],  # ratio of sides
        lambda b: b[:, 0] + b[:, 2],  # bottom
        lambda b: b[:, 1] + b[:, 3],  # right
        lambda b: b[:, 0] - b[:, 1],
    ):
        assert_same_distribution(combined(ours), combined(theirs))


# Random crop and flip


@pytest.mark.parametrize(
    ("channels", "size", "digest"),
    [(1, 8, "8655e28354196183"), (1, 28, "812c169551595b96"), (3, 32, "fbea8780b015dba8")],
)
def test_crops_of_earlier_results_stay_bit_for_bit(channels, size, digest):
    images = (torch.arange(50 * channels * size * size) % 251).to(torch.uint8).view(50, channels, size, size)
    cropped = crop_flip(images, stream(7))
    assert hashlib.sha256(cropped.numpy().tobytes()).hexdigest()[:16] == digest


def shifts_of(image: torch.Tensor, padding: int) -> dict[bytes, tuple[int, int, bool]]:
    """Every shift and mirror of ``image`` by torchvision's functions, with what made it."""
    size = image.shape[-1]
    padded = by_image.pad(image, [padding])
    outcomes = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = by_image.crop(padded, top, left, size, size)
            outcomes[crop.numpy().tobytes()] = (top, left, False)
            outcomes[by_image.hflip(crop).numpy().tobytes()] = (top, left, True)
    return outcomes


@pytest.mark.parametrize(("channels", "size", "padding"), [(1, 8, None), (1, 28, None), (3, 32, None), (3, 16, 5)])
def test_every_shift_and_mirror_is_equally_likely(channels, size, padding):
    outcomes = shifts_of(pictures(1, channels, size)[0], padding or math.ceil(size / 8))
    n = 8000
    cropped = crop_flip(pictures(1, channels, size).expand(n, -1, -1, -1), stream(1), padding)
    seen = collections.Counter(outcomes[crop.numpy().tobytes()] for crop in cropped)
    assert stats.chisquare([seen[outcome] for outcome in outcomes.values()]).pvalue > ALPHA
    for axis in range(3):
        counts = collections.Counter({outcome[axis]: 0 for outcome in outcomes.values()})
        for outcome, count in seen.items():
            counts[outcome[axis]] += count
        assert stats.chisquare(list(counts.values())).pvalue > ALPHA


# Random resized crop

CROPS = [
    (0, 0, 64, 64),
    (3, 3, 57, 61),
    (10, 0, 54, 64),
    (0, 63, 1, 1),
    (20, 30, 32, 32),
    (7, 9, 20, 40),
    (1, 2, 63, 3),
]


@pytest.mark.parametrize("size", [32, 64, 36])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_crop_is_resized_as_torchvision_resizes_it(size, mirror):
    images = pictures(len(CROPS), 3, 64)
    resized = resize(images, boxes_of(CROPS), torch.full((len(CROPS),), mirror), size)
    for image, ours, (top, left, height, width) in zip(images, resized, CROPS, strict=True):
        arguments = {"size": [size, size], "antialias": True}
        exact = by_image.resized_crop(image.double(), top, left, height, width, **arguments)
        picture = by_image.resized_crop(by_image.to_pil_image(image), top, left, height, width, size=[size, size])
        rounded = by_image.pil_to_tensor(picture)
        if mirror:
            exact, rounded = exact.flip(-1), rounded.flip(-1)
        assert (ours - exact).abs().max() < 2e-3
        assert (ours - rounded).abs().max() < 1.01, "Pillow rounds after columns and after rows"


@pytest.mark.parametrize(
    ("scale", "ratio"), [((0.8, 1.0), (3 / 4, 4 / 3)), ((0.08, 1.0), (3 / 4, 4 / 3)), ((0.97, 1.0), (0.2, 5.0))]
)
def test_crops_are_distributed_as_torchvisions(scale, ratio):
    torch.manual_seed(1)
    image = torch.empty(3, 64, 64)
    theirs = np.array([transforms.RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(4000)])
    ours = rows_of(draw_crops(4000, 64, scale, ratio, stream()))
    assert_same_boxes(ours, theirs)
    whole = [int((boxes[:, 2:] == 64).all(axis=1).sum()) for boxes in (ours, theirs)]
    assert stats.fisher_exact([whole, [4000 - count for count in whole]]).pvalue > ALPHA


def test_where_no_try_fits_the_crop_is_the_whole_image():
    boxes = draw_crops(50, 64, (1.0, 1.0), (1.5, 2.0), stream())
    assert (rows_of(boxes) == (0, 0, 64, 64)).all()


def test_half_of_the_crops_are_mirrored():
    ramp = torch.arange(64, dtype=torch.uint8).expand(4000, 1, 64, 64)
    resized = resized_crop_flip(ramp, 32, 0.8, stream())
    mirrored = int((resized[:, 0, 0, 0] > resized[:, 0, 0, -1]).sum())
    assert stats.binomtest(mirrored, 4000).pvalue > ALPHA


# Cutout and random erasing


@pytest.mark.parametrize("side", [4, 5])
def test_cutout_centres_are_uniform_over_all_pixels(side):
    size, n = 8, 20_000
    squares = {}
    for row in range(size):
        for column in range(size):
            square = np.ones((size, size), bool)
            top, left = row - side // 2, column - side // 2
            square[max(0, top) : top + side, max(0, left) : left + side] = False
            squares[square.tobytes()] = row * size + column
    assert len(squares) == size * size
    images = cutout(torch.ones(n, 2, size, size), side, 0.3, stream()).bool().numpy()
    assert (images[:, 0] == images[:, 1]).all()
    whole = images.all(axis=(1, 2, 3))
    assert stats.binomtest(int(n - whole.sum()), n, 0.3).pvalue > ALPHA
    centres = [squares[image[0].tobytes()] for image in images[~whole]]
    assert stats.chisquare(np.bincount(centres, minlength=size * size)).pvalue > ALPHA


def test_erased_boxes_are_distributed_as_torchvisions():
    torch.manual_seed(1)
    image, n = torch.ones(1, 32, 32), 4000
    theirs = [
        transforms.RandomErasing.get_params(image, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=[0.0])[:4]
        for _ in range(n)
    ]
    assert_same_boxes(rows_of(draw_erasures(n, 32, 1.0, stream())), np.array(theirs))


@pytest.mark.parametrize("size", [8, 32])
def test_erased_images_are_distributed_as_torchvisions(size):
    torch.manual_seed(1)
    n, erasing = 6000, transforms.RandomErasing(p=0.5)
    theirs = torch.stack([erasing(image) for image in torch.ones(n, 1, size, size)])
    ours = erase(torch.ones(n, 1, size, size), 0.5, stream())
    for pixels in (lambda images: images.sum(dim=(1, 2, 3)), lambda images: images[:, 0, 0].sum(dim=1)):
        assert_same_distribution(pixels(ours).numpy(), pixels(theirs).numpy())
    changed = [int((images.flatten(1).amin(dim=1) == 0).sum()) for images in (ours, theirs)]
    assert stats.fisher_exact([changed, [n - count for count in changed]]).pvalue > ALPHA
    assert stats.binomtest(changed[0], n).pvalue > ALPHA


def test_boxes_are_blanked_up_to_the_border():
    images = torch.arange(1.0, 3 * 2 * 5 * 5 + 1).view(3, 2, 5, 5)
    expected = images.clone()
    expected[0, :, :2, 3:] = 0
    expected[2, :, 1:4, 0:1] = 0
    changed = blank(images, boxes_of([(-1, 3, 3, 4), (2, 2, 0, 3), (1, 0, 3, 1)]))
    assert changed is images
    assert torch.equal(images, expected)


# The whole


def every_kind(normalise: Normalise) -> list[Augmentation]:
    return [
        Augmentation(normalise, "none", 32),
        Augmentation(normalise, "crop_flip", 32, cutout=16),
        Augmentation(normalise, "resized_crop_flip", 32, erasing_probability=0.5),
        Augmentation(normalise, "none", 32, cutout=8, cutout_probability=1.0, erasing_probability=1.0),
    ]


def test_images_are_normalised_as_torchvision_does():
    images = pictures(5, 3, 32)
    ours = Normalise.of(MEAN, STD, 255, CPU)(images)
    theirs = torch.stack([by_image.normalize(image / 255, MEAN, STD) for image in images])
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_blanked_pixels_have_the_mean_colour_and_the_others_are_those_of_the_crop():
    normalise, images = Normalise.of(MEAN, STD, 255, CPU), pictures(200, 3, 32)
    shared = stream()
    cropped = normalise(crop_flip(images, shared))
    boxes = draw_cutouts(200, 32, 16, 0.5, shared)
    augmented = Augmentation(normalise, "crop_flip", 32, cutout=16)(images, stream())
    inside = blank(torch.ones(200, 1, 32, 32), boxes).expand_as(cropped) == 0
    assert torch.equal(augmented[~inside], cropped[~inside])
    assert (augmented[inside] == 0).all()
    assert 60 < int(inside.flatten(1).any(dim=1).sum()) < 140


@pytest.mark.parametrize("number", range(4))
def test_stored_images_stay_as_they_are(number):
    images = pictures(20, 3, 32)
    before = images.clone()
    augment = every_kind(Normalise.of(MEAN, STD, 255, CPU))[number]
    assert augment(images, stream()).dtype == torch.float32
    assert torch.equal(images, before)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_image_of_a_batch_has_its_own_draw(number):
    augment = every_kind(Normalise.of(MEAN, STD, 255, CPU))[number]
    batch = augment(pictures(1, 3, 32).expand(128, -1, -1, -1), stream())
    assert len({image.numpy().tobytes() for image in batch}) > 64
    assert len({image.numpy().tobytes() for image in batch[:8]}) > 4


@pytest.mark.parametrize("number", range(4))
def test_draws_neither_hang_on_the_device_nor_look_at_the_images(number):
    """A meta tensor has no content: whatever reads it back fails, as it would wait for an accelerator."""
    images, meta = pictures(20, 3, 32), torch.device("meta")
    drawn, abroad = stream(), stream()
    here = every_kind(Normalise.of(MEAN, STD, 255, CPU))[number](images, drawn)
    there = every_kind(Normalise.of(MEAN, STD, 255, meta))[number](images.to(meta), abroad)
    assert (there.shape, there.dtype, there.device) == (here.shape, here.dtype, meta)
    assert torch.equal(drawn.get_state(), abroad.get_state())


@pytest.mark.parametrize("number", range(4))
def test_the_memory_format_changes_no_number(number):
    images = pictures(20, 3, 32)
    plain, last = (
        every_kind(Normalise.of(MEAN, STD, 255, CPU, channels_last))[number](images, stream())
        for channels_last in (False, True)
    )
    assert torch.equal(plain, last)
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
