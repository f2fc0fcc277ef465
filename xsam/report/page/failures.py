"""What is shown of a run that went wrong: its traceback and the end of its log, without the machine's paths."""

from __future__ import annotations

import re
from pathlib import Path

LOG_LINES = 40
_LOG_BYTES = 8192
_TIME = re.compile(r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2},\d{3} ", re.MULTILINE)  # how log lines begin
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<path>/[^"'\n]*)(?P=quote)""")
_BARE = re.compile(r"""(?<![\w.…/"'<>:-])(?P<path>/(?:[^\s/"'<>:,;()]+/)+[^\s/"'<>:,;()]*)""")
_KEPT = 3  # the last parts of a path, which say which file it is


def without_paths(text: str) -> str:
    """``text`` with absolute paths shortened to their last three parts, so that it says the same on every machine.

    >>> without_paths('File "/home/me/my code/xsam/runner/run.py", line 3: no /data/sets/cifar10/train.npz')
    'File "…/xsam/runner/run.py", line 3: no …/sets/cifar10/train.npz'
    """
    quoted = _QUOTED.sub(lambda found: f"{found['quote']}{_shortened(found['path'])}{found['quote']}", text)
    return _BARE.sub(lambda found: _shortened(found["path"]), quoted)


def _shortened(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    return "/".join(["…", *parts[-_KEPT:]])


def log_tail(path: Path) -> str:
    """The last ``LOG_LINES`` lines of a log without their times and paths; empty where there is none any more."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - _LOG_BYTES))
            text = log.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    lines = text.splitlines()[1 if size > _LOG_BYTES else 0 :]  # the first may have lost its beginning
    return without_paths(_TIME.sub("", "\n".join(lines[-LOG_LINES:])))
