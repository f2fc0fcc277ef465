"""The page in a real browser: sorting, filtering, runs, theme, keyboard, printing, hostile names, no network."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright import sync_api

from tests.report.fixtures.make import CLAIMS, HOSTILE, RESULTS
from tests.report.hostile_grid import ATTACK, write_hostile_grid
from xsam.report.analysis import load_report
from xsam.report.claims.model import load_claims
from xsam.report.panel import Panel
from xsam.report.selection import selected
from xsam.report.write import render, stale, write, write_report

COMMITTED = Path(__file__).parents[2] / "results"
CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium")]


class Site(NamedTuple):
    """A written report, a browser, and what its pages said and asked for."""

    results: Path
    out: Path
    browser: Any
    said: list[str]
    asked: list[str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("a 'page' & more")
    shutil.copytree(RESULTS, folder / "results")
    write_hostile_grid(folder / "results")
    write_report(folder / "results", folder / "reports", figures=False, claims=load_claims(CLAIMS))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield Site(folder / "results", folder / "reports", browser, [], [])
        browser.close()


def wait_until(page: Any, expression: str) -> None:
    """Wait until a JavaScript expression is true; playwright's own waiting needs eval, which the page forbids."""
    deadline = time.monotonic() + 60
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)


def open_page(site: Site, theme: str = "light", fragment: str = "") -> Any:
    page = site.browser.new_page(color_scheme=theme, viewport={"width": 1200, "height": 900})
    page.on("console", lambda message: site.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: site.said.append(str(error)))
    page.on("request", lambda request: site.asked.append(request.url))
    page.goto((site.out / "index.html").as_uri() + fragment)
    return page


@pytest.fixture
def page(site: Site) -> Iterator[Any]:
    """A fresh page, which at its end must have said nothing and asked for nothing but itself."""
    page = open_page(site)
    yield page
    attacked = page.evaluate("window.attacked")
    page.close()
    assert attacked is None
    assert site.said == []
    assert {url.split("#")[0] for url in site.asked} == {(site.out / "index.html").as_uri()}


def column(table: Any, place: int) -> list[str]:
    return [
        text.strip() for text in table.locator(f"tbody tr:not([hidden]) td:nth-child({place + 1})").all_inner_texts()
    ]


def header(table: Any, name: str) -> Any:
    return table.locator("thead").get_by_role("button", name=name, exact=True)


def runs_table(page: Any, grid: int) -> Any:
    return page.locator(f"#grid-{grid} table.runs")


def test_claims_come_first_with_their_verdicts_and_numbers(page: Any, site: Site) -> None:
    claims = load_report(site.results, claims=load_claims(CLAIMS)).claims
    first = page.locator("main table").first
    assert first.locator("caption").text_content() == "Claims"
    assert column(first, 0) == [claim.claim for claim in claims]
    assert column(first, 1) == [f"{claim.verdict} {claim.detail}".strip() for claim in claims]
    for text, claim in zip(column(first, 2), claims, strict=True):
        assert text.startswith(claim.numbers)
    assert any(text.startswith("supported") for text in column(first, 1))
    comparisons = first.locator("summary").first
    assert not first.locator("li").first.is_visible()
    comparisons.click()
    assert re.search(
        r"^toy, .*: [+-]\d.*, (better|worse|equivalent|undecided)$", first.locator("li").first.inner_text()
    )


def test_headers_sort_by_numbers_and_go_back(page: Any) -> None:
    page.locator("#grid-1 details.sheet", has_text="Cost").first.locator("summary").click()
    table = page.locator("#grid-1 table.cost").first
    names = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    place = names.index("wall seconds")
    at_first = column(table, place)
    cell = table.locator("thead th").nth(place)
    assert cell.get_attribute("aria-sort") == "none"
    header(table, "wall seconds").click()
    rising = [float(text) for text in column(table, place)]
    assert rising == sorted(map(float, at_first)) != list(map(float, at_first))
    assert cell.get_attribute("aria-sort") == "ascending"
    header(table, "wall seconds").click()
    assert [float(text) for text in column(table, place)] == rising[::-1]
    assert cell.get_attribute("aria-sort") == "descending"
    header(table, "dataset").click()
    assert cell.get_attribute("aria-sort") == "none"
    header(table, "wall seconds").click()
    header(table, "wall seconds").click()
    header(table, "wall seconds").click()
    assert column(table, place) == at_first


def test_what_has_no_number_is_last_in_either_direction(page: Any) -> None:
    table = runs_table(page, 1)
    place = [text.strip() for text in table.locator("thead th").all_inner_texts()].index("test_accuracy_final")
    for turn in (1, -1):
        header(table, "test_accuracy_final").click()
        texts = column(table, place)
        assert texts[-3:] == ["", "", ""]
        values = [float(text) for text in texts[:-3]]
        assert len(values) == 39
        assert values == sorted(values, reverse=turn < 0)


