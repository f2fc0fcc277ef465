"""The page put together: tables as HTML, everything else as JSON that its scripts draw when it is looked at."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xsam.grid.grid import TABLE
from xsam.report.analysis import Analysis, GridReport, Report
from xsam.report.caveats import LIMITS, limit_shares
from xsam.report.claims.judgement import CLAIMS_NOTE, Evidence
from xsam.report.formats import Sheet, html_table
from xsam.report.page.compact import script_json
from xsam.report.page.figures import page_figures
from xsam.report.page.runs import LOG_LINES, MOST_LOGS, runs_data
from xsam.report.panel import COLOURS
from xsam.report.publication import result_sheet, scope
from xsam.report.selection import Chosen, selected
from xsam.report.sharpness import direction_sheets
from xsam.report.text import p_text
from xsam.report.tuning import tuning_sheet
from xsam.stats import TOO_FEW

TITLE = "xsam-bench report"
_SCRIPTS = ("tables.js", "figures.js", "rows.js", "runs.js", "page.js")


@dataclass(frozen=True)
class Section:
    """One grid on the page.

    Attributes:
        name, task: the grid's.
        done, planned: numbers of runs.
        tables: title → the sheets of each table; what was measured of directions is a table of its own.
        figures_in_all: how many figures there are beside those on the page.
        scope: sentences about what was run.
        figures, runs: JSON values (:mod:`xsam.report.page.figures`, :mod:`xsam.report.page.runs`).
    """

    name: str
    task: str
    done: int
    planned: int
    tables: tuple[tuple[str, tuple[Sheet, ...]], ...]
    figures: tuple[dict[str, Any], ...]
    figures_in_all: int
    scope: tuple[str, ...]
    runs: dict[str, Any]


def render_page(
    report: Report, tables: Sequence[Sequence[tuple[Sheet, ...]]], chosen: Mapping[str, Chosen] | None = None
) -> str:
    """The whole report as one HTML file: the same text for the same report, on any machine and at any time.

    Args:
        report: what is shown.
        tables: of each grid, the sheets of each of its tables (:func:`xsam.report.sections.sheets`).
        chosen: grid → its figures, of grids whose figures were chosen before (:func:`xsam.report.selection.selected`).

    Every string of the results is escaped, in HTML and in JSON; the page's policy allows its own scripts by their
    hashes, and no network. Tables are in the HTML itself; figures and runs are drawn by scripts.
    """
    known = chosen or {}
    made = tuple(
        _section(grid, shown, known.get(grid.grid.name) or selected(grid))
        for grid, shown in zip(report.grids, tables, strict=True)
    )
    scripts = _scripts()
    template = _environment().get_template("page.html.jinja")
    return template.render(
        title=TITLE,
        claims=report.claims,
        claims_note=CLAIMS_NOTE,
        sections=made,
        data=script_json({"colours": COLOURS, "grids": [{"figures": one.figures, "runs": one.runs} for one in made]}),
        scripts=scripts,
        style=Markup(_file("page.css")),
        policy=_policy(scripts),
        html_table=lambda sheet: Markup(html_table(sheet)),
        evidence=_evidence,
        log_lines=LOG_LINES,
        most_logs=MOST_LOGS,
    )


def _section(grid: GridReport, tables: Sequence[tuple[Sheet, ...]], chosen: Chosen) -> Section:
    runs = runs_data(grid)
    figures, of_figures = chosen
    return Section(
        grid.grid.name,
        grid.grid.task,
        int((grid.runs["status"] == "done").sum()),
        len(grid.grid.runs),
        tuple(_titled(grid, tables)),
        tuple(page_figures(figures)),
        of_figures,
        tuple(dict.fromkeys(_scope(grid))),
        runs,
    )


def _scope(grid: GridReport) -> Iterator[str]:
    """What was run and what must be said of it; the tables' notes say where searches end on their limit."""
    shares: list[float] = []
    for one in grid.analyses:
        name = one.table.report.name
        yield scope(one.table) if name == TABLE else f"{name}: {scope(one.table)}"
        yield from (sentence for sentence in one.caveats if not sentence.startswith(LIMITS))
        shares += limit_shares(one.table, grid.epochs).values()
    if any(shares):
        least, most = (f"{end:.0%}" for end in (min(shares), max(shares)))
        of = f"a cell's searches of alpha, {least} to {most}" if least != most else f"all searches of alpha, {most}"
        yield f"Of {of} end on their limit, alpha_max."


def _titled(grid: GridReport, tables: Sequence[tuple[Sheet, ...]]) -> Iterator[tuple[str, tuple[Sheet, ...]]]:
    for analysis, made in zip(grid.analyses, tables, strict=True):
        declared = [sheet for sheet in made if sheet.name == "declared"]
        others = [sheet for sheet in made if sheet.name != "declared"]
        yield _title(analysis), (*declared, result_sheet(analysis.table), *others)
    if directions := tuple(direction_sheets(grid.measured)):
        yield directions[0].title, directions
    if grid.tuning is not None:
        sheet = tuning_sheet(grid.tuning, grid.grid.task)
        yield sheet.title, (sheet,)


def _title(analysis: Analysis) -> str:
    table = analysis.table
    return table.column if table.report.name == TABLE else f"{table.report.name}: {table.column}"


def _evidence(one: Evidence) -> str:
    """A comparison behind a claim in one line."""
    found = one.difference
    if found.mean is None:
        return f"no pairs, {TOO_FEW}"
    interval = "" if found.low is None or found.high is None else f" [{found.low:+.4g}, {found.high:+.4g}]"
    p = "" if one.adjusted_p is None else f", p {p_text(one.adjusted_p)}"
    return f"{found.mean:+.4g}{interval} ({found.n}){p}, {one.verdict}"


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("xsam.report.page", "files"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _scripts() -> tuple[Markup, ...]:
    """plotly.js, and the page's own script."""
    from plotly.offline import get_plotlyjs

    own = "\n".join(map(_file, _SCRIPTS))
    return Markup(get_plotlyjs()), Markup(f'"use strict";\n{own}')


def _file(name: str) -> str:
    return (files("xsam.report.page") / "files" / name).read_text(encoding="utf-8")


def _policy(scripts: tuple[Markup, ...]) -> str:
    """A content security policy: these scripts, and nothing from elsewhere."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
