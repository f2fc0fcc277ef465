"""Images of one's own under their own name: every kind of source gives the same set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as by_image
from PIL import Image

from tests.tasks.own_images import CLASSES, COUNTS, Parts, encoded, made, write_folders, write_npz, write_parquet
from xsam.tasks.data import OwnOptions, Verified, available, prepare, recorded, require, verify
from xsam.tasks.vision import TASK
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.images import load
from xsam.tasks.vision.own.pixels import fitted
from xsam.tasks.vision.vision_run import VisionRun


def write_planar(target: Path, parts: Parts) -> Path:
    """As MedMNIST calls its arrays, the channels first, and labels N×1."""
    arrays = {f"{part}_images": images.transpose(0, 3, 1, 2) for part, (images, _) in parts.items()}
    np.savez(target, **arrays, **{f"{part}_labels": labels[:, None] for part, (_, labels) in parts.items()})
    return target


SOURCES: dict[str, Callable[[Path, Parts], Path]] = {
    "folders": lambda folder, parts: write_folders(folder / "tree", parts),
    "npz": lambda folder, parts: write_npz(folder / "images.npz", parts),
    "planar": lambda folder, parts: write_planar(folder / "planar.npz", parts),
    "parquet": lambda folder, parts: write_parquet(folder / "hf" / "data", parts).parent,
    "plain_parquet": lambda folder, parts: write_parquet(folder / "plain", parts, struct=False),
}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.npy"))}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("counts", [COUNTS, {"train": 30, "test": 12}], ids=["val", "no_val"])
def test_every_source_is_prepared_as_the_same_files(
    tmp_path: Path, data: Path, channels: int, counts: dict[str, int]
) -> None:
    parts = made(counts, channels=channels)
    found: dict[str, Verified] = {}
    for kind, write in SOURCES.items():
        found[kind] = prepare(f"my_{kind}", data, write(tmp_path, parts))
    assert {one.checksum for one in found.values()} == {found["npz"].checksum}
    assert {tuple(one.counts.items()) for one in found.values()} == {tuple(counts.items())}
    assert {str(files_of(data / f"my_{kind}")) for kind in SOURCES} == {str(files_of(data / "my_npz"))}
    pixels = parts["train"][0] / 255
    one = DATASETS["my_npz"]
    assert one.mean == pytest.approx(pixels.mean((0, 1, 2)), abs=6e-5)
    assert one.std == pytest.approx(pixels.std((0, 1, 2)), abs=6e-5)
    assert (one.channels, one.size, one.classes) == (channels, 8, 3)
    assert DATASETS["my_parquet"].class_names == DATASETS["my_folders"].class_names == CLASSES
    assert one.class_names == ("0", "1", "2")
    for kind in SOURCES:
        assert verify(f"my_{kind}", data).ok
        require(f"my_{kind}", data)
        assert recorded(f"my_{kind}", data) == found[kind].checksum
    assert {"my_npz", "my_folders"} <= {row.name for row in available(data) if row.prepared}


def test_the_order_of_a_source_makes_no_difference_and_its_content_does(tmp_path: Path, data: Path) -> None:
    parts = made({"train": 40})
    images, labels = parts["train"]
    order = np.random.default_rng(5).permutation(40)
    first = prepare("first", data, write_npz(tmp_path / "a.npz", parts))
    again = prepare("again", data, write_npz(tmp_path / "b.npz", {"train": (images[order], labels[order])}))
    folders = prepare("folders", data, write_folders(tmp_path / "flat", parts, flat=True, prefix="x"))
    assert first.checksum == again.checksum == folders.checksum
    assert files_of(data / "first") == files_of(data / "again") == files_of(data / "folders")
    other = images.copy()
    other[3, 0, 0, 0] ^= 1
    assert prepare("other", data, write_npz(tmp_path / "c.npz", {"train": (other, labels)})).checksum != first.checksum


def test_a_test_part_is_made_by_content_with_all_copies_of_an_image_on_one_side(tmp_path: Path, data: Path) -> None:
    images, labels = made({"train": 60})["train"]
    images[30:45] = images[0:15]  # copies, of the same class
    found = prepare("birds", data, write_npz(tmp_path / "a.npz", {"train": (images, labels)}))
    loaded = load("birds", data)
    train, test = ({bytes(one) for one in part.numpy()} for part in (loaded.train_images, loaded.test_images))
    assert not train & test
    assert sum(found.counts.values()) == 60
    assert 6 <= found.counts["test"] <= 12
    assert np.bincount(loaded.test_labels).max() <= 4
    assert "no test part was given" in found.notes[0]
    with pytest.raises(ValueError, match="4 images are too few to take a test part from"):
        prepare("few", data, write_npz(tmp_path / "few.npz", {"train": (images[:4], labels[:4])}))


def test_a_part_that_is_held_out_alone_is_the_test_part(tmp_path: Path, data: Path) -> None:
    found = prepare("birds", data, write_folders(tmp_path / "tree", made({"train": 30, "val": 9})))
    assert found.counts == {"train": 30, "test": 9}
    assert "the one part that is held out is the test part" in found.notes[0]


@pytest.mark.parametrize("names", [("Train", "TEST"), ("training", "testing")])
def test_parts_have_several_names(tmp_path: Path, data: Path, names: tuple[str, str]) -> None:
    parts = made({"train": 30, "test": 12})
    tree = write_folders(tmp_path / "tree", dict(zip(names, parts.values(), strict=True)))
    assert prepare("birds", data, tree).counts == {"train": 30, "test": 12}
    tables = write_parquet(
        tmp_path / "hf", {f"birds-{name}": own for name, own in zip(names, parts.values(), strict=True)}
    )
    assert prepare("owls", data, tables).counts == {"train": 30, "test": 12}


def test_colours_transparency_and_palettes_become_rgb(tmp_path: Path, data: Path) -> None:
    parts = made({"train": 30, "test": 12}, channels=1)
    tree = write_folders(tmp_path / "tree", parts)
    prepare("grey", data, tree)
    assert DATASETS["grey"].channels == 1
    image = Image.fromarray(made({"train": 1})["train"][0][0])
    for number, kind in enumerate(("RGBA", "P", "CMYK")):
        suffix = "jpg" if kind == "CMYK" else "png"
        image.convert(kind).save(tree / "train" / "owl" / f"other{number}.{suffix}")
    (tree / "train" / "owl" / ".hidden.png").write_bytes(b"not an image")
    (tree / "train" / "owl" / "notes.txt").write_text("not an image", encoding="utf-8")
    found = prepare("coloured", data, tree)
    assert (DATASETS["coloured"].channels, found.counts["train"]) == (3, 33)
    assert found.notes == ("1 file that is no image was left out",)


def test_images_that_are_trained_and_tested_on_are_counted(tmp_path: Path, data: Path) -> None:
    parts = made({"train": 30, "test": 12})
    parts["test"][0][:3] = parts["train"][0][:3]
    found = prepare("birds", data, write_npz(tmp_path / "a.npz", parts))
    assert found.notes == ("3 images of the test part are in the training part too",)


def test_a_validation_part_of_its_own_is_that_of_every_run(tmp_path: Path, data: Path) -> None:
    prepare("birds", data, write_npz(tmp_path / "a.npz", made(COUNTS)))
    checksums = set()
    for seed in (0, 1):
        run = VisionRun.of({"dataset": "birds", "hidden": (4,), "batch_size": 10, "seed": seed})
        problem = TASK.open(run, data, torch.device("cpu"))
        assert problem.steps_per_epoch == TASK.steps_per_epoch(run) == 3
        checksums.add(problem.val.images.numpy().tobytes())
        assert (len(problem.train), len(problem.val), len(problem.test)) == (30, 9, 12)
        assert 0 <= problem.evaluate()["val_accuracy"] <= 100
        assert problem.data_checksum == recorded("birds", data)
    assert len(checksums) == 1
    assert "val_fraction" in TASK.unused(run)
    with pytest.raises(ValueError, match="train_subset 31 is more than the 30 training images of birds"):
        TASK.check(VisionRun.of({"dataset": "birds", "train_subset": 31}))


def test_images_of_other_sizes_are_resized_as_torchvision_does_and_only_when_asked(tmp_path: Path, data: Path) -> None:
    parts = made({"train": 30, "test": 12}, size=20)
    tree = write_folders(tmp_path / "tree", parts)
    wide = np.random.default_rng(0).integers(0, 256, (21, 34, 3), dtype=np.uint8)
    (tree / "train" / "owl" / "wide.png").write_bytes(encoded(wide))
    with pytest.raises(ValueError, match=r"images from 20×20 to 34×21 pixels, .* give --size N") as told:
        prepare("birds", data, tree)
    assert "\n" not in str(told.value)
    found = prepare("birds", data, tree, options=OwnOptions(size=12))
    assert DATASETS["birds"].size == 12
    assert "images from 20×20 to 34×21 pixels were resized to 12×12" in found.notes[0]
    for image in (wide, parts["train"][0][0]):
        expected = by_image.center_crop(by_image.resize(Image.fromarray(image), [12]), [12])
        assert (fitted(image, 12) == np.asarray(expected)).all()
        planes = np.concatenate([fitted(image[:, :, k : k + 1], 12) for k in range(3)], axis=2)
        assert (planes == np.asarray(expected)).all()
    shown = {bytes(one) for one in load("birds", data).train_images.numpy()}
    assert fitted(wide, 12).transpose(2, 0, 1).tobytes() in shown


def test_many_channels_many_classes_and_gaps_in_labels(tmp_path: Path, data: Path) -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (700, 6, 6, 5), dtype=np.uint8)
    images[..., 4] = 7
    labels = 3 * (np.arange(700) % 350) + 2
    parts = {"train": (images[:350], labels[:350]), "test": (images[350:], labels[350:])}
    prepare("wide", data, write_npz(tmp_path / "a.npz", parts))
    one = DATASETS["wide"]
    assert (one.channels, one.classes, one.class_names[:2]) == (5, 350, ("2", "5"))
    assert (one.mean[4], one.std[4]) == (0.0275, 1.0)
    assert verify("wide", data).ok
    swapped = {**parts, "train": (images[:350], np.roll(labels[:350], 256))}
    prepare("other", data, write_npz(tmp_path / "b.npz", swapped))
    assert DATASETS["other"].checksum != one.checksum
