"""Sources of images, and names for them, that cannot be: one line says why, and nothing is left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.tasks.own_images import CLASSES, COUNTS, encoded, made, write_folders, write_npz, write_parquet
from xsam.tasks.data import OwnOptions, prepare, verify
from xsam.tasks.vision.datasets import DATASETS


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
