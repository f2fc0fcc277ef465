"""The canonical order: every complete copy of a data set is prepared as the same files."""

from __future__ import annotations

import dataclasses
import json
import lzma
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tasks import archives
from xsam.tasks import DataMissing
from xsam.tasks.data import available, prepare, recorded, require, verify
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.datasets.cifar import CifarDataset
from xsam.tasks.vision.datasets.dataset import Dataset
from xsam.tasks.vision.images import load

REAL = os.environ.get("XSAM_REAL_IMAGES", "")  # a folder with cifar10_12k.npz and cifar100_12k.npz (or .npz.xz)

Arrays = dict[str, np.ndarray]  # x_train, y_train, x_test, y_test; images N×H×W×C


def arrays_of(train: int, test: int, classes: int = 10, seed: int = 3) -> Arrays:
    random = np.random.default_rng(seed)
    given: Arrays = {}
    for part, count in (("train", train), ("test", test)):
        given[f"x_{part}"] = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        given[f"y_{part}"] = np.arange(count) % classes
    given["x_train"][1] = given["x_train"][0]  # the same image under two labels, as CIFAR-100 has some
    return given


def shuffled(arrays: Arrays, seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    order = {part: random.permutation(len(arrays[f"y_{part}"])) for part in ("train", "test")}
    return {name: array[order[name[2:]]] for name, array in arrays.items()}


def write_archive(dataset: CifarDataset, target: Path, arrays: Arrays) -> Path:
    """CIFAR's original archive, its batches as long as they come."""
    files = {}
    for part, batches in (("train", dataset.train_files), ("test", dataset.test_files)):
        images = arrays[f"x_{part}"].transpose(0, 3, 1, 2).reshape(-1, 3072)
        for batch, own in zip(batches, np.array_split(np.arange(len(images)), len(batches)), strict=True):
            labels = arrays[f"y_{part}"][own].tolist()
            files[batch.name] = archives.pickled({"data": images[own], dataset.label_key: labels})
    archives._write_files(target, dataset.published, files)
    return target


def write_npz(target: Path, arrays: Arrays) -> Path:
    np.savez(target, **arrays)
    return target


def write_npz_xz(target: Path, arrays: Arrays) -> Path:
    plain = write_npz(target.with_suffix(""), arrays)
    target.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
    plain.unlink()
    return target


def write_planar_npz(target: Path, arrays: Arrays) -> Path:
    changed = {
        name: array.transpose(0, 3, 1, 2) if name.startswith("x") else array[:, None] for name, array in arrays.items()
    }
    return write_npz(target, changed)


def write_class_folders(target: Path, arrays: Arrays, test: str = "test", named: Callable[[int], str] = str) -> Path:
    for part in ("train", "test"):
        for number, (image, label) in enumerate(zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True)):
            folder = target / (test if part == "test" else "train") / named(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.squeeze()).save(folder / f"{number}.png")
    return target


@pytest.fixture
def known(tmp_path: Path) -> Iterator[tuple[Arrays, dict[str, Dataset]]]:
    """``cifar10`` of 100 and ``cifar10_12k`` of 40 training images, with their canonical checksums on record."""
    arrays = arrays_of(100, 20)
    counts = {"cifar10": 100, "cifar10_12k": 40}
    with pytest.MonkeyPatch.context() as patch:
        for name, train in counts.items():
            entry = dataclasses.replace(DATASETS[name], train=train, test=20, checksum=None)
            patch.setitem(DATASETS, name, entry)
        archive = write_npz(tmp_path / "first.npz", arrays)
        entries = {}
        for name in counts:
            made = prepare(name, tmp_path / "first", archive, allow_unverified=True)
            entries[name] = dataclasses.replace(DATASETS[name], checksum=made.checksum.removesuffix("+unverified"))
        for name, entry in entries.items():
            patch.setitem(DATASETS, name, entry)
        yield arrays, entries


