"""The documentation keeps its word: what a page tells its reader to do is done, from top to bottom."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import columns, methods, verbs
from tests.docs.pages import DOCS, ROOT, RUN, blocks, continued, environment, pages, said
from xsam.grid import load_grid
from xsam.store import read
from xsam.store.layout import TABLES
from xsam.store.schema import arrow_schema

RUNNABLE = [page for page in pages() if any(block.does_something for block in blocks(page))]
FIRST = [page for page in RUNNABLE if continued(page) is None]


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def follow(page: Path, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.follow", str(page)],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, f"{name_of(page)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("page", FIRST, ids=name_of)
def test_a_page_and_those_that_continue_it_do_what_they_say(page: Path, tmp_path: Path) -> None:
    for library in said(page, "needs"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"needs {library}, which an extra of xsam-bench brings")
    folder = tmp_path / page.stem
    folder.mkdir()
    follow(page, folder)
    if page == DOCS / "tour.md":
        assert read(folder / "results")["status"].tolist() == ["done"] * 20
        assert (folder / "reports" / "index.html").exists()
    for other in [one for one in RUNNABLE if continued(one) == page]:
        shutil.copytree(folder, tmp_path / other.stem)
        follow(other, tmp_path / other.stem)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = blocks(page)
    assert len(found) == len(re.findall(r"^ *```\w*", text, flags=re.MULTILINE)) / 2, "an odd, indented or unseen fence"
    for block in found:
        known = block.language == "text" or block.title or block.language in RUN
        assert known or block.why, f"{page}:{block.line}: {block.language!r} is neither run nor said not to be"
    if (root := continued(page)) is not None:
        assert root in FIRST


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_grids_of_a_page_are_valid(page: Path, tmp_path: Path) -> None:
    own = re.findall(r"data prepare (\w+) --from", page.read_text(encoding="utf-8"))  # known where the page is followed
    for block in blocks(page):
        if any(name in block.code for name in own):
            continue
        if block.title and "\nmatrix:" in block.code and "plugins:" not in block.code:
            path = tmp_path / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
            assert load_grid(path).name == path.stem


def test_commands_that_are_not_run_are_commands_all_the_same() -> None:
    known = set(re.findall(r"^## (xsam-bench(?: \w+)+)$", verbs.page(), flags=re.MULTILINE))
    for page in pages():
        for block in blocks(page):
            for verb in re.findall(r"^(?:\S+=\S+ )?xsam-bench (\w+(?: \w+)?)", block.code, flags=re.MULTILINE):
                words = verb.split()
                assert {f"xsam-bench {words[0]}", f"xsam-bench {verb}"} & known, f"{page}:{block.line}: {verb}"


def test_every_optimizer_has_its_page_and_every_column_its_meaning() -> None:
    assert set(methods.WHEN) == set(methods.listed())
    for name in methods.listed():
        page = methods.page(name)
        assert "## Cost" in page
        assert "arXiv" in page or name == "random_sam"
    text = columns.page()
    assert all(f"| `{column}` |" in text for table in TABLES for column in arrow_schema(table).names)


@pytest.mark.slow
def test_the_examples_of_the_optimizers_pages_run() -> None:
    programs = [re.findall(r"```python\n(.*?)```", methods.page(name), flags=re.DOTALL) for name in methods.listed()]
    assert all(len(found) == 1 for found in programs)
    code = "\n".join(program for found in programs for program in found)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), check=True, timeout=120)


def test_the_list_of_recipes_is_whole() -> None:
    folder = DOCS / "recipes"
    listed = set(re.findall(r"\((\w+\.md)\)", (folder / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in folder.glob("*.md")} - {"README.md"}


def test_the_contents_name_every_page() -> None:
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name_of(page) for page in pages() if f"{name_of(page)}\n" not in contents] == []
