"""What people call things: every method, model and data set that comes with the package has its name in tables."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from xsam.optim.registry import METHODS
from xsam.report.arrangement import packaged_names
from xsam.tasks.translation.corpora import CORPORA
from xsam.tasks.vision.architectures import MODELS
from xsam.tasks.vision.datasets import DATASETS


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("optimizer", METHODS),
        ("model", MODELS),
        ("dataset", [*DATASETS, *(corpus for corpus in CORPORA if corpus != "parallel_text")]),  # one's own: any pair
    ],
)
def test_what_comes_with_the_package_has_a_name_of_its_own(axis: str, values: Iterable[str]) -> None:
    names = packaged_names()
    found = [names.get((axis, value)) for value in values]
    assert None not in found, f"no line in names.csv: {[one for one in values if (axis, one) not in names]}"
    assert len(set(found)) == len(found)
