"""One budget of trials for every method: which points, which winner, what follows from it, and what reports show."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.tune.test_search import Results, Truth, hill, search
from xsam.damage import DamagedFile
from xsam.grid import GridError, RunSpec, load_grid
from xsam.grid.load import load_document
from xsam.grid.tuning import LINEAR, LOG, Range
from xsam.report import analysis
from xsam.report.tuning import curve_of, tuning_panels
from xsam.report.write import write_report
from xsam.stats import expected_best
from xsam.store import GridFolder, write_epochs
from xsam.store.tuning import TriedPoint, TunedCell, TuningRecord, tuning_of
from xsam.tune import TuningFailed, write
from xsam.tune.points import shares_of

TRIALS = 8
GRID = """\
name: g
task: vision
matrix:
  model: [mlp]
  dataset: [digits]
  optimizer:
    - sgd
    - sam
    - asam
    - gsam
    - xsam
    - plus: {method: xsam, alpha: 0}
    - constant: {method: xsam, alpha: 1.5}
    - reach: {method: sam, rho: 0.7}
  seed: [0, 1]
params: {hidden: [8], epochs: 30, lr: 0.05}
tune:
  trials: 8
  space:
    lr: {from: 0.01, to: 1}
    rho: {from: 0.02, to: 2}
    probe_ratio: {from: 1, to: 3, scale: linear}
    gap_weight: {from: 0.1, to: 0.9, scale: linear}
  overrides:
    - {when: {optimizer: asam}, space: {rho: {from: 0.2, to: 20}}}
  follow:
    - {optimizer: constant, of: xsam, params: {lr: lr, rho: rho, alpha: alpha}}
    - {optimizer: reach, of: xsam, params: {lr: lr, rho: [rho, alpha]}}
  seeds: {first: 1000, count: 2}
  params: {epochs: 3, val_fraction: 0.2}
