"""Sheets as Markdown that reads well as plain text too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from xsam.report.sheet import BEST, SECOND, Sheet, Text

_SPECIAL = str.maketrans({**{one: f"\\{one}" for one in "\\|*`<~$"}, "&": "&amp;"})
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # within a word, as in test_accuracy, it is none
_MARKS = {BEST: "**", SECOND: "*", "": ""}


def markdown(sheets: Sequence[Sheet]) -> str:
    """A page of sheets: the first one's title is the page's; the same bytes for the same sheets."""
    parts = []
    for place, sheet in enumerate(sheets):
        parts += [f"{'##' if place else '#'} {escape(sheet.title)}", markdown_table(sheet)]
        parts += [bullets(map(escape, sheet.notes))] if sheet.notes else []
    return "\n\n".join(parts) + "\n"


def markdown_table(sheet: Sheet) -> str:
    """The sheet's table alone, aligned: what names a row to the left, numbers to the right.

    >>> print(markdown_table(Sheet("means", "", ("k", "sam"), 1, ((Text("1"), Text("2|3", "best")),))))
    | k   |      sam |
    | --- | -------: |
    | 1   | **2\\|3** |
    """
    cells = [[escape(text) for text in sheet.header], *([_cell(text) for text in row] for row in sheet.rows)]
    widths = [max(3, *(len(line[place]) for line in cells)) for place in range(len(sheet.header))]
    rule = ["-" * width if place < sheet.labels else "-" * (width - 1) + ":" for place, width in enumerate(widths)]

    def line(texts: Sequence[str]) -> str:
        padded = (
            text.ljust(width) if place < sheet.labels else text.rjust(width)
            for place, (text, width) in enumerate(zip(texts, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(cells[0]), line(rule), *(line(texts) for texts in cells[1:])])


def bullets(lines: Iterable[str]) -> str:
    """A list, one line each."""
    return "\n".join(f"- {line}" for line in lines)


def escape(text: str) -> str:
    """``text`` as Markdown shows it literally, in a table too."""
    return _EMPHASIS.sub(r"\\_", " ".join(text.split()).translate(_SPECIAL)).replace("](", r"]\(")


def _cell(text: Text) -> str:
    mark = _MARKS[text.mark]
    return f"{mark}{escape(text.text)}{mark}"
