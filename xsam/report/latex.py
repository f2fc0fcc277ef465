"""Tables of a paper as LaTeX for ``\\usepackage{booktabs}``, none wider than a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from xsam.report.formats import Text
from xsam.report.publication import PaperTable

_ASCII = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "±": r"\ensuremath{\pm}",
    "−": r"\ensuremath{-}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "×": r"\ensuremath{\times}",
    "α": r"\ensuremath{\alpha}",
    "ρ": r"\ensuremath{\rho}",
    "λ": r"\ensuremath{\lambda}",
    "η": r"\ensuremath{\eta}",
}
_MINUS = re.compile(r"(?<!\w)-(?=\d)")
TEXT_WIDTH = 345.0  # points: what article leaves a line; other classes leave more
_TALLEST = 500.0  # points that a table's lines may take
_GAP = 6.0  # what LaTeX puts on each side of a column
_SIZES = (  # command, a letter's width (of small letters it is more than their size says), line to line, gap
    ("", 10.0, 12.0, _GAP),
    (r"\small", 9.3, 11.0, _GAP),
    (r"\footnotesize", 8.6, 9.5, 4.0),
    (r"\scriptsize", 7.9, 8.0, 3.0),
)
_BOLD = 1.15  # how much wider bold letters are
_SMALLEST_WHOLE = 3  # sizes that a whole table may have before it is split
# Widths in Computer Modern at ten points; anything else counts as a wide letter.
_WIDTHS = {
    **dict.fromkeys(".,:;'!|ijl()[]", 3.0),
    **dict.fromkeys("ftrI -", 4.0),
    **dict.fromkeys("mwMW", 9.0),
    **dict.fromkeys("+±−=×%", 8.4),
}


def latex_files(table: PaperTable) -> Iterator[tuple[str, str]]:
    """Name (without its suffix) and LaTeX of ``table``, split where it is too wide for a page.

    Each is one ``table`` environment with booktabs' rules, its caption above and its label; of split ones caption and
    label say which part it is. The best is bold.

    Example:
        >>> from xsam.report.formats import Text
        >>> rows = (("SAM", (Text("95.2 ± 0.1", "best"),)),)
        >>> table = PaperTable("table", "tab:toy", "50% & more.", "method", (), ("CIFAR-10",), rows)
        >>> print(next(iter(latex_files(table)))[1])
        \\begin{table}
        \\centering
        \\setlength{\\belowcaptionskip}{4pt}
        \\caption{50\\% \\& more.}
        \\label{tab:toy}
        \\begin{tabular}{lr}
        \\toprule
        method & CIFAR-10 \\\\
        \\midrule
        SAM & \\textbf{95.2 \\ensuremath{\\pm} 0.1} \\\\
        \\bottomrule
        \\end{tabular}
        \\end{table}
        <BLANKLINE>
    """
    for part in _parts(table):
        name = f"{part.name}-{_identifier(part.split.lower()).strip('-')}" if part.split else part.name
        yield re.sub("-+", "-", name), _environment(part)


def _parts(table: PaperTable) -> Iterator[PaperTable]:
    if _fitting(table, _SMALLEST_WHOLE) is not None:
        yield table
    elif len(table.groups) > 1:
        start = 0
        for name, width in table.groups:
            yield from _parts(_part(table, start, start + width, name))
            start += width
    elif _fitting(table, len(_SIZES)) is None and (not table.texts or _height(table, _SIZES[-1][2]) > _TALLEST):
        yield from _pieces(table)
    else:
        yield table


def _pieces(table: PaperTable) -> Iterator[PaperTable]:
    """The columns, or the rows of a table that is too long, in as few and as equal pieces as fit."""
    wide = _width(table, _SIZES[-1][1], _SIZES[-1][3]) > TEXT_WIDTH and not table.texts
    whole = len(table.header if wide else table.rows)
    for count in range(2, whole + 1):
        ends = [whole * piece // count for piece in range(count + 1)]
        pieces = []
        for number, (start, end) in enumerate(pairwise(ends), 1):
            split = f"{table.split} part {number} of {count}".strip()
            part = _part(table, start, end, split) if wide else replace(table, rows=table.rows[start:end], split=split)
            pieces.append(part)
        if count == whole or all(_fitting(one, len(_SIZES)) for one in pieces):
            yield from pieces
            return
    yield table


def _part(table: PaperTable, start: int, end: int, split: str) -> PaperTable:
    rows = tuple((name, texts[start:end]) for name, texts in table.rows)
    return replace(table, groups=(), header=table.header[start:end], rows=rows, split=split)


def _fitting(table: PaperTable, sizes: int) -> tuple[str, float] | None:
    """The largest of the first ``sizes`` sizes in which the table fits on a page, and its gap; None where none is."""
    for command, points, line, gap in _SIZES[:sizes]:
        if _width(table, points, gap) <= TEXT_WIDTH and _height(table, line) <= _TALLEST:
            return command, gap
    return None


def _width(table: PaperTable, points: float, gap: float) -> float:
    widths = [max(map(text_width, (table.corner, *(name for name, _ in table.rows))))]
    for place, name in enumerate(table.header):
        texts = [texts[place] for _, texts in table.rows]
        widths.append(max([text_width(name), *(text_width(one.text) * (_BOLD if one.mark else 1) for one in texts)]))
    start = 0
    for name, count in table.groups:  # a group's name may be wider than its columns
        own = sum(widths[1 + start : 1 + start + count])
        widths[count + start] += max(0.0, text_width(name) - own)
        start += count
    return sum(widths) * points / 10 + 2 * gap * len(widths)


def _height(table: PaperTable, line: float) -> float:
    return line * (len(table.rows) + 2 + bool(table.groups)) + 12.0 * (2 + len(table.caption) // 70)


def text_width(text: str) -> float:
    """Points that ``text`` takes at ten points, rather too many than too few.

    >>> text_width("95.20") <= text_width("95.20 ± 0.12"), text_width("-1") == text_width("+1")
    (True, True)
    """
    return sum(_WIDTHS.get(one, 5.0 if one.isdigit() or one.islower() else 7.8) for one in _MINUS.sub("−", text))


def _environment(table: PaperTable) -> str:
    size, gap = _fitting(table, len(_SIZES)) or (_SIZES[-1][0], _SIZES[-1][3])
    caption = f"{table.split[:1].upper()}{table.split[1:]}. {table.caption}" if table.split else table.caption
    align = "".join("l" if name in table.texts else "r" for name in table.header)
    label = f"{table.label}-{_identifier(table.split.lower())}" if table.split else table.label
    lines = [r"\begin{table}", r"\centering", r"\setlength{\belowcaptionskip}{4pt}", *([size] if size else [])]
    lines += [rf"\setlength{{\tabcolsep}}{{{gap:g}pt}}"] if gap != _GAP else []
    lines += [rf"\caption{{{escape(caption)}}}", rf"\label{{{re.sub('-+', '-', label)}}}"]
    lines += [rf"\begin{{tabular}}{{l{align}}}", r"\toprule"]
    if table.groups:
        spans, rules, start = [], [], 2
        for name, count in table.groups:
            spans.append(rf"\multicolumn{{{count}}}{{c}}{{{escape(name)}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{start + count - 1}}}")
            start += count
        lines += [rf" & {' & '.join(spans)} \\", "".join(rules)]
    lines += [rf"{' & '.join(map(escape, (table.corner, *table.header)))} \\", r"\midrule"]
    lines += [rf"{' & '.join([escape(name), *map(_cell, texts)])} \\" for name, texts in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _cell(text: Text) -> str:
    return rf"\textbf{{{escape(text.text)}}}" if text.mark else escape(text.text)


def escape(text: str) -> str:
    """``text`` as pdfLaTeX shows it literally; what its fonts lack as its code (``[U+4E2D]``).

    >>> escape("50%_±_中")
    '50\\\\%\\\\_\\\\ensuremath{\\\\pm}\\\\_[U+4E2D]'
    """
    escaped = "".join(_character(one) for one in _MINUS.sub("−", " ".join(text.split()))).replace("--", "-{}-")
    # The \\\\ of the line before would take these for its own.
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped.startswith(("[", "*")) else escaped


def _character(one: str) -> str:
    if one in _ASCII:
        return _ASCII[one]
    return one if " " <= one <= "~" else f"[U+{ord(one):04X}]"


def _identifier(text: str) -> str:
    """``text`` with nothing that a label could not hold."""
    return "".join(one if one.isascii() and one.isalnum() else "-" for one in text)
