"""The fabricated full-size paper: its tables fit on pages, say their seeds once and have names for people."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.fabricated import GRIDS, write_paper
from xsam.report.analysis import Report, load_report
from xsam.report.write import render

pytestmark = pytest.mark.slow
DOCUMENT = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n%s\n\\end{document}\n"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    results = tmp_path_factory.mktemp("paper") / "results"
    assert write_paper(results) == sum(len(grid.grid.runs) for grid in load_report(results).grids)
    return load_report(results)


@pytest.fixture(scope="module")
def tables(report: Report) -> dict[str, str]:
    made = render(report, index=False, figures=False, page=False)
    return {name: content.decode() for name, content in made if name.endswith(".tex")}


@pytest.mark.needs("pdflatex")
def test_no_table_is_wider_or_longer_than_a_page(tables: dict[str, str], tmp_path: Path) -> None:
    assert {name.split("/")[0] for name in tables} == set(GRIDS)
    body = "\n\\clearpage\n".join(f"\\typeout{{FILE {name}}}\n{text}" for name, text in tables.items())
    (tmp_path / "paper.tex").write_text(DOCUMENT % body, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300)
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    faults = [line for line in log.splitlines() if re.match(r"FILE|Overfull|.*Float too|.*multiply def", line)]
    assert [line for line in faults if not line.startswith("FILE")] == [], "\n".join(faults)


def test_every_table_is_one_with_a_caption_and_a_label_of_its_own(tables: dict[str, str]) -> None:
    labels = []
    for text in tables.values():
        assert text.count("\\begin{table}") == text.count("\\caption{") == text.count("\\label{") == 1
        labels += re.findall(r"\\label\{(.*?)\}", text)
    assert len(set(labels)) == len(labels) == len(tables)


def test_the_main_table_has_a_part_for_each_data_set(tables: dict[str, str]) -> None:
    names = [name for name in tables if name.startswith("single_step/table")]
    assert names == [f"single_step/table-{data}.tex" for data in ("cifar-10", "cifar-100", "tiny-imagenet")]
    text = tables["single_step/table-cifar-100.tex"]
    assert "method & VGG-11 & ResNet-18 & DenseNet-121" in text
    assert [line.split(" &")[0] for line in text.splitlines() if " & " in line][1:] == [
        "SGD", "SGD+", "SAM", "ASAM", "GSAM", "WSAM", "XSAM",
    ]  # fmt: skip
    assert text.count("5 seeds") == 1
    assert "(5)" not in text
    parts = "".join(text for name, text in tables.items() if name.startswith("multi_step/table"))
    assert [f"k = {k}" in parts for k in (1, 2, 3, 5, 10)] == [True] * 5
    assert "(5)" not in parts
