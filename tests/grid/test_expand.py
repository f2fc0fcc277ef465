"""What the matrix, params, labels, overrides and exclude make of each run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.grid.conftest import LoadText
from xsam.grid import Grid, GridError, RunSpec, load_grid
from xsam.grid.cost import passes_of, total_passes

HEAD = "name: g\ntask: fake\n"


def only(grid: Grid) -> RunSpec:
    """The single run of ``grid``."""
    (run,) = grid.runs
    return run


def one_run(load_text: LoadText, optimizer: str = "sam", rest: str = "", axes: str = "") -> RunSpec:
    return only(load_text(f"{HEAD}matrix: {{model: [mlp], dataset: [digits], optimizer: [{optimizer}]{axes}}}\n{rest}"))


def test_a_run_has_the_parameters_of_task_base_and_method(load_text: LoadText) -> None:
    run = one_run(load_text, "xsam", "params: {epochs: 3, rho: 0.1, lr: 1}")
    assert dict(run.params) == {
        "seed": 0,
        "epochs": 3,
        "schedule": "cosine",
        "max_grad_norm": None,
        "threads": 1,
        "numerics": "native",
        "vectorise": "none",
        "max_updates": None,
        "warmup_epochs": 0,
        "warmup_updates": 0,
        "precision": "fp32",
        "compile": False,
        "accumulation": 1,
        "ema_decay": None,
        "devices": 1,
        "model": "mlp",
        "dataset": "digits",
        "batch_size": 128,
        "val_fraction": 0.0,
        "hidden": (64,),
        "augment": False,
        "label_noise": 0.0,
        "base": "sgd",
        "lr": 1.0,
        "weight_decay": 0.0,
        "momentum": 0.9,
        "nesterov": False,
        "rho": 0.1,
        "ascent_steps": 1,
        "rng": "shared",
        "active_from": 0.0,
        "active_until": 1.0,
        "probe_radius": 0.2,
        "alpha": None,
        "alpha_max": 2.0,
        "alpha_step": 0.1,
        "search_every": None,
        "scale": "ascent",
        "search": "grid",
    }
    assert (run.task, run.method, run.optimizer, run.numerics) == ("fake", "xsam", "xsam", 3)


def test_a_base_alone_has_neither_a_base_parameter_nor_a_radius(load_text: LoadText) -> None:
    assert {"base", "rho", "ascent_steps"}.isdisjoint(one_run(load_text, "sgd").params)
    assert "beta2" in one_run(load_text, "adamw").params


def test_base_decides_which_parameters_and_defaults_a_run_has(load_text: LoadText) -> None:
    run = one_run(load_text, "sam", "params: {base: adam}")
    assert (run.params["base"], run.params["lr"], "momentum" in run.params) == ("adam", 0.001, False)


def test_base_may_be_an_axis_and_collapses_for_a_base_alone(load_text: LoadText) -> None:
    grid = load_text(f"{HEAD}matrix: {{model: [mlp], dataset: [digits], optimizer: [sgd, sam], base: [sgd, adam]}}")
    assert [(run.optimizer, run.axes.get("base"), run.params["lr"]) for run in grid.runs] == [
        ("sgd", None, 0.05),
        ("sam", "sgd", 0.05),
        ("sam", "adam", 0.001),
    ]


@pytest.mark.parametrize(
    ("given_values", "rho", "probe_radius"),
    [
        ("{}", 0.05, 0.1),
        ("{rho: 0.3}", 0.3, 0.6),
        ("{rho_per_step: 0.25}", 0.75, 0.5),
        ("{rho: 0.3, probe_ratio: 3}", 0.3, 0.9),
        ("{rho_per_step: 0.25, probe_ratio: 4}", 0.75, 1.0),
        ("{rho: 0.3, probe_radius: 0.7}", 0.3, 0.7),
    ],
)
def test_radii_follow_from_either_way_to_give_them(
    load_text: LoadText, given_values: str, rho: float, probe_radius: float
) -> None:
    run = one_run(
        load_text, f"{{x: {json.dumps({'method': 'xsam', 'ascent_steps': 3})[:-1]}}}}}", f"params: {given_values}"
    )
    assert run.params["rho"] == pytest.approx(rho, abs=1e-15)
    assert run.params["probe_radius"] == pytest.approx(probe_radius, abs=1e-15)
    assert {"rho_per_step", "probe_ratio"}.isdisjoint(run.params)


def test_a_later_layer_replaces_the_alternative_of_an_earlier_one(load_text: LoadText) -> None:
    label = "{x: {method: sam, ascent_steps: 2, rho_per_step: 0.2}}"
    override = "overrides: [{when: {optimizer: x}, params: {rho: 0.7}}]"
    assert one_run(load_text, label, "params: {rho: 9}").params["rho"] == 0.4
    assert one_run(load_text, label, override).params["rho"] == 0.7
    assert one_run(load_text, "xsam", "params: {rho: 9}", axes=", rho_per_step: [0.5]").params["rho"] == 0.5


def test_the_last_of_all_layers_wins(load_text: LoadText) -> None:
    grid = load_text(f"""{HEAD}matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: [sgd, {{own: {{method: sgd, momentum: 0.2}}}}, {{over: {{method: sgd, momentum: 0.2}}}}]
