"""Sources that are hostile, cut off or damaged are refused by name, and leave nothing."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.tasks import archives
from tests.tasks.vision.test_prepare import CIFAR, TINY, refused, unpacked


def member(name: str, kind: bytes = tarfile.REGTYPE, **given: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in given.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (member("../escaped"), r"member '\.\./escaped' would be unpacked outside"),
        (member(f"{CIFAR}/../../escaped"), "would be unpacked outside"),
        (member("/tmp/absolute"), "member '/tmp/absolute' would be unpacked outside"),
        (member("C:\\absolute"), "would be unpacked outside"),
        (member(f"{CIFAR}/link", tarfile.SYMTYPE, linkname="/etc/passwd"), "/link' is a link or a device"),
        (member(f"{CIFAR}/hard", tarfile.LNKTYPE, linkname="/etc/passwd"), "/hard' is a link or a device"),
        (member(f"{CIFAR}/pipe", tarfile.FIFOTYPE), "/pipe' is a link or a device"),
        (member(f"{CIFAR}/disk", tarfile.BLKTYPE), "/disk' is a link or a device"),
        (member(f"{CIFAR}/zeros", size=1 << 40), "/zeros' unpacks to more than the 67,108,864 bytes"),
    ],
)
def test_a_hostile_member_of_a_tar_archive_is_named_and_nothing_is_written(hostile, message, tiny_cifar, tmp_path):
    folder = unpacked(tiny_cifar.source, tmp_path / "unpacked")
    archive = tmp_path / "hostile.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, CIFAR)
        # Not by addfile, which from Python 3.13 on wants the content that is not there.
        tar.fileobj.write(hostile.tobuf())
    (tmp_path / "in").mkdir()
    refused("cifar10", tmp_path / "in" / "data", archive, message)
    assert not list(tmp_path.rglob("*escaped*"))


def linked(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (zipfile.ZipInfo("../escaped"), r"member '\.\./escaped' would be unpacked outside"),
        (zipfile.ZipInfo("/tmp/absolute"), "member '/tmp/absolute' would be unpacked outside"),
        (linked(f"{TINY}/link"), "/link' is a link or a device"),
    ],
)
def test_a_hostile_member_of_a_zip_archive_is_named(hostile, message, tiny_imagenet, tmp_path):
    with zipfile.ZipFile(tiny_imagenet.source, "a") as archive:
        archive.writestr(hostile, "target")
    refused("tiny_imagenet", tmp_path / "data", tiny_imagenet.source, message, allow_unverified=True)


def test_bombs_are_refused_before_they_grow(tiny_cifar, tiny_imagenet, tmp_path):
    with zipfile.ZipFile(tiny_imagenet.source, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{TINY}/zeros", bytes(80 << 20))
    refused("tiny_imagenet", tmp_path / "data", tiny_imagenet.source, "/zeros' unpacks to more than")
    bomb = tmp_path / "bomb.tar.gz"
    with tarfile.open(bomb, "w:gz") as tar:
        tar.addfile(member(f"{CIFAR}/zeros", size=80 << 20), io.BytesIO(bytes(80 << 20)))
    refused("cifar10", tmp_path / "data", bomb, "/zeros' unpacks to more than")


def test_too_many_members_are_refused(tiny_imagenet, tmp_path, monkeypatch):
    from xsam.tasks import archives as reading

    with zipfile.ZipFile(tiny_imagenet.source) as archive:
        count = len(archive.infolist())
    for members, fits in ((count, True), (count - 1, False)):
        limits = reading.Limits(members=members)
        with (
            pytest.raises(ValueError, match="is one of more than") if not fits else pytest.MonkeyPatch.context(),
            reading.opened(tiny_imagenet.source, tmp_path, lambda name: True, limits) as opened,
        ):
            assert opened.has(f"{TINY}/wnids.txt")


class Hostile:
    """Unpickled, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_hostile_pickle_runs_nothing_even_where_it_is_allowed(allowed, tiny_cifar, tmp_path):
    trace = tmp_path / "executed"
    folder = unpacked(tiny_cifar.source, tmp_path / "unpacked")
    (folder / "data_batch_2").write_bytes(pickle.dumps(Hostile(trace)))
    message = r"data_batch_2: not in the format of cifar10 \(it asks for" if allowed else "data_batch_2: not the publ"
    refused("cifar10", tmp_path / "data", folder, message, allow_unverified=allowed)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": np.zeros((20, 3072), np.uint8)}, "not in the format of cifar10"),
        ({"data": np.zeros((20, 3071), np.uint8), "labels": [0] * 20}, "not in the format of cifar10"),
        ({"data": np.zeros((20, 3072), np.float32), "labels": [0] * 20}, "an array of 'f4', not of bytes"),
        ({"data": np.zeros((20, 3072), np.uint8), "labels": [10] * 20}, "train labels reach 10"),
        ({"data": np.zeros((20, 3072), np.uint8), "labels": [0] * 20}, "images of a class"),
        ({"data": np.zeros((19, 3072), np.uint8), "labels": [0] * 19}, r"train part has images \(99, 3, 32, 32\)"),
        ([], "not in the format of cifar10"),
    ],
)
def test_an_impossible_batch_is_refused_though_unverified_data_are_allowed(content, message, tiny_cifar, tmp_path):
    folder = unpacked(tiny_cifar.source, tmp_path / "unpacked")
    (folder / "data_batch_2").write_bytes(archives.pickled(content))
    refused("cifar10", tmp_path / "data", folder, message, allow_unverified=True)


