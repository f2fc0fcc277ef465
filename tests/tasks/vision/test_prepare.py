"""Preparing data sets: from archives and folders, and from hostile, broken or other sources."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.tasks import archives
from tests.tasks.own_images import made, write_npz
from xsam.tasks.data import prepare, verify
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.images import load

CIFAR = DATASETS["cifar10"].published
TINY = DATASETS["tiny_imagenet"].published


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} if folder.exists() else set()


def refused(name: str, data: Path, source: Path, message: str, **given: bool) -> None:
    """``prepare`` answers with one line that has ``message``, and leaves no file."""
    with pytest.raises(ValueError, match=message) as caught:
        prepare(name, data, source, **given)
    assert "\n" not in str(caught.value)
    assert ".prepare-" not in str(caught.value), "the user's own path is named"
    assert tree(data) == set()


def unpacked(source: Path, into: Path) -> Path:
    """The published folder that an archive unpacks to."""
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            archive.extractall(into)
    else:
        with tarfile.open(source) as tar:
            tar.extractall(into, filter="data")
    return next(path for path in into.iterdir())


@pytest.mark.parametrize("given", ["archive", "folder with archive", "extracted folder", "parent of extracted folder"])
def test_cifar_from_every_published_form(given, tiny_cifar, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(tiny_cifar.source, alone)
    folder = unpacked(tiny_cifar.source, tmp_path / "unpacked")
    source = {
        "archive": tiny_cifar.source,
        "folder with archive": alone,
        "extracted folder": folder,
        "parent of extracted folder": folder.parent,
    }[given]
    report = prepare("cifar10", tmp_path / "data", source)
    assert report.verified
    assert report.counts == {"train": 100, "test": 20}
    files = ("manifest.json", "train-32.npy", "train-labels.npy", "test-32.npy", "test-labels.npy")
    assert tree(tmp_path / "data") == {"cifar10", *(f"cifar10/{file}" for file in files)}
    assert load("cifar10", tmp_path / "data").checksum == report.checksum


@pytest.mark.parametrize("form", ["zip", "tar", "folder"])
def test_tiny_imagenet_is_the_same_from_every_form(form, tiny_imagenet, tmp_path):
    published = prepare("tiny_imagenet", tmp_path / "published", tiny_imagenet.source)
    folder = unpacked(tiny_imagenet.source, tmp_path / "unpacked")
    source = {"zip": tiny_imagenet.source, "tar": tmp_path / "tiny.tar.gz", "folder": folder}[form]
    if form == "tar":
        with tarfile.open(source, "w:gz") as tar:
            tar.add(folder, TINY)
    if form != "zip":
        refused("tiny_imagenet", tmp_path / "data", source, "--allow-unverified takes it all the same")
    report = prepare("tiny_imagenet", tmp_path / "data", source, allow_unverified=True)
    assert report.checksum.removesuffix("+unverified") == published.checksum
    assert report.verified == (form == "zip")


def test_a_copy_that_is_not_the_published_one_is_taken_only_on_demand_and_marked_for_good(tmp_path):
    archive = tmp_path / "copy.tar.gz"
    entry = archives.write_cifar10(archive, train=100, test=20)
    files = {"train_files": DATASETS["cifar10"].train_files, "test_files": DATASETS["cifar10"].test_files}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "cifar10", dataclasses.replace(entry, **files))  # the digests of the real files
        refused("cifar10", tmp_path / "data", archive, r"copy.tar.gz/.*data_batch_1: not the published file \(MD5")
        report = prepare("cifar10", tmp_path / "data", archive, allow_unverified=True)
        assert report.ok
        assert not report.verified
        assert load("cifar10", tmp_path / "data").checksum == report.checksum
        assert report.checksum.endswith("+unverified")
        assert verify("cifar10", tmp_path / "data").checksum == report.checksum
        with pytest.raises(ValueError, match="not the published file"):
            prepare("cifar10", tmp_path / "data", archive)
        assert verify("cifar10", tmp_path / "data").ok, "what was there stays"
        patch.setitem(DATASETS, "cifar10", entry)
        assert prepare("cifar10", tmp_path / "data", archive).verified, "the published data take its place"


def test_other_content_of_the_right_form_is_not_the_published_data(tiny_fashion, tmp_path, monkeypatch):
    good = prepare("fashion_mnist", tmp_path / "good", tiny_fashion.source)
    recorded = dataclasses.replace(tiny_fashion.dataset, checksum=good.checksum)
    monkeypatch.setitem(DATASETS, "fashion_mnist", recorded)
    assert prepare("fashion_mnist", tmp_path / "again", tiny_fashion.source).verified
    archives.write_fashion_mnist(tmp_path / "other", train=20, test=10, seed=1)
    refused("fashion_mnist", tmp_path / "data", tmp_path / "other", "not fashion_mnist as published")
    assert not prepare("fashion_mnist", tmp_path / "data", tmp_path / "other", allow_unverified=True).verified


@pytest.mark.parametrize(
    ("name", "near"), [("cifar1o", "cifar10"), ("fashon_mnist", "fashion_mnist"), ("my_cifar10", None)]
)
def test_own_data_under_nearly_a_published_name_are_said_to_be_own(name, near, tmp_path):
    source = write_npz(tmp_path / "a.npz", made({"train": 30, "test": 9}))
    notes = prepare(name, tmp_path / "data", source).notes
    told = f"a data set of your own, checked against nothing that is published; did you mean {near!r}?"
    assert (told in notes) == (near is not None)
    assert told not in prepare(name, tmp_path / "data", source).notes, "it is known by now"


def test_digits_need_no_preparation(tmp_path):
    assert prepare("digits", tmp_path).ok
    assert tree(tmp_path) == set()


def test_preparing_again_changes_nothing_and_repairs_damage(tiny_cifar, tmp_path):
    data = tmp_path / "data"
    prepare("cifar10", data, tiny_cifar.source)
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    prepare("cifar10", data)
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    (data / "cifar10" / "train-32.npy").write_bytes(b"damaged")
    assert not verify("cifar10", data).ok
    assert prepare("cifar10", data, tiny_cifar.source).ok
    assert verify("cifar10", data).ok
    assert {path.name for path in data.iterdir()} == {"cifar10"}


def test_a_source_without_the_data_is_refused(tiny_cifar, tiny_fashion, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    refused("cifar10", tmp_path / "data", empty, "no cifar10 here; give cifar-10-python.tar.gz or the folder with")
    refused("fashion_mnist", tmp_path / "data", tiny_cifar.source, "no fashion_mnist here; give the folder with train")
    refused("cifar10", tmp_path / "data", tmp_path / "nothing", "no such file or folder")


def test_an_unknown_data_set_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        prepare("cifra10", tmp_path)


@pytest.mark.slow
def test_a_killed_preparation_leaves_nothing_that_is_read_and_the_next_one_cleans_up(tmp_path):
    """The real entry has many images to decode; the process is killed while it does."""
    source, data = tmp_path / "tiny-imagenet-200.zip", tmp_path / "data"
    both = archives.write_tiny_imagenet_zip(source, per_class=50, val_per_class=1, classes=40)
    program = f"""
import dataclasses, pathlib
from xsam.tasks.data import prepare
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.datasets.dataset import DataFile
for name in ("tiny_imagenet", "tiny_imagenet_64"):
    DATASETS[name] = dataclasses.replace(DATASETS[name], classes=40, train=2000, test=40)
prepare("tiny_imagenet", pathlib.Path({str(data)!r}), pathlib.Path({str(source)!r}), allow_unverified=True,
    report=lambda what, done, total: print(done, flush=True) or __import__("time").sleep(60))
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit(), "it is in the middle of its images"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    left = list(data.iterdir())
    assert [path.name.startswith(".prepare-") for path in left] == [True]
    with pytest.MonkeyPatch.context() as patch:
        for entry in both:
            patch.setitem(DATASETS, entry.name, entry)
        assert prepare("tiny_imagenet", data, source).verified
    assert [path.name for path in data.iterdir()] == ["tiny_imagenet"]


def test_an_interruption_leaves_nothing(tiny_imagenet, tmp_path):
    def interrupt(what: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("tiny_imagenet", tmp_path / "data", tiny_imagenet.source, report=interrupt)
    assert tree(tmp_path / "data") == set()
