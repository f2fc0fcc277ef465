"""Tables as papers print them: methods down, models and data sets across, names for people, seeds said once.

A table that is too wide for a page is split by its data sets, and then by its columns.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from xsam.grid.grid import TABLE
from xsam.parameters import Value
from xsam.report.arrangement import Arrangement, arranged, axis_name, name_of
from xsam.report.comparisons import OPTIMIZER, Comparison, Place, partner
from xsam.report.formats import BEST, Sheet, Text
from xsam.report.table import ABSENT, PROBLEMS, Cell, Key, Table
from xsam.report.text import leading

RULE_WORDS: Mapping[str, str] = {
    "final": "after the last epoch",
    "last5_mean": "mean of the last five epochs",
    "best_val": "at the epoch that is best on validation data",
    "best_test": "at the epoch that is best on test data, which no honest estimate is",
}


@dataclass(frozen=True)
class PaperTable:
    """One table of a paper.

    Attributes:
        name: its file's, without a suffix.
        label: what it is referred to by.
        caption: sentences that say what the numbers are.
        corner: what the rows are.
        groups: name and width of each group of columns; none where the columns are no groups.
        header: the columns' names, without the rows' own.
        rows: name and cells of each row.
        texts: those of the columns that hold no numbers.
        split: what tells it from the other parts of a table that was split; empty where it was not.
    """

    name: str
    label: str
    caption: str
    corner: str
    groups: tuple[tuple[str, int], ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Text, ...]], ...]
    split: str = ""
    texts: tuple[str, ...] = ()


def result_table(table: Table) -> PaperTable:
    """The means, the best bold where it is decided."""
    arrangement = arranged(table)
    marked: dict[tuple[Value, Key], str] = {}
    for column in arrangement.columns:
        cells = {
            row: table.cells[arrangement.places[row, column]]
            for row in arrangement.rows
            if (row, column) in arrangement.places
        }
        marked |= {(row, column): BEST for row in leading(table, cells)}
    bold = " Bold: the best mean, and those that it is not decided to be better than." if marked else ""
    what = f"{_upper(table.metric.title)}{_fixed(table, arrangement)}"
    what += f", {_rule(table)}" if table.rule else ""
    return _made(
        table, arrangement, "table", f"{what}: mean ± standard deviation over {_seeds(table)}.{bold}{_notes(table)}",
        lambda at: Text(cell_words(table, table.cells[arrangement.places[at]]), marked.get(at, "")),
        table.report.caption,
    )  # fmt: skip


def scope(table: Table) -> str:
    """What was run, in a sentence: how many methods on which models and data, seeds, epochs, and what is shown."""
    specs = [cell.spec for _, _, cell in table.planned()]

    def listed(axis: str) -> str:
        return ", ".join(
            dict.fromkeys(name_of(table, axis, spec.params[axis]) for spec in specs if axis in spec.params)
        )

    methods = len({cell.label for _, _, cell in table.planned()})
    epochs = sorted({int(str(spec.params["epochs"])) for spec in specs if "epochs" in spec.params})
    trained = f", {' or '.join(map(str, epochs))} epochs" if 0 < len(epochs) < 4 else ""
    shown = f"{_lower(table.metric.title)}, {_rule(table)}" if table.rule else _lower(table.metric.title)
    plural = "s" * (methods != 1)
    return f"{methods} method{plural}: {listed('model')} on {listed('dataset')}; {_seeds(table)}{trained}; {shown}."


def result_sheet(table: Table) -> Sheet:
    """The results as a paper prints them, for formats that are not LaTeX."""
    made = result_table(table)
    outer = [name for name, width in made.groups for _ in range(width)] or [""] * len(made.header)
    header = [f"{group}, {name}" if group else name for group, name in zip(outer, made.header, strict=True)]
    rows = tuple((Text(name), *texts) for name, texts in made.rows)
    return Sheet("results", "Results", (made.corner, *header), 1, rows, (made.caption,))


def difference_table(table: Table, compared: Sequence[Comparison]) -> PaperTable:
    """Differences to the baseline with their intervals."""
    arrangement = arranged(table)
    found = {one.place: one for one in compared}
    baseline = name_of(table, OPTIMIZER, table.report.baseline) if table.report.baseline else ""
    if not baseline and compared:
        baseline = _baseline_name(table, compared[0])
    caption = (
        f"{_upper(table.metric.title)}{_fixed(table, arrangement)}: difference to {baseline}, paired by seed, over "
        f"{_seeds(table)}, with its 95% interval. Exploratory where not declared."
    )
    made = _made(
        table, arrangement, "differences", caption,
        lambda at: Text(_difference_words(table, found.get(arrangement.places[at]))),
    )  # fmt: skip
    return replace(made, rows=tuple(row for row in made.rows if any(text.text for text in row[1])))


def _baseline_name(table: Table, one: Comparison) -> str:
    axes = (*table.row_axes, *table.column_axes)
    whole = dict(zip(axes, (*one.baseline[0], *one.baseline[1]), strict=True))
    return name_of(table, OPTIMIZER, whole[OPTIMIZER]) if OPTIMIZER in whole else "the first column"


def declared_table(table: Table, compared: Sequence[Comparison]) -> PaperTable:
    """The comparisons that the grid declared, one a line: what is compared, where, by how much, and what that shows."""
    arrangement = arranged(table)
    axes = (*table.row_axes, *table.column_axes)
    rows: list[tuple[str, tuple[Text, ...]]] = []
    for one in compared:
        whole = dict(zip(axes, (*one.place[0], *one.place[1]), strict=True))
        where = ", ".join(_named(table, axis, whole[axis]) for axis in arrangement.across if whole[axis] != ABSENT)
        sides = f"{name_of(table, OPTIMIZER, whole.get(OPTIMIZER, ''))} − {_baseline_name(table, one)}"
        found, answer = one.difference, one.answer
        numbers = "" if found.mean is None else number(table, found.mean, sign=True)
        interval = _interval(table, answer.low, answer.high)
        rows.append((sides, (Text(where), Text(f"{numbers} {interval}".strip()), Text(_verdict(one)))))
    what = f"{_lower(table.metric.title)}{_fixed(table, arrangement)} over {_seeds(table)}"
    caption = f"Declared comparisons of {what}, paired by seed; the intervals hold for all of them at once (Holm)."
    if any(one.answer.seeds is not None for one in compared):
        caption += " In brackets: the seeds that would decide it."
    if any(one.answer.by_ranks for one in compared):
        caption += " By ranks: some runs failed and count as the worst."
    several = any(texts[0].text for _, texts in rows)  # else the caption names the one place
    first = 0 if several else 1
    header = ("where", "difference", "verdict")[first:]
    lines = tuple((name, texts[first:]) for name, texts in rows)
    label = f"{_label(table)}-declared"
    return PaperTable("declared", label, caption, "comparison", (), header, lines, texts=("where", "verdict"))


def _verdict(one: Comparison) -> str:
    text = f"{one.verdict} (by ranks)" if one.answer.by_ranks else one.verdict
    return text if one.answer.seeds is None else f"{text} ({one.answer.seeds})"


def measure_table(table: Table, measure: str, values: Mapping[Place, Mapping[int, float]]) -> PaperTable:
    """A measure of sharpness at the end of training."""
    arrangement = arranged(table)

    def words(at: tuple[Value, Key]) -> Text:
        found = list(values.get(arrangement.places[at], {}).values())
        spread = f" ± {statistics.stdev(found):.3g}" if len(found) > 1 else ""
        return Text(f"{statistics.fmean(found):.3g}{spread}" if found else "")

    what = f"{_upper(measure.replace('_', ' '))}{_fixed(table, arrangement)}"
    caption = f"{what} at the end of training: mean ± standard deviation over {_seeds(table)}."
    return _made(table, arrangement, f"sharpness-{measure.replace('_', '-')}", caption, words)


def time_table(table: Table, base: str) -> PaperTable:
    """Wall time as a multiple of that of the label ``base``."""
    arrangement = arranged(table)

    def words(at: tuple[Value, Key]) -> Text:
        place = arrangement.places[at]
        other = partner(table, place, base)
        ours = table.cells[place].cost("wall_seconds")
        theirs = None if other is None else table.cells[other].cost("wall_seconds")
        return Text("" if ours is None or not theirs else f"{ours / theirs:.2f}")

    name = name_of(table, OPTIMIZER, base)
    caption = f"Wall time{_fixed(table, arrangement)} as a multiple of that of {name}: means over {_seeds(table)}."
    return _made(table, arrangement, "cost", caption, words)


def _made(
    table: Table,
    arrangement: Arrangement,
    name: str,
    caption: str,
    words: Callable[[tuple[Value, Key]], Text],
    own: str = "",
) -> PaperTable:
    across, columns = arrangement.across, arrangement.columns

    def texts(row: Value) -> tuple[Text, ...]:
        return tuple(words((row, one)) if (row, one) in arrangement.places else Text("") for one in columns)

    rows = tuple((name_of(table, arrangement.down, row), texts(row)) for row in arrangement.rows)
    outer = [_named(table, across[0], column[0]) for column in columns] if len(across) > 1 else []
    groups = [(name, len(list(same))) for name, same in groupby(outer)]
    inner = across[1:] if groups else across
    header = tuple(
        ", ".join(_named(table, axis, value) for axis, value in zip(across, column, strict=True) if axis in inner)
        or _upper(table.metric.label)
        for column in columns
    )
    suffix = "" if name == TABLE else f"-{name}"
    return PaperTable(
        name,
        f"{_label(table)}{suffix}",
        own or caption,
        axis_name(arrangement.down),
        tuple(groups),
        header,
        rows,
    )


def _named(table: Table, axis: str, value: Value) -> str:
    """A value with its axis where it says nothing by itself (``k = 3``)."""
    name = name_of(table, axis, value)
    return name if axis in (OPTIMIZER, "model", "dataset") else f"{axis_name(axis)} = {name}"


def _fixed(table: Table, arrangement: Arrangement) -> str:
    shown = {axis: value for axis, value in arrangement.fixed.items() if axis in ("model", "dataset")}
    of = f" of {name_of(table, 'model', shown['model'])}" if "model" in shown else ""
    return of + (f" on {name_of(table, 'dataset', shown['dataset'])}" if "dataset" in shown else "")


def _label(table: Table) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")
    return table.report.label or f"tab:{plain}"


def _rule(table: Table) -> str:
    return RULE_WORDS.get(table.rule, table.rule)


def _seeds(table: Table) -> str:
    counts = sorted({cell.expected for cell in table.cells.values()})
    return f"{counts[0]} seed{'s' * (counts[0] > 1)}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"


def _notes(table: Table) -> str:
    lost = sum(len(cell.seeds(status)) for cell in table.cells.values() for status in PROBLEMS)
    brackets = " In brackets: how many runs have a value, where not all do." if lost else ""
    return brackets + "".join(map(" {}".format, _shared(table)))


def _shared(table: Table) -> Iterator[str]:
    shown = {cell.label for cell in table.cells.values() if cell.shared_by}
    for one in table.report.shared:
        labels = [one.of, *(label for label in one.by if label in shown)]
        if len(labels) > 1:
            where = ", ".join(_named(table, axis, value) for axis, value in one.at.items())
            yield f"At {where} one run: {', '.join(name_of(table, OPTIMIZER, label) for label in labels)}."


def number(table: Table, value: float, sign: bool = False) -> str:
    """A value of the table's metric with the decimals that the table asks for, or else the metric's."""
    metric = table.metric if table.report.precision is None else replace(table.metric, decimals=table.report.precision)
    return metric.text(value, sign)


def cell_words(table: Table, cell: Cell) -> str:
    """Mean ± standard deviation, and how many runs have a value where not all do."""
    if cell.mean is None:
        return next((status for status in PROBLEMS if cell.seeds(status)), "")
    spread = "" if cell.std is None else f" ± {number(table, cell.std)}"
    count = "" if cell.n == cell.expected else f" [{cell.n}]"
    return f"{number(table, cell.mean)}{spread}{count}"


def _difference_words(table: Table, one: Comparison | None) -> str:
    if one is None or one.difference.mean is None:
        return ""
    found = one.difference
    return f"{number(table, found.mean or 0.0, sign=True)} {_interval(table, found.low, found.high)}".strip()


def _interval(table: Table, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return f"[{number(table, low, sign=True)}, {number(table, high, sign=True)}]"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
