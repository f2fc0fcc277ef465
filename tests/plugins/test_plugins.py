"""What a plug-in adds is known to grids, the store and reports while it is loaded, and its version is in run ids."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xsam import plugins
from xsam.grid import GridError, load_grid
from xsam.grid.grid import Grid, recall
from xsam.optim.pass_counts import passes_per_step
from xsam.optim.registry import METHODS
from xsam.plugins import Plugin, PluginError
from xsam.store.schema import arrow_schema
from xsam.tasks.vision.images import load as load_images

Edit = Callable[[str, str], None]


def ids(place: Path) -> dict[tuple[str, int], str]:
    return {(run.optimizer, run.seed): run.run_id for run in load_grid(place / "mine.yaml").runs}


def test_a_grid_has_the_plug_ins_names_parameters_and_columns(place: Path) -> None:
    grid = load_grid(place / "mine.yaml")
    run = next(run for run in grid.runs if run.optimizer == "my_sam")
    assert run.params["shrink"] == 0.5
    assert run.plugins == {"my_sam": "1"}
    assert arrow_schema("runs").field("param_shrink").type == "double"
    assert METHODS["my_sam"].family
    assert passes_per_step("my_sam", run.params) == 2
    assert len(load_images("my_blobs", place).train_labels) == 60


def test_unloading_leaves_no_trace(place: Path) -> None:
    before = (list(METHODS), arrow_schema("runs"))
    load_grid(place / "mine.yaml")
    assert arrow_schema("runs") != before[1]
    plugins.unload("my_sam")
    assert (list(METHODS), arrow_schema("runs")) == before


def test_the_version_is_in_the_id_and_the_content_is_not(place: Path, edit: Edit) -> None:
    first = ids(place)
    edit('"""A method of my own."""', '"""Another text."""')
    assert ids(place) == first
    edit('version="1"', 'version="2"')
    assert not set(ids(place).values()) & set(first.values())


def test_runs_that_use_nothing_of_a_plug_in_keep_their_ids(place: Path) -> None:
    path = place / "mine.yaml"
    path.write_text(path.read_text().replace("my_net", "mlp").replace("my_blobs", "digits"), encoding="utf-8")
    plain = path.read_text().replace("plugins: [./my_sam.py]\n", "").replace("[sgd, my_sam]", "[sgd]")
    (place / "plain.yaml").write_text(plain.partition("overrides:")[0], encoding="utf-8")
    with_plugin = {key: run_id for key, run_id in ids(place).items() if key[0] == "sgd"}
    assert with_plugin == {("sgd", run.seed): run.run_id for run in load_grid(place / "plain.yaml").runs}


def test_a_stored_grid_is_read_without_running_the_plug_in(place: Path) -> None:
    grid = load_grid(place / "mine.yaml")
    stored = json.dumps(grid.to_json())
    (place / "my_sam.py").unlink()
    plugins.unload("my_sam")
    again = Grid.from_json(json.loads(stored))
    assert again.to_json() == grid.to_json()
    assert arrow_schema("runs").field("param_shrink").type == "double"
    assert "my_sam" not in METHODS


def test_a_record_that_was_made_up_is_refused(place: Path) -> None:
    data = load_grid(place / "mine.yaml").to_json()
    data["plugins"][0]["parameters"] = {"../x": "float"}
    with pytest.raises(ValueError, match="no parameter"):
        recall(data)


def test_a_diagnostic_is_a_measurement_of_the_grid(place: Path) -> None:
    grid = load_grid(place / "mine.yaml")
    assert grid.diagnostics is not None
    assert grid.diagnostics.measure == ("my_norms",)
    path = place / "mine.yaml"
    path.write_text(path.read_text().replace("[my_norms]", "[my_norm]"), encoding="utf-8")
    with pytest.raises(GridError, match="unknown measure 'my_norm'; did you mean 'my_norms'"):
        load_grid(path)


FAULTS = {
    "missing": ("my_sam.py", None, "no such file or folder"),
    "import": ("from torch import Tensor, nn", "from torch import Tensr", r"my_sam.py:\d+: ImportError: .*`python "),
    "syntax": ("plugin = ", "plugin = (", r"my_sam.py:\d+: SyntaxError"),
    "exit": ("plugin = ", "raise SystemExit(3)\nplugin = ", r"my_sam.py:\d+: SystemExit: 3"),
    "nothing": ("plugin = ", "other = [1]\nplugin = [] and ", r"my_sam.py:\d+: AttributeError"),
    "taken": (
        'plugin.optimizer("my_sam"',
        'plugin.optimizer("sam"',
        "'sam' is xsam-bench itself's already",
    ),
    "clash": ("shrink: float", "hidden: float", "parameter 'hidden' is registered as ints and as float"),
    "name": ('Plugin("my_sam"', 'Plugin("My SAM"', "a plug-in's name is lower-case letters"),
    "version": ('version="1"', "version=1", "the version of my_sam must be a short text such as '1', not 1"),
    "base": ("class MySAM(AscentMethod)", "class MySAM", "is no subclass of xsam.optim.extend.SharpnessAware"),
}


@pytest.mark.parametrize(("before", "after", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_plug_in_that_does_not_work_is_one_line(
    place: Path, edit: Edit, before: str, after: str | None, message: str
) -> None:
    if after is None:
        (place / before).unlink()
    else:
        edit(before, after)
    known = list(METHODS)
    with pytest.raises(GridError, match=message) as caught:
        load_grid(place / "mine.yaml")
    assert caught.value.line == 3
    assert "\n" not in str(caught.value)
    assert list(METHODS) == known
    assert not plugins.loaded()


def test_a_module_that_is_not_there_says_the_ways_out(place: Path) -> None:
    with pytest.raises(PluginError, match=r"no module named 'nowhere': install it .*, or name its file with \./"):
        plugins.load("nowhere.sam", place)


def test_two_plug_ins_of_one_name_are_refused(place: Path) -> None:
    (place / "other.py").write_text((place / "my_sam.py").read_text() + "\n", encoding="utf-8")
    plugins.load("./my_sam.py", place)
    with pytest.raises(PluginError, match=r"other.py: ./my_sam.py is called 'my_sam' too"):
        plugins.load("./other.py", place)


def test_a_folder_is_one_plug_in_and_all_of_its_code_its_content(place: Path) -> None:
    folder = place / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from xsam.plugins import Plugin\nfrom .net import build\nplugin = Plugin('mine', version='1')\n"
        "plugin.model('mine_net')(build)\n",
        encoding="utf-8",
    )
    (folder / "net.py").write_text("def build(channels, size, classes, config): ...\n", encoding="utf-8")
    first = plugins.load("./mine", place)
    assert plugins.load("./mine", place) is first
    (folder / "net.py").write_text("def build(channels, size, classes, config): 'other'\n", encoding="utf-8")
    assert plugins.load("./mine", place).sha256 != first.sha256


def test_a_base_is_known_alone_and_under_every_method(place: Path) -> None:
    (place / "my_sam.py").write_text(
        "import torch\nfrom xsam.parameters import Parameter\nfrom xsam.plugins import Plugin\n"
        "plugin = Plugin('bases', version='1')\n"
        "plugin.base('rprop', torch.optim.Rprop, {'lr': Parameter('float', 0.01, above=0)})\n",
        encoding="utf-8",
    )
    (place / "mine.yaml").write_text(
        "name: b\ntask: vision\nplugins: [my_sam.py]\n"
        "matrix: {model: [mlp], dataset: [digits], optimizer: [rprop, {sam_rprop: {method: sam, base: rprop}}, sam]}\n",
        encoding="utf-8",
    )
    used = {run.optimizer: dict(run.plugins) for run in load_grid(place / "mine.yaml").runs}
    assert used == {"rprop": {"bases": "1"}, "sam_rprop": {"bases": "1"}, "sam": {}}


def test_a_base_needs_a_learning_rate() -> None:
    with pytest.raises(ValueError, match="needs the parameter 'lr'"):
        Plugin("bases", version="1").base("flat", lambda parameters: None, {})


def test_declaring_a_plug_in_imports_no_torch() -> None:
    code = "import sys; from xsam.plugins import Plugin; Plugin('a', version='1'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