def test_an_archive_without_a_batch_is_refused(tiny_cifar, tmp_path):
    folder = unpacked(tiny_cifar.source, tmp_path / "unpacked")
    (folder / "test_batch").unlink()
    short = tmp_path / "short.tar.gz"
    with tarfile.open(short, "w:gz") as tar:
        tar.add(folder, CIFAR)
    refused("cifar10", tmp_path / "data", short, r"short\.tar\.gz/cifar-10-batches-py: no file test_batch")


@pytest.mark.parametrize("keep", [0, 10, 20_000, 300_000])
def test_a_truncated_archive_is_refused(keep, tiny_cifar, tiny_imagenet, tiny_cifar10_c, tmp_path):
    for number, published in enumerate((tiny_cifar, tiny_imagenet, tiny_cifar10_c)):
        cut = tmp_path / f"cut{number}"
        content = published.source.read_bytes()
        cut.write_bytes(content[: min(keep, len(content) - 1000)])
        refused(published.dataset.name, tmp_path / "data", cut, f"cut{number}: ", allow_unverified=True)


def rezipped(source: Path, target: Path, change) -> Path:
    """A copy of a zip archive in which ``change(name, content)`` gives each file's content, ``None`` for none."""
    with zipfile.ZipFile(source) as reading, zipfile.ZipFile(target, "w") as writing:
        for info in reading.infolist():
            content = change(info.filename, reading.read(info))
            if content is not None:
                writing.writestr(info.filename, content)
    return target


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("val_annotations.txt", lambda text: text.split(b"\n", 1)[1], r"no line for val/images/val_\d\.JPEG"),
        ("val_annotations.txt", lambda text: text + b"val_99.JPEG\tX\n", "line 11 names class 'X'"),
        ("val_annotations.txt", lambda text: text + text.split(b"\n", 1)[0], "a second time"),
        ("val_annotations.txt", lambda text: None, "no file val/val_annotations.txt"),
        ("val_annotations.txt", lambda text: text.replace(b"val_3.", b"val_33."), r"no line for val/images/val_3\."),
        ("images/val_7.JPEG", lambda image: None, "names val_7.JPEG, which is not in val/images"),
        ("images/val_7.JPEG", lambda image: image[:300], r"val_7\.JPEG: not a whole JPEG"),
        ("images/val_7.JPEG", lambda image: b"", r"val_7\.JPEG: not a whole JPEG"),
        (
            "images/val_7.JPEG",
            lambda image: archives.jpeg(archives.random_image(np.random.default_rng(0), side=65)),
            r"val_7\.JPEG: 65×65 pixels, not 64×64",
        ),
        ("_3.JPEG", lambda image: None, "tiny-imagenet-200: 55 train images; tiny_imagenet has 60"),
        ("wnids.txt", lambda text: text.split(b"\n", 1)[1], r"wnids\.txt: 4 classes; tiny_imagenet has 5"),
    ],
)
def test_an_incomplete_or_damaged_tiny_imagenet_names_the_file(file, change, message, tiny_imagenet, tmp_path):
    source = rezipped(
        tiny_imagenet.source,
        tmp_path / "other.zip",
        lambda name, content: change(content) if name.endswith(file) and "test/" not in name else content,
    )
    if file == "_3.JPEG":
        source = rezipped(
            tiny_imagenet.source,
            tmp_path / "fewer.zip",
            lambda name, content: None if name.endswith(file) and "/train/" in name else content,
        )
    refused("tiny_imagenet", tmp_path / "data", source, message, allow_unverified=True)


def test_a_damaged_member_of_a_zip_archive_is_named(tiny_imagenet, tmp_path):
    with zipfile.ZipFile(tiny_imagenet.source) as archive:
        offset = archive.getinfo(f"{TINY}/val/images/val_5.JPEG").header_offset
    content = bytearray(tiny_imagenet.source.read_bytes())
    content[offset + 200] ^= 255
    tiny_imagenet.source.write_bytes(content)
    refused("tiny_imagenet", tmp_path / "data", tiny_imagenet.source, r"val_5\.JPEG", allow_unverified=True)


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("fog", np.zeros((49, 32, 32, 3), np.uint8), r"fog is uint8 \(49, 32, 32, 3\)"),
        ("fog", np.zeros((50, 32, 32, 3), np.float32), "fog is float32"),
        ("fog", np.array([None]), "fog.npy: damaged"),
        ("labels", np.full(50, 10), "labels reach 10"),
        ("labels", np.arange(50) // 5, "labels differ between the severities"),
        ("labels", np.tile(np.zeros(10, int), 5), "not the same number of images of each class"),
    ],
)
def test_an_impossible_cifar10_c_is_refused(file, array, message, tiny_cifar10_c, tmp_path):
    folder = unpacked(tiny_cifar10_c.source, tmp_path / "unpacked")
    np.save(folder / f"{file}.npy", array, allow_pickle=True)
    refused("cifar10_c", tmp_path / "data", folder, message, allow_unverified=True)
