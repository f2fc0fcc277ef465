"""Whatever the matrix, a grid is the product of its axes with collapse: against an independent account of both."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.grid.conftest import LoadText
from xsam.grid import Grid, GridError

OPTIMIZERS: dict[str, Any] = {
    "sgd": ("sgd", {}),
    "adam": ("adam", {}),
    "sam": ("sam", {}),
    "xsam": ("xsam", {}),
    "fixed": ("sam", {"ascent_steps": 7}),
    "plus": ("xsam", {"alpha": 0.0, "momentum": 0.5}),
}
VALUES: dict[str, list[Any]] = {
    "model": ["mlp", "resnet8"],
    "dataset": ["digits", "cifar10"],
    "optimizer": list(OPTIMIZERS),
    "ascent_steps": [1, 2, 3],
    "momentum": [0.0, 0.9],
    "beta1": [0.8, 0.9],
    "alpha_max": [1.5, 2.0],
    "hidden": [[8], [8, 8]],
    "seed": [0, 1],
}


def applies(axis: str, cell: dict[str, Any]) -> bool:
    method, own = OPTIMIZERS[cell["optimizer"]]
    if axis in own:
        return False
    if axis == "hidden":
        return cell["model"] == "mlp"
    if axis in ("momentum", "beta1"):
        return (method == "adam") == (axis == "beta1")
    if axis == "alpha_max":
        return method == "xsam"
    return axis != "ascent_steps" or method in ("sam", "xsam")


@st.composite
def matrices(draw: st.DrawFn) -> dict[str, list[Any]]:
    further = draw(st.lists(st.sampled_from(sorted(set(VALUES) - {"model", "dataset", "optimizer"})), unique=True))
    names = draw(st.permutations(["model", "dataset", "optimizer", *further]))
    pick = {name: st.lists(st.sampled_from(VALUES[name]), unique_by=str, min_size=1, max_size=3) for name in names}
    return {name: draw(pick[name]) for name in names}


def yaml_matrix(matrix: dict[str, list[Any]]) -> str:
    labels = {
        label: label if label in ("sgd", "adam", "sam", "xsam") else {label: {"method": method, **own}}
        for label, (method, own) in OPTIMIZERS.items()
    }
    written = {**matrix, "optimizer": [labels[label] for label in matrix["optimizer"]]}
    return f"name: g\ntask: fake\nmatrix: {json.dumps(written)}\n"


@settings(max_examples=150)
@given(matrix=matrices(), data=st.data())
def test_expansion_is_the_product_of_the_axes_with_collapse(
    load_text: LoadText, matrix: dict[str, list[Any]], data: st.DataObject
) -> None:
    expected: list[dict[str, Any]] = []
    for values in itertools.product(*matrix.values()):
        cell = dict(zip(matrix, values, strict=True))
        cell = {axis: value for axis, value in cell.items() if applies(axis, cell)}
        if cell not in expected:
            expected.append(cell)
    text = yaml_matrix(matrix)
    if any(all(axis not in cell for cell in expected) for axis in matrix):
        with pytest.raises(GridError, match="no run of this grid uses the axis"):
            load_text(text)
        return
    victim = data.draw(st.sampled_from(expected))
    names = data.draw(st.lists(st.sampled_from(sorted(victim)), unique=True))
    condition = {name: victim[name] for name in names}
    kept = [cell for cell in expected if not names or any(cell.get(name) != victim[name] for name in names)]
    if names:
        text += f"exclude: [{json.dumps(condition)}]\n"
    if any(all(axis not in cell for cell in kept) for axis in matrix):
        with pytest.raises(GridError, match=r"no run of this grid uses the axis|the grid is empty"):
            load_text(text)
        return
    grid = load_text(text)
    found = [
        {name: list(value) if isinstance(value, tuple) else value for name, value in run.axes.items()}
        for run in grid.runs
    ]
    assert found == kept
    assert len({run.run_id for run in grid.runs}) == len(kept)
    for run in grid.runs:
        method, own = OPTIMIZERS[run.optimizer]
        assert run.method == method
        assert all(run.params[name] == value for name, value in {**run.axes, **own}.items() if name != "optimizer")
    assert Grid.from_json(json.loads(json.dumps(grid.to_json()))) == grid
