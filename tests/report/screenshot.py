"""Takes the pictures of the page that the README shows, in headless Chromium:

python -m tests.report.screenshot RESULTS FOLDER
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import sync_playwright

from xsam.report.analysis import load_report
from xsam.report.write import render, write

GRID = "single_step_digits_tuned"


def take(results: Path, folder: Path) -> None:
    """Photograph the page of ``GRID``: claims and tables in light, figures and a run in dark."""
    with tempfile.TemporaryDirectory() as out, sync_playwright() as playwright:
        write(render(load_report(results, [GRID]), figures=False), Path(out))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))

        def opened(theme: Literal["light", "dark"]) -> Any:
            page = browser.new_page(viewport={"width": 1240, "height": 1200}, color_scheme=theme)
            page.goto((Path(out) / "index.html").as_uri())
            return page

        page = opened("light")
        page.locator("#claims").evaluate("(node) => scrollTo(0, node.offsetTop - 100)")
        page.screenshot(path=folder / "page-claims.png")
        page = opened("dark")
        page.locator("#grid-0 .figures").evaluate("(node) => scrollTo(0, node.offsetTop - 120)")
        page.locator("#grid-0 .figures .main-svg").first.wait_for()
        page.locator("#grid-0 button.run").first.click()
        page.locator("#grid-0 .detail .main-svg").first.wait_for()
        page.locator("#grid-0 .figures figure").first.evaluate("(node) => scrollTo(0, node.offsetTop - 120)")
        page.mouse.move(0, 0)  # off the figures, whose buttons would show
        page.screenshot(path=folder / "page-figures.png")
        browser.close()


if __name__ == "__main__":
    take(*map(Path, sys.argv[1:3]))
