"""BLEU and chrF with sacrebleu, each with the signature that says how it was computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from xsam.tasks.translation.text import detokenise


class Score(NamedTuple):
    """A score in percent, and sacrebleu's signature."""

    value: float
    signature: str


def tokenised_bleu(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """BLEU-4 of tokenised, lower-cased lines as they are: what ``fairseq-generate`` prints.

    An empty hypothesis counts as one. Raises ``ValueError`` unless there is one hypothesis for each reference.

    >>> score = tokenised_bleu(["a small dog runs ."], ["a small dog runs ."])
    >>> round(score.value, 6), score.signature.partition("|version")[0]
    (100.0, 'nrefs:1|case:lc|eff:no|tok:none|smooth:exp')
    """
    return _score(tokenised_metric(), hypotheses, references)


def tokenised_metric() -> Any:
    """sacrebleu's metric for tokenised, lower-cased lines as they are."""
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize="none", lowercase=True, force=True)


def detokenised_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Score]:
    """``test_sacrebleu`` (case:lc, tok:13a) and ``test_chrf`` (case:lc) of detokenised lines against raw references.

    Raises ``ValueError`` unless there is one hypothesis for each reference.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    return {
        "test_sacrebleu": _score(BLEU(lowercase=True), hypotheses, references),
        "test_chrf": _score(CHRF(lowercase=True), hypotheses, references),
    }


def all_scores(
    hypotheses: Sequence[str], tokenised: Sequence[str], raw: Sequence[str], language: str
) -> dict[str, Score]:
    """Every metric of ``METRICS`` of tokenised ``hypotheses`` against tokenised and raw references."""
    return {
        "test_bleu": tokenised_bleu(hypotheses, tokenised),
        **detokenised_scores(detokenise(hypotheses, language), raw),
    }


def _score(metric: Any, hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses):,} hypotheses for {len(references):,} references")
    value = metric.corpus_score(list(hypotheses), [list(references)]).score
    return Score(float(value), str(metric.get_signature()))
