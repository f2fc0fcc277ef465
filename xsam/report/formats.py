"""A table as text with marks (a sheet), and its forms as Markdown and HTML; LaTeX has a module of its own."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BEST = "best"


@dataclass(frozen=True)
class Text:
    """What stands in one place of a sheet, unescaped, and whether it is marked as its row's best."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Sheet:
    """One table of a report.

    Attributes:
        name: what it is, in small letters: ``"means"``, ``"differences"``, ``"tests"``, …
        title: its heading.
        header: the columns' names.
        labels: how many of the first columns name the row; the others hold numbers.
        rows: as many texts each as the header has.
        notes: sentences below it.
    """

    name: str
    title: str
    header: tuple[str, ...]
    labels: int
    rows: tuple[tuple[Text, ...], ...]
    notes: tuple[str, ...] = ()


_SPECIAL = str.maketrans({**{one: f"\\{one}" for one in "\\|*`<~$"}, "&": "&amp;"})
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # within a word, as in test_accuracy, it is none
_MARKS = {BEST: "**", "": ""}


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


_STYLE = (
    "body{font:15px/1.4 sans-serif;margin:2em}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.2em .8em;text-align:right;white-space:nowrap}th.label,td.label{text-align:left}"
    "thead th{border-top:2px solid;border-bottom:1px solid}tbody{border-bottom:2px solid}"
    ".best{font-weight:bold}"
)


def html_table(sheet: Sheet) -> str:
    """The sheet as a ``<table>``: ``class="label"`` on what names a row, ``"best"`` on marked cells.

    >>> print(html_table(Sheet("means", "T", ("k", "sam"), 1, ((Text("<1>"), Text("2", "best")),))))
    <table class="means">
    <caption>T</caption>
    <thead><tr><th class="label">k</th><th>sam</th></tr></thead>
    <tbody>
    <tr><td class="label">&lt;1&gt;</td><td class="best">2</td></tr>
    </tbody>
    </table>
    """
    header = "".join(_tag("th", Text(text), place < sheet.labels) for place, text in enumerate(sheet.header))
    rows = ["".join(_tag("td", text, place < sheet.labels) for place, text in enumerate(row)) for row in sheet.rows]
    lines = [f'<table class="{html.escape(sheet.name)}">', f"<caption>{html.escape(sheet.title)}</caption>"]
    lines += [f"<thead><tr>{header}</tr></thead>", "<tbody>", *(f"<tr>{row}</tr>" for row in rows), "</tbody>"]
    return "\n".join([*lines, "</table>"])


def html_page(title: str, sheets: Iterable[Sheet]) -> str:
    """A page of sheets with their notes, in one file that needs no other."""
    parts = ["<!doctype html>", '<html lang="en">', f'<meta charset="utf-8"><title>{html.escape(title)}</title>']
    parts += [f"<style>{_STYLE}</style>", f"<h1>{html.escape(title)}</h1>"]
    for sheet in sheets:
        parts += [html_table(sheet), "<ul>", *(f"<li>{html.escape(note)}</li>" for note in sheet.notes), "</ul>"]
    return "\n".join([*parts, "</html>"]) + "\n"


def _tag(name: str, text: Text, is_label: bool) -> str:
    kind = "label" if is_label else text.mark
    return (
        f'<{name} class="{kind}">{html.escape(text.text)}</{name}>'
        if kind
        else f"<{name}>{html.escape(text.text)}</{name}>"
    )