@pytest.mark.parametrize("name", ["cifar10", "cifar10_12k"])
def test_every_copy_in_any_order_gives_the_same_files_and_needs_no_leave(name, known, tmp_path):
    arrays, entries = known
    alphabetical = {f"class {letter}": label for label, letter in enumerate("abcdefghij")}
    copies = [
        write_archive(entries["cifar10"], tmp_path / "cifar.tar.gz", arrays),
        write_archive(entries["cifar10"], tmp_path / "other.tar.gz", shuffled(arrays, 1)),
        write_archive(entries["cifar10"], tmp_path / "unpacked", shuffled(arrays, 2)),
        write_npz(tmp_path / "copy.npz", shuffled(arrays, 3)),
        write_npz_xz(tmp_path / "packed.npz.xz", shuffled(arrays, 4)),
        write_planar_npz(tmp_path / "planar.npz", shuffled(arrays, 5)),
        write_class_folders(tmp_path / "numbered", shuffled(arrays, 6)),
        write_class_folders(tmp_path / "named", shuffled(arrays, 7), "val", list(alphabetical).__getitem__),
    ]
    contents = set()
    for number, copy in enumerate(copies):
        data = tmp_path / f"data{number}"
        report = prepare(name, data, copy)
        assert report.verified
        assert report.checksum == entries[name].checksum == recorded(name, data) == verify(name, data).checksum
        folder = data / name
        files = sorted(path for path in folder.iterdir() if path.suffix == ".npy")
        contents.add(b"".join(path.read_bytes() for path in files))
        assert {path.name for path in data.iterdir()} == {name}
    assert len(contents) == 1


def test_a_selection_has_of_each_class_the_images_with_the_smallest_hash(known, tmp_path):
    import hashlib

    arrays, _ = known
    data = tmp_path / "data"
    prepare("cifar10_12k", data, write_npz(tmp_path / "all.npz", shuffled(arrays, 8)))
    chosen = load("cifar10_12k", data)
    digests = [hashlib.sha256(image.tobytes()).digest() for image in arrays["x_train"]]
    best = {
        label: sorted(digest for digest, own in zip(digests, arrays["y_train"], strict=True) if own == label)[:4]
        for label in range(10)
    }
    ours = [hashlib.sha256(image.permute(1, 2, 0).numpy().tobytes()).digest() for image in chosen.train_images]
    assert ours == sorted(ours)
    for label, digests in best.items():
        own = [digest for digest, label_ in zip(ours, chosen.train_labels.tolist(), strict=True) if label_ == label]
        assert own == digests
    assert len(chosen.test_labels) == 20
    assert (chosen.mean, chosen.std) == (DATASETS["cifar10"].mean, DATASETS["cifar10"].std)

    # The copy that holds no more than the selection is the same data set, and so is what is prepared already.
    few = {"x_train": chosen.train_images.permute(0, 2, 3, 1).numpy(), "y_train": chosen.train_labels.numpy()}
    few |= {name: arrays[name] for name in ("x_test", "y_test")}
    assert prepare("cifar10_12k", tmp_path / "again", write_npz(tmp_path / "few.npz", shuffled(few, 9))).verified
    prepare("cifar10", tmp_path / "both", tmp_path / "all.npz")
    assert prepare("cifar10_12k", tmp_path / "both").verified


