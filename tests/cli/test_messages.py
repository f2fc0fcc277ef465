"""What the command says where somebody errs: the right place, the right word, and a way out that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xsam import templates
from xsam.cli.devices import check_device
from xsam.cli.main import app
from xsam.cli.terminal import BadInput
from xsam.cli.verbs import VERBS
from xsam.grid import GridError, load_grid
from xsam.store import GridFolder, read

ROOT = Path(__file__).parents[2]


def said(*arguments: str) -> str:
    """The one line of a mistake."""
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    assert isinstance(done.exception, BadInput), done.output
    return str(done.exception)


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return tmp_path / "grid.yaml"


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(("name: g", "task: vision", *lines)), encoding="utf-8")


def test_a_misspelt_model_is_blamed_where_it_stands_and_not_where_it_is_missed(grid: Path) -> None:
    write(
        grid,
        "matrix: {model: [resnet9], dataset: [digits], optimizer: [sgd]}",
        "overrides: [{when: {model: resnet8}, params: {lr: 0.1}}]",
    )
    with pytest.raises(GridError) as caught:
        load_grid(grid)
    assert str(caught.value) == f"{grid}:3: unknown model 'resnet9'; did you mean 'resnet8'?"


def test_a_misspelt_model_is_not_hidden_behind_its_parameters(grid: Path) -> None:
    write(grid, "matrix: {model: [mpl], dataset: [digits], optimizer: [sgd]}", "params: {hidden: [64]}")
    with pytest.raises(GridError) as caught:
        load_grid(grid)
    assert str(caught.value) == f"{grid}:3: unknown model 'mpl'; did you mean 'mlp'?"


@pytest.mark.slow
def test_a_misspelt_name_of_timms_is_not_hidden_either(grid: Path) -> None:
    write(
        grid,
        "matrix: {model: [timm/resnet18x], dataset: [cifar10], optimizer: [sgd]}",
        "overrides: [{when: {model: timm/resnet18}, params: {lr: 0.1}}]",
    )
    with pytest.raises(GridError, match=r":3: unknown model 'timm/resnet18x'; did you mean 'timm/resnet18'"):
        load_grid(grid)


def test_a_device_that_is_not_here_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    line = said(
        "run", "quickstart", "--device", "cuda", "--set", "numerics=native", "--results", str(tmp_path / "results")
    )
    assert re.fullmatch(r"--device cuda: torch \S+ cannot use a device 'cuda' on this machine \(.+\); leave .*", line)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cdua", "--device cdua: no device of torch is called so; did you mean 'cuda'?"),
        ("GPU", "--device GPU: no device of torch is called so; did you mean 'cuda'?"),
        ("cuda:x", "--device cuda:x: no device of torch is called so; did you mean 'cuda'?"),
    ],
)
def test_a_device_that_nobody_has_is_named(name: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_device(name, here=False)
    assert str(caught.value) == message


def test_a_results_folder_may_be_a_text(tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    assert read(str(tmp_path)).empty
    assert GridFolder(str(tmp_path), "g") == GridFolder(tmp_path, "g")
    assert load_grid(str(ROOT / "configs" / "quickstart.yaml")).name == "quickstart"


def test_examples_of_help_name_grids_that_are_there() -> None:
    known = templates.grids()
    for verb in VERBS:
        example = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"}).output.partition("Example:")[2]
        for word in re.findall(r"xsam-bench (?:plan|run|tune) (\S+)", example):
            assert (ROOT / word).is_file() or word in known, f"{verb}: {word}"


def test_what_lists_runs_is_a_verb_that_lists_them() -> None:
    results = str(ROOT / "results")
    line = said("logs", "zzz", "--results", results)
    assert line == f"{results}: no run 'zzz'; 'xsam-bench runs --results {results}' lists them"


def test_a_misspelt_file_has_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: g", encoding="utf-8")
    assert said("plan", str(tmp_path / "mien.yaml")) == (
        f"{tmp_path / 'mien.yaml'}: no such file; did you mean '{tmp_path / 'mine.yaml'}'?"
    )


def test_a_misspelt_verb_has_a_suggestion() -> None:
    done = CliRunner().invoke(app, ["rnu"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "No such command 'rnu'. Did you mean 'run'" in done.output


def test_the_readmes_table_of_cells_keeps_data_sets_apart() -> None:
    keys = re.search(r"groupby\(\[(.*?)\]", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert keys is not None
    assert {"grid", "model", "dataset", "optimizer", "ascent_steps"} <= set(re.findall(r'"(\w+)"', keys[1]))


def test_a_grid_file_in_place_of_a_stored_grid_is_told_its_grids_name(grid: Path) -> None:
    write(grid, "matrix: {model: [mlp], dataset: [digits], optimizer: [sgd], seed: [0]}", "params: {epochs: 1}")
    file = grid.with_name("sharpness.yaml")
    file.write_text(grid.read_text(encoding="utf-8").replace("name: g", "name: sharpness"), encoding="utf-8")
    results = str(grid.parent / "results")
    done = CliRunner().invoke(app, ["run", str(file), "--results", results])
    assert done.exit_code == 0, done.output
    for verb in ("status", "watch", "report", "compact", "cancel", "runs"):
        assert said(verb, str(grid), "--results", results).endswith(
            f"no grid '{grid}': that is a grid file, and its grid is called 'g', which is not stored here: "
            f"'xsam-bench run {grid}' comes first"
        ), verb
    assert said("status", "cpu/sharpness", "--results", results).endswith(
        "no grid 'cpu/sharpness': that is a grid file, and its grid is called 'sharpness'"
    )
    grid.write_text("[")
    assert "no grid" in said("status", str(grid), "--results", results)


def test_a_file_in_place_of_a_folder_is_named_with_its_option(grid: Path) -> None:
    write(grid, "matrix: {model: [mlp], dataset: [cifar10], optimizer: [sgd], seed: [0]}")
    before = grid.read_text()
    results = str(ROOT / "results")
    for option, arguments in {
        "--results": (("status",), ("report",), ("watch", "x"), ("show", "0"), ("run", str(grid))),
        "--data": (("run", str(grid), "--results", str(grid.parent / "r")),),
        "--out": (("report", "quickstart", "--results", results),),
    }.items():
        for words in arguments:
            assert said(*words, option, str(grid)).startswith(f"{option} {grid}: is no folder"), words
    assert grid.read_text() == before
    assert list(grid.parent.iterdir()) == [grid]


def test_a_folder_in_place_of_the_tuned_grid_is_told_before_the_training(grid: Path) -> None:
    write(
        grid,
        "matrix: {model: [mlp], dataset: [digits], optimizer: [sgd], seed: [0]}",
        "tune: {space: {lr: [0.1]}, seeds: [1000], params: {val_fraction: 0.2}}",
    )
    message = said("tune", str(grid), "--out", str(grid.parent), "--results", str(grid.parent / "r"))
    assert (
        message == f"--out {grid.parent}: is a folder; give the file of the new grid, such as {grid.parent}/tuned.yaml"
    )
    assert list(grid.parent.iterdir()) == [grid]
