"""Statistics of benchmark results: paired comparisons, power, families, failures, and many cells at once.

Pure functions over numbers. Imports numpy and scipy, each where it is used, so that importing this costs nothing.

>>> from xsam.stats import decide, paired_difference
>>> sam, xsam = {0: 80.1, 1: 80.9, 2: 79.6}, {0: 80.8, 1: 81.5, 2: 80.4}
>>> decide(paired_difference(xsam, sam)).verdict
'better'
"""

from xsam.stats.across import (
    FEWEST_DATA_SETS,
    RankComparison,
    bootstrap_mean_over_cells,
    compare_ranks,
    interquartile_mean,
    mean_over_cells,
    mean_ranks,
    performance_profile,
    probability_of_improvement,
    profile_band,
)
from xsam.stats.answers import (
    BETTER,
    EQUIVALENT,
    FAILS,
    HOLDS,
    TOO_FEW,
    UNDECIDED,
    WORSE,
    Answer,
    counted,
    decide,
    decide_family,
    directional_holm,
    equivalence_p,
    holm,
    non_inferior,
    within_margin,
)
from xsam.stats.best import expected_best
from xsam.stats.paired import (
    ALPHA,
    CONFIDENCE,
    FEWEST_BOOTSTRAP,
    FEWEST_PAIRS,
    FEWEST_SIGN_FLIPS,
    Difference,
    collapsed,
    mean_interval,
    paired_difference,
)
from xsam.stats.power import POWER, detectable_difference, equivalence_power, seeds_needed, t_test_power
from xsam.stats.resampling import bca_interval, sign_flip_p, signed_rank_p, stratified_bootstrap

__all__ = [
    "ALPHA",
    "BETTER",
    "CONFIDENCE",
    "EQUIVALENT",
    "FAILS",
    "FEWEST_BOOTSTRAP",
    "FEWEST_DATA_SETS",
    "FEWEST_PAIRS",
    "FEWEST_SIGN_FLIPS",
    "HOLDS",
    "POWER",
    "TOO_FEW",
    "UNDECIDED",
    "WORSE",
    "Answer",
    "Difference",
    "RankComparison",
    "bca_interval",
    "bootstrap_mean_over_cells",
    "collapsed",
    "compare_ranks",
    "counted",
    "decide",
    "decide_family",
    "detectable_difference",
    "directional_holm",
    "equivalence_p",
    "equivalence_power",
    "expected_best",
    "holm",
    "interquartile_mean",
    "mean_interval",
    "mean_over_cells",
    "mean_ranks",
    "non_inferior",
    "paired_difference",
    "performance_profile",
    "probability_of_improvement",
    "profile_band",
    "seeds_needed",
    "sign_flip_p",
    "signed_rank_p",
    "stratified_bootstrap",
    "t_test_power",
    "within_margin",
]
