"""A folder for what is being prepared, which never stays behind: neither after an error nor, for long, after a kill."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from xsam.atomic import naming

_PREFIX, _LOCK = ".prepare-", "lock"
_ABANDONED = 24 * 3600.0  # seconds without a change, where locks do not tell


@contextlib.contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """A temporary folder in ``folder``; first removes those whose processes have ended.

    A process holds a lock in its own for as long as it lives. Where the file system knows no locks, those that nothing
    was written to for a day count as abandoned.

    >>> import tempfile
    >>> with workspace(Path(tempfile.mkdtemp())) as temporary:
    ...     print(temporary.name.startswith(".prepare-"))
    True
    """
    for left in folder.glob(f"{_PREFIX}*"):
        if _abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder) as name, (Path(name) / _LOCK).open("w") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with naming(folder):
            yield Path(name)


def _abandoned(left: Path) -> bool:
    try:
        with (left / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError:  # no lock in it yet, or any more, or none on this file system
        return _idle(left) > _ABANDONED


def _idle(left: Path) -> float:
    """Seconds since anything in the folder changed."""
    latest = 0.0
    for path in (left, *left.rglob("*")):
        with contextlib.suppress(OSError):
            latest = max(latest, path.lstat().st_mtime)
    return time.time() - latest
