"""A grid's table on the terminal; aligned plain text where the output is not one."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

from xsam.report.analysis import Analysis
from xsam.report.formats import BEST, Sheet, Text, markdown_table
from xsam.report.sections import means

_CAPTION = "mean ± standard deviation over seeds (number of seeds); bold: best of its row where that is decided"
_STYLES = {BEST: "bold", "": ""}


def show(console: Console, analysis: Analysis) -> None:
    """Print the table of means to ``console``.

    Example:
        >>> from pathlib import Path                                     # doctest: +SKIP
        >>> from xsam.report.analysis import load_report                 # doctest: +SKIP
        >>> report = load_report(Path("results"))                        # doctest: +SKIP
        >>> show(Console(), report.grids[0].analyses[0])                 # doctest: +SKIP
    """
    title = f"{analysis.table.title}: {analysis.table.column}"
    show_sheet(console, means(analysis), title, _CAPTION)


def show_sheet(console: Console, sheet: Sheet, title: str, caption: str = "") -> None:
    """Print any sheet: drawn on a terminal, and as it is where no one wraps lines at a width."""
    if console.is_terminal:
        console.print(_rich(sheet, title, caption))
    else:
        console.print(f"{title}\n{markdown_table(sheet)}", markup=False, highlight=False, soft_wrap=True)


def _rich(sheet: Sheet, title: str, caption: str) -> RichTable:
    shown = RichTable(title=RichText(title), caption=caption or None)
    for place, name in enumerate(sheet.header):
        shown.add_column(RichText(name), justify="left" if place < sheet.labels else "right")
    for row in sheet.rows:
        shown.add_row(*map(_cell, row))
    return shown


def _cell(text: Text) -> RichText:
    return RichText(text.text, style=_STYLES[text.mark])
