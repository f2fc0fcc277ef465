"""The committed fixture results give the committed files, byte for byte; what LaTeX and HTML make of hostile labels."""

from __future__ import annotations

import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report.fixtures.make import CLAIMS, HOSTILE, RESULTS
from xsam.report.analysis import Report, load_report
from xsam.report.claims.model import load_claims
from xsam.report.formats import Sheet, Text, html_page
from xsam.report.latex import escape, latex_files
from xsam.report.publication import PaperTable
from xsam.report.write import render

EXPECTED = RESULTS.parent / "expected"
NASTY = (
    "\\end{tabular}",
    "$x_1^2$ & # % ~",
    "{unbalanced",
    "[*]--`'\"<>|",
    "中文 é 😀\x07\n\ttab",
    "&amp;<script>alert(1)</script>",
)


@pytest.fixture(scope="module")
def report() -> Report:
    return load_report(RESULTS, claims=load_claims(CLAIMS))


def test_the_fixtures_give_the_committed_files(report: Report) -> None:
    made = dict(render(report, figures=False, page=False))
    committed = {path.relative_to(EXPECTED).as_posix() for path in EXPECTED.rglob("*") if path.is_file()}
    assert set(made) == committed
    for name, content in made.items():
        assert content.decode() == (EXPECTED / name).read_text(encoding="utf-8"), name


class Cells(HTMLParser):
    """The texts of a page's cells, and every tag that it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data


def test_html_shows_hostile_labels_and_runs_none() -> None:
    cells = Cells()
    cells.feed(html_page(NASTY[-1], [Sheet("means", NASTY[-1], NASTY, 1, (tuple(map(Text, NASTY)),), NASTY)]))
    assert "script" not in cells.tags
    assert "td" in cells.tags
    assert cells.texts[: len(NASTY)] == list(NASTY)


def compiled(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + body + "\n\\end{document}\n",
        encoding="utf-8",
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)


@pytest.mark.needs("pdflatex")
def test_pdflatex_compiles_every_table_and_hostile_labels(tmp_path: Path, report: Report) -> None:
    tables = [content.decode() for name, content in render(report, figures=False, page=False) if name.endswith(".tex")]
    rows = tuple((text, (Text(text), Text(text, "best"))) for text in NASTY)
    nasty = PaperTable("table", "tab:nasty", " ".join(NASTY), NASTY[0], ((NASTY[1], 2),), NASTY[2:4], rows)
    done = compiled(tmp_path, "\n".join([*tables, *(text for _, text in latex_files(nasty))]))
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 0


def test_latex_writes_minus_signs_and_no_ligatures() -> None:
    assert escape("[-0.25, +1.00]") == r"{[}\ensuremath{-}0.25, +1.00]"
    assert escape("a--b well-known") == "a-{}-b well-known"


def test_hostile_labels_stay_in_their_csv_cell(report: Report) -> None:
    import csv

    made = dict(render(report, figures=False, page=False))
    rows = list(csv.DictReader(made["toy/table.csv"].decode().splitlines()))
    assert {row["optimizer"] for row in rows} == {"sgd", "sam", HOSTILE}
