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
from xsam.report.references import Reference, load_references, method_of, packaged

HEADER = "task,model,dataset,method,metric,protocol,value,source\n"


def test_the_package_lists_the_two_values_that_were_read() -> None:
    assert [(one.dataset, one.metric, one.method, one.value) for one in packaged()] == [
        ("iwslt14_de_en", "test_bleu", "sam", 35.30),
        ("iwslt14_de_en", "test_bleu", "xsam", 35.63),
    ]
    assert {one.source for one in packaged()} == {"arXiv:2603.10048"}


def published(**changed: Any) -> Reference:
    values = {"task": "vision", "model": "mlp", "dataset": "digits", "method": "sam", "metric": "test_accuracy"}
    return Reference(**{**values, "protocol": "final", "value": 90.0, "source": "a paper", **changed})


@pytest.fixture
def cell(make_grid: Callable[..., Grid], make_row: Callable[..., dict[str, Any]]) -> Callable[..., Analysis]:
    """One cell of sam with these values, beside a published one."""

    def make(values: list[float], reference: Reference, **params: Any) -> Analysis:
        grid = make_grid([("sam", "sam", params)], {"optimizer": ("sam",)}, (), ("optimizer",), len(values))
        rows = [make_row(run.run_id, "done", value) for run, value in zip(grid.runs, values, strict=True)]
        return analyse(grid, grid.report, pd.DataFrame(rows), references=[reference])

    return make


@pytest.mark.parametrize(
    ("values", "verdict", "difference"),
    [
        # t(0.975, 2) is 4.303: the mean ± 2.484 for a standard deviation of 1.
        ([91.4, 92.4, 93.4], "reproduced", 2.4),
        ([91.6, 92.6, 93.6], "not reproduced", 2.6),
        ([91.4, 92.4], "too few seeds", 1.9),
    ],
)
def test_reproduced_means_inside_our_interval(
    cell: Callable[..., Analysis], values: list[float], verdict: str, difference: float
) -> None:
    (check,) = cell(values, published()).checks
    assert check.verdict == verdict
    assert check.difference == pytest.approx(difference)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"model": "resnet18"}, "model mlp instead of resnet18"),
        ({"protocol": "last5_mean"}, "rule final instead of last5_mean"),
        (
            {"metric": "test_bleu", "protocol": ""},
            "metric test_accuracy instead of test_bleu, rule final instead of none",
        ),
    ],
)
def test_another_protocol_is_not_comparable(
    cell: Callable[..., Analysis], changed: dict[str, str], reason: str
) -> None:
    (check,) = cell([90.0, 90.1, 90.2], published(**changed)).checks
    assert (check.verdict, check.reason, check.difference) == ("not comparable", reason, None)


def test_a_part_of_the_data_is_not_comparable(cell: Callable[..., Analysis]) -> None:
    (check,) = cell([90.0, 90.1, 90.2], published(), train_subset=5000, label_noise=0.0).checks
    assert (check.verdict, check.reason) == ("not comparable", "train_subset 5000")


def test_other_methods_and_data_sets_are_no_match(cell: Callable[..., Analysis]) -> None:
    assert cell([90.0], published(method="xsam")).checks == ()
    assert cell([90.0], published(dataset="cifar10")).checks == ()


def test_a_fixed_alpha_is_not_the_papers_method() -> None:
    plus = RunSpec("vision", "xsam", "sgd_plus", {"alpha": 0.0, "ascent_steps": 1}, 1)
    assert method_of(plus) == "sgd_plus (alpha 0.0)"
    assert method_of(RunSpec("vision", "xsam", "mine", {"alpha": None, "ascent_steps": 2}, 1)) == "xsam:2"


def test_a_file_adds_values(tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    path.write_text(HEADER + 'vision,mlp,digits,sam,test_accuracy,final,97.5,"A, B and C (2020)"\n')
    (found,) = load_references(path)
    assert (found.value, found.source) == (97.5, "A, B and C (2020)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the columns must be task,"),
        ("task,model\n", ":1: the columns must be task,"),
        (HEADER + "vision,mlp\n", ":2: 2 values for 8 columns"),
        (HEADER + "vision,mlp,digits,sam,test_accuracy,final,high,x\n", ":2: value must be a number, not 'high'"),
        (HEADER + "vision,mlp,digits,sam,test_accuracy,final,nan,x\n", ":2: value must be a number, not 'nan'"),
        (HEADER + "vision,mlp,digits,,test_accuracy,final,1,x\n", ":2: method is missing"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "more.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"more\.csv") as caught:
        load_references(path)
    assert message in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.csv: cannot be read"):
        load_references(tmp_path / "none.csv")
