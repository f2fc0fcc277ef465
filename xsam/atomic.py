"""Files that appear whole or not at all: written beside their place, made durable, then renamed."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


_LEAST_SPACE = 1 << 17  # bytes: less than a run needs for its files
# A folder, another user's, a loop of links, a pipe or device, a socket.
_NO_FILE = frozenset({errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EINVAL, errno.ENXIO})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: BaseException) -> bool:
    """Whether there is no space for what was to be written: on the disk, in the quota, or by a limit of file sizes."""
    return isinstance(error, OSError) and error.errno in _FULL


def is_no_file(error: OSError) -> bool:
    """Whether reading failed of what stands there, not of the disk: nothing that this process may read as a file."""
    return error.errno in _NO_FILE


def in_words(error: OSError) -> str:
    """What went wrong with which file, in one line, and what to do about a full disk."""
    what = error.strerror or str(error) or type(error).__name__
    line = f"{os.fsdecode(error.filename)}: {what}" if error.filename is not None else what
    return f"{line}; make space, and the same command goes on" if is_full(error) else line


def refuse_full(folder: Path) -> None:
    """Raise ``OSError`` where the disk of ``folder`` has no space left."""
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < _LEAST_SPACE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an ``OSError`` raised in the block name ``path`` where it names no file: a write that failed does not know.

    Example:
        >>> with naming(Path("results/a.json")):
        ...     raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        Traceback (most recent call last):
        OSError: [Errno 28] No space left on device: 'results/a.json'
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path in ``path``'s folder to write to; it takes ``path``'s place when the block ends well.

    When the block fails, or the writing to disk does, the temporary file is removed and ``path`` is what it was.
    Missing folders are created. Files get the permissions that the umask allows. A process that is killed leaves at
    most a hidden file whose name ends in ``.tmp``.

    Args:
        path: the file to create or replace.
        durable: wait until the file and its name are on the disk (fsync of both), so that a power cut cannot undo them.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "checkpoint.pt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_bytes(b"weights")
        >>> target.read_bytes()
        b'weights'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Random, not the process id: two hosts that share the folder may have the same process ids.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with naming(path):
            yield temporary
            if durable:
                sync(temporary, path)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync(path.parent)


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read it; ``OSError`` for a folder, or a pipe, socket or device, which might never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "no regular file", str(path))


def read_bytes(path: Path) -> bytes:
    """The content of a regular file (see :func:`open_file`)."""
    with open_file(path) as file:
        return file.read()


def read_text(path: Path) -> str:
    """The text in a regular file (see :func:`open_file`)."""
    return read_bytes(path).decode("utf-8")


def write_bytes(path: Path, data: bytes, durable: bool = True) -> None:
    """Write ``data`` to ``path`` atomically (see :func:`replacing`)."""
    with replacing(path, durable) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, content: Any, durable: bool = True) -> None:
    """Write ``content`` to ``path`` as JSON, atomically; NaN and infinity raise ``ValueError``.

    In lines that people can read and compare: one for each entry of a mapping, and of a list or mapping in it.
    """
    write_bytes(path, f"{_in_lines(content, 2)}\n".encode(), durable)


def _in_lines(content: Any, depth: int, margin: str = "") -> str:
    # json's own indentation takes some 20 s for a grid of 10,000 runs.
    if not depth or not content or not isinstance(content, dict | list | tuple):
        return _ENCODER.encode(content)
    inner = f"{margin}  "
    if isinstance(content, dict):
        parts = [f"{_ENCODER.encode(key)}: {_in_lines(value, depth - 1, inner)}" for key, value in content.items()]
    else:
        parts = [_in_lines(item, depth - 1, inner) for item in content]
    left, right = "{}" if isinstance(content, dict) else "[]"
    body = f",\n{inner}".join(parts)
    return f"{left}\n{inner}{body}\n{margin}{right}"


def sync(path: Path, name: Path | None = None) -> None:
    """Wait until a file or a folder's entries are on the disk (fsync); an error of it names ``name``, or the path."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(name or path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
