"""What the paper (arXiv 2603.10048) claims, and what the stored runs say of each claim."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from xsam.grid.spec import RunSpec
from xsam.optim.registry import METHODS
from xsam.report.comparisons import OPTIMIZER, Place, partner
from xsam.report.references import NOT_COMPARABLE, NOT_REPRODUCED, REPRODUCED, Check
from xsam.report.stats import (
    BETTER,
    TOO_FEW,
    UNDECIDED,
    WORSE,
    Difference,
    holm,
    paired_difference,
    verdict,
)
from xsam.report.table import Cell, Table
from xsam.report.text import key_label

SUPPORTED, CONTRADICTED, NOT_TESTABLE = "supported", "contradicted", "not testable here"
MARGIN = 0.05  # what counts as a negligible overhead: 5% of the time
EIGENVALUE = "top_eigenvalue"
_PLAIN = tuple(name for name, method in METHODS.items() if method.alone)
_OTHERS = tuple(name for name, method in METHODS.items() if method.family and name not in ("sam", "xsam"))

CLAIMS_NOTE = (
    "The paper's claims (arXiv 2603.10048) as these grids show them, on the models and data sets that they have. "
    "Supported or contradicted: decided after Holm's adjustment in at least one comparison, and in none the other way."
)

Measures = Mapping[str, Mapping[Place, Mapping[int, float]]]
Shares = Mapping[tuple[str, int], Mapping[str, Mapping[int, float]]]
Pair = tuple[str, Mapping[int, float], Mapping[int, float]]  # where, ours, theirs


@dataclass(frozen=True)
class Source:
    """What claims are judged by: one table and what was measured of its runs.

    Attributes:
        table: the cells.
        measures: measure of sharpness → place → seed → value.
        checks: published values beside the cells.
        shares: (optimizer that trained, ascent steps looked at) → direction → seed → the share of the best direction's
            rise that it reaches, the mean over the seed's runs; of the grid's first table alone.
    """

    table: Table
    measures: Measures
    checks: Sequence[Check]
    shares: Shares


@dataclass(frozen=True)
class Evidence:
    """One comparison that bears on a claim.

    Attributes:
        where: grid, row and columns.
        difference: paired by seed; of logarithms where the claim is about a ratio.
        adjusted_p: the t test's p, adjusted by Holm for all comparisons of the claim.
        verdict: ``"better"``, ``"worse"``, ``"undecided"`` or ``"too few seeds"``, as the claim counts better.
    """

    where: str
    difference: Difference
    adjusted_p: float | None
    verdict: str


@dataclass(frozen=True)
class Judgement:
    """A claim and what became of it.

    Attributes:
        claim: what the paper says.
        verdict: ``"supported"``, ``"contradicted"``, ``"undecided"`` or ``"not testable here"``.
        numbers: the numbers behind the verdict, in one sentence.
        evidence: every comparison behind it.
    """

    claim: str
    verdict: str
    numbers: str
    evidence: tuple[Evidence, ...]


def judge(sources: Iterable[Source]) -> tuple[Judgement, ...]:
    """Every claim, judged by tables of each task's own metric under an honest rule.

    Supported: at least one comparison is decided for it and none against it, after Holm's adjustment for the claim's
    comparisons. Contradicted: the other way round. Undecided: neither, or both. Claims without runs that could test
    them are not testable here.
    """
    from xsam.tasks import TASKS, get_task

    metrics = {name: get_task(name).metric for name in TASKS}
    used = [
        source
        for source in sources
        if source.table.rule != "best_test"
        and any(source.table.metric == metrics[cell.spec.task] for _, _, cell in source.table.planned())
    ]
    return tuple(one(used) for one in _CLAIMS)


def is_searched_xsam(spec: RunSpec) -> bool:
    """Whether the run is the paper's method, which searches alpha, and not one with an alpha of its own choice."""
    return spec.method == "xsam" and spec.params.get("alpha") is None


def _xsam_against(methods: Sequence[str], datasets: str, sources: Sequence[Source]) -> Iterator[Pair]:
    for table in (source.table for source in sources):
        for place, other in _rivals(table, methods, datasets):
            yield _where(table, place, other), table.cells[place].values, table.cells[other].values


def _rivals(table: Table, methods: Sequence[str], datasets: str = "") -> Iterator[tuple[Place, Place]]:
    """Each cell of XSAM with each cell of ``methods`` that differs from it in the optimizer alone."""
    labels = {
        cell.spec.optimizer: None for _, _, cell in table.planned() if cell.spec.method in methods and _alone(cell.spec)
    }
    for row, column, cell in table.planned():
        if is_searched_xsam(cell.spec) and str(cell.spec.params["dataset"]).startswith(datasets):
            for label in labels:
                if (other := partner(table, (row, column), label)) is not None:
                    yield (row, column), other


