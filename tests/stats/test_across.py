"""Statistics over many cells, against published numbers, scipy, and worlds whose truth is known."""

from __future__ import annotations

import doctest
import importlib
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from xsam.stats import (
    Difference,
    bootstrap_mean_over_cells,
    compare_ranks,
    decide,
    interquartile_mean,
    mean_over_cells,
    mean_ranks,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    profile_band,
    stratified_bootstrap,
)

# The small cases of rliable's own tests (runs × tasks there, so a column is a cell), with the numbers they expect.
X = np.array([[1, 2], [2, 2], [1, 1], [2, 1]]).T
Y = np.array([[1, 1], [2, 2], [3, 3]]).T


@pytest.mark.parametrize("module", ["across", "answers", "paired", "power", "resampling"])
def test_examples_in_docstrings_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"xsam.stats.{module}")).failed == 0


def test_published_numbers_of_small_cases() -> None:
    assert interquartile_mean(X) == 1.5
    assert interquartile_mean(Y) == 2
    assert probability_of_improvement(X, Y) == pytest.approx(1 / 3)


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=6), min_size=1, max_size=5))
def test_the_interquartile_mean_is_scipys_trimmed_mean(cells: list[list[int]]) -> None:
    flat = [value for cell in cells for value in cell]
    assert interquartile_mean(cells) == pytest.approx(scipy.stats.trim_mean(flat, 0.25))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_the_probability_of_improvement_is_scipys_u(ours: list[int], theirs: list[int]) -> None:
    reference = scipy.stats.mannwhitneyu(ours, theirs).statistic / (len(ours) * len(theirs))
    assert probability_of_improvement([ours], [theirs]) == pytest.approx(reference)


def test_a_failed_run_loses_against_every_other() -> None:
    assert probability_of_improvement([[-math.inf, 3.0]], [[1.0, 2.0]]) == 0.5


def test_a_profile_falls_from_all_to_none() -> None:
    thresholds = np.linspace(0, 4, 9).tolist()
    found = performance_profile(Y, thresholds)
    assert found == tuple(np.mean(threshold < Y) for threshold in thresholds)
    assert (found[0], found[-1]) == (1.0, 0.0)
    low, high = profile_band(Y, thresholds, resamples=200)
    assert all(one <= two <= three for one, two, three in zip(low, found, high, strict=True))


def test_the_bootstrap_resamples_inside_cells() -> None:
    cells = [np.full(3, 5.0), np.array([1.0, 3.0, 2.0, 4.0])]
    low, high = stratified_bootstrap(cells, lambda drawn: [one.mean() for one in drawn], resamples=500)
    assert low[0] == high[0] == 5.0
    assert low[1] < 2.5 < high[1]
    reference = scipy.stats.bootstrap((cells[1],), np.mean, method="percentile", rng=np.random.default_rng(1))
    assert (low[1], high[1]) == pytest.approx(tuple(reference.confidence_interval), abs=0.2)
    wide = stratified_bootstrap(cells, lambda drawn: sum(one.mean() for one in drawn) / 2, over_cells=True)
    narrow = stratified_bootstrap(cells, lambda drawn: sum(one.mean() for one in drawn) / 2)
    assert wide[1] - wide[0] > narrow[1] - narrow[0]


def cell(values: np.ndarray) -> Difference:
    return paired_difference(dict(enumerate(values.tolist())), dict.fromkeys(range(len(values)), 0.0))


def test_the_mean_over_two_cells_is_welchs() -> None:
    first, second = np.random.default_rng(7).normal((0.5, 0.2), (1.0, 0.1), (6, 2)).T
    found = mean_over_cells([cell(first), cell(-second)])
    reference = scipy.stats.ttest_ind(first, second, equal_var=False)
    interval = reference.confidence_interval()
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low / 2, interval.high / 2))
    assert found.bounds(0.05) == pytest.approx((found.low, found.high))
    low, high = bootstrap_mean_over_cells([cell(first), cell(-second)])
    assert found.low < low < found.mean < high < found.high, "the bootstrap is narrow with six seeds"


