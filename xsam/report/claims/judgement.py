"""What became of a claim, and how tables and pages tell it: its verdict, the effect, and every comparison behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from xsam.report.claims.evidence import is_ratio
from xsam.report.claims.model import Claim
from xsam.report.formats import Sheet, Text
from xsam.stats import EQUIVALENT, UNDECIDED, Answer, Difference

SUPPORTED, CONTRADICTED, MIXED, NOT_TESTED = "supported", "contradicted", "mixed", "not tested"
VERDICTS = (SUPPORTED, CONTRADICTED, EQUIVALENT, MIXED, UNDECIDED, NOT_TESTED)
CLAIMS_NOTE = (
    "Each claim is judged by the grids that it names and by no others. Supported, of all cells: each of them shows it "
    "by itself at the level 0.05; of the mean: the mean over cells does. Contradicted: the opposite is shown, by the "
    "mean or, of all cells, by at least one while none shows the claim. Equivalent: no difference beyond the margin. "
    "Mixed: some cells show it and others do not. One cell of several counts after Holm's adjustment for their number. "
    "Undecided: neither, with the seeds that 80% power would take, were the truth what was seen. "
    "Effect: the mean over cells with its 95% interval; a ratio for passes and seconds."
)


@dataclass(frozen=True)
class Evidence:
    """One pair of cells that bears on a claim.

    Attributes:
        where: grid and cells.
        difference: ours minus theirs, paired by seed; of logarithms where the claim is about a ratio.
        answer: what it shows, adjusted for the number of the claim's cells: better is *for* a claim that ours is better
            (or holds), worse for one that it is worse.
    """

    where: str
    difference: Difference
    answer: Answer

    @property
    def adjusted_p(self) -> float | None:
        """The p adjusted for the claim's cells."""
        return self.answer.adjusted_p

    @property
    def verdict(self) -> str:
        """The answer in a word."""
        return self.answer.verdict


@dataclass(frozen=True)
class Judgement:
    """A claim and what became of it.

    Attributes:
        about: the claim.
        verdict: ``"supported"``, ``"contradicted"``, ``"equivalent"`` (no difference that matters), ``"mixed"``,
            ``"undecided"`` or ``"not tested"``.
        detail: what belongs to the verdict: ``"1 of 9: resnet18 / cifar100"``, ``"23 seeds needed"``.
        effect: the mean over cells with its interval; ``None`` where nothing was compared.
        cells: how many cells were compared, and of how many that are planned.
        seeds: the fewest and the most pairs of a cell.
        scope: models, data and epochs.
        evidence: every comparison behind it.
    """

    about: Claim
    verdict: str
    detail: str
    effect: Difference | None
    cells: tuple[int, int]
    seeds: tuple[int, int]
    scope: str
    evidence: tuple[Evidence, ...]

    @property
    def claim(self) -> str:
        """What is claimed."""
        return self.about.sentence

    @property
    def verdict_text(self) -> str:
        """Verdict and detail: ``"mixed (1 of 9: resnet18 / cifar100)"``."""
        return f"{self.verdict} ({self.detail})" if self.detail else self.verdict

    @property
    def effect_text(self) -> str:
        """The mean over cells with its 95% interval; a ratio where the claim is about one."""
        found = self.effect
        if found is None or found.mean is None:
            return ""
        ends = [value for value in (found.low, found.high) if value is not None]
        if is_ratio(self.about):
            shown = [f"{math.exp(value):.3f}" for value in (found.mean, *ends)]
        else:
            shown = [f"{value + 0.0:+.{self._decimals}f}" for value in (found.mean, *ends)]
        return f"{shown[0]} [{', '.join(shown[1:])}]" if ends else shown[0]

    @property
    def _decimals(self) -> int:
        mean = None if self.effect is None else self.effect.mean
        return 2 if not mean or abs(mean) >= 0.1 else 4

    @property
    def cells_text(self) -> str:
        """``"9"``, or ``"6 of 9"``."""
        done, planned = self.cells
        return str(done) if done == planned else f"{done} of {planned}"

    @property
    def seeds_text(self) -> str:
        """``"5"``, or ``"3–5"``."""
        low, high = self.seeds
        return "" if not high else str(low) if low == high else f"{low}–{high}"

    @property
    def numbers(self) -> str:
        """What is behind the verdict, in one line."""
        parts = [f"effect {self.effect_text}" if self.effect_text else "", f"cells {self.cells_text}"]
        parts += [f"seeds {self.seeds_text}" if self.seeds_text else "", self.scope]
        return "; ".join(part for part in parts if part)


def claims_sheet(claims: Iterable[Judgement]) -> Sheet:
    """Each claim with its verdict and what is behind it."""
    header = ("claim", "verdict", "effect", "cells", "seeds", "scope", "source")
    rows = tuple(
        tuple(
            map(
                Text,
                (
                    *(one.claim, one.verdict_text, one.effect_text, one.cells_text, one.seeds_text),
                    *(one.scope, one.about.source),
                ),
            )
        )
        for one in claims
    )
    return Sheet("claims", "Claims", header, len(header), rows, (CLAIMS_NOTE,))
