"""Text that came from a file, made harmless where it is shown: on a terminal, in a spreadsheet, as part of a path.

Names, labels, logs and tracebacks may hold anything: a results folder may be another person's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

# Controls of the terminal (C0 but tab and newline, DEL, C1), of the direction of writing, and halves of characters.
_ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def inert(text: str) -> str:
    r"""``text`` with everything that a terminal would obey written out; lines and tabs stay.

    >>> inert("done\x1b[2J\x07 \u202eexe.sh")
    'done\\x1b[2J\\x07 \\u202eexe.sh'
    """
    return _ACTIVE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def plain(text: str) -> bool:
    """Whether ``text`` is one line of characters that can be seen.

    >>> plain("x_.+- größe"), plain("two\\nlines"), plain("\\x1b[31m")
    (True, False, False)
    """
    return text.isprintable()


def csv_cells(cells: Iterable[object]) -> list[object]:
    """A row of a CSV file in which no spreadsheet finds a formula: such texts get an apostrophe, numbers stay.

    >>> csv_cells(["=HYPERLINK(1)", "-0.25", "-x", "sam", -3])
    ["'=HYPERLINK(1)", '-0.25', "'-x", 'sam', -3]
    """
    return [f"'{cell}" if isinstance(cell, str) and _is_formula(cell) else cell for cell in cells]


def _is_formula(text: str) -> bool:
    if not text.startswith(_FORMULA):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


def is_below(name: str) -> bool:
    """Whether the relative path ``name`` leads to a place below where it starts.

    >>> is_below("toy/table.md"), is_below("toy/../../x"), is_below("/etc/x")
    (True, False, False)
    """
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and plain(name) and bool(path.parts)