def _alone(spec: RunSpec) -> bool:
    return spec.params.get("alpha") is None


def _more_steps(wanted: Callable[[RunSpec], bool], sources: Sequence[Source]) -> Iterator[Pair]:
    """Each cell of several ascent steps with the cell of one step at the same place."""
    for table in (source.table for source in sources):
        axes = (*table.row_axes, *table.column_axes)
        if "ascent_steps" not in axes:
            continue
        position, rows = axes.index("ascent_steps"), len(table.row_axes)
        for row, column, cell in table.planned():
            whole = (*row, *column)
            single = (*whole[:position], 1, *whole[position + 1 :])
            other = (single[:rows], single[rows:])
            if wanted(cell.spec) and other in table.cells and whole != single:
                yield _where(table, (row, column), other), cell.values, table.cells[other].values


def _flatness(methods: Sequence[str], sources: Sequence[Source]) -> Iterator[Pair]:
    for source in sources:
        table, values = source.table, source.measures.get(EIGENVALUE, {})
        for place, other in _rivals(table, methods):
            if place in values and other in values:
                yield _where(table, place, other), values[place], values[other]


def _times(sources: Sequence[Source]) -> Iterator[Pair]:
    for table in (source.table for source in sources):
        for place, other in _rivals(table, ("sam",)):
            yield _where(table, place, other), _seconds(table.cells[place]), _seconds(table.cells[other])


def _seconds(cell: Cell) -> dict[int, float]:
    seconds = {one.seed: one.costs["wall_seconds"] for one in cell.outcomes if "wall_seconds" in one.costs}
    return {seed: math.log(value) for seed, value in seconds.items() if value > 0}


def _where(table: Table, place: Place, other: Place) -> str:
    names = " against ".join(_name(table, one) for one in (place, other))
    row = key_label(place[0])
    return f"{table.grid}, {row}: {names}" if row else f"{table.grid}: {names}"


def _name(table: Table, place: Place) -> str:
    return key_label(place[1]) if OPTIMIZER in table.column_axes else key_label((*place[0], *place[1]))


def _tested(pairs: Iterable[Pair], lower_is_better: bool = False) -> tuple[Evidence, ...]:
    """The pairs as comparisons, each once however many tables it stands in."""
    distinct = {(tuple(ours.items()), tuple(theirs.items())): (where, ours, theirs) for where, ours, theirs in pairs}
    found = [(where, paired_difference(ours, theirs)) for where, ours, theirs in distinct.values()]
    adjusted = holm([difference.p for _, difference in found])
    return tuple(
        Evidence(where, difference, p, verdict(difference, p, lower_is_better))
        for (where, difference), p in zip(found, adjusted, strict=True)
    )


def _decided(evidence: Sequence[Evidence], supports: str = BETTER) -> str:
    verdicts = {one.verdict for one in evidence if one.difference.n}
    against = WORSE if supports == BETTER else BETTER
    if not verdicts:
        return NOT_TESTABLE
    if supports in verdicts and against not in verdicts:
        return SUPPORTED
    return CONTRADICTED if against in verdicts and supports not in verdicts else UNDECIDED


def _counted(evidence: Sequence[Evidence], decimals: int = 2) -> str:
    means = [one.difference.mean for one in evidence if one.difference.mean is not None]
    if not means:
        return "no pairs of runs."
    parts = [(sum(one.verdict == kind for one in evidence), kind) for kind in (BETTER, WORSE, UNDECIDED, TOO_FEW)]
    counts = ", ".join(f"{count} {kind}" for count, kind in parts if count)
    low, middle, high = (f"{value + 0.0:+.{decimals}f}" for value in (min(means), statistics.median(means), max(means)))
    return f"{_comparisons(evidence)}: {counts}; differences {low} to {high}, median {middle}."


def _comparisons(of: Sequence[object]) -> str:
    return "1 comparison" if len(of) == 1 else f"{len(of)} comparisons"


def _better(
    claim: str,
    pairs: Callable[[Sequence[Source]], Iterable[Pair]],
    sources: Sequence[Source],
    supports: str = BETTER,
    lower_is_better: bool = False,
) -> Judgement:
    evidence = _tested(pairs(sources), lower_is_better)
    return Judgement(claim, _decided(evidence, supports), _counted(evidence), evidence)


