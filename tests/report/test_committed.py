"""The committed reports are those of the committed results."""

from __future__ import annotations

from pathlib import Path

import pytest

from xsam.report.analysis import load_report
from xsam.report.write import render, stale

ROOT = Path(__file__).parents[2]
# Beside them there may be results of this machine's own.
COMMITTED = (
    "ablation_digits",
    "compute_matched_digits@tune",
    "compute_matched_digits_tuned",
    "confirm_digits",
    "confirm_multi_step_digits",
    "multi30k@tune",
    "multi30k_tuned",
    "multi_step_digits@tune",
    "multi_step_digits_tuned",
    "multi_step_fashion@tune",
    "multi_step_fashion_tuned",
    "overhead_fashion",
    "quickstart",
    "sharpness",
    "single_step_cifar@tune",
    "single_step_cifar_tuned",
    "single_step_digits@tune",
    "single_step_digits_tuned",
    "single_step_fashion@tune",
    "single_step_fashion_tuned",
    "single_step_resnet8@tune",
    "single_step_resnet8_tuned",
)


@pytest.mark.slow
def test_no_committed_table_is_out_of_date() -> None:
    report = load_report(ROOT / "results", COMMITTED)
    assert stale(render(report, figures=False, page=False), ROOT / "reports") == []