def test_cells_that_share_runs_are_compared_by_seed() -> None:
    first = np.random.default_rng(8).normal(0.2, 1, 6)
    found = mean_over_cells([cell(first), cell(first)], shared_runs=True)
    reference = scipy.stats.ttest_1samp(first, 0)
    assert found.p == pytest.approx(reference.pvalue)
    assert mean_over_cells([cell(first), cell(first)]).p < found.p, "as if they were twelve seeds"


def test_failures_in_any_cell_leave_the_mean_to_the_ranks() -> None:
    base = dict.fromkeys(range(6), 80.0)
    fine = paired_difference({seed: 81.0 + seed / 10 for seed in range(6)}, base)
    lost = paired_difference({seed: 81.0 + seed / 10 for seed in range(5)}, base, failed=[5])
    found = mean_over_cells([fine, lost])
    assert (found.failed, found.reference_failed, len(found.ranked)) == (1, 0, 12)
    assert decide(mean_over_cells([fine, fine])).verdict == "better"
    assert decide(found).verdict == "undecided"
    assert mean_over_cells([fine, lost], shared_runs=True).ranked[-1] == -math.inf


@pytest.mark.parametrize("shared", [False, True])
def test_the_interval_of_the_mean_over_cells_covers_it(shared: bool) -> None:
    rng = np.random.default_rng(9)
    experiments, missed = 600, 0
    spreads = np.array([0.2, 0.5, 1.0, 2.0])[:, None]
    for _ in range(experiments):
        drawn = rng.normal(0, spreads, (4, 5)) + (rng.normal(0, 1, 5) if shared else 0)
        found = mean_over_cells([cell(values) for values in drawn], shared_runs=shared)
        missed += not found.low <= 0 <= found.high
    assert missed / experiments <= 0.05 + 3 * (0.05 * 0.95 / experiments) ** 0.5


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=5), st.booleans())
def test_mean_ranks_are_scipys(rows: list[list[int]], lower: bool) -> None:
    values = np.array(rows, dtype=float)
    reference = scipy.stats.rankdata(values if lower else -values, axis=1).mean(axis=0)
    found = mean_ranks([dict(enumerate(row)) for row in values.tolist()], lower)
    assert list(found.values()) == pytest.approx(list(reference))


# Demšar (2006), table 5(a): q at 0.05 by the number of classifiers, three decimals.
NEMENYI = {3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 10: 3.164}


@pytest.mark.parametrize("methods", sorted(NEMENYI))
def test_critical_differences_are_demsars(methods: int) -> None:
    rows = [dict(enumerate(row)) for row in np.random.default_rng(methods).normal(size=(14, methods)).tolist()]
    found = compare_ranks(rows)
    assert found.critical_difference == pytest.approx(
        NEMENYI[methods] * math.sqrt(methods * (methods + 1) / (6 * 14)), abs=1e-3
    )
    assert found.p == pytest.approx(
        scipy.stats.friedmanchisquare(*([r[m] for r in rows] for m in range(methods))).pvalue
    )


@pytest.mark.parametrize(("data_sets", "methods", "scores"), [(5, 3, 2), (12, 6, 4), (30, 12, 100)])
def test_friedman_and_nemenyi_are_scipys_also_where_scores_are_equal(data_sets: int, methods: int, scores: int) -> None:
    drawn = np.random.default_rng(methods).integers(scores, size=(data_sets, methods)).astype(float)
    found = compare_ranks([dict(enumerate(row)) for row in drawn.tolist()])
    assert found.p == pytest.approx(scipy.stats.friedmanchisquare(*drawn.T).pvalue, rel=1e-10)
    quantile = scipy.stats.studentized_range.ppf(0.95, methods, math.inf) / math.sqrt(2)
    expected = quantile * math.sqrt(methods * (methods + 1) / (6 * data_sets))
    assert found.critical_difference == pytest.approx(expected, rel=1e-10)


def test_methods_that_cannot_be_told_apart_share_a_clique() -> None:
    rows = [{"a": 9.0, "b": 8.0, "c": 1.0} if i % 4 else {"a": 8.0, "b": 9.0, "c": 1.0} for i in range(12)]
    found = compare_ranks(rows)
    assert found.cliques == (("a", "b"),)
    assert compare_ranks(rows[:4]) is None, "too few data sets"
    assert compare_ranks([{"a": 1.0, "b": 1.0, "c": 1.0}] * 6).p == 1.0
