"""Published values: how they are read, and when they count as reproduced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from xsam.grid.grid import Grid
from xsam.grid.spec import RunSpec
from xsam.report.analysis import Analysis, analyse
from xsam.report.claims.model import Published, load_claims, packaged
from xsam.report.references import method_of

PROTOCOL = {"task": "vision", "model": "mlp", "dataset": "digits"}


def test_the_package_lists_the_values_that_were_read() -> None:
    found = {one.name: (one.method, one.value, one.rules, one.seeds, one.source) for one in packaged().published}
    paper, logs = "arXiv:2603.10048", "github.com/nblt/F-SAM at 2e2f989, results/**/log"
    assert found == {
        "iwslt14-sam": ("sam", 35.30, ("best_val", "final"), None, paper),
        "iwslt14-xsam": ("xsam", 35.63, ("best_val", "final"), None, paper),
        "cifar100-sam": ("sam", 80.78, ("last5_mean",), 1, logs),
        "cifar100-friendly-sam-0.6": ("friendly_sam", 81.20, ("last5_mean",), 1, logs),
        "cifar100-friendly-sam-0.95": ("friendly_sam", 81.36, ("last5_mean",), 1, logs),
    }
    assert "4146" in packaged().published[0].note
    assert Path("configs/paper/claims.yaml").read_bytes() == Path("xsam/report/claims/claims.yaml").read_bytes(), (
        "one copy"
    )


def published(**changed: Any) -> Published:
    values = {"name": "one", "method": "sam", "metric": "test_accuracy", "value": 90.0, "margin": 0.5}
    known = {"protocol": {**PROTOCOL, **changed.pop("protocol", {})}, "rules": ("final",), "source": "a paper"}
    return Published(**{**values, **known, **changed})


@pytest.fixture
def cell(make_grid: Callable[..., Grid], make_row: Callable[..., dict[str, Any]]) -> Callable[..., Analysis]:
    """One cell of sam with these values, beside a published one."""

    def make(values: list[float], reference: Published, **params: Any) -> Analysis:
        grid = make_grid([("sam", "sam", params)], {"optimizer": ("sam",)}, (), ("optimizer",), len(values))
        rows = [make_row(run.run_id, "done", value) for run, value in zip(grid.runs, values, strict=True)]
        return analyse(grid, grid.report, pd.DataFrame(rows), references=[reference])

    return make


@pytest.mark.parametrize(
    ("values", "verdict", "difference"),
    [
        ([89.8, 90.0, 90.2], "reproduced", 0.0),  # ± 0.497
        ([89.8, 90.1, 90.3], "undecided", 0.07),  # ± 0.625
        ([90.75, 90.8, 90.85], "differs", 0.8),  # from 90.68 on
        ([88.1, 90.0, 91.9], "undecided", 0.0),  # a mean as published, and no reason to believe it
        ([90.0, 90.1], "too few seeds", 0.05),
        ([90.0, 90.0, 90.0], "reproduced", 0.0),
        ([90.0, 90.1, 9.0], "undecided", -26.97),  # one collapsed
    ],
)
def test_reproduced_is_an_interval_within_the_margin(
    cell: Callable[..., Analysis], values: list[float], verdict: str, difference: float
) -> None:
    (check,) = cell(values, published()).checks
    assert check.verdict == verdict
    assert check.difference == pytest.approx(difference, abs=0.005)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"protocol": {"model": "resnet18"}}, "model mlp instead of resnet18"),
        ({"protocol": {"epochs": 200, "rho": 0.2}}, "epochs not set instead of 200, rho 0.1 instead of 0.2"),
        ({"rules": ("last5_mean", "best_val")}, "rule final instead of last5_mean or best_val"),
        ({"metric": "test_bleu"}, "metric test_accuracy instead of test_bleu"),
    ],
)
def test_another_protocol_is_not_comparable(
    cell: Callable[..., Analysis], changed: dict[str, Any], reason: str
) -> None:
    (check,) = cell([90.0, 90.1, 90.2], published(**changed)).checks
    assert (check.verdict, check.reason, check.difference) == ("not comparable", reason, None)


def test_any_accepted_rule_is_comparable(cell: Callable[..., Analysis]) -> None:
    (check,) = cell([90.0, 90.1, 90.2], published(rules=("best_val", "final"))).checks
    assert check.verdict == "reproduced"


def test_a_part_of_the_data_is_not_comparable(cell: Callable[..., Analysis]) -> None:
    (check,) = cell([90.0, 90.1, 90.2], published(), train_subset=5000, label_noise=0.0).checks
    assert (check.verdict, check.reason) == ("not comparable", "train_subset 5000")


def test_other_methods_and_data_sets_are_no_match(cell: Callable[..., Analysis]) -> None:
    assert cell([90.0], published(method="xsam")).checks == ()
    assert cell([90.0], published(protocol={"dataset": "cifar10"})).checks == ()


def test_a_fixed_alpha_is_not_the_papers_method() -> None:
    plus = RunSpec("vision", "xsam", "sgd_plus", {"alpha": 0.0, "ascent_steps": 1}, 1)
    assert method_of(plus) == "sgd_plus (alpha 0.0)"
    assert method_of(RunSpec("vision", "xsam", "mine", {"alpha": None, "ascent_steps": 2}, 1)) == "xsam:2"


VALUE = """\
published:
  - name: mine
    value: 97.5
    margin: 0.3
    method: sam
    metric: test_accuracy
    protocol: {task: vision, model: mlp, dataset: digits}
    source: "A, B and C (2020)"
"""


def test_a_file_adds_values(tmp_path: Path) -> None:
    path = tmp_path / "more.yaml"
    path.write_text(VALUE)
    (found,) = load_claims(path).published
    assert (found.value, found.margin, found.source, found.rules) == (97.5, 0.3, "A, B and C (2020)", ())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value: 97.5", "value: high", ":3: value must be a number, not 'high'"),
        ("value: 97.5", "valu: 97.5", ":3: unknown key of a published value 'valu'; did you mean 'value'?"),
        ("    margin: 0.3\n", "", ":2: a published value needs 'margin'"),
        ("margin: 0.3", "margin: 0", ":4: margin must be a number above 0, not 0"),
        ("model: mlp, ", "", ":7: protocol needs 'model'"),
        ("method: sam", "method: [sam]", ":5: method must be a text, not ['sam']"),
        ("method: sam", "method: sam\n    rules: [best]", ":6: unknown rule 'best'; did you mean 'best_val'?"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "more.yaml"
    path.write_text(VALUE.replace(old, new))
    with pytest.raises(ValueError, match=r"more\.yaml") as caught:
        load_claims(path)
    assert str(caught.value).endswith(message)