params: {{momentum: 0.1}}
overrides:
- when: {{optimizer: over}}
  params: {{momentum: 0.3}}
- when: {{optimizer: [over]}}
  params: {{momentum: 0.4}}
""")
    assert [run.params["momentum"] for run in grid.runs] == [0.1, 0.2, 0.4]


def test_configs_that_come_with_the_project_are_valid() -> None:
    configs = Path(__file__).parents[2] / "configs"
    assert len(load_grid(configs / "quickstart.yaml").runs) == 4 * 5
    assert len(load_grid(configs / "cpu" / "fashion.yaml").runs) == 2 * (1 + 3 + 3) * 5


def test_conditions_see_parameters_from_before_the_overrides(load_text: LoadText) -> None:
    run = one_run(
        load_text,
        rest="""overrides:
- when: {batch_size: 128}
  params: {batch_size: 64, lr: 1}
- when: {batch_size: 128, model: mlp, hidden: [64]}
  params: {epochs: 7}
""",
    )
    assert (run.params["batch_size"], run.params["lr"], run.params["epochs"]) == (64, 1.0, 7)


def test_an_override_may_change_the_base(load_text: LoadText) -> None:
    run = one_run(load_text, rest="overrides: [{when: {base: sgd}, params: {base: adam, beta1: 0.5}}]")
    assert (run.params["base"], run.params["beta1"]) == ("adam", 0.5)


def test_a_label_fixes_an_axis_which_collapses_for_it(load_text: LoadText) -> None:
    grid = load_text(f"""{HEAD}matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: [sam, {{five: {{method: sam, ascent_steps: 5}}}}]
  ascent_steps: [1, 2]
""")
    assert [(run.optimizer, run.axes.get("ascent_steps"), run.params["ascent_steps"]) for run in grid.runs] == [
        ("sam", 1, 1),
        ("sam", 2, 2),
        ("five", None, 5),
    ]


def test_parameters_that_a_model_does_not_use_are_absent_and_their_axis_collapses(load_text: LoadText) -> None:
    grid = load_text(f"""{HEAD}matrix:
  model: [mlp, resnet8]
  dataset: [digits]
  optimizer: [sgd]
  hidden: [[8], [8, 8]]
""")
    assert [(run.params["model"], run.axes.get("hidden"), run.params.get("hidden")) for run in grid.runs] == [
        ("mlp", (8,), (8,)),
        ("mlp", (8, 8), (8, 8)),
        ("resnet8", None, None),
    ]


def test_exclude_acts_after_collapse(load_text: LoadText) -> None:
    grid = load_text(f"""{HEAD}matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: [sgd, sam]
  ascent_steps: [1, 2, 3]
exclude: [{{ascent_steps: [1, 3]}}]
""")
    assert [(run.optimizer, run.axes.get("ascent_steps")) for run in grid.runs] == [("sgd", None), ("sam", 2)]
    assert grid.axes["ascent_steps"] == (2,)


def test_exclude_sees_finished_runs(load_text: LoadText) -> None:
    grid = load_text(f"""{HEAD}matrix: {{model: [mlp], dataset: [digits], optimizer: [sgd, sam]}}
overrides: [{{when: {{optimizer: sam}}, params: {{lr: 3}}}}]
exclude: [{{lr: 3.0}}]
""")
    assert only(grid).optimizer == "sgd"


def test_excluded_runs_need_not_be_possible(load_text: LoadText) -> None:
    text = f"{HEAD}matrix: {{model: [mlp, resnet18], dataset: [digits, cifar10], optimizer: [sgd]}}\n"
    with pytest.raises(GridError, match="needs images of 32 pixels"):
        load_text(text)
    assert len(load_text(f"{text}exclude: [{{model: resnet18, dataset: digits}}]").runs) == 3


def test_a_seed_means_the_same_run_alone_and_among_others(load_text: LoadText) -> None:
    text = f"""{HEAD}matrix:
  seed: [0, 7, 2, 5]
  model: [mlp, resnet8]
  dataset: [digits]
  optimizer: [sgd, xsam, {{fixed: {{method: sam, seed: 3}}}}]
overrides:
  - {{when: {{optimizer: xsam}}, params: {{rho: 0.2}}}}
  {{more}}
