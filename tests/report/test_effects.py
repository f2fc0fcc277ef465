"""The figure of all claims, and marks that stand one after the other as rows with their names."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from matplotlib.figure import Figure

from xsam.report.claims.judgement import CONTRADICTED, MIXED, SUPPORTED, Judgement
from xsam.report.claims.model import Claim
from xsam.report.figures.drawing import panel_figure
from xsam.report.figures.effects import effects_figure, effects_files
from xsam.report.panel import COLOURS, CURVES, POINTS, Line, Panel
from xsam.stats import UNDECIDED, Difference, paired_difference

LEVEL = Line(COLOURS.index("#000000"), "no difference ± 0.3", [math.nan], [0.0], [0.3])


def judged(verdict: str, gain: float | None, **about: Any) -> Judgement:
    known: dict[str, Any] = {"of": {"optimizer": ("xsam",)}, "against": {"optimizer": ("sam",)}, "margin": 0.3}
    claim = Claim("one", f"{verdict} by {gain}.", "here", "a number", ("toy",), "better", **{**known, **about})
    effect = None if gain is None else difference(gain)
    return Judgement(claim, verdict, "", effect, (1, 1), (5, 5), "an MLP", ())


def difference(gain: float) -> Difference:
    return paired_difference({seed: gain + 0.01 * seed for seed in range(5)}, dict.fromkeys(range(5), 0.0))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_claims_stand_under_their_verdicts_each_at_its_effect() -> None:
    claims = [judged(UNDECIDED, 0.1), judged(SUPPORTED, 1.0), judged(CONTRADICTED, -1.0), judged(SUPPORTED, 2.0)]
    figure = effects_figure(claims)
    assert figure is not None
    assert texts(figure) == [
        "Shown:", "supported by 1.0 (5 seeds)", "supported by 2.0 (5 seeds)", "Contradicted:",
        "contradicted by -1.0 (5 seeds)", "Not decided, one way or the other:", "undecided by 0.1 (5 seeds)",
    ]  # fmt: skip
    marks = [line for line in figure.axes[0].lines if line.get_marker() not in ("None", "")]
    assert [float(line.get_xdata()[0]) for line in marks] == pytest.approx([1.02, 2.02, -0.98, 0.12])


def test_what_has_another_unit_or_no_effect_is_left_out() -> None:
    others = [judged(SUPPORTED, 1.0, measure="passes"), judged(UNDECIDED, None)]
    assert effects_figure(others) is None
    assert list(effects_files(others)) == []
    figure = effects_figure([*others, judged(MIXED, 0.5)])
    assert figure is not None
    assert texts(figure) == ["Shown in some cells and not in others:", "mixed by 0.5 (5 seeds)"]


def test_every_text_lies_in_the_picture_and_beside_the_drawing() -> None:
    long = Claim("one", " ".join(["thirty"] * 40), "here", "a number", ("toy",), "better", margin=0.3)
    figure = effects_figure([Judgement(long, SUPPORTED, "", difference(-84.0), (1, 1), (5, 120), "", ())])
    assert figure is not None
    figure.draw_without_rendering()
    whole, drawing = figure.bbox, figure.axes[0].get_window_extent()
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0
        assert box.x1 <= drawing.x0
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1


def test_the_figure_has_the_same_bytes_each_time() -> None:
    claims = [judged(SUPPORTED, 1.0), judged(MIXED, -20.0)]
    first, again = dict(effects_files(claims)), dict(effects_files(claims))
    assert list(first) == ["claims.svg", "claims.pdf", "claims.png"]
    assert first == again


def test_marks_one_after_the_other_are_rows_with_their_names() -> None:
    lines = [
        Line(place, f"xsam − sam: mlp / {place}", [place + 1.0], [gain], [0.2]) for place, gain in enumerate([0.1, 0.5])
    ]
    figure = panel_figure(Panel("differences", POINTS, "title", "comparison", "difference (%)", (LEVEL, *lines)))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["xsam − sam\nmlp / 0", "xsam − sam\nmlp / 1"]
    assert figure.get_supxlabel() == "difference (%)\ndotted: no difference ± 0.3"
    assert axes.get_xscale() == "linear"
    assert axes.yaxis_inverted()


def test_a_difference_far_off_stays_in_sight_and_does_not_press_the_others_flat() -> None:
    gains = [0.1, 0.2, 0.15, 84.0]
    lines = [Line(place, f"{place}", [place + 1.0], [gain], [0.2]) for place, gain in enumerate(gains)]
    (axes,) = panel_figure(Panel("differences", POINTS, "", "", "", (LEVEL, *lines))).axes
    assert axes.get_xscale() == "symlog"
    at = [float(axes.transLimits.transform(axes.transScale.transform((gain, 1)))[0]) for gain in gains]
    assert at[1] - at[0] > 0.03  # of 0.001 on a linear axis
    assert at[3] < 1
    marked = [float(axes.transLimits.transform(axes.transScale.transform((tick, 1)))[0]) for tick in axes.get_xticks()]
    assert min(other - one for one, other in pairwise(marked)) > 0.1


@pytest.mark.parametrize(
    ("kind", "at", "counted"),
    [
        (POINTS, [[1.0], [2.0]], True),
        (POINTS, [[1.0], [2.5]], False),
        (CURVES, [[1.0], [2.0]], False),
        (POINTS, [], False),
    ],
)
def test_only_marks_that_are_counted_are_rows(kind: str, at: list[list[float]], counted: bool) -> None:
    lines = [Line(place, "", x, [0.0], [0.0]) for place, x in enumerate(at)]
    assert Panel("", kind, "", "", "", (LEVEL, *lines)).is_counted == counted
