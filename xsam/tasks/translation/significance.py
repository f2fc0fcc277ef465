"""Whether two systems' translations of one test set differ by more than the choice of its sentences explains.

The paired bootstrap of Koehn (EMNLP 2004) as sacrebleu does it. It asks about the sentences, for two given systems; an
interval over seeds asks about training, for one given test set. Neither replaces the other.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xsam.tasks.translation.scores import tokenised_metric

RESAMPLES = 1000


@dataclass(frozen=True)
class Bootstrap:
    """What resampling the sentences says of two systems.

    Attributes:
        difference: BLEU of the first minus BLEU of the second, on all sentences.
        p: sacrebleu's p value of the hypothesis that they are equally good.
        interval, other_interval: mean and half-width of the 95% interval of each system's BLEU over the resamples.
        signature: sacrebleu's, with the seed and the number of resamples.
    """

    difference: float
    p: float
    interval: tuple[float, float]
    other_interval: tuple[float, float]
    signature: str


def paired_bootstrap(first: Sequence[str], second: Sequence[str], references: Sequence[str]) -> Bootstrap:
    """Compare the tokenised translations ``first`` with ``second`` of the same sentences.

    >>> lines = ["a small dog runs .", "the old cat sleeps there .", "a bird sings today ."] * 5
    >>> found = paired_bootstrap(lines, [line.replace("old", "big") for line in lines], lines)
    >>> found.difference > 0, found.p < 0.05
    (True, True)

    Raises ``ValueError`` where they are not as many as the references.
    """
    from sacrebleu.significance import PairedTest

    for side in (first, second):
        if len(side) != len(references):
            raise ValueError(f"{len(side):,} hypotheses for {len(references):,} references")
    quiet = logging.getLogger("sacrebleu")
    level = quiet.level
    quiet.setLevel(logging.WARNING)  # it tells of every step
    try:
        systems: list[tuple[str, Sequence[str]]] = [("second", list(second)), ("first", list(first))]
        # The first of the list is the baseline.
        test = PairedTest(
            systems, {"BLEU": tokenised_metric()}, [list(references)], test_type="bs", n_samples=RESAMPLES
        )
        signatures, scores = test()
    finally:
        quiet.setLevel(level)
    found: list[Any] = scores["BLEU"]  # names and results share a type there
    baseline, other = found
    return Bootstrap(
        float(other.score - baseline.score),
        float(other.p_value),
        (float(other.mean), float(other.ci)),
        (float(baseline.mean), float(baseline.ci)),
        str(signatures["BLEU"]),
    )
