"""What claims came to, in plain sentences: the decided ones by what was shown, and the others as not decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xsam.report.claims.judgement import CONTRADICTED, MIXED, NOT_TESTED, SUPPORTED, Judgement
from xsam.report.formats import bullets, escape
from xsam.stats import EQUIVALENT, UNDECIDED

TITLE = "What was found"
HEADS = {
    SUPPORTED: "Shown:",
    CONTRADICTED: "Contradicted:",
    EQUIVALENT: "No difference beyond the margin, of:",
    MIXED: "Shown in some cells and not in others:",
    UNDECIDED: "Not decided, one way or the other:",
    NOT_TESTED: "Not tested:",
}


def findings(claims: Iterable[Judgement]) -> str:
    """Markdown: under a line for each verdict that occurs, each claim with what is behind it.

    A claim stands as it is under the first line alone; under each other one it is a question and its answer.
    """
    listed = list(claims)
    return "\n\n".join(
        part
        for verdict, head in HEADS.items()
        if (own := [one for one in listed if one.verdict == verdict])
        for part in (head, bullets(map(_line, own)))
    )


def _line(one: Judgement) -> str:
    behind = "; ".join(_behind(one))
    return escape(f"{one.claim} {behind}.") if behind else escape(one.claim)


def _behind(one: Judgement) -> Iterator[str]:
    if one.effect_text:
        yield f"Effect {one.effect_text}"
    if one.cells[1]:
        yield f"{one.cells_text} {'cell' if one.cells == (1, 1) else 'cells'}"
    if one.seeds_text:
        yield f"{one.seeds_text} seeds"
    if one.detail and one.verdict != SUPPORTED:
        yield one.detail