def test_the_filter_keeps_rows_with_every_word(page: Any) -> None:
    tests, runs = page.locator("#grid-1 table.tests").first, runs_table(page, 1)
    everything = len(column(tests, 0))
    page.get_by_label("Filter rows").fill("FASHION sam")
    wait_until(page, "document.getElementById('found').value !== ''")
    kept = tests.locator("tbody tr:not([hidden])").all_inner_texts()
    assert 0 < len(kept) < everything
    shown = tests.locator("tbody tr:not([hidden])").all_text_contents()
    assert all("fashion" in text and "sam" in text for text in shown)
    assert set(column(runs, 3)) == {"sam"}
    assert set(column(runs, 2)) == {"fashion_mnist"}
    assert re.fullmatch(r"\d+ of \d+ rows", page.locator("#found").inner_text())
    page.get_by_label("Filter rows").fill("no such row")
    wait_until(page, "document.getElementById('found').value.startsWith('0 of')")
    assert column(runs, 0) == []
    page.get_by_label("Filter rows").fill("")
    wait_until(page, "document.getElementById('found').value === ''")
    assert len(column(tests, 0)) == everything
    assert len(column(runs, 0)) == 42


def test_long_lists_show_a_part_and_more_when_asked(page: Any) -> None:
    runs, rest = runs_table(page, 0), page.locator("#grid-0 .more")
    assert len(column(runs, 0)) == 100
    assert "130 runs, the first 100 shown" in rest.inner_text()
    rest.get_by_role("button").click()
    assert len(column(runs, 0)) == 130
    assert not rest.get_by_role("button").is_visible()


def test_a_run_opens_to_everything_that_is_known_of_it(page: Any) -> None:
    runs = runs_table(page, 0)
    button = runs.locator("tbody button.run").first
    assert button.get_attribute("aria-expanded") == "false"
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    detail = runs.locator("tr.detail")
    pairs = dict(zip(detail.locator("dt").all_inner_texts(), detail.locator("dd").all_inner_texts(), strict=True))
    assert (pairs["dataset"], pairs["tag"], pairs["test_accuracy_final"]) == ("digits", ATTACK, "90")
    assert (pairs["python"], pairs["code.commit"]) == ("3.11.7", f"c0ffee{ATTACK}")
    detail.locator(".main-svg").first.wait_for()
    assert detail.locator(".plot").count() == 2, "accuracy and alpha; no losses were stored"
    button.click()
    assert button.get_attribute("aria-expanded") == "false"
    assert detail.count() == 0


def test_a_failed_run_shows_its_error_and_log_without_times_and_paths(page: Any) -> None:
    runs = runs_table(page, 0)
    page.get_by_label("Filter rows").fill("failed")
    runs.locator("tbody button.run").nth(0).click()
    error, log = runs.locator("tr.detail pre").all_inner_texts()
    assert error == f'File "…/xsam/runner/run.py", line 3\nRuntimeError: {ATTACK}'
    assert log == f"INFO began\nERROR {ATTACK}"
    assert runs.locator("tr.detail .plot").count() == 0


def test_a_link_opens_its_run_wherever_it_is_in_the_list(site: Site, page: Any) -> None:
    grid = load_report(site.results, ["hostile"]).grids[0].grid
    target = grid.runs[-1].run_id
    page.goto((site.out / "index.html").as_uri() + f"#run-{target}")
    row = page.locator(f"#run-{target}")
    row.wait_for()
    assert row.locator("button").get_attribute("aria-expanded") == "true"
    assert page.evaluate("document.activeElement.textContent") == target


def test_figures_are_drawn_when_seen_and_show_labels_as_they_are(page: Any) -> None:
    figures = page.locator("#grid-1 .figures .plot")
    assert figures.count() == 12
    figures.first.scroll_into_view_if_needed()
    drawn = page.locator("#grid-1 .figures figure", has_text="learning curve mlp digits")
    drawn.scroll_into_view_if_needed()
    drawn.locator(".legendtext").first.wait_for()
    assert [text.strip() for text in drawn.locator(".legendtext").all_text_contents()] == ["sgd", "sam", HOSTILE]
    box = drawn.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = drawn.locator(".hoverlayer").first
    hover.locator("text").first.wait_for(state="attached")
    assert "±" in hover.text_content()