def test_one_other_pixel_or_label_is_another_data_set(known, tmp_path):
    arrays, _ = known
    for name in ("x_train", "x_test"):
        changed = {key: array.copy() for key, array in arrays.items()}
        changed[name][-1, 0, 0, 0] ^= 1
        with pytest.raises(ValueError, match=r"not cifar10 as published \(content .*--allow-unverified"):
            prepare("cifar10", tmp_path / "data", write_npz(tmp_path / "changed.npz", changed))
    changed = {key: array.copy() for key, array in arrays.items()}
    changed["y_train"][[0, 1]] = changed["y_train"][[1, 0]]
    assert prepare("cifar10", tmp_path / "same", write_npz(tmp_path / "swapped.npz", changed)).verified, "equal images"
    changed["y_train"][[2, 3]] = changed["y_train"][[3, 2]]
    report = prepare("cifar10", tmp_path / "data", write_npz(tmp_path / "changed.npz", changed), allow_unverified=True)
    assert report.checksum.endswith("+unverified")
    assert prepare("cifar10", tmp_path / "data", tmp_path / "swapped.npz").verified, "the published data take its place"


def test_folders_of_an_earlier_layout_are_never_used_and_are_turned_into_todays(known, tmp_path):
    arrays, _ = known
    data = tmp_path / "data"
    prepare("cifar10", data, write_npz(tmp_path / "copy.npz", arrays))
    folder = data / "cifar10"
    manifest = json.loads((folder / "manifest.json").read_text())
    backwards = {path: np.load(path)[::-1].copy() for path in folder.glob("*.npy")}
    for path, array in backwards.items():
        np.save(path, array)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 1}))
    for use in (require, load, verify):
        with pytest.raises(
            DataMissing, match=r"layout 1, not 2, its images in another order.*data prepare cifar10"
        ) as e:
            use("cifar10", data)
        assert "\n" not in str(e.value)
    assert not next(row for row in available(data) if row.name == "cifar10").prepared
    assert prepare("cifar10", data).verified
    assert verify("cifar10", data).verified
    assert [path.name for path in data.iterdir()] == ["cifar10"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("y_test"), "no array y_test"),
        (lambda a: a.update(x_train=a["x_train"].astype(np.float32)), "x_train is an array of float32"),
        (lambda a: a.update(y_test=np.array([None] * 20)), "y_test is an array of object"),
        (lambda a: a.update(x_train=a["x_train"][:99], y_train=a["y_train"][:99]), r"train part has images \(99, 3"),
        (lambda a: a.update(x_test=a["x_test"][:, :31]), r"test part has images \(20, 3, 31, 32\)"),
        (lambda a: a.update(y_train=a["y_train"] + 1), "train labels reach 10"),
        (lambda a: a.update(y_train=a["y_train"][:-1]), "99 labels"),
    ],
)
def test_an_impossible_npz_is_one_line(change, message, known, tmp_path):
    arrays = dict(known[0])
    change(arrays)
    source = write_npz(tmp_path / "copy.npz", arrays)
    with pytest.raises(ValueError, match=message) as caught:
        prepare("cifar10", tmp_path / "data", source, allow_unverified=True)
    assert str(source) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_broken_npz_is_one_line(known, tmp_path):
    whole = write_npz(tmp_path / "copy.npz", known[0]).read_bytes()
    packed = lzma.compress(whole, preset=0)
    for name, content in {
        "cut.npz": whole[:-1000],
        "no.npz": b"",
        "cut.npz.xz": packed[:-1000],
        "no.npz.xz": b"",
        "plain.npz.xz": whole,
    }.items():
        source = tmp_path / name
        source.write_bytes(content)
        with pytest.raises(ValueError, match=name) as caught:
            prepare("cifar10", tmp_path / "data", source, allow_unverified=True)
        assert "\n" not in str(caught.value)