"""
ALPHAS = {1000: (1.0, 1.5), 1001: (1.2, 1.9)}  # seed → what the searches of two epochs find


class Searching(Results):
    """The same, whose runs of XSAM have searched."""

    def write(self, folder: GridFolder, run: RunSpec) -> None:
        super().write(folder, run)
        value = self.truth(run.params, run.seed)
        if run.optimizer == "xsam" and isinstance(value, float):
            rows = [
                {"epoch": epoch, "val_accuracy": value, "test_accuracy": 50.0, "alpha": alpha}
                for epoch, alpha in enumerate(ALPHAS[run.seed])
            ]
            write_epochs(folder, run.run_id, rows)


def grid_file(folder: Path, text: str = GRID) -> Path:
    path = folder / "g.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def points(runs: Sequence[RunSpec]) -> dict[str, set[tuple[tuple[str, float], ...]]]:
    """Label → its points, each with the names of what is tuned in it."""
    tuned = ("lr", "rho", "probe_ratio", "gap_weight")
    found: dict[str, set[tuple[tuple[str, float], ...]]] = {}
    for run in runs:
        own = tuple((name, float(run.axes[name])) for name in tuned if name in run.axes)
        found.setdefault(run.optimizer, set()).add(own)
    return found


def test_every_method_tries_as_many_points_however_many_parameters_it_has(tmp_path: Path) -> None:
    results = Searching(tmp_path, hill(lr=0.1, rho=0.2))
    tuned = search(grid_file(tmp_path), results)
    tried = points(results.trained)
    assert {label: len(own) for label, own in tried.items()} == dict.fromkeys(
        ("sgd", "sam", "asam", "gsam", "xsam", "plus"), TRIALS
    )
    assert len(results.trained) == 6 * TRIALS * 2 == len({run.run_id for run in results.trained})
    assert {label: [name for name, _ in min(own)] for label, own in tried.items()} == {
        "sgd": ["lr"],
        "sam": ["lr", "rho"],
        "asam": ["lr", "rho"],
        "gsam": ["lr", "rho", "gap_weight"],
        "xsam": ["lr", "rho", "probe_ratio"],
        "plus": ["lr", "rho"],
    }
    assert {run.seed for run in results.trained} == {1000, 1001}
    assert all(len(choice.trials) == TRIALS for choice in tuned.choices)


def test_methods_share_the_values_of_a_parameter_and_each_is_spread_evenly_over_its_range(tmp_path: Path) -> None:
    document, _ = load_document(grid_file(tmp_path))
    assert document.tune is not None
    results = Searching(tmp_path, hill(lr=0.1))
    search(tmp_path / "g.yaml", results)
    tried = {label: [dict(own) for own in found] for label, found in points(results.trained).items()}
    rates = {tuple(sorted(own["lr"] for own in found)) for found in tried.values()}
    assert len(rates) == 1
    shares = shares_of(document.tune)
    for name, own in shares.items():
        gaps = {round(later - earlier, 9) for earlier, later in itertools.pairwise(sorted(own))}
        assert gaps == {1 / TRIALS}, f"{name}: one value in each part of that size, wherever they begin"
    assert all(0.2 <= own["rho"] <= 20 for own in tried["asam"])
    assert all(0.02 <= own["rho"] <= 2 for own in tried["sam"])
    assert [own["rho"] for own in sorted(tried["asam"], key=lambda own: own["rho"])] == pytest.approx(
        [10 * own["rho"] for own in sorted(tried["sam"], key=lambda own: own["rho"])], rel=1e-3
    )


def test_the_points_are_the_same_on_every_machine_and_in_every_version(tmp_path: Path) -> None:
    document, _ = load_document(grid_file(tmp_path))
    assert document.tune is not None
    shares = shares_of(document.tune)
    first = {name: [round(share, 6) for share in own[:4]] for name, own in shares.items()}
    # The sequence 0, 1/2, 3/4, 1/4, … shifted by the digest of the name.
    assert first == GOLDEN


GOLDEN = {
    "lr": [0.408549, 0.908549, 0.158549, 0.658549],
    "rho": [0.054135, 0.554135, 0.304135, 0.804135],
    "probe_ratio": [0.917699, 0.417699, 0.167699, 0.667699],
    "gap_weight": [0.051017, 0.551017, 0.301017, 0.801017],
}


@pytest.mark.parametrize(("item", "middle"), [(Range(0.01, 1.0, LOG), 0.1), (Range(0.5, 0.9, LINEAR), 0.7)])
def test_a_share_of_a_range_and_back(item: Range, middle: float) -> None:
    assert item.at(0.0) == item.low
    assert item.at(1.0) == item.high
    assert item.at(0.5) == middle
    for share in (0.0, 0.1, 0.37, 0.99):
        assert item.share(item.at(share)) == pytest.approx(share, abs=1e-3)


def test_the_best_mean_wins_and_its_nearness_to_the_end_of_a_range_is_told(tmp_path: Path) -> None:
    results = Searching(tmp_path, hill(lr=0.1, rho=2.0))
    tuned = search(grid_file(tmp_path), results)
    for choice in tuned.choices:
        best = max(trial.mean for trial in choice.trials if trial.mean is not None)
        assert choice.winner.mean == best
    by_label = {choice.group.axes["optimizer"]: choice for choice in tuned.choices}
    assert "rho" in by_label["sam"].edges
    assert by_label["sgd"].edges == []


def test_what_follows_is_made_of_the_winners_values_and_the_mean_alpha_of_its_searches(tmp_path: Path) -> None:
    path = grid_file(tmp_path)
    tuned = search(path, Searching(tmp_path, hill(lr=0.1, rho=0.2)))
    winner = next(choice.params for choice in tuned.choices if choice.group.axes["optimizer"] == "xsam")
    alpha = statistics.fmean(map(statistics.fmean, ALPHAS.values()))
    assert {one.axes["optimizer"]: one.params for one in tuned.followed} == {
        "constant": {"lr": winner["lr"], "rho": winner["rho"], "alpha": alpha},
        "reach": {"lr": winner["lr"], "rho": float(f"{winner['rho'] * alpha:.4g}")},
    }
    out, *_ = write(tuned, path, tmp_path / "out.yaml", GridFolder(tmp_path, "g@tune"))
    params = {run.optimizer: run.params for run in load_grid(out).runs}
    assert params["constant"]["alpha"] == alpha
    assert params["reach"]["rho"] == pytest.approx(winner["rho"] * alpha, rel=1e-3)
    assert params["reach"]["lr"] == params["constant"]["lr"] == params["xsam"]["lr"] == winner["lr"]


def test_a_leader_without_searches_has_no_alpha_to_follow(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="constant takes alpha of xsam, which has none"):
        search(grid_file(tmp_path), Results(tmp_path, hill(lr=0.1)))


def test_a_method_of_which_every_trial_diverged_is_an_error(tmp_path: Path) -> None:
    truth: Truth = lambda params, seed: "diverged" if "gap_weight" in params else 90.0  # noqa: E731
    with pytest.raises(TuningFailed, match="no point of mlp digits gsam"):
        search(grid_file(tmp_path), Searching(tmp_path, truth))


def test_an_interrupted_search_goes_on_to_the_same_answer(tmp_path: Path) -> None:
    class Stopping(Searching):
        def write(self, folder: GridFolder, run: RunSpec) -> None:
            if len(self.trained) < 3:
                super().write(folder, run)

    path, truth = grid_file(tmp_path), hill(lr=0.1, rho=0.2)
    with pytest.raises(TuningFailed, match="not finished"):
        search(path, Stopping(tmp_path, truth))
    first = search(path, Searching(tmp_path, truth))
    again = Searching(tmp_path, truth)
    assert [one.params for one in search(path, again).choices] == [one.params for one in first.choices]
    assert again.trained == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("lr: {from: 0.01, to: 1}", "lr: [0.1]", 20, "with trials, lr needs a range, such as"),
        ("lr: {from: 0.01, to: 1}", "lr: {from: 1, to: 0.1}", 20, "the range of lr must rise, not go from 1 to 0.1"),
        ("lr: {from: 0.01, to: 1}", "lr: {from: 0.1}", 20, "the range of lr needs 'to'"),
        ("lr: {from: 0.01, to: 1}", "lr: {from: -1, to: 1}", 20, "lr must be above 0, not -1"),
        ("to: 3, scale: linear", "to: 3, scale: line", 22, "unknown scale 'line'; did you mean 'linear'?"),
        ("trials: 8", "trials: 0", 18, "trials must be a whole number from 1 to 1024, not 0"),
        ("  seeds: {f", "  max_extensions: 2\n  seeds: {f", 29, "with trials nothing is extended"),
        ("when: {optimizer: asam}", "when: {optimizer: adam}", 25, "no run of this grid has optimizer=adam"),
        ("rho: rho, alpha", "rho: roh, alpha", 27, "'roh' is not tuned; did you mean 'rho'?"),
        ("of: xsam, params: {lr: lr, rho: [", "of: constant, params: {lr: lr, rho: [", 28, "which follows another one"),
        ("optimizer: reach, of", "optimizer: reech, of", 28, "no label of optimizer is 'reech'; did you mean 'reach'?"),
        ("lr: {from: 0.01, to: 1}", "lr: {from: 0.01, to: 0.01001}", 17, "have points in common"),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in GRID
    with pytest.raises(GridError) as caught:
        search(grid_file(tmp_path, GRID.replace(old, new, 1)), Results(tmp_path, hill(lr=0.1)))
    assert message in caught.value.message
    assert caught.value.line == line


def test_overrides_of_a_space_of_lists_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="overrides of a space need trials"):
        load_grid(grid_file(tmp_path, GRID.replace("  trials: 8\n", "")))


@pytest.mark.parametrize("lower_is_better", [False, True])
def test_the_expected_best_is_the_mean_over_all_orders(lower_is_better: bool) -> None:
    values = [3.0, 1.0, 4.0, 1.5, 9.0]
    choose = min if lower_is_better else max
    orders = list(itertools.permutations(values))
    brute = [statistics.fmean(choose(order[:m]) for order in orders) for m in range(1, len(values) + 1)]
    assert expected_best(values, lower_is_better) == pytest.approx(brute)


def test_of_the_curve_a_trial_that_was_lost_counts_as_the_worst(tmp_path: Path) -> None:
    def cell(*means: float | None) -> TunedCell:
        return TunedCell({"optimizer": "sam"}, tuple(TriedPoint({"lr": 0.1}, {}, mean) for mean in means), 0, ())

    record = TuningRecord("val_accuracy", "final", False, (1000,), 3, ())
    assert curve_of(record, cell(80.0, None, 90.0)) == expected_best([80.0, 80.0, 90.0])
    assert curve_of(record, cell(None, None)) == []


def test_the_report_of_a_search_and_of_its_grid_show_what_was_spent_and_found(tmp_path: Path) -> None:
    path = grid_file(tmp_path)

    def truth(params: Mapping[str, float], seed: int) -> float | str:
        if params.get("rho", 0) > 1:
            return "diverged"
        return 90.0 - abs(math.log(params["lr"] / 0.1))

    results = tmp_path / "results"
    search_results = Searching(results, truth)
    tuned = search(path, search_results)
    folder = GridFolder(results, "g@tune")
    out, *_ = write(tuned, path, tmp_path / "g_tuned.yaml", folder)
    record = tuning_of(folder)
    assert record is not None
    assert TuningRecord.from_json(record.to_json()) == record

    final = load_grid(out)
    own = Results(results, hill(lr=0.1))
    own.train(final, final.runs)
    GridFolder(results, "g_tuned").grid_json.write_text(json.dumps(final.to_json()))
    folder.grid_json.write_text(json.dumps(tuned.grid.to_json()))
    assert tuning_of(GridFolder(results, "g_tuned")) == record

    written = write_report(results, tmp_path / "reports", figures=False, page=False)
    names = {path.relative_to(tmp_path / "reports").as_posix() for path in written}
    assert {name for name in names if name.startswith("g@tune")} == {"g@tune/tuning.md"}
    text = (tmp_path / "reports" / "g_tuned" / "tuning.md").read_text()
    lines = {line.split("|")[3].strip(): line for line in text.splitlines() if line.startswith("| mlp")}
    assert set(lines) == {run.optimizer for run in final.runs}
    assert [cell.strip() for cell in lines["sgd"].split("|")][5:7] == [f"{TRIALS}", f"{2 * TRIALS}"]
    lost = sum(trial.mean is None for trial in next(c for c in record.cells if c.axes["optimizer"] == "sam").trials)
    assert lost > 0
    assert f"{TRIALS}, {lost} lost" in lines["sam"]
    assert "those of xsam" in lines["reach"]
    assert f"same budget, {TRIALS} trials" in text
    assert "(g_tuned/tuning.md)" in (tmp_path / "reports" / "README.md").read_text()
    (panel,) = tuning_panels(record, "vision")
    assert {line.label for line in panel.lines} == {str(cell.axes["optimizer"]) for cell in record.cells}
    assert all(list(line.x) == list(range(1, TRIALS + 1)) for line in panel.lines)
    report = analysis.load_report(results)
    assert [grid.tuning for grid in report.grids] == [record, record]


def test_a_broken_record_is_damage_that_names_its_file(tmp_path: Path) -> None:
    folder = GridFolder(tmp_path, "g@tune")
    folder.root.mkdir()
    assert tuning_of(folder) is None
    assert tuning_of(GridFolder(tmp_path, "g")) is None
    for text in ("{", "[]", '{"format": 2}', '{"format": 1}'):
        (folder.root / "tuning.json").write_text(text)
        with pytest.raises(DamagedFile, match=r"tuning\.json: not a record of tuning"):
            tuning_of(folder)
