"""What keeps processes apart on a disk: hard links, by which workers take runs, and file locks; tried out for real."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

OTHER_DISK = "choose another folder with --results, on a disk that can"


def trouble(folder: Path, file_locks: bool = True) -> str:
    """What does not work in ``folder``, in a few words; empty where all does. Leaves nothing there.

    Args:
        folder: where it is tried.
        file_locks: try these too, which runs on a cluster do not need.

    Raises:
        OSError: nothing can be written in ``folder``.

    Example:
        >>> trouble(Path(tempfile.gettempdir()))
        ''
    """
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as place:
        return _links(Path(place)) or (_locks(Path(place) / "first") if file_locks else "")


def _links(place: Path) -> str:
    first, second = place / "first", place / "second"
    first.touch()
    try:
        os.link(first, second)
    except OSError as error:
        return f"no hard links ({error.strerror})"
    try:
        os.link(first, second)
        return "a hard link replaces another file"
    except FileExistsError:
        return ""


def _locks(path: Path) -> str:
    with path.open("rb") as one, path.open("rb") as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return f"no file locks ({error.strerror})"
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "file locks keep nobody out"
        except OSError:
            return ""
