"""The statistics against scipy, statsmodels, printed tables and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from xsam.stats import (
    EQUIVALENT,
    Difference,
    bca_interval,
    collapsed,
    decide,
    mean_interval,
    paired_difference,
    sign_flip_p,
    signed_rank_p,
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


@settings(max_examples=50)
@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=15))
def test_the_t_test_is_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    if np.std(first - second) < 1e-6:
        return
    found, reference = difference_of(first, second), scipy.stats.ttest_rel(first, second)
    interval = reference.confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


@settings(max_examples=40)
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


def test_differences_without_spread_are_decided_by_logic() -> None:
    same = {seed: 80.1 + seed for seed in range(12)}
    shifted = paired_difference({seed: value + 0.3 for seed, value in same.items()}, same)
    assert (shifted.std, shifted.p, shifted.bca_low) == (0.0, 0.0, None)
    assert decide(shifted).verdict == "better"
    assert decide(shifted, lower_is_better=True).verdict == "worse"
    assert decide(shifted, margin=0.5).verdict == EQUIVALENT
    equal = paired_difference(same, same)
    assert (equal.p, decide(equal).verdict) == (1.0, EQUIVALENT)


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


def test_failed_runs_are_the_worst_of_the_rank_test() -> None:
    ours, theirs = {0: 81.0, 1: 82.0, 2: 83.0, 3: 79.0}, {0: 80.0, 1: 80.0, 2: 80.0, 4: 80.0, 5: 80.0}
    found = paired_difference(ours, theirs, failed=[3, 4], reference_failed=[3])
    assert found.values == (1.0, 2.0, 3.0)
    assert found.ranked == (1.0, 2.0, 3.0, 0.0, -np.inf), "3 failed on both sides, 4 on ours, 5 was not run on ours"
    assert (found.failed, found.reference_failed) == (2, 1)
    losses = paired_difference(ours, theirs, failed=[4], lower_is_better=True)
    assert losses.ranked[-1] == np.inf, "of a loss, high is the worst"
    assert paired_difference(ours, theirs).ranked == ()


def test_a_collapsed_run_has_a_value_and_fails() -> None:
    ours = {0: 81.0, 1: 10.0, 2: 83.0, 3: 82.0, 4: 80.5, 5: 81.5}
    base = dict.fromkeys(range(6), 80.0)
    found = paired_difference(ours, base, failed=collapsed(ours, chance=10))
    assert found.mean == pytest.approx(np.mean([1, -70, 3, 2, 0.5, 1.5]))
    assert found.ranked == (1.0, -np.inf, 3.0, 2.0, 0.5, 1.5)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 1000), min_size=3, max_size=12, unique=True), st.randoms(use_true_random=False))
def test_the_rank_test_is_scipys_where_there_are_no_ties(sizes: list[int], random: object) -> None:
    values = [size * (-1) ** (position * position // 2) for position, size in enumerate(sizes)]
    assert signed_rank_p(values) == pytest.approx(scipy.stats.wilcoxon(values, method="exact").pvalue)


def test_the_rank_test_treats_ties_and_zeros_as_scipys_permutations_do() -> None:
    values = np.array([0.0, 1.0, 1.0, -1.0, 2.0, 2.0, 3.0, 0.0])
    ranks = scipy.stats.rankdata(np.abs(values))[values != 0] * np.sign(values[values != 0])
    reference = scipy.stats.permutation_test((ranks,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert signed_rank_p(values.tolist()) == pytest.approx(reference.pvalue)


def test_infinite_differences_share_the_highest_rank() -> None:
    assert signed_rank_p([1.0, 2.0, 3.0, 4.0, -np.inf, -np.inf]) == signed_rank_p([1.0, 2.0, 3.0, 4.0, -9.0, -9.0])


def test_more_pairs_than_can_be_counted_are_sampled() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 60)
    normal = 2 * scipy.stats.norm.sf(abs(values.sum()) / np.sqrt((values**2).sum()))
    assert sign_flip_p(values.tolist()) == pytest.approx(normal, abs=0.005)
    assert sign_flip_p([1.0] * 50) == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("values", "chance", "lower", "seeds"),
    [
        ({0: 93.0, 1: 92.0, 2: 40.0}, 10, False, {2}),  # below half of the median
        ({0: 11.0, 1: 10.0, 2: 9.0}, 10, False, {0, 1, 2}),  # the arm as a whole
        ({0: 60.0, 1: 55.0, 2: 58.0}, 50, False, set()),  # two classes: 1.5 times chance would be 75
        ({0: 30.1, 1: 29.0, 2: 2.0}, None, False, {2}),  # BLEU has no chance level
        ({0: 0.5, 1: 0.6, 2: 2.3}, None, True, {2}),  # a loss
        ({}, 10, False, set()),
    ],
)
def test_collapse_is_defined(values: dict[int, float], chance: float | None, lower: bool, seeds: set[int]) -> None:
    assert collapsed(values, chance, lower) == seeds
