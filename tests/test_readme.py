"""The README keeps its word: its programs run, its links lead somewhere, its grid is one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Bench
from xsam.grid import load_grid

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GENERATED = ("reports/", "benchmarks/results/")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def tables(text: str) -> list[tuple[str, list[str]]]:
    """Each table's lines, and the line above them."""
    found: list[tuple[str, list[str]]] = []
    above = ""
    for line in text.splitlines():
        if line.startswith("|") and above.startswith("|"):
            found[-1][1].append(line)
        elif line.startswith("|"):
            found.append((above, [line]))
        above = line
    return found


def rows_of(table: list[str], whole: list[str]) -> bool:
    """Whether ``table`` is ``whole`` or some of its rows, in their order and to the byte."""
    rest = iter(whole[2:])
    return table[:2] == whole[:2] and all(row in rest for row in table[2:])


def test_tables_with_numbers_are_those_of_generated_files() -> None:
    checked = []
    for above, table in tables(README):
        if not re.search(r"\d", "".join(table)):
            continue
        marker = re.fullmatch(r"<!-- from (\S+) -->", above)
        assert marker, f"no '<!-- from FILE -->' above the table {table[0]}"
        path = marker[1]
        assert path.startswith(GENERATED), f"{path}: not a generated file"
        generated = (ROOT / path).read_text(encoding="utf-8")
        assert any(rows_of(table, whole) for _, whole in tables(generated)), f"{path}: holds no such table: {table}"
        checked.append(path)
    assert {"reports/quickstart/table.md", "benchmarks/results/optimizers.md"} <= set(checked)


def test_what_it_says_of_results_is_what_the_report_found() -> None:
    """To the byte, so nothing stands there that its own test calls undecided."""
    said = README.partition("<!-- findings from reports/README.md -->")[2].partition("<!-- end of findings -->")[0]
    report = (ROOT / "reports" / "README.md").read_text(encoding="utf-8")
    found = report.partition("## What was found\n")[2].partition("\n## ")[0]
    assert found.strip()
    assert said.strip() == found.strip()


def test_numbers_of_its_prose_stand_in_the_reports_beside_them() -> None:
    """A number with two decimals in a paragraph that links reports is in one of them."""
    checked = []
    for paragraph in README.split("\n\n"):
        linked = re.findall(r"\]\((reports/[^)]+\.md)\)", paragraph)
        if not linked or paragraph.startswith("<!--"):
            continue
        said = "".join((ROOT / path).read_text(encoding="utf-8") for path in linked)
        for number in re.findall(r"(?<![\d.])\d+\.\d\d(?![\d.])", paragraph):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", said), f"{number}: in none of {linked}"
            checked.append(number)
    assert checked


@pytest.mark.needs("git")
def test_generated_files_are_part_of_the_project() -> None:
    paths = re.findall(r"<!-- from (\S+) -->", README)
    ignored = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout == "", "what git ignores is not there for others"


def test_relative_links_lead_to_files() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_optimizer_program_runs() -> None:
    program = next(block for block in blocks("python") if "XSAM" in block)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_grid_is_valid_and_has_the_runs_that_the_text_says(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    path = tmp_path / "example.yaml"
    path.write_text(text, encoding="utf-8")
    runs = load_grid(path).runs
    # mlp: sgd once, three labels at two numbers of ascent steps; resnet8: each of the four once; five seeds.
    assert len(runs) == 5 * ((1 + 3 * 2) + 4)


@pytest.mark.parametrize(
    "path",
    [one for one in sorted((ROOT / "configs").rglob("*.yaml")) if one.stem != "claims"],
    ids=lambda path: path.stem,
)
def test_every_committed_grid_is_valid(path: Path) -> None:
    assert load_grid(path).name == path.stem


@pytest.mark.slow
def test_the_results_program_reads_what_a_run_wrote(bench: Bench) -> None:
    bench("run", ROOT / "configs" / "quickstart.yaml", "--set", "epochs=1", "--only", "seed=0")
    program = next(block for block in blocks("python") if "xsam.store" in block)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=bench.folder, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "xsam" in done.stdout


def test_every_verb_that_the_readme_names_exists(bench: Bench) -> None:
    top = bench("--help")
    for verb in set(re.findall(r"`xsam-bench (\w+)", README)):
        assert verb in top
