"""The report of a results folder: one folder a grid, one a table of its own name in it, and an index of them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from xsam.atomic import write_bytes
from xsam.grid.grid import TABLE
from xsam.report import csv_tables
from xsam.report.analysis import Analysis, GridReport, Report, load_report
from xsam.report.claims.findings import TITLE as FINDINGS
from xsam.report.claims.findings import findings
from xsam.report.claims.judgement import CLAIMS_NOTE, claims_sheet
from xsam.report.claims.model import ClaimsFile, Published
from xsam.report.formats import Sheet, bullets, escape, html_page, markdown, markdown_table
from xsam.report.latex import latex_files
from xsam.report.publication import declared_table, difference_table, measure_table, result_table, time_table
from xsam.report.sections import cost_baselines, sheets
from xsam.report.selection import MOST, Chosen, selected
from xsam.report.sharpness import direction_sheets
from xsam.report.tuning import tuning_sheet
from xsam.text import is_below

_IN_LATEX = ("top_eigenvalue", "trace", "sam_sharpness", "adaptive_sharpness", "average_sharpness", "worst_sharpness")


def write_report(
    results: Path,
    out: Path,
    names: Iterable[str] | None = None,
    references: Sequence[Published] = (),
    figures: bool = True,
    page: bool = True,
    claims: ClaimsFile | None = None,
) -> list[Path]:
    """Write every table, figure and claim below ``out``.

    Each grid has ``table.md``, ``table.html``, a LaTeX file for each table of a paper (``table.tex``, ``declared.tex``,
    ``differences.tex``, ``cost.tex``; a wide one split by its data sets: ``table-cifar-10.tex``), ``table.csv``,
    ``differences.csv``, ``cost.csv``, where there is something to say ``published.csv``, ``sharpness.csv``,
    ``target.csv``, ``evaluations.csv`` and ``tuning.md``, and ``figures/``; its further tables have the same in a
    folder of their name.
    ``README.md``, ``claims.csv``, the figure ``claims.png`` (``.pdf``, ``.svg``) and the page ``index.html`` are about
    all grids.

    Args:
        results: the results folder.
        out: the folder of reports; created where it is not there.
        names: write these grids alone, and nothing about all grids.
        references: published values beside the packaged ones.
        figures: write the figures too.
        page: write the page too (five megabytes, most of them plotly.js).
        claims: claims in place of the packaged ones.

    Returns:
        The files written. The same rows give the same bytes, on any machine and at any time.

    Raises:
        ValueError: no grids, an unknown name, or a grid or file that cannot be read.

    Example:
        >>> write_report(Path("results"), Path("reports"))               # doctest: +SKIP
    """
    report = load_report(results, names, references, claims)
    return write(render(report, index=names is None, figures=figures, page=page), out)


def write(files: Iterable[tuple[str, bytes]], out: Path) -> list[Path]:
    """Write rendered files (name → content) below ``out``; returns their paths. ``ValueError`` for one elsewhere."""
    written = []
    for name, content in files:
        if not is_below(name):
            raise ValueError(f"{name!r} is not below {out}: nothing is written there")
        write_bytes(out / name, content, durable=False)
        written.append(out / name)
    return written


def stale(files: Iterable[tuple[str, bytes]], out: Path) -> list[Path]:
    """Those of the rendered files that :func:`write` would create or change; writes nothing."""
    paths = ((out / name, content) for name, content in files)
    return [path for path, content in paths if not path.is_file() or path.read_bytes() != content]


def render(
    report: Report, index: bool = True, figures: bool = True, page: bool = True, all_figures: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Each file's name below the folder of reports, and its content; the arguments are those of :func:`write_report`.

    ``index`` is whether to render what is about all grids, the page among it.
    """
    made = [[sheets(analysis) for analysis in grid.analyses] for grid in report.grids]
    chosen: dict[str, Chosen] = {}
    for grid, tables in zip(report.grids, made, strict=True):
        for analysis, shown in zip(grid.analyses, tables, strict=True):
            name = analysis.table.report.name
            folder = grid.grid.name if name == TABLE else f"{grid.grid.name}/{name}"
            for file, text in _files(analysis, shown):
                yield f"{folder}/{file}", text.encode()
        if directions := direction_sheets(grid.measured):
            yield f"{grid.grid.name}/directions.md", markdown(directions).encode()
        if grid.tuning is not None:
            yield f"{grid.grid.name}/tuning.md", markdown([tuning_sheet(grid.tuning, grid.grid.task)]).encode()
        if figures:
            from xsam.report.figures import figure_files  # matplotlib, which tables do without

            most = None if all_figures else MOST
            found = selected(grid, most)
            if most == MOST:  # those of the page
                chosen[grid.grid.name] = found
            for file, content in figure_files(found[0]):
                yield f"{grid.grid.name}/figures/{file}", content
    if index:
        yield "README.md", _index(report).encode()
        if report.claims:
            yield "claims.csv", csv_tables.claims_csv(report.claims).encode()
            if figures:
                from xsam.report.figures import effects_files

                yield from effects_files(report.claims)
        if page:
            from xsam.report.page import render_page  # plotly and jinja2, which tables do without

            yield "index.html", render_page(report, made, chosen).encode()


