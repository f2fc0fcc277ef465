"""Claims as data: which cells may speak, what becomes of a claim, and what a file of claims may say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from xsam.grid.grid import Grid
from xsam.report.analysis import GridReport, analyse, judged
from xsam.report.claims.judgement import Judgement
from xsam.report.claims.model import MEASURES, Claim, load_claims, packaged
from xsam.store import GridFolder

MakeGrid = Callable[..., Grid]
MakeRow = Callable[..., dict[str, Any]]
Gains = Mapping[tuple[str, int], float]
WOBBLE = (0.0, 0.1, 0.05, 0.15, 0.02)
NOTHING = pd.DataFrame({"run_id": [], "measure": [], "epoch": [], "value": []}).astype({"measure": str})


@pytest.fixture
def world(make_grid: MakeGrid, make_row: MakeRow) -> Callable[..., GridReport]:
    """(label, ascent steps) → gain over 80 on five seeds, as a grid called ``toy``; sgd has no ascent steps."""

    def make(gains: Gains, sharpness: pd.DataFrame = NOTHING, **row: Any) -> GridReport:
        runs = []
        for label, k in gains:
            own: dict[str, Any] = {"dataset": "digits"}
            runs.append((label, label, own if label == "sgd" else {**own, "ascent_steps": k}))
        labels = tuple(dict.fromkeys(label for label, _ in gains))
        steps = tuple(dict.fromkeys(k for _, k in gains))
        axes = {"dataset": ("digits",), "optimizer": labels, "ascent_steps": steps}
        grid = make_grid(runs, axes, ("dataset",), ("optimizer", "ascent_steps"), seeds=5)
        rows = []
        for run in grid.runs:
            seed, k = int(str(run.params["seed"])), int(str(run.params.get("ascent_steps", 1)))
            wobble = WOBBLE[(seed * (len(run.optimizer) + k)) % 5]
            made = make_row(run.run_id, "done", 80 + seed + gains[run.optimizer, k] + wobble)
            rows.append({**made, **{name: value(run) for name, value in row.items()}})
        frame = pd.DataFrame(rows)
        measured = sharpness.merge(frame[["run_id"]], how="left") if len(sharpness) else sharpness
        return GridReport(
            GridFolder(Path("nowhere"), "toy"), grid, (analyse(grid, grid.report, frame),), frame, frame, measured
        )

    return make


def claim(**changed: Any) -> Claim:
    known = Claim("one", "A sentence.", "a paper", "a number", ("toy",), "better", untested="nothing was run")
    return replace(known, **{"of": {"optimizer": ("xsam",)}, "against": {"optimizer": ("sam",)}, **changed})


def judge(report: GridReport, **changed: Any) -> Judgement:
    (found,) = judged([claim(**changed)], [report])
    return found


def test_a_claim_about_all_cells_needs_them_all(world: Callable[..., GridReport]) -> None:
    everywhere = {("sam", 1): 0.0, ("sam", 3): 0.0, ("xsam", 1): 2.0, ("xsam", 3): 1.0}
    found = judge(world(everywhere))
    assert (found.verdict, found.detail, found.cells, found.seeds) == ("supported", "", (2, 2), (5, 5))
    assert found.effect is not None
    assert found.effect.mean == pytest.approx(1.5, abs=0.1)
    assert found.scope == "mlp on digits"
    in_one = judge(world({**everywhere, ("xsam", 3): 0.0}))
    assert (in_one.verdict, in_one.detail) == ("mixed", "1 of 2: digits / 1")
    assert judge(world({**everywhere, ("xsam", 3): -1.0})).detail == "1 of 2: digits / 1; 1 the other way"
    worse = judge(world({**everywhere, ("xsam", 1): -1.0, ("xsam", 3): -1.0}))
    assert (worse.verdict, worse.detail) == ("contradicted", "2 of 2: digits / 1, digits / 3")
    mean = judge(world({**everywhere, ("xsam", 3): 0.0}), rule="mean")
    assert (mean.verdict, mean.detail) == ("supported", "")


def test_equals_are_equivalent_only_to_a_margin(world: Callable[..., GridReport]) -> None:
    even = {("sam", 1): 0.0, ("xsam", 1): 0.01}
    assert judge(world(even), margin=0.3).verdict == "equivalent"
    undecided = judge(world(even))
    assert undecided.verdict == "undecided"
    assert undecided.detail.endswith("seeds needed")


@pytest.mark.parametrize(
    ("ask", "gain", "verdict"),
    [
        ("worse", -1.0, "supported"),
        ("worse", 1.0, "contradicted"),
        ("holds", 0.0, "supported"),
        ("holds", 1.0, "supported"),
        ("holds", -1.0, "contradicted"),
    ],
)
def test_what_is_asked_decides_what_supports_it(
    world: Callable[..., GridReport], ask: str, gain: float, verdict: str
) -> None:
    report = world({("xsam", 1): 0.0, ("xsam", 3): gain})
    steps = {"of": {"optimizer": ("xsam",), "ascent_steps": (3,)}, "against": {"ascent_steps": (1,)}}
    assert judge(report, ask=ask, margin=0.3 if ask == "holds" else None, **steps).verdict == verdict


def test_more_than_one_point_is_more_than_better(world: Callable[..., GridReport]) -> None:
    report = world({("sam", 1): 0.0, ("xsam", 1): 0.8})
    assert judge(report).verdict == "supported"
    assert judge(report, by=1.0).verdict == "contradicted"
    assert judge(world({("sam", 1): 0.0, ("xsam", 1): 1.3}), by=1.0).verdict == "supported"


@pytest.mark.parametrize(("by", "verdict"), [(0.8, "supported"), (2.0, "contradicted"), (0.95, "undecided")])
def test_a_published_difference_is_tested_as_such(world: Callable[..., GridReport], by: float, verdict: str) -> None:
    report = world({("sam", 1): 0.0, ("xsam", 1): 0.8})
    assert judge(report, ask="equals", by=by, margin=0.2).verdict == verdict


def test_other_grids_and_labels_do_not_speak(world: Callable[..., GridReport]) -> None:
    report = world({("sgd", 1): 0.0, ("sam", 1): 0.0, ("xsam", 1): 2.0})
    assert judged([claim(grids=("single_step",))], [report]) == ()
    assert judged(packaged().claims, [report]) == (), "a grid that is nobody's claim"
    found = judge(report, against={"optimizer": ("asam",)})
    assert (found.verdict, found.detail, found.cells) == ("not tested", "nothing was run", (0, 0))


def test_groups_of_labels_are_those_of_the_registry(world: Callable[..., GridReport]) -> None:
    report = world({("sgd", 1): 0.0, ("sam", 1): 0.0, ("asam", 1): 1.0, ("gsam", 1): 1.5, ("xsam", 1): 2.0})
    family = judge(report, against={"optimizer": ("@family",)})
    assert [one.where for one in family.evidence] == [
        "toy, digits: xsam against asam",
        "toy, digits: xsam against gsam",
    ]
    base = judge(report, against={"optimizer": ("@base",)})
    assert [one.where for one in base.evidence] == ["toy, digits: xsam against sgd"]


def test_cells_that_were_not_run_leave_it_undecided(world: Callable[..., GridReport]) -> None:
    report = world({("sam", 1): 0.0, ("sam", 3): 0.0, ("xsam", 1): 2.0, ("xsam", 3): 2.0})
    missing = {run.run_id for run in report.grid.runs if run.axes.get("ascent_steps") == 3}
    rows = report.runs[~report.runs["run_id"].isin(missing)]
    part = replace(report, runs=rows, analyses=(analyse(report.grid, report.grid.report, rows),))
    found = judge(part)
    assert (found.verdict, found.detail) == ("undecided", "1 of 2 cells show it, the others lack runs")
    assert found.cells_text == "1 of 2"
    assert judge(part, rule="mean").verdict == "undecided"


def test_survivors_support_nothing(world: Callable[..., GridReport]) -> None:
    report = world({("sam", 1): 0.0, ("xsam", 1): 2.0})
    lost = [run.run_id for run in report.grid.runs if run.method == "xsam" and int(str(run.params["seed"])) < 2]
    rows = report.runs.copy()
    rows.loc[rows["run_id"].isin(lost), ["status", "test_accuracy_final"]] = ["diverged", math.nan]
    part = replace(report, runs=rows, analyses=(analyse(report.grid, report.grid.report, rows),))
    for rule in ("all", "mean"):
        found = judge(part, rule=rule)
        assert (found.verdict, found.detail) == ("undecided", "runs failed")


def test_passes_and_seconds_are_ratios(world: Callable[..., GridReport]) -> None:
    def passes(run: Any) -> int:
        return 1000 + 20 * (run.method == "xsam")

    def seconds(run: Any) -> float:
        return (10 + 0.1 * int(str(run.params["seed"]))) * (1.5 if run.method == "xsam" else 1.0)

    costs = {"forwards": passes, "backwards": passes, "train_seconds": seconds, "search_seconds": lambda run: 0.0}
    report = world({("sam", 1): 0.0, ("xsam", 1): 0.0}, **costs)
    counted = judge(report, measure="passes", ask="holds", margin=0.05)
    assert (counted.verdict, counted.effect_text) == ("supported", "1.020 [1.020, 1.020]")
    timed = judge(report, measure="train_seconds", ask="holds", margin=0.05)
    assert (timed.verdict, timed.effect_text) == ("contradicted", "1.500 [1.500, 1.500]")


def test_every_claim_of_the_package_has_what_it_needs() -> None:
    claims = packaged().claims
    assert len({one.sentence for one in claims}) == len(claims) >= 15
    paper, small = ({path.stem for path in Path("configs", folder).glob("*.yaml")} for folder in ("paper", "cpu"))
    for one in claims:
        assert one.measure in MEASURES
        assert one.untested
        grids = {grid.removesuffix("_tuned") for grid in one.grids}
        assert grids <= (paper if one.source.startswith("arXiv") else small), "small runs are no claim of the paper"
    by_wall_time = [one for one in claims if one.measure in ("passes", "train_seconds")]
    assert {grid for one in by_wall_time for grid in one.grids} == {
        "overhead",
        "overhead_fashion",
    }
    assert all(not any("overhead" in grid for grid in one.grids) for one in claims if one not in by_wall_time)


MINE = """\
claims:
  - name: mine
    sentence: Mine is better.
    source: a paper of mine
    estimand: test accuracy
    grids: [small]
    of: {optimizer: mine}
    with: {optimizer: sgd}
    ask: better
