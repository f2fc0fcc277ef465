"""The report as one page: claims, tables that sort and filter, figures with hover, and every run.

The page needs no other file and no network; its policy (CSP) lets it run its own scripts and nothing else.

>>> from pathlib import Path
>>> from xsam.report.analysis import load_report
>>> from xsam.report.sections import sheets
>>> report = load_report(Path("results"))                                # doctest: +SKIP
>>> page = render_page(report, [[sheets(table) for table in grid.analyses] for grid in report.grids])  # doctest: +SKIP
>>> _ = Path("index.html").write_text(page, encoding="utf-8")            # doctest: +SKIP
"""

from xsam.report.page.document import render_page

__all__ = ["render_page"]
