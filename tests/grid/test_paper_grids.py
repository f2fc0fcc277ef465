"""The paper's grids say what the paper and its code say."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from xsam.grid import Grid, RunSpec, load_grid
from xsam.grid.load import load_document
from xsam.optim.pass_counts import passes_per_step
from xsam.tune.space import groups_of

FOLDER = Path(__file__).parents[2] / "configs" / "paper"
VISION = ("single_step", "multi_step", "overhead", "ablation", "compute_matched")


def load(name: str) -> Grid:
    return load_grid(FOLDER / f"{name}.yaml")


def by_label(grid: Grid, **axes: object) -> dict[str, RunSpec]:
    """Label → the run of seed 0 at ``axes``."""
    wanted = {"seed": 0, **axes}
    return {run.optimizer: run for run in grid.runs if all(run.axes.get(name) == wanted[name] for name in wanted)}


@pytest.mark.parametrize("name", VISION)
def test_every_run_has_the_settings_of_the_authors_code(name: str) -> None:
    for run in load(name).runs:
        params = run.params
        settings = [params[key] for key in ("batch_size", "lr", "momentum", "weight_decay", "init", "val_fraction")]
        assert settings == [125, 0.05, 0.9, 1e-3, "default", 0.0]
        if params["dataset"] == "tiny_imagenet":
            assert (params["augment"], params["crop_scale_min"], params["cutout"]) == ("resized_crop_flip", 0.8, 0)
            assert params["erasing_probability"] == 0.5
        else:
            assert (params["augment"], params["cutout"], params["cutout_probability"]) == ("crop_flip", 16, 0.5)
        if name not in ("overhead", "compute_matched"):
            assert (params["epochs"], params["schedule"]) == (200, "cosine")
        if run.method == "xsam":
            assert (params["alpha_step"], params["scale"]) == (
                0.1,
                "local" if run.optimizer == "xsam_local" else "ascent",
            )


@pytest.mark.parametrize("name", [name for name in VISION if name != "overhead"])
def test_accuracies_are_those_of_the_last_five_epochs(name: str) -> None:
    assert {report.rule for report in load(name).tables} == {"last5_mean"}


def test_single_step_has_every_cell_of_the_table_on_five_seeds() -> None:
    grid = load("single_step")
    models, data = ("vgg11_bn", "resnet18", "densenet121"), ("cifar10", "cifar100", "tiny_imagenet")
    methods = ("sgd", "sgd_plus", "sam", "asam", "gsam", "wsam", "xsam")
    cells = [(run.params["model"], run.params["dataset"], run.optimizer, run.params["seed"]) for run in grid.runs]
    assert sorted(cells) == sorted(itertools.product(models, data, methods, range(5)))
    assert len({run.run_id for run in grid.runs}) == 315
    for run in grid.runs:
        assert run.params.get("ascent_steps", 1) == 1
        if run.method != "sgd":
            assert (run.params["rng"] == "fresh") == (run.params["model"] == "vgg11_bn")
    runs = by_label(grid, model="resnet18", dataset="cifar100")
    assert runs["sam"].params["rho"] == runs["xsam"].params["rho"] == 0.15
    assert (runs["xsam"].params["probe_radius"], runs["xsam"].params["alpha_max"], runs["xsam"].params["alpha"]) == (
        0.3,
        2.0,
        None,
    )
    assert (runs["sgd_plus"].method, runs["sgd_plus"].params["alpha"]) == ("xsam", 0.0)


def test_multi_step_holds_fixed_what_each_convention_says() -> None:
    grid = load("multi_step")
    for k in (1, 2, 3, 5, 10):
        runs = by_label(grid, ascent_steps=k)
        total = {"sam", "lookbehind_sam", "xsam"}
        later = {"sam_per_step", "lookbehind_sam_per_step", "xsam_per_step", "xsam_per_step_scaled"}
        assert set(runs) == total | (later if k > 1 else set())
        for label, run in runs.items():
            assert run.params["ascent_steps"] == k
            assert run.params["rho"] == pytest.approx(0.15 if label in total else 0.15 * k)
            if run.method == "xsam":
                assert run.params["probe_radius"] == pytest.approx(0.3 * k if label.endswith("scaled") else 0.3)


def test_every_label_of_the_ablation_changes_one_factor() -> None:
    factors = {
        "xsam_rho": {"rho", "probe_radius"},
        "xsam_ratio": {"probe_radius"},
        "xsam_every": {"search_every"},
        "xsam_bracket": {"search"},
        "xsam_alpha_max": {"alpha_max"},
        "xsam_alpha": {"alpha"},
        "xsam_local": {"scale"},
        "xsam_shared": {"rng"},
        "sam_rho": {"rho"},
        "sam_shared": {"rng"},
    }
    grid = load("ablation")
    seen = set()
    for model in ("resnet18", "vgg11_bn"):
        runs = by_label(grid, model=model)
        for label, run in runs.items():
            if label in ("sgd", "sam", "xsam"):
                continue
            factor = next(name for name in factors if label.startswith(name))
            seen.add(factor)
            reference = runs[run.method].params
            changed = {name for name in {*reference, *run.params} if reference.get(name) != run.params.get(name)}
            assert changed == factors[factor], label
    assert seen == set(factors)
    shown = set().union(*(report.where["optimizer"] for report in grid.tables))
    assert shown == set(grid.axes["optimizer"]), "every label stands in one of the tables"


def test_equal_budgets_buy_equal_passes() -> None:
    for run in load("compute_matched").runs:
        passes = passes_per_step(run.method, run.params)
        spent = run.params["epochs"] * passes
        assert run.params["pass_budget"] - passes < spent <= run.params["pass_budget"]
    labels = by_label(load("compute_matched"), pass_budget=400)
    assert {label: run.params["epochs"] for label, run in labels.items()} == {
        "sgd": 400,
        "momentum_sam": 400,
        "looksam": 333,
        "sam": 200,
        "xsam": 200,
        "sam_3": 100,
        "xsam_3": 100,
    }


def test_overhead_has_every_method_and_is_short() -> None:
    grid = load("overhead")
    methods = {run.method for run in grid.runs}
    assert methods >= {"sgd", "sam", "asam", "gsam", "wsam", "looksam", "friendly_sam", "fisher_sam", "xsam"}
    assert all(run.params["epochs"] <= 5 for run in grid.runs)


@pytest.mark.parametrize("name", ["single_step", "multi_step", "compute_matched"])
def test_methods_are_tuned_on_seeds_of_their_own_with_one_budget(name: str) -> None:
    document, plan = load_document(FOLDER / f"{name}.yaml")
    tuning = document.tune
    assert tuning is not None
    assert min(tuning.seeds) >= 1000
    assert len(tuning.seeds) >= 2
    groups = groups_of(document, tuning, plan.kept)
    assert len(groups) == len({tuple((k, v) for k, v in run.axes.items() if k != "seed") for run in load(name).runs})
    assert {len(group.drawn) for group in groups} == {tuning.trials}
    names = {parameter for group in groups for parameter in group.start}
    own = {"lr"} if name == "multi_step" else {"lr", "rho", "probe_ratio"}
    assert names == own | ({"gap_weight", "gamma"} if name == "single_step" else set())
    assert len({group.start["lr"] for group in groups}) == 1


@pytest.mark.parametrize("name", ["single_step", "compute_matched"])
def test_ranges_hold_what_papers_use_and_sams_radii_reach_as_far_as_xsam_looks(name: str) -> None:
    document, plan = load_document(FOLDER / f"{name}.yaml")
    assert document.tune is not None
    ranges = {one.axes["optimizer"]: one.ranges for one in groups_of(document, document.tune, plan.kept)}
    assert ranges["sam"]["rho"].high >= ranges["xsam"]["rho"].high * ranges["xsam"]["probe_ratio"].high
    assert ranges["xsam"]["rho"].low <= 0.15 <= ranges["xsam"]["rho"].high
    assert ranges["xsam"]["probe_ratio"].low <= 2 <= ranges["xsam"]["probe_ratio"].high
    assert all(own["lr"].low <= 0.05 <= own["lr"].high for own in ranges.values())
    if name == "single_step":
        assert ranges["asam"]["rho"].low <= 0.5 < 1.0 <= ranges["asam"]["rho"].high
        assert ranges["gsam"]["gap_weight"].low <= 0.4 <= ranges["gsam"]["gap_weight"].high
        assert ranges["wsam"]["gamma"].low <= 0.9 <= ranges["wsam"]["gamma"].high


def test_translation_has_fairseqs_recipe_larger_radii_and_fresh_masks() -> None:
    grid = load("iwslt14")
    runs = by_label(grid)
    recipe = {"lr": 5e-4, "beta1": 0.9, "beta2": 0.98, "weight_decay": 1e-4, "warmup_updates": 4000, "dropout": 0.3}
    for run in runs.values():
        assert {name: run.params[name] for name in recipe} == recipe
    assert {label: (run.params.get("rho"), run.params.get("rng")) for label, run in runs.items()} == {
        "adam": (None, None),
        "sam": (0.05, "shared"),
        "xsam": (0.05, "shared"),
        "sam_rho_0.10": (0.1, "shared"),
        "sam_rho_0.20": (0.2, "shared"),
        "sam_fresh": (0.05, "fresh"),
        "xsam_fresh": (0.05, "fresh"),
    }
    assert runs["sam_rho_0.10"].params["rho"] == runs["xsam"].params["probe_radius"]
    assert grid.keep_checkpoints
    document, plan = load_document(FOLDER / "iwslt14.yaml")
    assert document.tune is not None
    groups = {one.axes["optimizer"]: one for one in groups_of(document, document.tune, plan.kept)}
    assert {len(one.drawn) for one in groups.values()} == {document.tune.trials}
    xsam, sam = groups["xsam"].ranges, groups["sam"].ranges
    assert sam["rho"].high >= xsam["rho"].high * xsam["probe_ratio"].high
    assert all(one.ranges["lr"].low <= 5e-4 <= one.ranges["lr"].high for one in groups.values())