def _files(analysis: Analysis, made: tuple[Sheet, ...]) -> Iterator[tuple[str, str]]:
    table = analysis.table
    yield "table.md", markdown(made)
    yield from ((f"{name}.tex", text) for name, text in _latex(analysis))
    yield "table.html", html_page(table.title, made)
    yield "table.csv", csv_tables.table_csv(table)
    yield "differences.csv", csv_tables.differences_csv(analysis)
    yield "cost.csv", csv_tables.cost_csv(table)
    if analysis.checks:
        yield "published.csv", csv_tables.published_csv(analysis)
    if analysis.measures:
        yield "sharpness.csv", csv_tables.sharpness_csv(analysis)
    if analysis.target is not None:
        yield "target.csv", csv_tables.target_csv(table, analysis.target)
    if analysis.evaluations:
        yield "evaluations.csv", csv_tables.evaluations_csv(analysis)


def _latex(analysis: Analysis) -> Iterator[tuple[str, str]]:
    """The tables as a paper prints them, each in a file of its own."""
    table = analysis.table
    tables = [result_table(table)]
    if analysis.primary:
        tables.append(declared_table(table, analysis.primary))
    if analysis.comparisons:
        tables.append(difference_table(table, analysis.comparisons))
    base = next(iter(cost_baselines(table).values()), None)
    if base is not None:
        tables.append(time_table(table, base))
    tables += [
        measure_table(table, measure, values) for measure, values in analysis.measures.items() if measure in _IN_LATEX
    ]
    for one in tables:
        yield from latex_files(one)


def _index(report: Report) -> str:
    parts = ["# Reports", "Made by `xsam-bench report` from the stored runs.", bullets(map(_entry, report.grids))]
    if report.claims:
        parts += [f"## {FINDINGS}", findings(report.claims)]
        parts += ["## Claims", markdown_table(claims_sheet(report.claims)), CLAIMS_NOTE]
    return "\n\n".join(parts) + "\n"


def _entry(grid: GridReport) -> str:
    name = grid.grid.name
    if not grid.analyses:
        statuses = grid.runs.drop_duplicates("run_id")["status"].tolist()
        return f"[{escape(name)}]({quote(name)}/tuning.md): {_progress(statuses, len(grid.grid.runs))}"
    # A run that stands in several cells or tables counts once.
    outcomes = {
        one.run_id: one.status
        for analysis in grid.analyses
        for cell in analysis.table.cells.values()
        for one in cell.outcomes
    }
    links = [f"[{escape(name)}]({quote(name)}/table.md)"]
    links += [
        f"[{escape(one.name)}]({quote(f'{name}/{one.name}')}/table.md)" for one in grid.grid.tables if one.name != TABLE
    ]
    if grid.grid.report.name != TABLE:
        links[0] = escape(name)
    if grid.tuning is not None:
        links.append(f"[tuning]({quote(name)}/tuning.md)")
    return f"{', '.join(links)}: {_progress(outcomes.values(), len(outcomes))}"


def _progress(statuses: Iterable[str], runs: int) -> str:
    """Such as "12 of 24 runs done, 2 diverged"; a run that has no row is missing from the first number alone."""
    counts = Counter("done" if status == "no value" else status for status in statuses)
    others = "".join(f", {counts[status]:,} {status}" for status in ("failed", "diverged") if counts[status])
    return f"{counts['done']:,} of {runs:,} runs done{others}"