def test_impossible_folders_of_classes_are_one_line(known, tmp_path):
    folders = write_class_folders(tmp_path / "folders", known[0])
    moved = folders / "test" / "3"
    shutil.move(moved, tmp_path / "3")
    with pytest.raises(ValueError, match=r"10 folders of classes below train and 9 below test; cifar10 has 10 classes"):
        prepare("cifar10", tmp_path / "data", folders)
    shutil.move(tmp_path / "3", moved)
    Image.new("RGB", (33, 32)).save(moved / "wide.png")
    with pytest.raises(ValueError, match=r"wide\.png: 33×32 pixels, not 32×32"):
        prepare("cifar10", tmp_path / "data", folders)
    (moved / "wide.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"wide\.png: not a whole image"):
        prepare("cifar10", tmp_path / "data", folders)
    (moved / "wide.png").unlink()
    assert prepare("cifar10", tmp_path / "data", folders).verified


def test_grey_and_named_folders_of_fashion_mnist(tiny_fashion, tmp_path, monkeypatch):
    made = prepare("fashion_mnist", tmp_path / "data", tiny_fashion.source)
    monkeypatch.setitem(DATASETS, "fashion_mnist", dataclasses.replace(tiny_fashion.dataset, checksum=made.checksum))
    data = load("fashion_mnist", tmp_path / "data")
    arrays = {
        "x_train": data.train_images.permute(0, 2, 3, 1).numpy(),
        "y_train": data.train_labels.numpy(),
        "x_test": data.test_images.permute(0, 2, 3, 1).numpy(),
        "y_test": data.test_labels.numpy(),
    }
    names = [name.replace("/", "-").lower() for name in tiny_fashion.dataset.class_names]
    assert names != sorted(names)
    folders = write_class_folders(tmp_path / "folders", arrays, named=names.__getitem__)
    assert prepare("fashion_mnist", tmp_path / "again", folders).checksum == made.checksum
    grey = {name: array.squeeze() for name, array in arrays.items()}
    assert prepare("fashion_mnist", tmp_path / "npz", write_npz(tmp_path / "grey.npz", grey)).verified


def test_tiny_imagenet_from_folders_of_its_classes_is_the_same_data_set(tiny_imagenet, tmp_path):
    made = prepare("tiny_imagenet", tmp_path / "data", tiny_imagenet.source)
    data = load("tiny_imagenet_64", tmp_path / "data")
    arrays = {
        "x_train": data.train_images.permute(0, 2, 3, 1).numpy(),
        "y_train": data.train_labels.numpy(),
        "x_test": data.test_images.permute(0, 2, 3, 1).numpy(),
        "y_test": data.test_labels.numpy(),
    }
    folders = write_class_folders(tmp_path / "folders", shuffled(arrays, 1), named=lambda label: f"n{label:08d}")
    with pytest.raises(ValueError, match="nothing is on record to tell whether it is tiny_imagenet"):
        prepare("tiny_imagenet", tmp_path / "again", folders)
    again = prepare("tiny_imagenet", tmp_path / "again", folders, allow_unverified=True)
    assert again.checksum == f"{made.checksum}+unverified"


@pytest.mark.skipif(not REAL, reason="XSAM_REAL_IMAGES names no folder with real images")
@pytest.mark.parametrize(("name", "whole"), [("cifar10_12k", "cifar10"), ("cifar100_12k", "cifar100")])
def test_real_images_have_the_published_checksums(name, whole, tmp_path):
    source = next(path for path in sorted(Path(REAL).glob(f"{name}.npz*")))
    report = prepare(name, tmp_path / "npz", source)
    assert report.verified
    data = load(name, tmp_path / "npz")
    arrays = {
        "x_train": data.train_images.permute(0, 2, 3, 1).numpy(),
        "y_train": data.train_labels.numpy(),
        "x_test": data.test_images.permute(0, 2, 3, 1).numpy(),
        "y_test": data.test_labels.numpy(),
    }
    archive = write_archive(DATASETS[whole], tmp_path / "other.tar.gz", shuffled(arrays, 1))
    with tarfile.open(archive) as tar:
        assert len(tar.getnames()) == len(DATASETS[whole].files)
    again = prepare(name, tmp_path / "original", archive)
    assert again.verified
    assert again.checksum == report.checksum == DATASETS[name].checksum
    for path in (tmp_path / "npz" / name).glob("*.npy"):
        assert path.read_bytes() == (tmp_path / "original" / name / path.name).read_bytes()
