"""What a difference shows: better, worse, equivalent or undecided, each read off one interval; Holm inside a family.

**One interval, four answers.** The interval misses the truth with probability 0.05, half on each side. Better or worse:
it excludes 0. Equivalent: it lies inside the margin that was declared before, which makes two one-sided tests
(Schuirmann, 1987) of level 0.025 each; this comes first, since a difference inside the margin was declared not to
matter. Holds: it lies above minus the margin (non-inferiority, at the 0.025 that ICH E9 asks for). The usual 90%
interval for equivalence would need a fifth fewer seeds, and a second interval in each place of a table. A statement is
wrong with probability 0.05 at most, whichever it is, since the interval then misses the truth.

**Families.** Comparisons of one family are decided by Holm's step-down procedure over the 2m one-sided hypotheses
θ ≤ 0 and θ ≥ 0 of its m comparisons, at 0.05 for all. The intervals are the bounds that are compatible with it
(Strassburger & Bretz, 2008; Guilbaud, 2008): with r one-sided hypotheses rejected, 0 is the near bound of a decided
comparison, and all other bounds are those of level 0.05 / (2m - r). They hold all at once with probability 0.95: let I
be the one-sided hypotheses that are true. With that probability all bounds of level 0.05 / |I| that concern I hold;
then Holm rejects none of I, so that 2m - r ≥ |I| and its bounds, which are wider, hold too; the bounds of hypotheses
outside I that were not rejected lie beyond 0, where the truth does not; and a rejected one was false. No independence
is assumed. A comparison of a family with several members that is decided thus has 0 as one end: that its sign is known
is all that the family's 0.05 pays for, and its own 95% interval tells its size. A family of one keeps its own interval.

**Runs that failed.** Where a run of either side diverged, failed or collapsed, the mean is one of survivors and decides
nothing: the exact signed-rank test with failed runs as the worst ranks does, and a side with more failures than the
other is never better. Where all runs of one side failed and none of the other, no test is needed.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from xsam.stats.paired import ALPHA, FEWEST_PAIRS, Difference
from xsam.stats.power import seeds_needed
from xsam.stats.resampling import signed_rank_p

BETTER, WORSE, EQUIVALENT, UNDECIDED, TOO_FEW = "better", "worse", "equivalent", "undecided", "too few seeds"
HOLDS, FAILS = "holds", "fails"
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Answer:
    """What one comparison of a family shows.

    Attributes:
        verdict: ``"better"``, ``"worse"``, ``"equivalent"`` or ``"undecided"``; below three pairs ``"too few seeds"``.
        low, high: the interval that it was read off; simultaneous with those of the family's other comparisons.
            ``None`` where the rank test decides, and below three pairs.
        adjusted_p: Holm's p: at most 0.05 where the sign of the difference is decided. ``None`` below three pairs.
        margin: what counts as no difference; ``None`` where none was declared.
        by_ranks: whether runs failed, so that the rank test decided.
        mean, std: of the differences; ``None`` where the mean does not decide.
        level: with what probability the interval may miss the truth: 0.05, or less in a family of several.
    """

    verdict: str
    low: float | None
    high: float | None
    adjusted_p: float | None
    margin: float | None = None
    by_ranks: bool = False
    mean: float | None = None
    std: float | None = None
    level: float = ALPHA

    @cached_property
    def seeds(self) -> int | None:
        """How many seeds would decide it with a probability of 80%, were the truth as seen and the family as now.

        ``None`` where it is decided, and where no number below 10,000 would.
        """
        if self.verdict != UNDECIDED or self.mean is None or self.std is None:
            return None
        return seeds_needed(self.mean, self.std, self.margin, self.level)

    @property
    def decided(self) -> bool:
        """Whether it is one of better, worse and equivalent."""
        return self.verdict in (BETTER, WORSE, EQUIVALENT)


def decide(difference: Difference, margin: float | None = None, lower_is_better: bool = False) -> Answer:
    """The answer to one comparison that stands for itself.

    Args:
        difference: ours minus theirs (:func:`xsam.stats.paired_difference`).
        margin: a difference up to this does not matter, in the metric's unit; none: never equivalent, unless both are
            the same number in every seed.
        lower_is_better: of the metric.

    Example:
        >>> from xsam.stats import paired_difference
        >>> sam = {0: 80.1, 1: 80.9, 2: 79.6, 3: 80.3}
        >>> decide(paired_difference({seed: value + 5 for seed, value in sam.items()}, sam)).verdict
        'better'
        >>> close = paired_difference({0: 80.2, 1: 80.8, 2: 79.7, 3: 80.3}, sam)
        >>> decide(close).verdict, decide(close).seeds, decide(close, margin=0.5).verdict
        ('undecided', 118, 'equivalent')
    """
    return decide_family([difference], [margin], lower_is_better)[0]


def decide_family(
    differences: Sequence[Difference],
    margins: Sequence[float | None] | None = None,
    lower_is_better: bool = False,
) -> tuple[Answer, ...]:
    """The answers to comparisons that were declared together, adjusted for their number (see this module).

    Comparisons with fewer than three pairs count for nothing in the family.

    Example:
        >>> from xsam.stats import paired_difference
        >>> base = dict.fromkeys(range(5), 80.0)
        >>> gains = ([1.0, 1.2, 0.9, 1.1, 1.3], [0.1, 0.5, -0.3, 0.2, -0.1])
        >>> family = [paired_difference({s: 80 + g for s, g in enumerate(gain)}, base) for gain in gains]
        >>> [(one.verdict, round(one.low, 2), round(one.high, 2)) for one in decide_family(family)]
        [('better', 0.0, 1.33), ('undecided', -0.35, 0.51)]
    """
    given = margins if margins is not None else [None] * len(differences)
    p_values = [_p_value(one) for one in differences]
    adjusted = directional_holm(p_values)
    tested = sum(p is not None for p in p_values)
    rejected = sum(p is not None and p <= ALPHA + _ROUNDING for p in adjusted)
    level = 2 * ALPHA / (2 * tested - rejected) if tested > 1 else ALPHA
    return tuple(
        _answer(one, margin, p, level, tested, lower_is_better)
        for one, margin, p in zip(differences, given, adjusted, strict=True)
    )


def _p_value(one: Difference) -> float | None:
    if not one.has_failures:
        return one.p
    if len(one.ranked) < FEWEST_PAIRS:
        return None
    # Every run of one side failed and none of the other: as with differences without spread, no test is needed.
    lost = set(one.ranked)
    return 0.0 if len(lost) == 1 and math.isinf(one.ranked[0]) else one.rank_p


def _answer(
    one: Difference, margin: float | None, p: float | None, level: float, family: int, lower_is_better: bool
) -> Answer:
    if p is None:
        return Answer(TOO_FEW, None, None, None, margin, one.has_failures)
    decided = p <= ALPHA + _ROUNDING
    if one.has_failures:
        return Answer(_by_ranks(one, decided, lower_is_better), None, None, p, margin, by_ranks=True)
    if one.mean is None:
        raise ValueError("a comparison with a p value has a mean")
    low, high = one.bounds(level)
    if decided and family > 1 and one.std:
        low, high = (0.0, high) if one.mean > 0 else (low, 0.0)
    # Without spread and without difference there is nothing left that a margin could add.
    if (margin is not None and -margin < low and high < margin) or low == high == 0:
        verdict = EQUIVALENT
    elif decided:
        verdict = BETTER if (one.mean < 0) == lower_is_better else WORSE
    else:
        verdict = UNDECIDED
    return Answer(verdict, low, high, p, margin, False, one.mean, one.std, level)


def _by_ranks(one: Difference, decided: bool, lower_is_better: bool) -> str:
    if not decided:
        return UNDECIDED
    # The sign of the signed ranks' sum: where the test found it.
    ours = _rank_sum(one.ranked) < 0 if lower_is_better else _rank_sum(one.ranked) > 0
    more, fewer = (one.failed, one.reference_failed) if ours else (one.reference_failed, one.failed)
    return UNDECIDED if more > fewer else BETTER if ours else WORSE


def _rank_sum(differences: Sequence[float]) -> float:
    ranks = shared_ranks([abs(value) for value in differences])
    return sum(rank if value > 0 else -rank for rank, value in zip(ranks, differences, strict=True) if value)


def shared_ranks(values: Sequence[float]) -> list[float]:
    """Each value's rank, 1 the smallest; equals share the mean of theirs.

    >>> shared_ranks([0.3, 0.1, 0.3, math.inf])
    [2.5, 1.0, 2.5, 4.0]
    """
    ordered = sorted(values)  # scipy.stats takes more than half a second to import
    return [(bisect_left(ordered, value) + 1 + bisect_right(ordered, value)) / 2 for value in values]


def non_inferior(difference: Difference, margin: float, lower_is_better: bool = False) -> str:
    """Whether ours *holds* against theirs: is not worse by the margin or more.

    Returns:
        ``"holds"``: the 95% interval lies above minus the margin; ``"fails"``: it lies below; ``"undecided"``, or
        ``"too few seeds"``. Where runs failed, the signed-rank test of the differences plus the margin decides.

    Example:
        >>> from xsam.stats import paired_difference
        >>> sam = {0: 80.1, 1: 80.9, 2: 79.6, 3: 80.3}
        >>> non_inferior(paired_difference({0: 80.2, 1: 80.8, 2: 79.7, 3: 80.3}, sam), margin=0.2)
        'holds'
    """
    sign = -1 if lower_is_better else 1
    if difference.has_failures:
        shifted = [sign * value + margin for value in difference.ranked]
        if len(shifted) < FEWEST_PAIRS:
            return TOO_FEW
        if signed_rank_p(shifted) > ALPHA + _ROUNDING:
            return UNDECIDED
        holds = _rank_sum(shifted) > 0
        return UNDECIDED if holds and difference.failed > difference.reference_failed else (FAILS, HOLDS)[holds]
    if difference.mean is None or difference.n < FEWEST_PAIRS:
        return TOO_FEW
    low, high = sorted(sign * end for end in difference.bounds(ALPHA))
    return HOLDS if low > -margin else FAILS if high < -margin else UNDECIDED


def equivalence_p(difference: Difference, margin: float) -> float | None:
    """The p of two one-sided t tests for a difference inside ± ``margin``: the larger of both (Schuirmann, 1987).

    :func:`decide` asks for at most 0.025. ``None`` below three pairs.

    >>> from xsam.stats import paired_difference
    >>> equivalence_p(paired_difference({0: 1.0, 1: 2.1, 2: 3.0}, {0: 1.0, 1: 2.0, 2: 3.0}), 0.5) < 0.01
    True
    """
    if difference.mean is None or difference.std is None or difference.n < FEWEST_PAIRS:
        return None
    inside = margin - abs(difference.mean)
    if not difference.std:
        return float(inside <= 0)
    from scipy.special import stdtr

    degrees = difference.n - 1 if difference.degrees is None else difference.degrees
    return float(stdtr(degrees, -inside / (difference.std / difference.n**0.5)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p values adjusted for their number by Holm's step-down method (1979); ``None`` stays and does not count.

    The numbers are those of ``statsmodels.stats.multitest.multipletests``, which takes a second to import.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    return _step_down(p_values, lambda tested, rank: tested - rank)


def directional_holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Two-sided p values adjusted by Holm over the 2m one-sided hypotheses of their directions.

    Half of a two-sided p is the one-sided p of the direction seen; those of the opposite directions are above 0.5. At
    most 0.05 means that the direction seen is decided; a wrong one among all is with probability 0.05 at most, which
    Holm over the m two-sided hypotheses promises for false differences alone.

    >>> directional_holm([0.01, None, 0.04]), directional_holm([0.04])
    ([0.02, None, 0.06], [0.04])
    """
    return _step_down(p_values, lambda tested, rank: (2 * tested - rank) / 2)


def _step_down(p_values: Sequence[float | None], factor: Callable[[int, int], float]) -> list[float | None]:
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, factor(len(known), rank) * p))
        adjusted[place] = highest
    return adjusted


def within_margin(interval: tuple[float, float], value: float, margin: float) -> bool | None:
    """Whether an interval lies within ``margin`` of ``value``; ``False`` where all of it lies outside, else ``None``.

    This is how a published value is judged: reproduced, differs, undecided.

    >>> [within_margin(one, value=35.3, margin=0.3) for one in ((35.1, 35.4), (33.4, 36.9), (35.7, 36.0))]
    [True, None, False]
    """
    low, high = interval
    if value - margin <= low and high <= value + margin:
        return True
    return False if high < value - margin or low > value + margin else None


def counted(answers: Sequence[Answer]) -> Mapping[str, int]:
    """Verdict → how many answers have it, in the order better, equivalent, undecided, too few seeds, worse."""
    order = (BETTER, EQUIVALENT, UNDECIDED, TOO_FEW, WORSE)
    counts = {verdict: sum(one.verdict == verdict for one in answers) for verdict in order}
    return {verdict: count for verdict, count in counts.items() if count}
