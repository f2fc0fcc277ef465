"""``xsam-bench init``, and the grids and profiles that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import Bench
from xsam.cli.main import app
from xsam.grid import load_grid
from xsam.launch.profile import load_profile
from xsam.templates import grids, profiles, templates


@pytest.mark.parametrize("name", grids())
def test_a_copy_of_a_grid_is_the_same_runs_under_another_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "my-study.yaml"
    done = CliRunner().invoke(app, ["init", str(path), "--template", name])
    assert (done.exit_code, f"wrote {path}; next: " in done.output) == (0, True)
    copy, original = load_grid(path), load_grid(grids()[name])
    assert copy.name == "my-study"
    assert [run.run_id for run in copy.runs] == [run.run_id for run in original.runs]


@pytest.mark.parametrize("name", profiles())
def test_a_copy_of_a_profile_is_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init", "--template", f"slurm/{name}"]).exit_code == 0
    assert load_profile(tmp_path / f"{name}.yaml") == load_profile(profiles()[name])


def test_the_list_has_every_template(bench: Bench) -> None:
    lines = bench("init", "--list").splitlines()
    assert [line.split()[0] for line in lines] == list(templates())
    assert list(bench.folder.iterdir()) == []


def test_a_file_is_never_replaced_unasked(bench: Bench) -> None:
    path = bench.write_grid("mine")
    assert "grid.yaml exists; give another name, or --force to replace it" in bench("init", status=2)
    assert path.read_text() == "mine"
    bench("init", "--force")
    assert load_grid(path).name == "grid"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("init", "--template", "quikstart"), "no template 'quikstart'; did you mean 'quickstart'?"),
        (("init", "a b.yaml"), "a grid is named after its file, and 'a b' cannot be a grid's name"),
        (("plan", "quikstart"), "quikstart: no such file, and no grid of this name comes with the package"),
        (("plan", "fashion"), "fashion: no such file, and no grid of this name comes with the package"),
        (("plan", "."), "is no file; give the grid's YAML file"),
        (("run", "quickstart", "--launcher", "slurm"), "'xsam-bench init --template slurm/gpu-cluster' writes one"),
        (
            ("run", "quickstart", "--launcher", "slurm", "--profile", "gpu"),
            "gpu: no such file, and no profile of this name comes with the package; valid: cpu-cluster, dev",
        ),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(arguments: tuple[str, ...], said: str, bench: Bench) -> None:
    told = bench(*arguments, status=2)
    assert said in told
    assert told.count("\n") == 1
    assert list(bench.folder.iterdir()) == []


def test_a_packaged_grid_is_planned_by_its_name_and_a_file_comes_first(bench: Bench) -> None:
    assert "quickstart: 20 pending" in bench("plan", "quickstart")
    (bench.folder / "quickstart").write_text(grids()["grid"].read_text(encoding="utf-8"), encoding="utf-8")
    assert "grid: 20 pending" in bench("plan", "quickstart")
