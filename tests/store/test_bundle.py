"""The file format of bundles: equal bytes from equal files, and nothing that was changed or made up is taken."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from xsam.store import bundle
from xsam.store.bundle import BadBundle, pack, unpacked

LABEL = b"xsam-bench bundle 1 sha256 "
FILE = (stat.S_IFREG | 0o644) << 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    (place / "inner").mkdir(parents=True)
    (place / "inner" / "a b.txt").write_bytes(b"first")
    (place / "empty").write_bytes(b"")
    return place


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, to see that none is left."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    return place


def refused(path: Path, temporary: Path) -> str:
    with pytest.raises((BadBundle, OSError)) as caught, unpacked(path):
        pass
    assert list(temporary.iterdir()) == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sealed(path: Path) -> Path:
    """Give an archive with a made-up comment the checksum that it should have."""
    content = path.read_bytes()[:-64]
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    return path


def made(
    path: Path, entries: list[tuple[zipfile.ZipInfo, bytes]], declared: int | None = None, digest: str = ""
) -> Path:
    files = {
        one.filename: {
            "bytes": len(data) if declared is None else declared,
            "sha256": digest or hashlib.sha256(data).hexdigest(),
        }
        for one, data in entries
    }
    with zipfile.ZipFile(path, "w") as archive:
        for one, data in [(info("MANIFEST.json"), json.dumps({"format": 1, "files": files}).encode()), *entries]:
            archive.writestr(one, data)
        archive.comment = LABEL + b"0" * 64
    return sealed(path)


def info(name: str, attributes: int = FILE, compression: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    one = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    one.external_attr, one.create_system, one.compress_type = attributes, 3, compression
    return one


def test_what_goes_in_comes_out_and_equal_files_make_equal_bytes(folder: Path, tmp_path: Path, temporary: Path) -> None:
    assert pack(tmp_path / "one.zip", folder, {"of": "tests"}) == 2
    os.utime(folder / "empty", (1, 1))
    (folder / "empty").chmod(0o600)
    pack(tmp_path / "two.zip", folder, {"of": "tests"})
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with unpacked(tmp_path / "one.zip") as (place, manifest):
        assert {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()} == manifest[
            "files"
        ].keys()
        assert (place / "inner" / "a b.txt").read_bytes() == b"first"
        assert manifest["of"] == "tests"
    assert list(temporary.iterdir()) == []


def test_any_flipped_byte_and_any_missing_end_is_found(folder: Path, tmp_path: Path, temporary: Path) -> None:
    path = tmp_path / "one.zip"
    pack(path, folder, {})
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 + place % 255)]) + whole[place + 1 :])
        assert str(path) in refused(path, temporary)
        path.write_bytes(whole[:place])
        assert str(path) in refused(path, temporary)
    path.write_bytes(whole + b"x")
    assert "its end is damaged" in refused(path, temporary)


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a//b", "./a", "a\\b", "folder/", "line\nbreak"])
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path, temporary: Path) -> None:
    assert "can be called" in refused(made(tmp_path / "bad.zip", [(info(name), b"")]), temporary)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([(info("a", (stat.S_IFLNK | 0o777) << 16), b"/etc/passwd")], "no plain file"),
        ([(info("a", (stat.S_IFIFO | 0o644) << 16), b"")], "no plain file"),
        ([(info("a", compression=zipfile.ZIP_DEFLATED), b"0" * 10_000_000)], "compressed"),
        ([(info("a"), b""), (info("a/b"), b"")], "a file and a folder"),
        ([(info("MANIFEST.json"), b"")], "twice"),
    ],
)
def test_what_no_bundle_has_is_refused(
    entries: list[tuple[zipfile.ZipInfo, bytes]], said: str, tmp_path: Path, temporary: Path
) -> None:
    assert said in refused(made(tmp_path / "bad.zip", entries), temporary)


def test_sizes_and_hashes_that_are_made_up_are_found(tmp_path: Path, temporary: Path) -> None:
    assert "do not agree on 'a'" in refused(made(tmp_path / "bad.zip", [(info("a"), b"x")], 1 << 60), temporary)
    path = made(tmp_path / "other.zip", [(info("a"), b"hello")], digest="0" * 64)
    assert "is not the file that its manifest names" in refused(path, temporary)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no archive"),
        lambda path: path.mkdir(),
        os.mkfifo,
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: sealed_text(path),
        lambda path: None,
    ],
)
def test_what_is_no_archive_is_refused(make: Callable[[Path], object], tmp_path: Path, temporary: Path) -> None:
    make(tmp_path / "odd.zip")
    assert refused(tmp_path / "odd.zip", temporary)


def sealed_text(path: Path) -> None:
    path.write_bytes(b"no archive" + LABEL + b"0" * 64)
    sealed(path)


def test_a_name_that_no_bundle_may_have_is_refused_when_packing(folder: Path, tmp_path: Path) -> None:
    (folder / "a\\b").write_bytes(b"")
    with pytest.raises(BadBundle, match="can be called"):
        pack(tmp_path / "one.zip", folder, {})
    assert not (tmp_path / "one.zip").exists()
    assert bundle.FORMAT == 1
