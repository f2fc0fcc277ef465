"""The four answers, families of them, and the power that they are planned by."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from xsam.stats import (
    ALPHA,
    BETTER,
    EQUIVALENT,
    FAILS,
    HOLDS,
    TOO_FEW,
    UNDECIDED,
    WORSE,
    Difference,
    decide,
    decide_family,
    detectable_difference,
    directional_holm,
    equivalence_p,
    equivalence_power,
    holm,
    non_inferior,
    paired_difference,
    seeds_needed,
    t_test_power,
)
from xsam.stats.answers import shared_ranks


def difference(values: np.ndarray | list[float]) -> Difference:
    listed = np.asarray(values, dtype=float).tolist()
    return paired_difference(dict(enumerate(listed)), dict.fromkeys(range(len(listed)), 0.0))


@pytest.mark.parametrize(
    ("values", "margin", "verdict"),
    [
        ([1.0, 1.1, 0.9, 1.2], None, BETTER),
        ([-1.0, -1.1, -0.9, -1.2], None, WORSE),
        ([0.01, -0.02, 0.02, 0.0], 0.2, EQUIVALENT),
        ([0.10, 0.11, 0.09, 0.10], 0.2, EQUIVALENT),  # not 0, but declared not to matter
        ([0.01, -0.02, 0.02, 0.0], None, UNDECIDED),
        ([3.0, -2.0, 1.0, 0.5], 0.2, UNDECIDED),
        ([5.0] * 5, None, BETTER),  # no spread: five of five
        ([0.1] * 5, 0.2, EQUIVALENT),
        ([0.0] * 5, None, EQUIVALENT),
        ([1.0, 1.0], None, TOO_FEW),
        ([], 0.2, TOO_FEW),
    ],
)
def test_each_answer_is_given_where_it_should(values: list[float], margin: float | None, verdict: str) -> None:
    assert decide(difference(values), margin).verdict == verdict
    mirrored = {BETTER: WORSE, WORSE: BETTER}.get(verdict, verdict)
    assert decide(difference(values), margin, lower_is_better=True).verdict == mirrored
    assert decide(difference([-value for value in values]), margin).verdict == mirrored


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.integers(-20, 30), min_size=3, max_size=7), min_size=1, max_size=7),
    st.sampled_from([None, 0.5, 2.0]),
)
def test_every_answer_can_be_read_off_its_interval(families: list[list[int]], margin: float | None) -> None:
    found = [difference([value / 7 for value in values]) for values in families]
    for one, answer in zip(found, decide_family(found, [margin] * len(found)), strict=True):
        assert answer.low is not None
        assert answer.high is not None
        assert answer.low <= one.mean <= answer.high
        inside = margin is not None and -margin < answer.low and answer.high < margin
        assert (answer.verdict == EQUIVALENT) == (inside or answer.low == answer.high == 0)
        # The near bound of a decided comparison in a family is an open 0.
        positive = answer.low > 0 or (answer.low == 0 < answer.high and len(found) > 1)
        assert (answer.adjusted_p <= ALPHA) == (positive or (answer.high <= 0 and answer.low < 0)), answer
        assert not answer.seeds or answer.verdict == UNDECIDED


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
def test_holm_is_that_of_statsmodels(p_values: list[float | None]) -> None:
    known = [p for p in p_values if p is not None]
    adjusted, directional = holm(p_values), directional_holm(p_values)
    assert [p is None for p in adjusted] == [p is None for p in directional] == [p is None for p in p_values]
    if known:
        reference = multipletests(known, method="holm")[1]
        assert [p for p in adjusted if p is not None] == pytest.approx(list(reference), abs=1e-12)
        # Of both directions of each comparison, of which one has half of the two-sided p and the other the rest of 1.
        one_sided = [p / 2 for p in known] + [1 - p / 2 for p in known]
        reference = multipletests(one_sided, method="holm")[1][: len(known)]
        assert [p for p in directional if p is not None] == pytest.approx(list(reference), abs=1e-12)


@pytest.mark.parametrize("margin", [0.3, 1.0])
def test_the_p_of_equivalence_is_that_of_statsmodels(margin: float) -> None:
    first, second = np.random.default_rng(4).normal(80, 0.5, (2, 8))
    found = paired_difference(dict(enumerate(first.tolist())), dict(enumerate(second.tolist())))
    assert equivalence_p(found, margin) == pytest.approx(ttost_paired(first, second, -margin, margin)[0], rel=1e-9)
    assert (decide(found, margin).verdict == EQUIVALENT) == (equivalence_p(found, margin) < ALPHA / 2)


def test_a_family_asks_more_of_each_member_and_less_after_each_decision() -> None:
    clear, close = difference([1.0, 1.2, 0.9, 1.1, 1.3]), difference([0.4, 0.9, 0.1, 0.7, 0.3])
    assert decide(close).verdict == BETTER
    assert [one.verdict for one in decide_family([close] * 5)] == [UNDECIDED] * 5
    # 0.018 · (2 · 2 - 1) / 2 = 0.027 beside one decided comparison; two undecided ones would make it 0.036.
    assert decide_family([clear, close])[1].adjusted_p == pytest.approx(1.5 * close.p)
    few = difference([1.0, 2.0])
    assert decide_family([clear, few])[0] == decide(clear), "two pairs are no member of a family"


def test_an_arm_whose_runs_failed_is_never_better_by_its_survivors() -> None:
    base = {seed: 80.0 + 0.1 * (seed % 3) for seed in range(20)}
    survivors = {seed: value + 2 for seed, value in base.items() if seed > 1}
    found = paired_difference(survivors, base, failed=[0, 1])
    assert found.p < 1e-6
    answer = decide(found)
    assert (answer.verdict, answer.by_ranks, answer.low) == (UNDECIDED, True, None)
    assert found.rank_p < 0.05, "the other 18 would decide it: more failures than the other side do not allow it"
    assert decide(paired_difference(base, survivors, reference_failed=[0, 1])).verdict == UNDECIDED, "nor worse"
    # Where the other side failed, ours may be better; and a side that fails and loses is worse.
    full = {seed: value + 2 for seed, value in base.items()}
    assert decide(paired_difference(full, {**base}, reference_failed=[0, 1])).verdict == BETTER
    worse = {seed: value - 2 for seed, value in base.items() if seed > 1}
    assert decide(paired_difference(worse, base, failed=[0, 1])).verdict == WORSE


def test_a_side_that_failed_as_a_whole_is_worse() -> None:
    base = dict.fromkeys(range(3), 80.0)
    assert decide(paired_difference({}, base, failed=range(3))).verdict == WORSE
    assert decide(paired_difference(base, {}, reference_failed=range(3))).verdict == BETTER
    assert decide(paired_difference({}, {}, failed=range(3), reference_failed=range(3))).verdict == UNDECIDED
    assert decide(paired_difference({2: 81.0}, base, failed=range(2))).verdict == UNDECIDED


def test_holding_is_shown_by_not_being_worse() -> None:
    even = difference([0.05, -0.1, 0.02, 0.08, -0.03])
    assert non_inferior(even, 0.3) == HOLDS
    assert non_inferior(even, 0.05) == UNDECIDED
    assert non_inferior(difference([2.0, 2.5, 1.9]), 0.3) == HOLDS, "better is more than holding"
    assert non_inferior(difference([2.0, 2.5, 1.9]), 0.3, lower_is_better=True) == FAILS
    assert non_inferior(difference([1.0, 1.0]), 0.3) == TOO_FEW
    base = dict.fromkeys(range(8), 80.0)
    assert non_inferior(paired_difference(base, base, reference_failed=[3]), 0.3) == HOLDS
    assert non_inferior(paired_difference(base, base, failed=[3]), 0.3) == UNDECIDED
    assert non_inferior(paired_difference({}, base, failed=range(8)), 0.3) == FAILS


@pytest.mark.parametrize(
    ("n", "effect", "alpha"), [(3, 2.0, 0.05), (5, 1.2, 0.05), (8, 0.8, 0.05 / 9), (30, 0.5, 0.01)]
)
def test_power_is_that_of_statsmodels(n: int, effect: float, alpha: float) -> None:
    assert t_test_power(n, effect, 0.7, alpha) == pytest.approx(
        TTestPower().power(effect / 0.7, n, alpha), rel=1e-6, abs=2e-4
    )
    shown = detectable_difference(n, 0.7, alpha)
    assert t_test_power(n, shown, 0.7, alpha) == pytest.approx(0.8, abs=1e-9)


def test_the_power_of_equivalence_is_the_share_of_experiments_that_show_it() -> None:
    rng = np.random.default_rng(5)
    for n, effect in ((5, 0.0), (12, 0.1)):
        drawn = rng.normal(effect, 0.3, (20_000, n))
        shown = np.mean(
            np.abs(drawn.mean(axis=1)) + {5: 2.7764, 12: 2.2010}[n] * drawn.std(axis=1, ddof=1) / n**0.5 < 0.4
        )
        assert equivalence_power(n, 0.4, 0.3, effect) == pytest.approx(shown, abs=0.012)


def test_the_seeds_needed_have_the_power_and_one_less_has_not() -> None:
    for effect, std in itertools.product((0.3, 1.0), (0.2, 1.0)):
        needed = seeds_needed(effect, std)
        assert t_test_power(needed, effect, std) >= 0.8
        assert needed == 3 or t_test_power(needed - 1, effect, std) < 0.8
    needed = seeds_needed(0.0, 0.4, margin=0.3)
    assert equivalence_power(needed, 0.3, 0.4) >= 0.8 > equivalence_power(needed - 1, 0.3, 0.4)
    assert seeds_needed(0.0, 0.4) is None
    assert seeds_needed(0.25, 0.4, margin=0.3) == seeds_needed(0.25, 0.4), "nearer to the margin than to 0"
    assert seeds_needed(1.0, 0.0) == 3


def test_an_undecided_comparison_says_how_many_seeds_would_decide_it() -> None:
    found = difference([0.5, -0.2, 0.4, 0.1, 0.3])
    answer = decide(found)
    assert answer.seeds == seeds_needed(found.mean, found.std)
    assert answer.seeds > 5
    shared = decide_family([found] * 4)[0]
    assert shared.seeds == seeds_needed(found.mean, found.std, alpha=ALPHA / 4) > answer.seeds


@pytest.mark.parametrize("effects", [(0.0,) * 4, (0.0, 0.0, 3.0, 3.0), (3.0,) * 4, (0.3, -0.3, 0.0, 6.0)])
def test_the_bounds_of_a_family_hold_all_at_once(effects: tuple[float, ...]) -> None:
    rng = np.random.default_rng(6)
    experiments, missed = 1000, 0
    for drawn in rng.normal(np.array(effects)[:, None], 1, (experiments, len(effects), 5)):
        answers = decide_family([difference(values) for values in drawn])
        # A near bound of 0 is open: it says that the sign is known.
        missed += not all(
            (one.low <= truth <= one.high) and not (truth == 0 and one.adjusted_p <= ALPHA)
            for one, truth in zip(answers, effects, strict=True)
        )
    assert missed / experiments <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / experiments) ** 0.5


def test_shared_ranks_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        values = [float(value) for value in rng.integers(0, 10, size)]
        values[0] = math.inf
        assert shared_ranks(values) == scipy.stats.rankdata(values).tolist()
