"""The statistics against scipy, statsmodels, printed tables and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from xsam.report.stats import (
    BETTER,
    TOO_FEW,
    UNDECIDED,
    WORSE,
    Difference,
    bca_interval,
    holm,
    mean_interval,
    mean_ranks,
    paired_difference,
    sign_flip_p,
    verdict,
)

# Two-sided 95% points of Student's t from a printed table (three decimals), by degrees of freedom.
T_TABLE = {2: 4.303, 4: 2.776, 9: 2.262, 29: 2.045}
numbers = st.floats(-100, 100, allow_subnormal=False)


def difference_of(first: np.ndarray, second: np.ndarray) -> Difference:
    return paired_difference(dict(enumerate(first.tolist())), dict(enumerate(second.tolist())))


@pytest.mark.parametrize("degrees", sorted(T_TABLE))
def test_the_interval_agrees_with_a_printed_t_table(degrees: int) -> None:
    rng = np.random.default_rng(degrees)
    first, second = rng.normal(80, 2, degrees + 1), rng.normal(79, 2, degrees + 1)
    found = difference_of(first, second)
    half = T_TABLE[degrees] * np.std(first - second, ddof=1) / (degrees + 1) ** 0.5
    assert found.n == degrees + 1
    assert found.mean == pytest.approx(np.mean(first - second), rel=1e-12)
    assert found.high - found.mean == pytest.approx(half, rel=3e-4)
    assert found.mean - found.low == pytest.approx(half, rel=3e-4)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=15))
def test_the_t_test_is_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    if np.std(first - second) < 1e-6:
        return
    found, reference = difference_of(first, second), scipy.stats.ttest_rel(first, second)
    interval = reference.confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
def test_holm_is_that_of_statsmodels(p_values: list[float | None]) -> None:
    known = [p for p in p_values if p is not None]
    adjusted = holm(p_values)
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    if known:
        reference = multipletests(known, method="holm")[1]
        assert [p for p in adjusted if p is not None] == pytest.approx(list(reference), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=11))
def test_sign_flips_are_counted_exactly(differences: list[int]) -> None:
    seen = abs(sum(differences))
    sums = [
        sum(sign * value for sign, value in zip(signs, differences, strict=True))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = sum(abs(total) >= seen for total in sums) / len(sums)
    assert sign_flip_p([0.1 * value for value in differences]) == pytest.approx(expected, abs=1e-15)


def test_sign_flips_agree_with_scipys_permutation_test() -> None:
    differences = np.random.default_rng(2).exponential(1, 12) - 0.5
    reference = scipy.stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_p(differences.tolist()) == pytest.approx(reference, abs=1e-12)


def test_sign_flips_of_forty_pairs_need_no_list_of_them_all() -> None:
    assert sign_flip_p([1.0] * 40) == pytest.approx(2.0**-39)


@pytest.mark.parametrize("n", [10, 14])
def test_the_bootstrap_interval_is_scipys_bca(n: int) -> None:
    values = np.random.default_rng(n).exponential(1, n)
    reference = scipy.stats.bootstrap(
        (values,), np.mean, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert bca_interval(values.tolist()) == pytest.approx((reference.low, reference.high), rel=1e-9)
    assert bca_interval(values.tolist()) == bca_interval(values.tolist())


@pytest.mark.parametrize("n", [3, 5, 10, 30])
def test_the_detectable_difference_has_the_power_of_statsmodels(n: int) -> None:
    first, second = np.random.default_rng(n).normal(0, 1, (2, n))
    found = difference_of(first, second)
    effect = TTestPower().solve_power(nobs=n, power=0.8, alpha=0.05)
    assert found.detectable == pytest.approx(effect * np.std(first - second, ddof=1), rel=1e-4)


def test_pairs_are_made_by_seed_and_lonely_seeds_are_left_out() -> None:
    values = {4: 12.0, 0: 1.0, 2: 5.0, 7: 100.0}
    reference = {0: 0.0, 2: 3.0, 4: 9.0, 8: -50.0}
    found = paired_difference(values, reference)
    assert (found.mean, found.n) == (2.0, 3)
    assert found.low == pytest.approx(2 - 4.303 * 1 / 3**0.5, abs=1e-3)


def test_tests_begin_where_there_are_enough_pairs() -> None:
    def given_by(n: int) -> list[str]:
        found = difference_of(np.random.default_rng(n).normal(0, 1, n), np.zeros(n))
        names = ("mean", "low", "p", "detectable", "sign_flip_p", "bca_low")
        return [name for name in names if getattr(found, name) is not None]

    assert given_by(0) == []
    assert given_by(2) == ["mean"]
    assert given_by(3) == ["mean", "low", "p", "detectable"]
    assert given_by(6) == ["mean", "low", "p", "detectable", "sign_flip_p"]
    assert given_by(10) == ["mean", "low", "p", "detectable", "sign_flip_p", "bca_low"]


def test_differences_without_spread_are_not_tested() -> None:
    same = {seed: 80.1 + seed for seed in range(12)}
    shifted = paired_difference({seed: value + 0.3 for seed, value in same.items()}, same)
    assert (shifted.std, shifted.p, shifted.bca_low) == (0.0, None, None)
    assert verdict(shifted, shifted.p) == UNDECIDED
    assert paired_difference(same, same).p == 1.0


def test_verdicts_follow_the_adjusted_p_and_the_direction() -> None:
    found = Difference(0.5, 0.1, 0.9, 5, p=0.02)
    assert verdict(found, 0.04) == BETTER
    assert verdict(found, 0.04, lower_is_better=True) == WORSE
    assert verdict(found, 0.051) == UNDECIDED
    assert verdict(Difference(0.5, None, None, 2), None) == TOO_FEW
    assert verdict(Difference(None, None, None, 0), None) == TOO_FEW


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=5), st.booleans())
def test_mean_ranks_are_scipys(rows: list[list[int]], lower: bool) -> None:
    values = np.array(rows, dtype=float)
    reference = scipy.stats.rankdata(values if lower else -values, axis=1).mean(axis=0)
    found = mean_ranks([dict(enumerate(row)) for row in values.tolist()], lower)
    assert list(found.values()) == pytest.approx(list(reference))


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = [35.1, 35.9, 35.4, 35.2]
    reference = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((reference.low, reference.high))
    assert mean_interval(values[:2]) is None


@pytest.mark.slow
def test_intervals_cover_the_true_difference_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    runs, covered, covered_bca = 2000, 0, 0
    for _ in range(runs):
        shared = rng.normal(0, 5, 12)
        found = difference_of(shared + rng.normal(1, 1, 12), shared + rng.normal(0, 1, 12))
        covered += found.low <= 1 <= found.high
        covered_bca += found.bca_low <= 1 <= found.bca_high
    assert 0.938 < covered / runs < 0.962
    # The bootstrap of twelve values is known to be somewhat narrow.
    assert 0.88 < covered_bca / runs < 0.96


@pytest.mark.slow
def test_holm_keeps_the_error_of_a_family_of_equals_at_its_level() -> None:
    rng = np.random.default_rng(3)
    families = 1500
    wrong = 0
    for _ in range(families):
        found = [difference_of(rng.normal(0, 1, 5), rng.normal(0, 1, 5)) for _ in range(4)]
        adjusted = holm([one.p for one in found])
        wrong += any(verdict(one, p) != UNDECIDED for one, p in zip(found, adjusted, strict=True))
    assert wrong / families < 0.066
