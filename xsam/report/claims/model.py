"""Claims and published values as typed data, read from one YAML file whose mistakes name file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from xsam.grid.source import Node, check_keys
from xsam.grid.yaml_file import read_yaml
from xsam.metrics import RULES
from xsam.parameters import Value, nearest

BETTER_THAN, WORSE_THAN, HOLDS_AGAINST, EQUALS, AS_PUBLISHED = "better", "worse", "holds", "equals", "published"
ASKS = (BETTER_THAN, WORSE_THAN, HOLDS_AGAINST, EQUALS, AS_PUBLISHED)
ALL_CELLS, MEAN_OVER_CELLS = "all", "mean"
METRIC, EIGENVALUE, RISE_SHARE, PASSES, SECONDS = "metric", "top_eigenvalue", "rise_share", "passes", "train_seconds"
MEASURES = (METRIC, EIGENVALUE, RISE_SHARE, PASSES, SECONDS)

Condition = Mapping[str, tuple[Value, ...]]

_VALUE_KEYS = ("name", "value", "margin", "method", "metric", "rules", "protocol", "seeds", "source", "note")
_CLAIM_KEYS = (
    *("name", "sentence", "source", "estimand", "grids", "table", "of", "with", "ask", "by", "margin", "rule"),
    *("measure", "values", "untested", "note"),
)
_NEEDED = ("task", "model", "dataset")  # of a protocol
_ALWAYS = ("name", "value", "margin", "method", "metric", "protocol", "source")  # of a published value
_FOR = {  # of a claim that asks this
    AS_PUBLISHED: ("values",),
    HOLDS_AGAINST: ("of", "with", "margin"),
    EQUALS: ("of", "with", "by", "margin"),
}


@dataclass(frozen=True)
class Published:
    """A value that was read in its source, with what has to be the same for a comparison.

    Attributes:
        name: by which claims call it.
        value: in the metric's unit.
        margin: how near our interval has to be for it to be reproduced, in the same unit.
        method: with k > 1 ascent steps ``"sam:3"``.
        metric: the metric's name, without a rule (``"test_accuracy"``, ``"test_bleu"``: tokenised BLEU).
        rules: the selection rules that are accepted.
        protocol: parameters that must be the same: ``task``, ``model``, ``dataset``, and further ones as far as the
            source tells them.
        seeds: how many runs it is the mean of; ``None`` where the source does not say.
        source: where it was read.
        note: what a reader has to know of it.
    """

    name: str
    value: float
    margin: float
    method: str
    metric: str
    rules: tuple[str, ...]
    protocol: Mapping[str, Value]
    source: str
    seeds: int | None = None
    note: str = ""

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.protocol["task"])

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.protocol["model"])

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return str(self.protocol["dataset"])


@dataclass(frozen=True)
class Claim:
    """A sentence, and what would show that it is right.

    Attributes:
        name: short.
        sentence: what is claimed.
        source: where.
        estimand: in words, the number that is estimated.
        grids: the names of the grids that may speak to it; no other does.
        table: the table of such a grid whose metric and rule count; empty: its first.
        of, against: axis → values of the cells on our side; what differs on theirs. ``optimizer`` takes labels, and
            ``@family`` and ``@base`` for all labels of such methods. Cells that differ in nothing else are compared.
        ask: ``"better"`` or ``"worse"`` (by more than ``by``), ``"holds"`` (not worse by the margin), ``"equals"``
            (the difference is ``by``, to the margin), ``"published"`` (our cells are as the ``values``).
        by: see ``ask``.
        margin: what does not matter: in the measure's unit; of passes and seconds a share of theirs.
        rule: ``"all"`` cells, or the ``"mean"`` over cells.
        measure: ``"metric"``, ``"top_eigenvalue"``, ``"rise_share"``, ``"passes"`` or ``"train_seconds"``.
        values: names of published values.
        untested: what "not tested" means for it.
        note: what a reader has to know.
    """

    name: str
    sentence: str
    source: str
    estimand: str
    grids: tuple[str, ...]
    ask: str
    rule: str = ALL_CELLS
    table: str = ""
    of: Condition = field(default_factory=dict)
    against: Condition = field(default_factory=dict)
    by: float = 0.0
    margin: float | None = None
    measure: str = METRIC
    values: tuple[str, ...] = ()
    untested: str = ""
    note: str = ""


@dataclass(frozen=True)
class ClaimsFile:
    """What a file says: claims, and published values."""

    claims: tuple[Claim, ...]
    published: tuple[Published, ...]


@cache
def packaged() -> ClaimsFile:
    """The claims and the published values that come with this package.

    Those of the paper are the file ``xsam/report/claims/claims.yaml``, to which ``configs/paper/claims.yaml`` is a
    link; ``small.yaml`` beside it asks the same of what a laptop can train.

    >>> [(one.name, one.value) for one in packaged().published][:2]
    [('iwslt14-sam', 35.3), ('iwslt14-xsam', 35.63)]
    """
    folder = files("xsam.report.claims")
    with as_file(folder / "claims.yaml") as paper, as_file(folder / "small.yaml") as small:
        first = _load(paper, ())
        return ClaimsFile((*first.claims, *_load(small, first.published).claims), first.published)


def load_claims(path: Path) -> ClaimsFile:
    """Read a file of claims and published values.

    Raises:
        GridError: the first mistake, on one line, with file and line.

    Example:
        >>> load_claims(Path("mine.yaml"))                               # doctest: +SKIP
    """
    return _load(path, packaged().published)


def _load(path: Path, others: Sequence[Published]) -> ClaimsFile:
    """The file, whose claims may name published values of its own and ``others``."""
    root = read_yaml(path)
    entries = root.mapping("a file of claims")
    check_keys(entries, ("claims", "published"), "key")
    values = [_published(node) for node in entries["published"].items("published")] if "published" in entries else []
    known = {one.name for one in (*values, *others)}
    claims = [_claim(node, known) for node in entries["claims"].items("claims")] if "claims" in entries else []
    for kind, named in (("claims", claims), ("published", values)):
        names = [one.name for one in named]
        for place, node in enumerate(entries[kind].items(kind) if kind in entries else ()):
            if names[place] in names[:place]:
                raise node.place.error(f"two entries of {kind} are called {names[place]!r}")
    return ClaimsFile(tuple(claims), tuple(values))


def _published(node: Node) -> Published:
    entries = _entries(node, _VALUE_KEYS, "a published value", _ALWAYS)
    protocol = {name: _value(one) for name, one in entries["protocol"].mapping("protocol").items()}
    for name in _NEEDED:
        if name not in protocol:
            raise entries["protocol"].place.error(f"protocol needs {name!r}")
    rules = _texts(entries["rules"], "rules") if "rules" in entries else ()
    for rule in rules:
        if rule not in RULES:
            raise entries["rules"].place.error(f"unknown rule {rule!r}{nearest(rule, RULES)}")
    return Published(
        _text(entries["name"], "name"),
        _number(entries["value"], "value"),
        _number(entries["margin"], "margin", above=0),
        _text(entries["method"], "method"),
        _text(entries["metric"], "metric"),
        rules,
        protocol,
        _text(entries["source"], "source"),
        int(_number(entries["seeds"], "seeds", above=0)) if "seeds" in entries else None,
        _text(entries["note"], "note") if "note" in entries else "",
    )


def _claim(node: Node, published: set[str]) -> Claim:
    entries = _entries(node, _CLAIM_KEYS, "a claim", ("name", "sentence", "source", "estimand", "grids", "ask"))
    ask = _one_of(entries["ask"], "ask", ASKS)
    rule = _one_of(entries["rule"], "rule", (ALL_CELLS, MEAN_OVER_CELLS)) if "rule" in entries else ALL_CELLS
    values = _texts(entries["values"], "values") if "values" in entries else ()
    for name in values:
        if name not in published:
            raise entries["values"].place.error(f"no published value is called {name!r}{nearest(name, published)}")
    for key in _FOR.get(ask, ("of", "with")):
        if key not in entries:
            raise node.place.error(f"a claim that asks {ask!r} needs {key!r}")
    text = {key: _text(entries[key], key) for key in ("table", "untested", "note") if key in entries}
    return Claim(
        _text(entries["name"], "name"),
        _text(entries["sentence"], "sentence"),
        _text(entries["source"], "source"),
        _text(entries["estimand"], "estimand"),
        _texts(entries["grids"], "grids"),
        ask,
        rule,
        of=_condition(entries["of"], "of") if "of" in entries else {},
        against=_condition(entries["with"], "with") if "with" in entries else {},
        by=_number(entries["by"], "by") if "by" in entries else 0.0,
        margin=_number(entries["margin"], "margin", above=0) if "margin" in entries else None,
        measure=_one_of(entries["measure"], "measure", MEASURES) if "measure" in entries else METRIC,
        values=values,
        **text,
    )


def _entries(node: Node, keys: tuple[str, ...], what: str, needed: tuple[str, ...]) -> dict[str, Node]:
    entries = node.mapping(what)
    check_keys(entries, keys, f"key of {what}")
    for key in needed:
        if key not in entries:
            raise node.place.error(f"{what} needs {key!r}")
    return entries


def _text(node: Node, key: str) -> str:
    if not isinstance(node.value, str) or not node.value.strip():
        raise node.place.error(f"{key} must be a text, not {node.plain()!r}")
    return " ".join(node.value.split())


def _texts(node: Node, key: str) -> tuple[str, ...]:
    found = tuple(_text(item, key) for item in node.items(key))
    if not found:
        raise node.place.error(f"the list {key} is empty")
    return found


def _number(node: Node, key: str, above: float = -float("inf")) -> float:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < float("inf"):
        limit = "" if above == -float("inf") else f" above {above:g}"
        raise node.place.error(f"{key} must be a number{limit}, not {node.plain()!r}")
    return float(value)


def _one_of(node: Node, key: str, choices: tuple[str, ...]) -> str:
    if node.value not in choices:
        raise node.place.error(f"unknown {key} {node.plain()!r}{nearest(str(node.plain()), choices)}")
    return str(node.value)


def _value(node: Node) -> Value:
    value = node.plain()
    return tuple(value) if isinstance(value, list) else value


def _condition(node: Node, key: str) -> Condition:
    entries = node.mapping(key)
    if not entries:
        raise node.place.error(f"{key} needs at least one axis")
    return {
        axis: tuple(_value(one) for one in item.value) if isinstance(item.value, tuple) else (_value(item),)
        for axis, item in entries.items()
    }
