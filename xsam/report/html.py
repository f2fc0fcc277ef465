"""Sheets as HTML tables, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from xsam.report.sheet import Sheet, Text

_STYLE = (
    "body{font:15px/1.4 sans-serif;margin:2em}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.2em .8em;text-align:right;white-space:nowrap}th.label,td.label{text-align:left}"
    "thead th{border-top:2px solid;border-bottom:1px solid}tbody{border-bottom:2px solid}"
    ".best{font-weight:bold}.second{text-decoration:underline}"
)


def html_table(sheet: Sheet) -> str:
    """The sheet as a ``<table>``: ``class="label"`` on what names a row, ``"best"`` and ``"second"`` on marked cells.

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
    lines = [f'<table class="{escape(sheet.name)}">', f"<caption>{escape(sheet.title)}</caption>"]
    lines += [f"<thead><tr>{header}</tr></thead>", "<tbody>", *(f"<tr>{row}</tr>" for row in rows), "</tbody>"]
    return "\n".join([*lines, "</table>"])


def html_page(title: str, sheets: Iterable[Sheet]) -> str:
    """A page of sheets with their notes, in one file that needs no other."""
    parts = ["<!doctype html>", '<html lang="en">', f'<meta charset="utf-8"><title>{escape(title)}</title>']
    parts += [f"<style>{_STYLE}</style>", f"<h1>{escape(title)}</h1>"]
    for sheet in sheets:
        parts += [html_table(sheet), "<ul>", *(f"<li>{escape(note)}</li>" for note in sheet.notes), "</ul>"]
    return "\n".join([*parts, "</html>"]) + "\n"


def _tag(name: str, text: Text, is_label: bool) -> str:
    kind = "label" if is_label else text.mark
    return f'<{name} class="{kind}">{escape(text.text)}</{name}>' if kind else f"<{name}>{escape(text.text)}</{name}>"
