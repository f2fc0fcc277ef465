"""One file that holds a folder of results: a zip archive with a hash of every member, and one of all the rest.

The members are stored as they are, without compression, in the order of their names behind ``MANIFEST.json``, with one
date and one mode; so equal members make equal bytes, and no archive holds more than its own size. The comment, which is
the last bytes of an archive, is the SHA-256 of everything before it: no byte can change unseen. Any zip program can
read one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from xsam.atomic import is_full, open_file, replacing

FORMAT = 1
MANIFEST = "MANIFEST.json"
_LABEL = f"xsam-bench bundle {FORMAT} sha256 ".encode()
_HEX = 2 * hashlib.sha256().digest_size
_BLOCK = 1 << 20
_MOST_MEMBERS = 200_000
_MOST_MANIFEST = 1 << 26  # bytes
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip archive can name
_MODE = stat.S_IFREG | 0o644


class BadBundle(ValueError):
    """A file that is no bundle, or not the one that was written; the message is one line that names it."""


def pack(path: Path, folder: Path, about: Mapping[str, Any]) -> int:
    """Write every file below ``folder`` to the bundle ``path``, atomically; returns how many there are.

    Args:
        path: the file, which may be there.
        folder: what goes in, under the names that it has there.
        about: further entries of the manifest, as JSON.
    """
    files = sorted(
        (one.relative_to(folder).as_posix(), one) for one in folder.rglob("*") if one.is_file() and not one.is_symlink()
    )
    for name, _ in files:
        _check_name(name, path)
    facts: dict[str, dict[str, Any]] = {
        name: {"bytes": one.stat().st_size, "sha256": _digest_of(one)} for name, one in files
    }
    manifest = json.dumps({**about, "format": FORMAT, "files": facts}, indent=1, sort_keys=True).encode()
    with replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_entry(MANIFEST, len(manifest)), manifest)
            for name, one in files:
                entry = _entry(name, facts[name]["bytes"])
                with open_file(one) as source, archive.open(entry, "w") as target:
                    shutil.copyfileobj(source, target, _BLOCK)
            archive.comment = _LABEL + b"0" * _HEX
        with temporary.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            digest = _digest(file, size - _HEX)
            file.seek(size - _HEX)
            file.write(digest)
    return len(files)


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """A temporary folder with what is in the bundle ``path``, every hash checked, and its manifest.

    Raises:
        BadBundle: it is no bundle, any byte of it is another one, or it has a member that no bundle has.
        OSError: it is not there, or cannot be read, or the disk of temporary files is full.
    """
    with open_file(path) as file:
        _check_seal(file, path)
        with tempfile.TemporaryDirectory(prefix="xsam-bench-") as temporary:
            folder = Path(temporary) / "bundle"
            folder.mkdir()
            try:
                manifest = _extract(file, path, folder)
            except BadBundle:
                raise
            except OSError as error:
                if is_full(error):
                    raise
                raise BadBundle(f"{path}: its members cannot be written as files ({error.strerror or error})") from None
            except Exception as error:  # of whatever zipfile does with bytes that somebody made up
                raise BadBundle(f"{path}: not a bundle that can be read ({_line(error)})") from None
            yield folder, manifest


def _extract(file: BinaryIO, path: Path, folder: Path) -> Mapping[str, Any]:
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_entries(entries, path, size)
        manifest = _manifest(archive, entries, path)
        facts = manifest["files"]
        for entry in entries[1:]:
            target = folder / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with archive.open(entry) as source, target.open("xb") as written:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    written.write(block)
            if digest.hexdigest() != facts[entry.filename]["sha256"]:
                raise BadBundle(f"{path}: {entry.filename!r} is not the file that its manifest names")
    return manifest


def _manifest(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], path: Path) -> Mapping[str, Any]:
    if not entries or entries[0].filename != MANIFEST or entries[0].file_size > _MOST_MANIFEST:
        raise BadBundle(f"{path}: it does not begin with a {MANIFEST} of at most {_MOST_MANIFEST} bytes")
    manifest: dict[str, Any] = json.loads(archive.read(entries[0]))
    if manifest["format"] != FORMAT:
        raise BadBundle(f"{path}: bundles of format {manifest['format']!r} are not read by this version ({FORMAT} is)")
    there = {entry.filename: entry.file_size for entry in entries[1:]}
    named = {name: one["bytes"] for name, one in manifest["files"].items()}
    if there != named:
        odd = sorted(name for name in there.keys() | named.keys() if there.get(name) != named.get(name))[0]
        raise BadBundle(f"{path}: its manifest and its members do not agree on {odd!r}")
    return manifest


def _check_entries(entries: list[zipfile.ZipInfo], path: Path, size: int) -> None:
    """Refuse everything that :func:`pack` never writes."""
    if len(entries) > _MOST_MEMBERS:
        raise BadBundle(f"{path}: more than {_MOST_MEMBERS} members")
    names: set[str] = set()
    folders: set[str] = set()
    for entry in entries:
        name = entry.filename
        _check_name(name, path)
        if name in names:
            raise BadBundle(f"{path}: {name!r} is in it twice")
        names.add(name)
        folders.update(parent.as_posix() for parent in PurePosixPath(name).parents)
        if entry.external_attr >> 16 != _MODE:
            raise BadBundle(f"{path}: {name!r} is no plain file")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise BadBundle(f"{path}: {name!r} is compressed or encrypted, as nothing in a bundle is")
    if clash := sorted(names & folders):
        raise BadBundle(f"{path}: {clash[0]!r} is a file and a folder in it")
    if sum(entry.file_size for entry in entries) > size:
        raise BadBundle(f"{path}: its members claim to be larger than the whole file")


def _check_name(name: str, path: Path) -> None:
    parts = name.split("/")
    if "\\" in name or not name.isprintable() or any(part in ("", ".", "..") for part in parts) or len(name) > 1000:
        raise BadBundle(f"{path}: no file of a bundle can be called {name[:200]!r}")


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system = 3  # Unix, on every system: it decides what the mode below means
    entry.external_attr = _MODE << 16
    entry.file_size = size  # from which zipfile tells whether the entry needs long numbers
    return entry


def _check_seal(file: BinaryIO, path: Path) -> None:
    size = file.seek(0, os.SEEK_END)
    end = len(_LABEL) + _HEX
    file.seek(max(0, size - end))
    tail = file.read(end)
    if not tail.startswith(_LABEL) or len(tail) != end:
        raise BadBundle(f"{path}: not a bundle of format {FORMAT}, or its end is damaged or missing")
    if _digest(file, size - _HEX) != tail[len(_LABEL) :]:
        raise BadBundle(f"{path}: damaged (its checksum does not fit)")
    file.seek(0)


def _digest(file: BinaryIO, size: int) -> bytes:
    """Hexadecimal digits of the SHA-256 of the first ``size`` bytes."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0 and (block := file.read(min(size, _BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode()


def _digest_of(path: Path) -> str:
    with open_file(path) as file:
        return _digest(file, os.fstat(file.fileno()).st_size).decode()


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
