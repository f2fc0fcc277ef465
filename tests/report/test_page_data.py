"""What the page holds as data: short numbers, inert strings, failures without the machine's paths, thinned curves."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.fixtures.make import HOSTILE, RESULTS
from xsam.atomic import write_json
from xsam.grid.diagnostics import PER_DIRECTION
from xsam.grid.grid import Grid
from xsam.report.analysis import GridReport, load_grid_report, load_report
from xsam.report.page.compact import column, named_columns, numbers, script_json
from xsam.report.page.figures import page_figures
from xsam.report.page.runs import FEWEST_POINTS, LOG_LINES, MOST_POINTS, log_tail, runs_data, without_paths
from xsam.report.panel import thinned
from xsam.report.selection import selected
from xsam.store import GridFolder, write_epochs, write_run, write_sharpness


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20), st.integers(1, 8))
def test_numbers_keep_their_digits_and_what_is_not_finite_is_none(values: list[float], digits: int) -> None:
    for value, short in zip(values, numbers(values, digits), strict=True):
        if not math.isfinite(value):
            assert short is None
        elif abs(value) > 1e-290:
            assert short is not None
            assert short == pytest.approx(value, rel=0.501 * 10.0 ** (1 - digits))
            if 1e-6 < abs(value) < 1e15:
                assert short == float(f"{short:.{digits - 1}e}")
    assert json.loads(script_json(numbers(values, digits))) == numbers(values, digits)


def values_of(packed: dict[str, Any], rows: int) -> list[Any]:
    if "values" in packed:
        return list(packed["values"])
    return [packed["words"][place] for place in packed.get("places", [0] * rows)]


@given(st.lists(st.one_of(st.none(), st.text(max_size=2), st.integers(0, 3)), min_size=1, max_size=30))
def test_columns_unpack_to_what_was_packed(values: list[Any]) -> None:
    assert values_of(json.loads(script_json(column(values))), len(values)) == values


def test_columns_without_content_are_left_out() -> None:
    assert [one["name"] for one in named_columns({"a": [None, None], "b": [None, 1], "c": ["", ""]})] == ["b", "c"]


@given(st.text())
def test_json_in_a_script_says_the_same_and_cannot_end_it(text: str) -> None:
    written = str(script_json({"label": f"{text}</script><!--"}))
    assert json.loads(written) == {"label": f"{text}</script><!--"}
    assert not set("<>&\u2028\u2029") & set(written)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('File "/home/me/a b/xsam/runner/run.py", line 3', 'File "…/xsam/runner/run.py", line 3'),
        ("[Errno 2] No such file: '/data/x.npz'", "[Errno 2] No such file: '…/data/x.npz'"),
        ("reading /mnt/user/sets/cifar10/train.npz: damaged", "reading …/sets/cifar10/train.npz: damaged"),
        ("3/4 of 1/2, a/b, https://example.org/a/b", "3/4 of 1/2, a/b, https://example.org/a/b"),
    ],
)
def test_paths_lose_what_belongs_to_the_machine(text: str, shown: str) -> None:
    assert without_paths(text) == shown


def test_the_end_of_a_log_has_no_times(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert log_tail(log) == ""
    lines = [f"2026-01-02 03:04:{place % 60:02},678 INFO epoch {place} {'é' * 400}" for place in range(100)]
    log.write_text("\n".join([*lines, "RuntimeError: no"]), encoding="utf-8")
    shown = log_tail(log).splitlines()
    assert shown[-2:] == [f"INFO epoch 99 {'é' * 400}", "RuntimeError: no"]
    assert 1 < len(shown) <= LOG_LINES
    assert not any("2026" in line for line in shown)


@given(st.integers(1, 500), st.integers(1, 100))
def test_thinning_keeps_the_last_point_and_even_steps(length: int, longest: int) -> None:
    kept = list(range(length))[thinned(length, longest)]
    assert len(kept) <= longest
    assert kept[-1] == length - 1
    assert len(set(np.diff(kept))) <= 1
    assert kept == list(range(length)) or len(kept) > longest / 2


def test_the_fixtures_runs_are_all_there_with_their_values() -> None:
    report = load_report(RESULTS).grids[0]
    data = runs_data(report)
    runs = report.grid.runs
    assert data["ids"] == [run.run_id for run in runs]
    by_name = {entry["name"]: values_of(entry, len(runs)) for entry in (*data["axes"], *data["results"])}
    rows = report.runs.set_index("run_id")
    for place, run in enumerate(runs):
        assert by_name["optimizer"][place] == run.optimizer
        expected = rows["test_accuracy_final"].get(run.run_id, math.nan)
        assert by_name["test_accuracy_final"][place] == (None if math.isnan(expected) else pytest.approx(expected))
    statuses = values_of(data["status"], len(runs))
    assert {status: statuses.count(status) for status in set(statuses)} == {
        "done": 39,
        "failed": 1,
        "diverged": 1,
        "missing": 1,
    }
    names = data["curves"]["names"]
    at, *curves = data["curves"]["runs"][0]
    assert data["curves"]["at"][at] == (1, 2, 3)
    final = rows["test_accuracy_final"][runs[0].run_id]
    assert curves[names.index("test_accuracy")] == pytest.approx([final - 2, final - 1, final])


@pytest.fixture
def long_runs(tmp_path: Path, make_grid: Callable[..., Grid], make_row: Callable[..., dict[str, Any]]) -> GridReport:
    """Two runs of 1,000 epochs, one of which was measured in every way."""
    grid = make_grid([("xsam", "xsam", {})], {"optimizer": ("xsam",)}, (), ("optimizer",), seeds=2, name="long")
    folder = GridFolder(tmp_path, "long")
    write_json(folder.grid_json, grid.to_json())
    for run in grid.runs:
        write_run(folder, {**make_row(run.run_id, "done", 80.0, "long"), "optimizer": "xsam", "ascent_steps": 1})
        accuracies = [{"epoch": at, "test_accuracy": at / 10, "alpha": 1.5} for at in range(1000)]
        accuracies[500]["test_accuracy"] = math.nan
        write_epochs(folder, run.run_id, accuracies)
    plane = {
        "x": [-1.0, 0.0, 1.0],
        "y": [-1.0, 0.0, 1.0],
        "losses": [[3.0, 2.0, 3.0], [1.0, 0.5, 1.0], [3.0, 2.0, 3.0]],
    }
    circles = {"marks": {"v0": [0.5, 0.0]}, "radii": {"rho": 0.5}}
    profile = {"alphas": [0.0, 1.0, 2.0], "losses": [0.6, 0.9, 0.7], "loss": 0.5, "ascent_steps": 1}
    write_sharpness(
        folder,
        grid.runs[0].run_id,
        [
            {"measure": "top_eigenvalue", "value": 12.0, "epoch": 999},
            {"measure": "ascent_plane", "epoch": 999, "details": json.dumps({"ascent_steps": 1, **plane, **circles})},
            {"measure": f"{PER_DIRECTION}alpha_profile", "value": 1.0, "epoch": 999, "details": json.dumps(profile)},
        ],
    )
    return load_grid_report(folder)


def test_long_curves_are_thinned_to_the_same_points_in_every_run(long_runs: GridReport) -> None:
    data = runs_data(long_runs)["curves"]
    assert FEWEST_POINTS <= data["longest"] <= MOST_POINTS
    (at,) = data["at"]
    assert len(at) <= data["longest"]
    assert at[-1] == 1000
    accuracies = data["runs"][1][1 + data["names"].index("test_accuracy")]
    assert accuracies == [None if epoch == 501 else pytest.approx((epoch - 1) / 10) for epoch in at]


def test_measured_sharpness_becomes_maps(long_runs: GridReport) -> None:
    figures = {figure["name"]: figure for figure in page_figures(selected(long_runs)[0])}
    plane = figures["ascent-plane-xsam"]
    assert (plane["kind"], plane["at"][0], plane["z"][1][1]) == ("plane", [-1.0, 0.0, 1.0], 0.5)
    assert (plane["marks"], plane["radii"]) == ({"ρ·v₀": [0.5, 0.0]}, {"ρ": 0.5})
    heat = figures["alpha-landscape-xsam"]
    assert (heat["kind"], heat["at"], heat["path"]) == ("heat", [[1000], [0.0, 1.0, 2.0]], [[1000], [1.0]])
    assert np.ravel(heat["z"]) == pytest.approx([0.25, 1.0, 0.5])
    (line,) = figures["eigenvalues"]["lines"]
    assert line == [2, "xsam", [1.0], [12.0], [0.0]]


def test_the_figures_of_the_fixtures_have_the_means_of_the_table() -> None:
    report = load_report(RESULTS).grids[0]
    figures = {figure["name"]: figure for figure in page_figures(selected(report)[0])}
    cell = report.analyses[0].table.cells[("mlp", "digits"), (HOSTILE,)]
    lines = {label: (x, mean, spread) for _, label, x, mean, spread in figures["cost-backwards-mlp-digits"]["lines"]}
    finals = np.array(list(cell.values.values()))
    (at,), (mean,), (spread,) = lines[HOSTILE]
    assert at == cell.cost("backwards")
    assert (mean, spread) == pytest.approx((finals.mean(), finals.std(ddof=1)), rel=1e-4)


def test_the_dates_of_rows_are_no_part_of_the_page() -> None:
    assert "2026" not in str(script_json(runs_data(load_report(RESULTS).grids[0])))
    assert datetime(2026, 1, 2, tzinfo=UTC) in set(load_report(RESULTS).grids[0].runs["finished_at"])
