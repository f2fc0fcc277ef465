"""Sheets as LaTeX for ``\\usepackage{booktabs}``: one table environment each."""

from __future__ import annotations

import re

import pandas as pd

from xsam.report.formats import BEST, SECOND, Sheet

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
}
_MINUS = re.compile(r"(?<!\w)-(?=\d)")
_STYLES = {BEST: "textbf:--rwrap;", SECOND: "underline:--rwrap;", "": ""}


def latex(sheet: Sheet, name: str) -> str:
    """The sheet as a ``table`` environment with booktabs' rules: the best bold, the second underlined.

    Args:
        sheet: the table; its notes become comments.
        name: what its label begins with: ``\\label{tab:<name>-<sheet>}``.

    Example:
        >>> from xsam.report.formats import Text
        >>> print(latex(Sheet("means", "50% & more", ("a_b",), 1, ((Text("x"),),)), "toy"))
        \\begin{table}
        \\centering
        \\caption{50\\% \\& more}
        \\label{tab:toy-means}
        \\begin{tabular}{l}
        \\toprule
        a\\_b \\\\
        \\midrule
        x \\\\
        \\bottomrule
        \\end{tabular}
        \\end{table}
        <BLANKLINE>
    """
    width = range(len(sheet.header))
    frame = pd.DataFrame([[escape(text.text) for text in row] for row in sheet.rows], columns=list(width))
    css = pd.DataFrame([[_STYLES[text.mark] for text in row] for row in sheet.rows], columns=list(width))
    header = [escape(text) for text in sheet.header]
    styled = frame.style.hide(axis="index").format_index(lambda place: header[int(str(place))], axis=1)
    if any(text.mark for row in sheet.rows for text in row):
        styled = styled.apply(lambda _: css, axis=None)
    table: str = styled.to_latex(
        hrules=True,
        position_float="centering",
        caption=escape(sheet.title),
        label=f"tab:{_identifier(name)}-{sheet.name}",
        column_format="l" * sheet.labels + "r" * (len(width) - sheet.labels),
    )
    return table + "".join(f"% {' '.join(note.split())}\n" for note in map(_comment, sheet.notes))


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


def _comment(text: str) -> str:
    return "".join(one if one >= " " else " " for one in text)
