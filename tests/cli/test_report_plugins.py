"""A section of a plug-in in real reports: shown where it is loaded, one line where it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Bench
from xsam.store import read

SECTION = """
from xsam.plugins import Plugin
from xsam.report.formats import Sheet, Text
from xsam.report.text import column_label

plugin = Plugin("my_sections", version="1")


@plugin.section("spans")
def spans(analysis):
    table = analysis.table
    rows = tuple(
        (Text(column_label(table, column)), Text(f"{max(values) - min(values):.2f}"))
        for (_, column), cell in table.cells.items()
        if (values := list(cell.values.values()))
    )
    return Sheet("anything", "Largest difference between two seeds", ("optimizer", "span"), 1, rows)
"""
OPTIONS = ("report", "--no-figures")


def write(bench: Bench, text: str) -> None:
    (bench.folder / "mine.py").write_text(text, encoding="utf-8")


def test_a_section_is_shown_where_its_plug_in_is_loaded_and_only_there(stored: Bench) -> None:
    write(stored, SECTION)
    stored("--plugin", "./mine.py", *OPTIONS)
    folder = stored.folder / "reports" / "small"
    text = (folder / "table.md").read_text()
    runs = read(stored.results)
    accuracies = np.array(runs[runs["optimizer"] == "sgd"]["test_accuracy_final"])
    assert "Largest difference between two seeds" in text
    assert f"| sgd | {np.ptp(accuracies):.2f} |" in " ".join(text.split())
    for page in (folder / "table.html", stored.folder / "reports" / "index.html"):
        assert "Largest difference between two seeds" in page.read_text(encoding="utf-8")
    assert stored("--plugin", "./mine.py", *OPTIONS, "--check") == ""
    assert "out of date: reports/small/table.md" in stored(*OPTIONS, "--check", status=1)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("    table = analysis.table\n", "    table = analysis.tabel\n", "AttributeError"),
        ("    return Sheet(", "    return print(", ""),
        ("    return Sheet(", "    return dict or (", "must return a xsam.report.formats.Sheet or None, not type"),
        ('("optimizer", "span")', '("optimizer",)', "a row must be 1 xsam.report.formats.Text"),
    ],
)
def test_a_section_that_fails_is_one_line_and_nothing_is_written(
    stored: Bench, before: str, after: str, message: str
) -> None:
    assert before in SECTION
    write(stored, SECTION.replace(before, after))
    out = Path("reports")
    process = stored.start("--plugin", "./mine.py", *OPTIONS, "--no-page", "--out", out)
    _, error = process.communicate(timeout=120)
    if not message:  # it returned None: it has nothing to say
        assert process.returncode == 0, error
        return
    assert (process.returncode, error.count("\n")) == (2, 1), error
    assert "the section 'spans' of the plug-in my_sections" in error
    assert message in error
    assert not (stored.folder / out).exists()
