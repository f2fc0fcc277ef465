"""Copies of published data that are damaged or impossible: one line names the file."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.tasks import archives
from tests.tasks.vision.test_datasets import prepared_cifar
from xsam.tasks.data import prepare, verify
from xsam.tasks.vision.images import load


def rewritten(array: np.ndarray, path: Path) -> None:
    np.save(path, array)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("train-32.npy", lambda path: path.write_bytes(path.read_bytes()[:-1]), r"train-32\.npy: damaged"),
        ("train-32.npy", lambda path: path.write_bytes(b""), r"train-32\.npy: damaged"),
        ("train-32.npy", lambda path: rewritten(np.zeros((99, 3, 32, 32), np.uint8), path), "train part has images"),
        ("train-32.npy", lambda path: rewritten(np.zeros((100, 3, 32, 32)), path), "train part has images"),
        ("test-labels.npy", lambda path: rewritten(np.full(20, 10), path), "test labels reach 10"),
        ("test-labels.npy", lambda path: rewritten(np.full(20, -1), path), "test labels reach -1"),
        ("test-labels.npy", lambda path: rewritten(np.zeros(20, int), path), "0 to 20 images of a class"),
        ("train-labels.npy", lambda path: rewritten(np.zeros(99, int), path), "99 labels"),
        ("manifest.json", lambda path: path.write_text("{"), r"manifest\.json: damaged"),
        ("manifest.json", lambda path: path.write_text("{}"), r"manifest\.json: damaged"),
    ],
)
def test_a_damaged_prepared_folder_is_one_line_that_names_it(file, change, message, tiny_cifar, tmp_path):
    folder = prepared_cifar(tiny_cifar, tmp_path / "data")
    change(folder / file)
    with pytest.raises(ValueError, match=message) as caught:
        load("cifar10", tmp_path / "data")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    report = verify("cifar10", tmp_path / "data")
    assert not report.ok
    assert str(report.problem) == str(caught.value)


def test_a_changed_pixel_is_found_by_verifying(tiny_cifar, tmp_path):
    path = prepared_cifar(tiny_cifar, tmp_path / "data") / "train-32.npy"
    assert verify("cifar10", tmp_path / "data").verified
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    report = verify("cifar10", tmp_path / "data")
    assert not report.ok
    assert "as when it was prepared" in report.problem


def fashion_in(folder: Path, tiny_fashion) -> Path:
    """The source's files in a folder, gunzipped."""
    folder.mkdir(parents=True)
    for path in tiny_fashion.source.iterdir():
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "truncated"),
        (lambda content: content + b"x", "truncated"),
        (lambda content: content[:3], "not an IDX file"),
        (lambda content: b"", "not an IDX file"),
        (lambda content: b"<html>" + content, "not an IDX file"),
        (lambda content: content[:4] + b"\xff" * 12 + content[16:], "truncated"),
        (lambda content: content[:4] + struct.pack(">3I", 19, 28, 28) + content[16 : 16 + 19 * 784], r"\(19, 1, 28"),
    ],
)
def test_a_damaged_idx_file_is_one_line(change, message, tiny_fashion, tmp_path):
    damaged = fashion_in(tmp_path / "raw", tiny_fashion) / "train-images-idx3-ubyte"
    damaged.write_bytes(change(damaged.read_bytes()))
    with pytest.raises(ValueError, match=message) as caught:
        prepare("fashion_mnist", tmp_path / "data", tmp_path / "raw")
    assert str(tmp_path / "raw") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [lambda content: content[:-20], lambda content: b"plain" + content])
def test_a_damaged_gzip_file_is_one_line_that_names_it(change, tiny_fashion, tmp_path):
    damaged = tiny_fashion.source / "t10k-images-idx3-ubyte.gz"
    damaged.write_bytes(change(damaged.read_bytes()))
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz: broken archive"):
        prepare("fashion_mnist", tmp_path / "data", tiny_fashion.source)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(20, 10, np.uint8), "labels reach 10"),
        (np.zeros(20, np.uint8), "0 to 20 images of a class"),
        (np.zeros(19, np.uint8), "19 labels"),
    ],
)
def test_impossible_labels_are_refused(labels, message, tiny_fashion, tmp_path):
    raw = fashion_in(tmp_path / "raw", tiny_fashion)
    (raw / "train-labels-idx1-ubyte").write_bytes(archives.idx(labels))
    with pytest.raises(ValueError, match=message):
        prepare("fashion_mnist", tmp_path / "data", raw, allow_unverified=True)
    assert list((tmp_path / "data").iterdir()) == []
