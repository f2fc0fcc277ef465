"""A table as text with marks, before it is Markdown, LaTeX or HTML."""

from __future__ import annotations

from dataclasses import dataclass

BEST, SECOND = "best", "second"


@dataclass(frozen=True)
class Text:
    """What stands in one place of a sheet, unescaped, and whether it is its row's best or second."""

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