exclude: [{{seed: 7, optimizer: sgd}}]
"""
    for more in ("", "- {when: {seed: [2, 5]}, params: {lr: 1}}"):
        variant = text.replace("{more}", more)
        together = load_text(variant).runs
        alone = [run for seed in (0, 7, 2, 5) for run in load_text(variant, [f"seed={seed}"]).runs]
        fixed = [run for run in alone if run.optimizer != "fixed"]
        assert [run.to_json() for run in together if run.optimizer != "fixed"] == [run.to_json() for run in fixed]
        assert [run.params["seed"] for run in together if run.optimizer == "fixed"] == [3, 3]
        assert all(RunSpec.from_json(run.to_json()) == run for run in together)  # which hashes the whole content


def test_runs_are_checked_though_their_first_seed_is_excluded(load_text: LoadText) -> None:
    text = f"""{HEAD}matrix: {{model: [mlp, resnet18], dataset: [digits], optimizer: [sgd], seed: [0, 1]}}
exclude: [{{model: resnet18, seed: %s}}]
"""
    for seed in (0, 1):
        with pytest.raises(GridError, match=f"needs images of 32 pixels.* seed={1 - seed}"):
            load_text(text % seed)


def test_the_passes_of_a_grid_are_the_sum_over_its_runs() -> None:
    runs = [run for epochs in (1, 3) for run in load_grid(Path("configs/quickstart.yaml"), [f"epochs={epochs}"]).runs]
    passes = [passes_of(run) for run in runs]
    total = total_passes(runs)
    assert total is not None
    assert total.forwards == sum(each.forwards for each in passes if each is not None) > total.backwards
    assert total.backwards == sum(each.backwards for each in passes if each is not None)


def test_key_order_number_spelling_and_written_defaults_change_no_id(load_text: LoadText) -> None:
    first = load_text(f"""{HEAD}matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: [sgd, sam]
params: {{lr: 1, weight_decay: 5e-4}}
overrides: [{{when: {{optimizer: sam}}, params: {{rho: 0.05, rng: shared}}}}]
""")
    second = load_text("""
params: {weight_decay: 0.00050, max_grad_norm: null, label_noise: 0, val_fraction: 0.0, lr: 1.0, threads: 1}
task: fake
matrix:
  optimizer: [sam, {plain: {momentum: 9e-1, method: sgd}}]
  dataset: [digits]
  model: [mlp]
name: another
""")
    assert {run.run_id for run in first.runs} == {run.run_id for run in second.runs}


def test_seeds_by_count_begin_at_zero_or_at_the_first(load_text: LoadText) -> None:
    matrix = HEAD + "matrix: {model: [mlp], dataset: [digits], optimizer: [sgd], seed: %s}"
    assert load_text(matrix % "{count: 3}") == load_text(matrix % "[0, 1, 2]")
    assert load_text(matrix % "{first: 40, count: 3}") == load_text(matrix % "[40, 41, 42]")


def test_a_parameter_that_came_later_leaves_ids_alone_until_it_is_used(load_text: LoadText) -> None:
    plain, noisy = one_run(load_text), one_run(load_text, rest="params: {label_noise: 0.3}")
    assert "label_noise" in plain.hidden
    assert plain.params["label_noise"] == 0.0
    assert "label_noise" not in noisy.hidden
    assert noisy.params["label_noise"] == 0.3
    without = {name: value for name, value in plain.params.items() if name not in plain.hidden}
    assert RunSpec("fake", "sam", "sam", without, 3).run_id == plain.run_id != noisy.run_id


def test_table_defaults_put_task_axes_in_rows_and_optimizer_axes_in_columns(load_text: LoadText) -> None:
    text = HEAD + "matrix: {seed: [0, 1], ascent_steps: [1, 2], optimizer: [sam], dataset: [digits], model: [mlp]}\n"
    report = load_text(text).report
    assert (report.rows, report.columns) == (("dataset", "model"), ("ascent_steps", "optimizer"))
    assert (report.metric, report.rule) == ("test_accuracy", "final")
    report = load_text(text + "report: {columns: [model]}").report
    assert (report.rows, report.columns) == (("ascent_steps", "optimizer", "dataset"), ("model",))
    report = load_text(text + "report: {rows: [optimizer], metric: test_accuracy_final, rule: last5_mean}").report
    assert (report.rows, report.columns) == (("optimizer",), ("ascent_steps", "dataset", "model"))
    assert (report.metric, report.rule) == ("test_accuracy_final", "last5_mean")


def test_best_val_is_a_rule_where_every_run_has_a_validation_split(load_text: LoadText) -> None:
    text = (
        HEAD
        + "matrix: {model: [mlp], dataset: [digits], optimizer: [sgd], val_fraction: [%s]}\nreport: {rule: best_val}"
    )
    assert load_text(text % "0.1").report.rule == "best_val"
    with pytest.raises(GridError, match="best_val needs a validation split"):
        load_text(text % "0.1, 0")


def test_planning_imports_no_numerical_library() -> None:
    code = "import sys, xsam.grid; print({'torch', 'numpy', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