"""


def test_a_file_of_claims_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    assert load_claims(path).claims == (
        Claim(
            "mine",
            "Mine is better.",
            "a paper of mine",
            "test accuracy",
            ("small",),
            "better",
            of={"optimizer": ("mine",)},
            against={"optimizer": ("sgd",)},
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("claims:", "claim:", ":1: unknown key 'claim'; did you mean 'claims'?"),
        ("ask: better", "ask: beter", ":9: unknown ask 'beter'; did you mean 'better'?"),
        ("ask: better", "ask: holds", ":2: a claim that asks 'holds' needs 'margin'"),
        ("    with: {optimizer: sgd}\n", "", ":2: a claim that asks 'better' needs 'with'"),
        ("grids: [small]", "grids: []", ":6: the list grids is empty"),
        (
            "ask: better",
            "ask: published\n    values: [iwslt-sam]",
            ":10: no published value is called 'iwslt-sam'; did",
        ),
        ("ask: better", "ask: better\n    measure: seconds", ":10: unknown measure 'seconds'"),
        ("of: {optimizer: mine}", "of: {}", ":7: of needs at least one axis"),
    ],
)
def test_mistakes_in_claims_name_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE.replace(old, new))
    with pytest.raises(ValueError, match=r"mine\.yaml") as caught:
        load_claims(path)
    assert message in str(caught.value)
