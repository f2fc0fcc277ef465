"""What is tried and chosen, on results whose best point is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from xsam.grid import Grid, RunSpec, load_grid, select
from xsam.grid.expand import grid_of
from xsam.grid.load import load_document
from xsam.launch import status
from xsam.store import GridFolder, write_epochs, write_run
from xsam.tune import Tuned, TuningFailed, tune, write

GRID = """\
name: g
task: vision
matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: {optimizers}
  batch_size: [128]
  seed: [0, 1]
params: {{hidden: [8], epochs: 30, lr: 0.05}}
overrides:
  - when: {{optimizer: {first}}}
    params: {{epochs: 40, lr: 0.3}}
tune:
  space: {space}
  seeds: {seeds}
  params: {{epochs: 3, val_fraction: 0.2}}
  max_extensions: {limit}
  {more}
"""

Truth = Callable[[Mapping[str, float], int], float | str]


class Results:
    """Runs whose validation accuracy (or status) is a function of their parameters and seed."""

    def __init__(self, folder: Path, truth: Truth, epochs: int = 1, test: Callable[[RunSpec], float] | None = None):
        self.folder, self.truth, self.epochs, self.test = folder, truth, epochs, test
        self.trained: list[RunSpec] = []

    def train(self, grid: Grid, runs: Sequence[RunSpec]) -> list[status.RunStatus]:
        folder = GridFolder(self.folder, grid.name)
        for run in runs:
            if status.status(folder, run).state not in status.FINISHED:
                self.write(folder, run)
        return status.survey(folder, runs)

    def write(self, folder: GridFolder, run: RunSpec) -> None:
        self.trained.append(run)
        value = self.truth(run.params, int(run.params["seed"]))
        tested = self.test(run) if self.test else 50.0
        if isinstance(value, float):
            rows = [
                {"epoch": epoch, "val_accuracy": value, "val_loss": -value, "test_accuracy": tested}
                for epoch in range(self.epochs)
            ]
            write_epochs(folder, run.run_id, rows)
        write_run(
            folder,
            {
                "run_id": run.run_id,
                "status": "done" if isinstance(value, float) else value,
                "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
                "test_accuracy_final": tested,
            },
        )


def hill(**peaks: float) -> Truth:
    """Greatest at the point ``peaks``, falling with the distance from it in logarithms."""

    def truth(params: Mapping[str, float], seed: int) -> float:
        return 90.0 - sum(abs(math.log(params[name] / peak)) for name, peak in peaks.items() if name in params)

    return truth


def grid_file(
    folder: Path,
    space: str,
    optimizers: str = "[sgd]",
    seeds: str = "[1000]",
    limit: int = 3,
    more: str = "",
    first: str = "sgd",
) -> Path:
    path = folder / "g.yaml"
    path.write_text(
        GRID.format(space=space, optimizers=optimizers, seeds=seeds, limit=limit, more=more, first=first),
        encoding="utf-8",
    )
    return path


def search(path: Path, results: Results, only: Sequence[str] = ()) -> Tuned:
    document, plan = load_document(path)
    runs = select(grid_of(document, plan), only)
    return tune(document, plan, runs, GridFolder(results.folder, f"{document.name}@tune"), results.train)


def test_a_best_point_inside_the_space_is_chosen_without_further_runs(tmp_path: Path) -> None:
    results = Results(tmp_path, hill(lr=0.1))
    tuned = search(grid_file(tmp_path, "{lr: [0.05, 0.1, 0.2]}"), results)
    assert [choice.params for choice in tuned.choices] == [{"lr": 0.1}]
    assert [run.params["lr"] for run in results.trained] == [0.05, 0.1, 0.2]
    assert tuned.choices[0].edges == []


@pytest.mark.parametrize(
    ("peak", "limit", "tried", "chosen", "edges"),
    [
        (0.8, 9, [0.05, 0.1, 0.2, 0.4, 0.8, 1.6], 0.8, []),
        (0.8, 2, [0.05, 0.1, 0.2, 0.4], 0.4, ["lr"]),
        (0.8, 0, [0.05, 0.1], 0.1, ["lr"]),
        (0.0125, 9, [0.00625, 0.0125, 0.025, 0.05, 0.1], 0.0125, []),
        (0.0001, 1, [0.025, 0.05, 0.1], 0.025, ["lr"]),
    ],
)
def test_the_space_grows_beyond_the_edge_that_the_best_point_sits_on(
    tmp_path: Path, peak: float, limit: int, tried: list[float], chosen: float, edges: list[str]
) -> None:
    results = Results(tmp_path, hill(lr=peak))
    tuned = search(grid_file(tmp_path, "{lr: [0.05, 0.1]}", limit=limit), results)
    assert sorted(float(run.params["lr"]) for run in results.trained) == tried
    assert tuned.choices[0].params == {"lr": chosen}
    assert tuned.choices[0].edges == edges


def test_several_parameters_grow_together_and_the_space_stays_a_full_grid(tmp_path: Path) -> None:
    results = Results(tmp_path, hill(lr=0.2, rho=0.0125))
    path = grid_file(tmp_path, "{lr: [0.05, 0.1], rho: [0.05, 0.1]}", "[sam]", first="sam")
    tuned = search(path, results)
    points = {(run.params["lr"], run.params["rho"]) for run in results.trained}
    assert points == {(lr, rho) for lr in (0.05, 0.1, 0.2, 0.4) for rho in (0.00625, 0.0125, 0.025, 0.05, 0.1)}
    assert tuned.choices[0].params == {"lr": 0.2, "rho": 0.0125}


def test_a_value_that_the_parameter_does_not_take_ends_the_extension(tmp_path: Path) -> None:
    results = Results(tmp_path, hill(momentum=0.99))
    tuned = search(grid_file(tmp_path, "{momentum: [0.6, 0.8]}"), results)
    assert tuned.choices[0].params == {"momentum": 0.8}, "0.8 * 0.8 / 0.6 is above 1"
    assert tuned.choices[0].edges == ["momentum"]


def test_of_equal_points_the_one_in_the_middle_is_taken_and_nothing_is_extended(tmp_path: Path) -> None:
    results = Results(tmp_path, lambda params, seed: 97.0)
    tuned = search(grid_file(tmp_path, "{lr: [0.01, 0.1, 1, 10]}"), results)
    assert len(results.trained) == 4
    assert tuned.choices[0].params == {"lr": 0.1}, "0.1 and 1 are equally near to it, and 0.1 is smaller"


def test_the_mean_over_the_seeds_decides(tmp_path: Path) -> None:
    values = {0.1: (80.0, 96.0), 0.2: (89.0, 89.0), 0.4: (95.0, 80.0)}
    results = Results(tmp_path, lambda params, seed: values[params["lr"]][seed - 1000])
    path = grid_file(tmp_path, "{lr: [0.1, 0.2, 0.4]}", seeds="{first: 1000, count: 2}")
    tuned = search(path, results)
    assert tuned.choices[0].params == {"lr": 0.2}
    assert [trial.mean for trial in tuned.choices[0].trials] == [88.0, 89.0, 87.5]


@pytest.mark.parametrize("bad", ["diverged", "failed"])
def test_a_point_of_which_one_run_diverged_or_failed_is_the_worst_and_is_shown(tmp_path: Path, bad: str) -> None:
    def truth(params: Mapping[str, float], seed: int) -> float | str:
        return bad if params["lr"] == 0.2 and seed == 1001 else 100 * params["lr"]

    results = Results(tmp_path, truth)
    path = grid_file(tmp_path, "{lr: [0.05, 0.1, 0.2]}", seeds="[1000, 1001]", limit=0)
    tuned = search(path, results)
    assert tuned.choices[0].params == {"lr": 0.1}
    folder = GridFolder(tmp_path, "g@tune")
    write(tuned, path, tmp_path / "out.yaml", folder)
    assert f"lr 0.2: 1 {bad}" in (tmp_path / "out.yaml").read_text()
    assert f"sgd,128,0.2,,,20.0,{bad},False,False" in (folder.root / "curve.csv").read_text()
    assert f"| 0.2 | 1 {bad} |" in (folder.root / "curve.md").read_text()


def test_a_method_of_which_every_point_diverged_is_an_error(tmp_path: Path) -> None:
    results = Results(tmp_path, lambda params, seed: "diverged" if "rho" in params else 90.0)
    path = grid_file(tmp_path, "{lr: [0.1, 0.2, 0.4]}", "[sgd, sam]")
    with pytest.raises(TuningFailed, match=r"g@tune: no point of mlp digits sam batch_size=128 was trained on every"):
        search(path, results)


def test_runs_that_are_not_finished_are_an_error_that_says_to_go_on(tmp_path: Path) -> None:
    results = Results(tmp_path, hill(lr=0.1))
    document, plan = load_document(grid_file(tmp_path, "{lr: [0.1, 0.2]}"))
    folder = GridFolder(tmp_path, "g@tune")
    with pytest.raises(TuningFailed, match="g@tune: 2 runs are not finished; give the same command again"):
        tune(document, plan, grid_of(document, plan).runs, folder, lambda grid, runs: status.survey(folder, runs))
    assert results.trained == []


def test_each_method_is_tuned_in_what_makes_a_difference_to_it(tmp_path: Path) -> None:
    results = Results(tmp_path, hill(lr=0.1, rho=0.2))
    optimizers = "[sgd, sam, {plus: {method: xsam, alpha: 0}}, xsam, {big: {method: sam, rho: 0.7}}]"
    path = grid_file(tmp_path, "{lr: [0.1], rho: [0.1, 0.2, 0.4], probe_ratio: [1, 2, 4]}", optimizers)
    tuned = search(path, results)
    assert {choice.group.axes["optimizer"]: sorted(choice.params) for choice in tuned.choices} == {
        "sgd": ["lr"],
        "sam": ["lr", "rho"],
        "plus": ["lr", "rho"],
        "xsam": ["lr", "probe_ratio", "rho"],
        "big": ["lr"],
    }
    assert len({run.run_id for run in results.trained}) == len(results.trained) == 1 + 3 + 3 + 9 + 1
    assert {run.params["rho"] for run in results.trained if run.optimizer == "big"} == {0.7}


def test_tuning_runs_have_the_tuning_seeds_and_parameters_whatever_overrides_say(tmp_path: Path) -> None:
    results = Results(tmp_path, hill(lr=0.1))
    search(grid_file(tmp_path, "{lr: [0.05, 0.1, 0.2]}", seeds="{first: 1000, count: 2}"), results)
    facts = {(run.params["seed"], run.params["epochs"], run.params["val_fraction"]) for run in results.trained}
    assert facts == {(1000, 3, 0.2), (1001, 3, 0.2)}


def test_every_place_in_the_matrix_has_its_own_choice(tmp_path: Path) -> None:
    path = grid_file(tmp_path, "{rho: [0.1, 0.2, 0.4, 0.8]}", "[sam]", first="sam")
    path.write_text(path.read_text().replace("batch_size: [128]", "ascent_steps: [1, 2]"))
    results = Results(tmp_path, lambda params, seed: -abs(math.log(params["rho"] / (0.2 * params["ascent_steps"]))))
    tuned = search(path, results)
    assert [(choice.group.axes["ascent_steps"], choice.params) for choice in tuned.choices] == [
        (1, {"rho": 0.2}),
        (2, {"rho": 0.4}),
    ]
    assert [choice.group.axes["ascent_steps"] for choice in search(path, results, ["ascent_steps=2"]).choices] == [2]


@pytest.mark.parametrize(("rule", "chosen"), [("final", 0.4), ("last5_mean", 0.2), ("best", 0.1)])
def test_the_rule_makes_one_number_of_a_runs_epochs(tmp_path: Path, rule: str, chosen: float) -> None:
    curves = {0.1: [99, 0, 0, 0, 0, 0, 50], 0.2: [0, 0, 80, 80, 80, 80, 60], 0.4: [0, 0, 0, 0, 0, 0, 90]}

    class Curves(Results):
        def write(self, folder: GridFolder, run: RunSpec) -> None:
            super().write(folder, run)
            values = curves[float(run.params["lr"])]
            rows = [{"epoch": epoch, "val_accuracy": float(value)} for epoch, value in enumerate(values)]
            write_epochs(folder, run.run_id, rows)

    path = grid_file(tmp_path, "{lr: [0.1, 0.2, 0.4]}", limit=0, more=f"rule: {rule}")
    assert search(path, Curves(tmp_path, hill())).choices[0].params == {"lr": chosen}


def test_of_a_loss_the_smallest_is_the_best(tmp_path: Path) -> None:
    path = grid_file(tmp_path, "{lr: [0.05, 0.1, 0.2]}", more="metric: val_loss")
    assert search(path, Results(tmp_path, hill(lr=0.1))).choices[0].params == {"lr": 0.1}


def test_the_test_part_makes_no_difference_to_what_is_written(tmp_path: Path) -> None:
    texts = []
    for name, test in (("a", lambda run: 1.0), ("b", lambda run: 100 * float(run.params["lr"]))):
        folder = tmp_path / name
        folder.mkdir()
        path = grid_file(folder, "{lr: [0.05, 0.1]}")
        tuned = search(path, Results(folder, hill(lr=0.05), test=test))
        written = write(tuned, path, folder / "g_tuned.yaml", GridFolder(folder, "g@tune"))
        texts.append([file.read_bytes() for file in written])
    assert texts[0] == texts[1]


def test_a_second_search_trains_nothing_and_writes_the_same(tmp_path: Path) -> None:
    path = grid_file(tmp_path, "{lr: [0.05, 0.1], rho: [0.1, 0.2]}", "[sgd, sam]")
    texts = []
    for expected in (True, False):
        results = Results(tmp_path, hill(lr=0.2, rho=0.15))
        written = write(search(path, results), path, tmp_path / "out.yaml", GridFolder(tmp_path, "g@tune"))
        assert bool(results.trained) is expected
        texts.append([file.read_bytes() for file in written])
    assert texts[0] == texts[1]


def test_a_search_that_was_cut_off_goes_on_to_the_same_answer(tmp_path: Path) -> None:
    class Stopping(Results):
        def write(self, folder: GridFolder, run: RunSpec) -> None:
            if len(self.trained) < 3:
                super().write(folder, run)

    path = grid_file(tmp_path, "{lr: [0.05, 0.1]}")
    truth = hill(lr=0.4)
    with pytest.raises(TuningFailed, match="not finished"):
        search(path, Stopping(tmp_path, truth))
    assert search(path, Results(tmp_path, truth)).choices[0].params == {"lr": 0.4}


def test_the_written_grid_is_the_first_one_with_the_choices(tmp_path: Path) -> None:
    optimizers = "[sgd, sam, {plus: {method: xsam, alpha: 0}}, xsam]"
    path = grid_file(tmp_path, "{lr: [0.05, 0.1], rho: [0.1, 0.2], probe_ratio: [1, 3]}", optimizers)
    tuned = search(path, Results(tmp_path, hill(lr=0.1, rho=0.1, probe_radius=0.3)))
    out, *_ = write(tuned, path, tmp_path / "out.yaml", GridFolder(tmp_path, "g@tune"))
    before, after = load_grid(path), load_grid(out)
    assert after.name == "g_tuned"
    assert [dict(run.axes) for run in after.runs] == [dict(run.axes) for run in before.runs]
    chosen = {choice.group.axes["optimizer"]: choice.params for choice in tuned.choices}
    for old, new in zip(before.runs, after.runs, strict=True):
        want = dict(chosen[new.optimizer])
        if "probe_ratio" in want:
            want["probe_radius"] = pytest.approx(want.pop("probe_ratio") * want["rho"])
        elif "probe_radius" in old.params:
            want["probe_radius"] = 2 * want["rho"]
        assert dict(new.params) == {**old.params, **want}


def test_lists_on_the_axes_are_written_as_lists(tmp_path: Path) -> None:
    path = grid_file(tmp_path, "{lr: [0.05, 0.1, 0.2]}")
    text = path.read_text().replace("batch_size: [128]", "hidden: [[8], [8, 8]]").replace("hidden: [8], ", "")
    path.write_text(text)
    results = Results(tmp_path, lambda params, seed: -abs(params["lr"] - 0.1 * len(params["hidden"])))
    out, *_ = write(search(path, results), path, tmp_path / "out.yaml", GridFolder(tmp_path, "g@tune"))
    assert {(run.params["hidden"], run.params["lr"]) for run in load_grid(out).runs} == {((8,), 0.1), ((8, 8), 0.2)}


def test_what_is_set_wins_over_the_block_tune(tmp_path: Path) -> None:
    document, plan = load_document(
        grid_file(tmp_path, "{lr: [0.1, 0.2], momentum: [0.5, 0.9]}"), ["lr=0.3", "epochs=7"]
    )
    results = Results(tmp_path, hill())
    tune(document, plan, grid_of(document, plan).runs, GridFolder(tmp_path, f"{document.name}@tune"), results.train)
    assert {(run.params["lr"], run.params["epochs"]) for run in results.trained} == {(0.3, 7)}


def test_the_tuning_grid_survives_its_json(tmp_path: Path) -> None:
    path = grid_file(tmp_path, "{lr: [0.05, 0.1], rho: [0.1, 0.2]}", "[sgd, sam]")
    grid = search(path, Results(tmp_path, hill(lr=0.07, rho=0.15))).grid
    assert Grid.from_json(grid.to_json()) == grid
    assert grid.axes["seed"] == (1000,)
    assert grid.report.columns == ("lr", "rho")