def _by_margin(claim: str, sources: Sequence[Source]) -> Judgement:
    """Gains above one point: the whole interval above 1 supports it, one below 1 contradicts it."""
    evidence = _tested(_xsam_against(("sam",), "tiny_imagenet", sources))
    return Judgement(claim, _inside(evidence, above=1.0), _counted(evidence), evidence)


def _overhead(claim: str, sources: Sequence[Source]) -> Judgement:
    """The ratio of times: an interval below 1 + ``MARGIN`` supports the claim, one above it contradicts it."""
    evidence = _tested(_times(sources), lower_is_better=True)
    ratios = [math.exp(one.difference.mean) for one in evidence if one.difference.mean is not None]
    numbers = (
        f"{_comparisons(ratios)}; seconds of XSAM / seconds of SAM {min(ratios):.3f} to {max(ratios):.3f}, "
        f"median {statistics.median(ratios):.3f}; negligible means at most {1 + MARGIN:g}."
        if ratios
        else "no pairs of runs."
    )
    return Judgement(claim, _inside(evidence, above=-math.log1p(MARGIN), sign=-1), numbers, evidence)


def _inside(evidence: Sequence[Evidence], above: float, sign: int = 1) -> str:
    """Supported where every interval (times ``sign``) is ``above``; contradicted where one is below."""
    if not any(one.difference.n for one in evidence):
        return NOT_TESTABLE
    ends = [(one.difference.low, one.difference.high) for one in evidence]
    known = [sorted((sign * low, sign * high)) for low, high in ends if low is not None and high is not None]
    if sum(low > above for low, _ in known) == len(evidence):
        return SUPPORTED
    return CONTRADICTED if any(high < above for _, high in known) else UNDECIDED


def _published(claim: str, sources: Sequence[Source]) -> Judgement:
    found = [check for source in sources for check in source.checks if check.verdict != NOT_COMPARABLE]
    verdicts = {check.verdict for check in found if check.difference is not None}
    if not verdicts:
        return Judgement(claim, NOT_TESTABLE, "no runs of the same model and data.", ())
    numbers = "; ".join(
        f"{check.reference.method} {check.reference.value:.2f} published, {check.difference:+.2f} here: {check.verdict}"
        for check in found
        if check.difference is not None
    )
    decided = CONTRADICTED if NOT_REPRODUCED in verdicts else SUPPORTED if verdicts == {REPRODUCED} else UNDECIDED
    return Judgement(claim, decided, f"{numbers}.", ())


def _nearer(sources: Sequence[Source]) -> Iterator[Pair]:
    """XSAM's direction against SAM's, at the same weights."""
    for source in sources:
        for (optimizer, k), shares in source.shares.items():
            yield f"{source.table.grid}, {optimizer}, k = {k}", shares["xsam"], shares["sam"]


def _farther(sources: Sequence[Source]) -> Iterator[Pair]:
    """SAM's direction after several ascent steps against the one after a single step, at the same weights."""
    for source in sources:
        for (optimizer, k), shares in source.shares.items():
            single = source.shares.get((optimizer, 1))
            if single is not None and k > 1:
                yield f"{source.table.grid}, {optimizer}, k = {k} against 1", shares["sam"], single["sam"]


_CLAIMS: tuple[Callable[[Sequence[Source]], Judgement], ...] = (
    partial(_better, "XSAM is better than SAM.", partial(_xsam_against, ("sam",), "")),
    partial(_better, "XSAM is better than the plain base optimizer.", partial(_xsam_against, _PLAIN, "")),
    partial(_better, "XSAM is better than the other methods of the family.", partial(_xsam_against, _OTHERS, "")),
    partial(_by_margin, "On Tiny-ImageNet XSAM gains more than one point over SAM."),
    partial(_published, "IWSLT2014 De-En: XSAM reaches 35.63 BLEU and SAM 35.30."),
    partial(
        _better,
        "SAM gets worse with more ascent steps.",
        partial(_more_steps, lambda spec: spec.method == "sam"),
        supports=WORSE,
    ),
    partial(_better, "XSAM holds or improves with more ascent steps.", partial(_more_steps, is_searched_xsam)),
    partial(
        _better,
        "XSAM's minima are flatter than SAM's and the base optimizer's (largest Hessian eigenvalue).",
        partial(_flatness, ("sam", *_PLAIN)),
        lower_is_better=True,
    ),
    partial(_overhead, "XSAM costs about as much time as SAM, since alpha is searched once an epoch."),
    partial(
        _better, "XSAM's direction is nearer than SAM's gradient to the maximum nearby (share of its rise).", _nearer
    ),
    partial(
        _better,
        "SAM's gradient points less well at that maximum with more ascent steps (share of its rise).",
        _farther,
        supports=WORSE,
    ),
)
