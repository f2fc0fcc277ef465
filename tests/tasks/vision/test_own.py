"""Images of one's own under their own name: every kind of source gives the same set, and bad ones leave nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision.transforms.functional as by_image
from PIL import Image

from tests.tasks.own_images import CLASSES, Parts, encoded, made, write_folders, write_npz, write_parquet
from xsam.tasks import DataMissing, own
from xsam.tasks.data import OwnOptions, Verified, available, prepare, recorded, require, verify
from xsam.tasks.vision import TASK
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.images import load
from xsam.tasks.vision.own.pixels import fitted
from xsam.tasks.vision.vision_run import VisionRun

COUNTS = {"train": 30, "val": 9, "test": 12}


@pytest.fixture(autouse=True)
def forgotten(tmp_path: Path) -> Iterator[None]:
    """No set of one's own outlives its test."""
    yield
    own.enter(tmp_path / "nothing here")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


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


def test_prepared_anew_it_is_another_set_and_the_former_is_said(tmp_path: Path, data: Path) -> None:
    source = write_npz(tmp_path / "a.npz", made(COUNTS))
    first = prepare("birds", data, source)
    former = DATASETS["birds"]
    assert prepare("birds", data, source).notes == ()
    assert prepare("birds", data) == verify("birds", data)
    other = prepare("birds", data, write_npz(tmp_path / "b.npz", made(COUNTS, seed=1)))
    assert f"its content was {first.checksum} before" in other.notes[-1]
    assert [path.name for path in data.iterdir()] == ["birds"]
    with pytest.raises(own.OwnDataChanged, match=r"has other content now .* plan the grid anew"):
        own.check({"birds": first.checksum}, data)
    own.check({"birds": other.checksum}, data)
    with pytest.raises(DataMissing, match="xsam-bench data prepare owls --from FOLDER"):
        own.check({"owls": first.checksum}, data)
    DATASETS["birds"] = former  # a process that planned before
    with pytest.raises(ValueError, match="prepared anew with other content meanwhile"):
        load("birds", data)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My Birds", "lower-case letters, digits and '_', not 'My Birds'; such as 'my_birds'"),
        ("../birds", "lower-case letters, digits and '_'"),
        ("x" * 61, "lower-case letters, digits and '_'"),
        ("val", "val is what a part of every data set is called"),
        ("downloads/x", "lower-case letters"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, data: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        prepare(name, data, write_npz(tmp_path / "a.npz", made(COUNTS)))
    assert "\n" not in str(told.value)
    assert not data.exists()


def test_what_the_user_put_there_is_never_replaced(tmp_path: Path) -> None:
    tree = write_folders(tmp_path / "birds", made(COUNTS))
    with pytest.raises(ValueError, match="there already, and not made by 'data prepare'"):
        prepare("birds", tmp_path, tree)
    assert len(list(tree.rglob("*.png"))) == sum(COUNTS.values())


def test_built_in_names_stay_what_they_are(tmp_path: Path, data: Path) -> None:
    source = write_npz(tmp_path / "a.npz", made(COUNTS))
    with pytest.raises(ValueError, match="cifar10 has"):
        prepare("cifar10", data, source)
    with pytest.raises(ValueError, match="cifar10 is no data set of your own: leave out --size"):
        prepare("cifar10", data, source, options=OwnOptions(size=8))
    with pytest.raises(ValueError, match="leave out --allow-unverified"):
        prepare("birds", data, source, allow_unverified=True)
    with pytest.raises(ValueError, match="leave out --bpe-merges"):
        prepare("birds", data, source, bpe_merges=10)
    with pytest.raises(ValueError, match="leave out --label"):
        prepare("birds", data, source, options=OwnOptions(label="label"))
    with pytest.raises(ValueError, match="unknown data set 'cifra10'; did you mean 'cifar10'"):
        prepare("cifra10", data)
    assert not data.exists() or not list(data.iterdir())


Spoil = Callable[[Path], Path]


def spoiled_parquet(folder: Path, **columns: pa.Array) -> Path:
    table = pa.table(columns)
    path = folder / "train.parquet"
    pq.write_table(table, path)
    return path


def cells(*values: bytes | None) -> pa.Array:
    return pa.array([{"bytes": one, "path": "/etc/passwd"} for one in values])


def truncated(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


def bomb(folder: Path) -> Path:
    tree = write_folders(folder / "tree", made(COUNTS))
    Image.new("1", (9_000, 9_000)).save(tree / "train" / "crow" / "huge.png")
    return tree


def sixteen_bits(folder: Path) -> Path:
    tree = write_folders(folder / "tree", made(COUNTS))
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tree / "train" / "crow" / "deep.png")
    return tree


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


PIXEL = encoded(np.zeros((8, 8, 3), np.uint8))
IMAGES, LABELS = made({"train": 12})["train"]

BAD: dict[str, tuple[Spoil, str]] = {
    "empty_folder": (lambda f: (f / "empty").mkdir() or f / "empty", "no images in folders of classes"),
    "loose_images": (lambda f: written(f, "loose/a.png", PIXEL).parent, "an image in no folder of a class"),
    "no_training_part": (lambda f: write_folders(f / "t", made({"test": 12})), "test without a folder train"),
    "two_validations": (
        lambda f: write_folders(f / "t", {**made(COUNTS), "valid": made({"valid": 9})["valid"]}),
        "val and valid are both val",
    ),
    "parts_of_other_names": (
        lambda f: write_folders(
            f / "t", {"learn": made({"learn": 12})["learn"], "prove": made({"prove": 12})["prove"]}
        ),
        "learn: holds folders of images itself; is it a part of the data?",
    ),
    "broken_link": (
        lambda f: (write_folders(f / "t", made(COUNTS)) / "train" / "owl" / "a.png").symlink_to("gone") or f / "t",
        "train/owl/a.png: no file, but a broken link or a pipe",
    ),
    "pipe": (
        lambda f: os.mkfifo(write_folders(f / "t", made(COUNTS)) / "train" / "owl" / "a.png") or f / "t",
        "train/owl/a.png: no file, but a broken link or a pipe",
    ),
    "folder_called_parquet": (
        lambda f: (f / "a.parquet").mkdir() or f / "a.parquet",
        "no images in folders of classes",
    ),
    "one_class": (lambda f: written(f, "t/crow/a.png", PIXEL).parent.parent, "1 class in the training part"),
    "strange_class": (
        lambda f: written(write_folders(f / "t", made(COUNTS)), "test/heron/a.png", PIXEL).parents[2],
        "the class 'heron' of the part test has no image in the part train",
    ),
    "no_image": (
        lambda f: written(write_folders(f / "t", made(COUNTS)), "train/owl/a.png", b"GIF89a nonsense").parents[2],
        "train/owl/a.png: not an image of a known format",
    ),
    "cut_image": (
        lambda f: written(write_folders(f / "t", made(COUNTS)), "train/owl/a.png", encoded(IMAGES[0])[:120]).parents[2],
        "train/owl/a.png: not a whole image",
    ),
    "bomb": (bomb, "9000×9000 pixels, more than"),
    "sixteen_bits": (sixteen_bits, "convert it to 8 bits"),
    "text_file": (lambda f: written(f, "birds.csv", b"a,b"), "no source of images; give a folder"),
    "no_npz": (lambda f: written(f, "a.npz", b"nothing"), "not an .npz file"),
    "cut_npz": (lambda f: truncated(write_npz(f / "a.npz", made(COUNTS)), 900), "broken archive"),
    "no_arrays": (lambda f: np.savez(f / "a.npz", x=IMAGES) or f / "a.npz", "no arrays x_train and y_train"),
    "half_a_part": (lambda f: np.savez(f / "a.npz", x_train=IMAGES) or f / "a.npz", "x_train without y_train"),
    "floats": (
        lambda f: np.savez(f / "a.npz", x_train=IMAGES / 255, y_train=LABELS) or f / "a.npz",
        "array of float64, not of integers",
    ),
    "wide_integers": (
        lambda f: np.savez(f / "a.npz", x_train=IMAGES.astype(int), y_train=LABELS) or f / "a.npz",
        "images are bytes",
    ),
    "pickles": (
        lambda f: np.savez(f / "a.npz", x_train=IMAGES, y_train=np.array([{}] * 12, dtype=object)) or f / "a.npz",
        "not of integers",
    ),
    "other_count": (lambda f: write_npz(f / "a.npz", {"train": (IMAGES, LABELS[:5])}), "12 images in x_train and"),
    "negative": (lambda f: write_npz(f / "a.npz", {"train": (IMAGES, LABELS - 1)}), "the label -1"),
    "flat_pixels": (
        lambda f: write_npz(f / "a.npz", {"train": (IMAGES.reshape(12, -1), LABELS)}),
        "x_train has the shape",
    ),
    "other_shapes": (
        lambda f: write_npz(f / "a.npz", {"train": (IMAGES, LABELS), "test": (IMAGES[:, :4, :4], LABELS)}),
        "images of different shapes",
    ),
    "no_parquet": (lambda f: written(f, "train.parquet", b"PAR1 nothing PAR1"), "cannot be read as parquet"),
    "cut_parquet": (
        lambda f: truncated(next(write_parquet(f / "p", made(COUNTS)).glob("train*")), 2000),
        "cannot be read as parquet",
    ),
    "no_images_column": (lambda f: spoiled_parquet(f, label=pa.array([1])), "no column of images"),
    "two_labels": (
        lambda f: spoiled_parquet(f, img=cells(PIXEL), fine=pa.array([1]), coarse=pa.array([1])),
        "each of fine, coarse may be the column of labels: name it with --label",
    ),
    "no_label": (
        lambda f: spoiled_parquet(f, image=cells(PIXEL, PIXEL), label=pa.array([1, None])),
        "row 1 has no label",
    ),
    "path_alone": (
        lambda f: spoiled_parquet(f, image=cells(PIXEL, None), label=pa.array([0, 1])),
        "row 1 has no bytes of an image",
    ),
    "no_image_in_row": (
        lambda f: spoiled_parquet(f, image=cells(PIXEL, b"x"), label=pa.array([0, 1])),
        "train.parquet: row 1: not an image",
    ),
    "other_file": (
        lambda f: written(write_parquet(f / "p", made(COUNTS)), "extra.parquet", b"").parent,
        "extra.parquet: its name says neither train, val nor test",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_source_is_one_line_and_leaves_what_was_there(tmp_path: Path, data: Path, kind: str) -> None:
    spoil, message = BAD[kind]
    before = prepare("birds", data, write_npz(tmp_path / "good.npz", made(COUNTS)))
    place = tmp_path / "bad"
    place.mkdir()
    source = spoil(place)
    for name in ("birds", "owls"):
        with pytest.raises(ValueError, match=re.escape(message)) as told:
            prepare(name, data, source)
        assert "\n" not in str(told.value)
    assert [path.name for path in data.iterdir()] == ["birds"]
    assert verify("birds", data).checksum == before.checksum


def test_columns_of_parquet_files_are_named_where_several_fit(tmp_path: Path, data: Path) -> None:
    images, labels = made({"train": 30})["train"]
    column = cells(*map(encoded, images))
    texts = pa.array([CLASSES[one] for one in labels]).dictionary_encode()
    path = spoiled_parquet(tmp_path, left=column, right=column, kind=texts, number=pa.array(labels))
    with pytest.raises(ValueError, match="each of left, right may be the column of images: name it with --image"):
        prepare("birds", data, path, options=OwnOptions(label="kind"))
    with pytest.raises(ValueError, match="no column 'knid'; did you mean 'kind'"):
        prepare("birds", data, path, options=OwnOptions(image="left", label="knid"))
    with pytest.raises(ValueError, match=r"the column 'left' .* holds no labels"):
        prepare("birds", data, path, options=OwnOptions(image="left", label="left"))
    prepare("birds", data, path, options=OwnOptions(image="left", label="kind"))
    assert DATASETS["birds"].class_names == CLASSES


def test_names_of_files_cannot_break_a_message(tmp_path: Path, data: Path) -> None:
    tree = write_folders(tmp_path / "tree", made(COUNTS))
    (tree / "train" / "owl" / "a\nnew line\x1b[2J.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="not an image of a known format") as told:
        prepare("birds", data, tree)
    assert "\n" not in str(told.value)


def test_a_changed_folder_is_found_and_named(tmp_path: Path, data: Path) -> None:
    source = write_npz(tmp_path / "a.npz", made(COUNTS))
    prepare("birds", data, source)
    manifest = data / "birds" / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    kept = json.loads(text)
    kept["own"]["std"][0] += 0.1
    for content, message in ((json.dumps(kept), "changed by hand"), (text[:80], "damaged"), ("[]", "damaged")):
        manifest.write_text(content, encoding="utf-8")
        own.enter(data)
        assert "birds" not in own.known()
        assert message in own.hint("birds")
        assert str(manifest) in own.hint("birds")
    manifest.write_text(text, encoding="utf-8")
    array = data / "birds" / "test-8.npy"
    whole = array.read_bytes()
    array.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "as when it was prepared" in str(verify("birds", data).problem)
    array.unlink()
    with pytest.raises(DataMissing, match="xsam-bench data prepare birds --from FOLDER"):
        verify("birds", data)
    prepare("birds", data, source)
    assert verify("birds", data).ok
    (data / "birds").rename(data / "gulls")
    own.enter(data)
    assert dict(own.known()) == {}
    assert "this is the folder of birds" in own.hint("gulls") or "damaged" in own.hint("gulls")