def test_comparisons_are_rows_with_their_names_and_one_far_off_hides_no_other(site: Site, tmp_path: Path) -> None:
    report = load_report(COMMITTED, ["multi_step_digits_tuned"])
    write(render(report, figures=False), tmp_path)
    panel = next(one for one in selected(report.grids[0])[0] if isinstance(one, Panel) and one.is_counted)
    sides = [line for line in panel.lines if not line.is_level]
    page = open_page(site._replace(out=tmp_path))
    drawn = page.locator(f"#grid-0 .plot[data-figure='{selected(report.grids[0])[0].index(panel)}']")
    drawn.scroll_into_view_if_needed()
    drawn.locator(".ytick text").first.wait_for()
    names = [re.sub(r"\s+", "", text) for text in drawn.locator(".ytick text").all_text_contents()]
    assert names == [re.sub(r"\s+|: ", "", line.label) for line in sides]
    marks = [mark.bounding_box() for mark in drawn.locator(".points path").all()]
    assert len(marks) == len(sides)
    assert [mark["y"] for mark in marks] == sorted(mark["y"] for mark in marks), "the first is at the top"
    means = [float(line.mean[0]) for line in sides]
    in_order = [
        mark["x"] + mark["width"] / 2 for _, mark in sorted(zip(means, marks, strict=True), key=lambda one: one[0])
    ]
    assert in_order == pytest.approx(sorted(in_order), abs=2.0)  # pixels; a star is wider on one side
    assert max(means) > 50 * sorted(means)[-2], "one collapsed"
    assert in_order[-2] - in_order[0] > drawn.bounding_box()["width"] / 10, "the others can be told apart all the same"
    page.mouse.move(marks[-1]["x"] + marks[-1]["width"] / 2, marks[-1]["y"] + marks[-1]["height"] / 2)
    hover = drawn.locator(".hoverlayer").first
    hover.locator("text").first.wait_for(state="attached")
    assert f"{means[-1]:.3f}" in hover.text_content()
    page.close()
    assert site.said == []
    site.asked.clear()


def test_titles_and_names_are_seen_whole(page: Any) -> None:
    plot = page.locator("#grid-1 .figures .plot").first
    plot.scroll_into_view_if_needed()
    plot.locator(".ytitle").wait_for()
    wait_until(page, "(() => { const [box, title] = ['', ' .ytitle'].map((part) => document.querySelector(`#grid-1 "
               ".figures .plot${part}`).getBoundingClientRect()); return title.top >= box.top && title.bottom <= "
               "box.bottom && title.left >= box.left; })()")  # fmt: skip
    nav = page.evaluate("(() => { const nav = document.querySelector('nav'); return [nav.scrollWidth, nav.clientWidth, "
                        "nav.scrollHeight, nav.clientHeight]; })()")  # fmt: skip
    assert nav[0] <= nav[1]
    assert nav[2] <= nav[3]


def test_the_theme_follows_the_system_until_it_is_chosen(site: Site, page: Any) -> None:
    def background(of: Any) -> str:
        return str(of.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = open_page(site, "dark")
    colours = {"light": background(page), "dark": background(dark)}
    assert colours["light"] != colours["dark"]
    plot = page.locator("#grid-1 .figures .plot").first
    plot.scroll_into_view_if_needed()
    title = plot.locator(".gtitle")
    title.wait_for()
    before = title.evaluate("(node) => getComputedStyle(node).fill")
    page.get_by_role("button", name="Dark").click()
    assert background(page) == colours["dark"]
    assert title.evaluate("(node) => getComputedStyle(node).fill") != before
    page.get_by_role("button", name="Light").click()
    assert background(page) == colours["light"]
    dark.get_by_role("button", name="Light").click()
    assert background(dark) == colours["light"]
    dark.close()


def test_everything_can_be_done_with_the_keyboard(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the claims"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Claims"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    verdicts = column(page.locator("table.claims"), 1)
    assert verdicts == sorted(verdicts)
    page.keyboard.press("/")
    page.keyboard.type("seed")
    assert page.get_by_label("Filter rows").input_value() == "seed"
    run = runs_table(page, 1).locator("tbody button.run").first
    page.get_by_label("Filter rows").fill("")
    run.focus()
    page.keyboard.press("Enter")
    assert run.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Space")
    assert run.get_attribute("aria-expanded") == "false"


def test_every_control_has_a_name_and_every_header_a_scope(page: Any) -> None:
    unnamed = "nodes => nodes.filter(node => !node.textContent.trim() && !node.ariaLabel && !node.dataset.title).length"
    assert page.locator("main button, header button").evaluate_all(unnamed) == 0
    assert page.locator("main th:not([scope=col])").count() == 0
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"


def test_paper_gets_everything_open_and_drawn(page: Any) -> None:
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    wait_until(page, "[...document.querySelectorAll('.figures .plot')].every(one => one.querySelector('.main-svg'))")
    page.emulate_media(media="print")
    assert not page.get_by_label("Filter rows").is_visible()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.sheet:not([open])").count() > 0


def test_hostile_strings_make_no_elements_and_the_policy_no_scripts(page: Any) -> None:
    assert page.locator("main img").count() == 0
    assert page.locator("script").count() == 3, "the data, plotly.js and the page's own"
    assert ATTACK in page.locator("#grid-0").inner_text()
    page.evaluate("document.body.append(Object.assign(document.createElement('p'), {id: 'added'}))")
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_the_same_results_give_the_same_page_and_no_path_of_this_machine(site: Site) -> None:
    report = load_report(site.results, claims=load_claims(CLAIMS))
    assert stale(render(report, figures=False), site.out) == []
    text = (site.out / "index.html").read_text(encoding="utf-8")
    assert text.count("plotly.js v") == 1
    assert str(site.results) not in text
    assert str(Path(__file__).resolve().parents[2]) not in text
