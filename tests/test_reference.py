"""The reference of the parameters says what the code declares."""

from __future__ import annotations

from pathlib import Path

from xsam.grid.reference import reference

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python -m xsam.grid.reference > docs/parameters.md"
