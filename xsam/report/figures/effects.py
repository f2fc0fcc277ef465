"""All claims that metrics answer in one figure: each claim's effect with its interval and margin, under its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xsam.report.claims.findings import HEADS
from xsam.report.claims.judgement import CONTRADICTED, MIXED, SUPPORTED, Judgement
from xsam.report.claims.model import METRIC
from xsam.report.figures.style import COLOURS, blank_figure, by_factors, content, styled
from xsam.stats import EQUIVALENT, UNDECIDED

_LOOKS = {  # colour and marker, so that black and white prints keep them apart
    SUPPORTED: (COLOURS[2], "o"),
    CONTRADICTED: (COLOURS[1], "X"),
    EQUIVALENT: (COLOURS[0], "s"),
    MIXED: (COLOURS[3], "D"),
    UNDECIDED: ("#666666", "o"),
}
_WIDTH, _PLOT = 7.0, 2.6  # inches: a page's text, and of it the drawing; the claims stand beside it
_SENTENCE = 76  # characters in a line of a claim
_LINE, _GAP, _HEAD = 0.125, 0.07, 0.22  # inches: a line of text, what parts two claims, a verdict's line
_LINEAR = 1.5  # points: the axis goes by factors beyond it, so that one collapse does not press the others flat


def effects_files(claims: Iterable[Judgement]) -> Iterator[tuple[str, bytes]]:
    """File name and content of the figure in every format; nothing where no claim has an effect to show."""
    figure = effects_figure(claims)
    if figure is not None:
        for suffix in ("svg", "pdf", "png"):
            yield f"claims.{suffix}", content(figure, suffix)


def effects_figure(claims: Iterable[Judgement]) -> Figure | None:
    """A line a claim: the mean over its cells with its 95% interval, and in grey the margin of what does not matter.

    Claims about eigenvalues, directions, passes and seconds are not there, since their effects have other units.

    Args:
        claims: as :func:`xsam.report.claims.judge.judge` gives them.

    Returns:
        The figure, 7 inches wide; ``None`` where no claim about a metric has an effect.
    """
    listed = [one for one in claims if one.about.measure == METRIC and one.effect is not None]
    listed = [one for one in listed if one.effect is not None and one.effect.mean is not None]
    groups = {verdict: [one for one in listed if one.verdict == verdict] for verdict in _LOOKS}
    if not listed:
        return None
    height = sum(_HEAD for group in groups.values() if group) + sum(map(_height, listed))
    with styled():
        figure, axes = blank_figure(_WIDTH, height, left=_WIDTH - _PLOT)
        at = 0.0
        for verdict, group in groups.items():
            if group:
                _text(axes, at + _HEAD - 0.04, HEADS[verdict], color=_LOOKS[verdict][0], weight="bold", va="bottom")
                at += _HEAD
            for one in group:
                _row(axes, at + _height(one) / 2, one)
                at += _height(one)
        axes.set_ylim(height, 0)
        _finish(axes)
    return figure


def _height(one: Judgement) -> float:
    return _sentence(one).count("\n") * _LINE + _LINE + _GAP


def _sentence(one: Judgement) -> str:
    return fill(f"{one.claim.rstrip('.')} ({one.seeds_text} seeds)", _SENTENCE)


def _row(axes: Axes, at: float, one: Judgement) -> None:
    colour, marker = _LOOKS[one.verdict]
    _text(axes, at, _sentence(one), va="center")
    if one.about.margin is not None:
        width, middle = one.about.margin, one.about.by
        axes.fill_betweenx([at - 0.05, at + 0.05], middle - width, middle + width, color="black", alpha=0.12, lw=0)
    if one.effect is not None and one.effect.mean is not None:
        mean, low, high = one.effect.mean, one.effect.low, one.effect.high
        if low is not None and high is not None:
            axes.plot([low, high], [at, at], color=colour, linewidth=1.4, solid_capstyle="butt")
        axes.plot(mean, at, color=colour, marker=marker, markersize=4)


def _text(axes: Axes, at: float, text: str, **settings: Any) -> None:
    offset = -72 * (_WIDTH - _PLOT) + 4
    axes.annotate(
        text, (0, at), (offset, 0), ("axes fraction", "data"), "offset points", fontsize=7, ha="left", **settings
    )


def _finish(axes: Axes) -> None:
    low, high = axes.get_xlim()
    axes.set_xlim(min(1.15 * low, -0.5), max(1.15 * high, 0.5))
    by_factors(axes, beyond=_LINEAR, apart=0.09)
    axes.tick_params(axis="x", labelsize=7)
    axes.axvline(0, color="black", linewidth=0.8, zorder=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("points, with 95% intervals; grey: what does not matter", fontsize=7)
