"""Reading published archives and folders. Nothing in an archive can name a place outside, or grow without a limit.

An archive is refused as a whole, with one line that names the member, for absolute paths, ``..``, links, devices and
encrypted members, and for more members or bytes than ``Limits`` allows. Zip archives are read where they are; tar
archives, which know no random access, are unpacked into a folder first.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol, cast

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
)
_GZIP, _ZIP = b"\x1f\x8b", b"PK"


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold: files and folders, bytes unpacked, and bytes unpacked to a byte of the archive.

    The ratio counts from ``free_bytes`` on: a small archive may be packed as tightly as it likes.
    """

    members: int = 200_000
    unpacked_bytes: int = 4 << 30
    ratio: int = 20
    free_bytes: int = 64 << 20

    def budget(self, archive: Path) -> int:
        """Bytes that ``archive`` may unpack to."""
        return min(self.unpacked_bytes, max(self.free_bytes, self.ratio * archive.stat().st_size))


LIMITS = Limits()


class Tree(Protocol):
    """Files by their POSIX paths, in a folder or in an archive."""

    @property
    def place(self) -> Path:
        """Where they are, for messages."""

    def has(self, name: str) -> bool:
        """Whether there is a file ``name``."""

    def files(self, folder: str) -> list[str]:
        """Names of the files directly in ``folder``; none where there is no such folder."""

    def open(self, name: str) -> IO[bytes]:
        """The file ``name`` for reading; its errors are ``OSError`` and, in :func:`reading`, ``ValueError``."""

    def below(self, folder: str) -> Tree:
        """The part of the tree in ``folder``."""


@dataclass(frozen=True)
class Folder:
    """A folder on disk."""

    place: Path

    def has(self, name: str) -> bool:
        return (self.place / name).is_file()

    def files(self, folder: str) -> list[str]:
        path = self.place / folder
        return [entry.name for entry in os.scandir(path) if entry.is_file()] if path.is_dir() else []

    def open(self, name: str) -> IO[bytes]:
        return (self.place / name).open("rb")

    def below(self, folder: str) -> Folder:
        return Folder(self.place / folder)


@dataclass(frozen=True)
class Zip:
    """A zip archive whose members were found harmless, or a folder in it."""

    place: Path
    archive: zipfile.ZipFile
    names: dict[str, list[str]]
    prefix: str = ""

    def has(self, name: str) -> bool:
        folder, _, file = f"{self.prefix}{name}".rpartition("/")
        return file in self.names.get(folder, ())

    def files(self, folder: str) -> list[str]:
        return self.names.get(f"{self.prefix}{folder}", [])

    def open(self, name: str) -> IO[bytes]:
        return self.archive.open(f"{self.prefix}{name}")

    def below(self, folder: str) -> Zip:
        return Zip(self.place / folder, self.archive, self.names, f"{self.prefix}{folder}/")


@contextmanager
def opened(path: Path, unpacked: Path, wanted: Callable[[str], bool], limits: Limits = LIMITS) -> Iterator[Tree]:
    """The files in ``path``: a folder, or a ``.zip``, ``.tar`` or ``.tar.gz`` archive, whatever it is called.

    Args:
        unpacked: an empty folder for the files of a tar archive.
        wanted: which of the files in a tar archive are unpacked, by their paths.
        limits: what an archive may hold.

    Raises ``ValueError`` (one line) for an archive that is broken or refused, while its files are read too.
    """
    if path.is_dir():
        yield Folder(path)
        return
    with path.open("rb") as stream:
        magic = stream.read(2)
    with reading(path):
        if magic == _ZIP:
            with zipfile.ZipFile(path) as archive:
                yield Zip(path, archive, _checked(archive, path, limits))
        else:
            _unpack(path, unpacked, wanted, limits, packed=magic == _GZIP)
            yield Folder(unpacked)


def unpack_xz(path: Path, target: Path, limits: Limits = LIMITS) -> Path:
    """Unpack the xz file ``path`` into the file ``target``; raises ``ValueError`` (one line) for a broken one."""
    meter = _Meter(path, limits)
    meter.member(path.name, 0)
    with reading(path), lzma.open(path) as packed, target.open("wb") as writing:
        shutil.copyfileobj(_Metered(cast(IO[bytes], packed), meter), writing, 1 << 20)
    return target


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what broken archives and gzip files raise into one line that names ``path``."""
    try:
        yield
    except _BROKEN as error:
        raise ValueError(f"{path}: broken archive ({error})") from None


def _checked(archive: zipfile.ZipFile, path: Path, limits: Limits) -> dict[str, list[str]]:
    """The archive's files by folder, after every member was found harmless."""
    meter = _Meter(path, limits)
    names: dict[str, list[str]] = {}
    for member in archive.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{path}: member {member.filename!r} is a link or a device")
        if member.flag_bits & 1:
            raise ValueError(f"{path}: member {member.filename!r} is encrypted")
        meter.member(member.filename, member.file_size)
        if not member.is_dir():
            folder, _, file = member.filename.rpartition("/")
            names.setdefault(folder, []).append(file)
    return names


def _unpack(path: Path, into: Path, wanted: Callable[[str], bool], limits: Limits, packed: bool) -> None:
    meter = _Meter(path, limits)
    with path.open("rb") as file:
        plain = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file
        # As a stream: every byte is unpacked once, and passes the meter, those of headers included.
        with tarfile.open(fileobj=_Metered(plain, meter), mode="r|") as tar:
            for member in tar:
                if not (member.isreg() or member.isdir()):
                    raise ValueError(f"{path}: member {member.name!r} is a link or a device")
                meter.member(member.name, member.size)
                content = tar.extractfile(member) if wanted(member.name) else None
                if content is not None:
                    target = into / member.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as writing:
                        shutil.copyfileobj(content, writing, 1 << 20)


@dataclass
class _Meter:
    """Counts an archive's members, and the bytes that they claim or that were unpacked, against the limits."""

    path: Path
    limits: Limits
    members: int = 0
    claimed: int = 0
    latest: str = ""
    budget: int = field(init=False)

    def __post_init__(self) -> None:
        self.budget = self.limits.budget(self.path)

    def member(self, name: str, size: int) -> None:
        self.members += 1
        self.claimed += size
        self.latest = name
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or parts[0].endswith(":") or "\0" in name:
            raise ValueError(f"{self.path}: member {name!r} would be unpacked outside its folder")
        if self.members > self.limits.members:
            raise ValueError(f"{self.path}: member {name!r} is one of more than {self.limits.members:,}")
        self.unpacked(self.claimed)

    def unpacked(self, size: int) -> None:
        if size > self.budget:
            raise ValueError(
                f"{self.path}: member {self.latest!r} unpacks to more than the {self.budget:,} bytes"
                f" that an archive of {self.path.stat().st_size:,} bytes may hold"
            )


class _Metered(io.RawIOBase):
    """A stream whose bytes are counted as they are read."""

    def __init__(self, stream: IO[bytes], meter: _Meter) -> None:
        self.stream, self.meter, self.count = stream, meter, 0

    def read(self, size: int = -1, /) -> bytes:
        content = self.stream.read(size)
        self.count += len(content)
        self.meter.unpacked(self.count)
        return content
