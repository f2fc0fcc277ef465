"""What the stored runs say of each claim.

A claim about all cells is *supported* where every cell shows it by itself: that all of them do so wrongly has at most
the probability that one does, so nothing is adjusted (intersection-union test). Which cells show it, where not all do,
is adjusted for their number. A claim about the mean over cells is one comparison.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from xsam.report.claims.evidence import Contrast, Reported, contrasts, is_ratio
from xsam.report.claims.judgement import CONTRADICTED, MIXED, NOT_TESTED, SUPPORTED, Evidence, Judgement
from xsam.report.claims.model import (
    ALL_CELLS,
    AS_PUBLISHED,
    EQUALS,
    HOLDS_AGAINST,
    MEAN_OVER_CELLS,
    WORSE_THAN,
    Claim,
)
from xsam.report.references import DIFFERS, REPRODUCED, Check
from xsam.report.text import label
from xsam.stats import (
    BETTER,
    EQUIVALENT,
    TOO_FEW,
    UNDECIDED,
    WORSE,
    Answer,
    Difference,
    decide,
    decide_family,
    mean_over_cells,
    seeds_needed,
    within_margin,
)

_NAMED = 4  # cells in one sentence


def judge(claims: Iterable[Claim], reports: Sequence[Reported], checks: Sequence[Check] = ()) -> tuple[Judgement, ...]:
    """Every claim that one of the grids may speak to, with what they say of it; none where no grid is any claim's.

    Args:
        claims: what is claimed.
        reports: the grids.
        checks: published values beside their cells.
    """
    names = {report.grid.name for report in reports}
    return tuple(_judged(claim, reports, checks) for claim in claims if names & set(claim.grids))


def _judged(claim: Claim, reports: Sequence[Reported], checks: Sequence[Check]) -> Judgement:
    if claim.ask == AS_PUBLISHED:
        return _as_published(claim, checks)
    found = contrasts(claim, reports, _shift(claim))
    tested = [one for one in found if one.difference.n or one.difference.ranked]
    scope = _scope(tested)
    if not tested:
        return Judgement(claim, NOT_TESTED, claim.untested, None, (0, len(found)), (0, 0), scope, ())
    shared = _share_runs(tested)
    counts = [len(one.difference.ranked) or one.difference.n for one in tested]
    verdict, detail, answers = _verdict(claim, tested, len(found), shared)
    evidence = tuple(
        Evidence(f"{one.grid}, {one.where}", one.effect, answer) for one, answer in zip(tested, answers, strict=True)
    )
    effect = mean_over_cells([one.effect for one in tested], shared)
    cells = (sum(count >= 2 for count in counts), len(found))
    return Judgement(claim, verdict, detail, effect, cells, (min(counts), max(counts)), scope, evidence)


def _shift(claim: Claim) -> float:
    """By how much ours have to be better, so that the question is whether a difference is above 0."""
    if claim.ask == HOLDS_AGAINST:
        margin = claim.margin or 0.0
        return -math.log1p(margin) if is_ratio(claim) else -margin
    return -claim.by if claim.ask == WORSE_THAN else claim.by


def _verdict(
    claim: Claim, tested: Sequence[Contrast], planned: int, shared: bool
) -> tuple[str, str, tuple[Answer, ...]]:
    lower = tested[0].lower_is_better
    margin = claim.margin if claim.ask != HOLDS_AGAINST else None
    differences = [one.difference for one in tested]
    if claim.ask == EQUALS:
        return _equals(claim, tested, planned, shared)
    answers = decide_family(differences, [margin] * len(differences), lower)
    wanted = WORSE if claim.ask == WORSE_THAN else BETTER
    if claim.rule == MEAN_OVER_CELLS:
        return (*_of_mean(claim, mean_over_cells(differences, shared), margin, lower, len(tested) < planned), answers)
    alone = [decide(one, margin, lower) for one in differences]
    return (*_of_all(tested, alone, answers, wanted, planned), answers)


def _of_mean(claim: Claim, mean: Difference, margin: float | None, lower: bool, incomplete: bool) -> tuple[str, str]:
    answer = decide(mean, margin, lower)
    wanted, against = (WORSE, BETTER) if claim.ask == WORSE_THAN else (BETTER, WORSE)
    if answer.decided and incomplete:
        return UNDECIDED, "cells are missing"
    if answer.verdict in (wanted, against):
        return (SUPPORTED if answer.verdict == wanted else CONTRADICTED), ""
    return (EQUIVALENT, "") if answer.verdict == EQUIVALENT else (UNDECIDED, _needed([answer]))


def _of_all(
    tested: Sequence[Contrast], alone: Sequence[Answer], answers: Sequence[Answer], wanted: str, planned: int
) -> tuple[str, str]:
    verdicts = {one.verdict for one in alone}
    against = BETTER if wanted == WORSE else WORSE
    missing = planned - len(tested)
    if verdicts == {wanted} and not missing:
        return SUPPORTED, ""
    if verdicts == {EQUIVALENT} and not missing:
        return EQUIVALENT, ""
    if verdicts == {against}:
        return CONTRADICTED, _counted(tested, planned)
    answered = {one.verdict for one in alone if one.verdict != TOO_FEW}
    if answered == {wanted}:
        shown = sum(one.verdict == wanted for one in alone)
        return UNDECIDED, f"{shown} of {planned} cells show it, the others lack runs"
    kinds = {
        kind: [one for one, answer in zip(tested, answers, strict=True) if answer.verdict == kind]
        for kind in (wanted, against, EQUIVALENT)
    }
    if kinds[wanted] and (len(kinds[wanted]) < planned):
        others = f"; {len(kinds[against])} the other way" if kinds[against] else ""
        return MIXED, f"{_counted(kinds[wanted], planned)}{others}"
    if kinds[against]:
        return CONTRADICTED, _counted(kinds[against], planned)
    parts = [f"{missing} of {planned} cells not run" if missing else "", _needed(alone)]
    if kinds[EQUIVALENT]:
        parts.insert(0, f"{len(kinds[EQUIVALENT])} of {planned} equivalent")
    return UNDECIDED, "; ".join(part for part in parts if part)


def _equals(
    claim: Claim, tested: Sequence[Contrast], planned: int, shared: bool
) -> tuple[str, str, tuple[Answer, ...]]:
    """Whether the difference is the one that was published, to the margin."""
    lower, margin = tested[0].lower_is_better, claim.margin or 0.0
    answers = tuple(decide(one.difference, margin, lower) for one in tested)
    asked = [mean_over_cells([one.difference for one in tested], shared)]
    if claim.rule == ALL_CELLS:
        asked = [one.difference for one in tested]
    inside = [_inside(one, margin) for one in asked]
    if all(inside) and len(tested) == planned:
        return SUPPORTED, "", answers
    if any(one is False for one in inside):
        return CONTRADICTED, "", answers
    needed = [seeds_needed(0.0, one.std, margin) for one in asked if one.std is not None and not one.has_failures]
    known = [one for one in needed if one is not None]
    if any(one.has_failures for one in asked):
        return UNDECIDED, "runs failed", answers
    return UNDECIDED, f"{max(known):,} seeds needed" if known else "too few seeds", answers


def _inside(one: Difference, margin: float) -> bool | None:
    """Whether the whole interval is within the margin; ``None`` where there is none, or runs failed."""
    if one.low is None or one.high is None or one.has_failures:
        return None
    return within_margin((one.low, one.high), 0, margin)


def _as_published(claim: Claim, checks: Sequence[Check]) -> Judgement:
    known = [one for one in checks if one.reference.name in claim.values and one.difference is not None]
    # A cell that stands in several tables counts once.
    found = list({(one.reference.name, one.difference, one.n): one for one in known}.values())
    scope = ", ".join(dict.fromkeys(f"{one.reference.model} on {one.reference.dataset}" for one in found))
    text = "; ".join(
        f"{one.reference.method} {one.reference.value:.2f} published, {one.difference:+.2f} here: {one.verdict}"
        for one in found
    )
    reached = {one.reference.name for one in found}
    verdicts = {one.verdict for one in found}
    cells = (len(reached), len(claim.values))
    if not found:
        return Judgement(claim, NOT_TESTED, claim.untested, None, cells, (0, 0), scope, ())
    if DIFFERS in verdicts:
        verdict = CONTRADICTED
    else:
        verdict = SUPPORTED if verdicts == {REPRODUCED} and len(reached) == len(claim.values) else UNDECIDED
    counts = [one.n for one in found]
    return Judgement(claim, verdict, text, None, cells, (min(counts), max(counts)), scope, ())


def _needed(answers: Sequence[Answer]) -> str:
    open_ones = [one for one in answers if one.verdict in (UNDECIDED, TOO_FEW)]
    if any(one.verdict == TOO_FEW for one in open_ones):
        return "too few seeds"
    if not open_ones or all(one.by_ranks for one in open_ones):
        return "runs failed" if open_ones else ""
    known = [one.seeds for one in open_ones if not one.by_ranks]
    if any(one is None for one in known):
        return "more than 9,999 seeds needed"
    return f"{max(one for one in known if one is not None):,} seeds needed"


def _counted(cells: Sequence[Contrast], planned: int) -> str:
    names = [one.where.split(":")[0] for one in cells]
    if len(set(names)) < len(names):
        names = [one.where for one in cells]
    listed = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    return f"{len(cells)} of {planned}: {listed}"


def _share_runs(found: Sequence[Contrast]) -> bool:
    """Whether a run stands in more than one of the pairs."""
    runs = [run for one in found for run in {*one.ours.runs, *one.theirs.runs}]
    return len(runs) > len(set(runs))


def _scope(found: Sequence[Contrast]) -> str:
    """Models, data and epochs of what was compared."""
    specs = [one.ours.spec for one in found]
    models, data, epochs = (
        dict.fromkeys(label(spec.params[name]) for spec in specs if spec.params.get(name) is not None)
        for name in ("model", "dataset", "epochs")
    )
    parts = f"{', '.join(models)} on {', '.join(data)}" if models and data else ""
    return f"{parts}; {', '.join(epochs)} epochs" if parts and epochs else parts
