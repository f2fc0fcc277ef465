"""Files that appear whole or not at all: written beside their place, made durable, then renamed."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


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
        yield temporary
        if durable:
            sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync(path.parent)


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


def sync(path: Path) -> None:
    """Wait until a file or a folder's entries are on the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
