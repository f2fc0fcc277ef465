"""An addition is a file and the line that names it: one of each kind is put into a copy of the package, and used.

``CONTRIBUTING.md`` names the same places.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import xsam

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Addition:
    """What one kind of addition touches.

    Attributes:
        files: new files, from this folder into the package.
        named_in: the one file of the package that changes.
        lines: what is put behind which text of it.
    """

    files: dict[str, str]
    named_in: str
    lines: dict[str, str]


ADDITIONS = {
    "optimizer": Addition(
        {"toy_sam.py": "optim"},
        "optim/registry.py",
        {
            'METHODS: Registry[Method] = Registry(\n    "optimizer",\n    {\n': (
                '        "toy_sam": Method("xsam.optim.toy_sam:ToySAM"),\n'
            ),
        },
    ),
    "model": Addition(
        {"toy_model.py": "tasks/vision"},
        "tasks/vision/architectures.py",
        {
            "from xsam.config import Config, Field\n": "from xsam.tasks.vision.toy_model import ToyModelConfig\n",
            'MODELS: Registry[Architecture] = Registry(\n    "model",\n    {\n': (
                '    "toy": Architecture("xsam.tasks.vision.toy_model:build", ToyModelConfig, libraries=()),\n'
            ),
        },
    ),
    "data set": Addition(
        {"toy_images.py": "tasks/vision/datasets"},
        "tasks/vision/datasets/__init__.py",
        {
            "datasets import cifar, cifar10_c, digits, fashion_mnist, tiny_imagenet": ", toy_images",
            "            fashion_mnist.FASHION_MNIST,\n": "            toy_images.TOY_IMAGES,\n",
        },
    ),
    "metric": Addition(
        {},
        "tasks/vision/summary.py",
        {
            "HISTORY_METRICS = (\n": '    Metric("test_spread", "spread", NEITHER, unit="%", lowest=0),\n',
            "    return {\n": '        "test_spread": max(test) - min(test),\n',
        },
    ),
    "task": Addition(
        {"toy_task.py": "tasks"},
        "tasks/__init__.py",
        {'TASKS: Registry[str | Task[Any]] = Registry(\n    "task", {': '"toy": "xsam.tasks.toy_task:TASK", '},
    ),
    "launcher": Addition(
        {"toy_launcher.py": "launch"},
        "plugins/kinds.py",
        {
            'LAUNCHERS: Registry[Any] = Registry(\n    "launcher",\n    {\n': (
                '        "toy": "xsam.launch.toy_launcher:TOY",\n'
            )
        },
    ),
    "statistic": Addition(
        {"toy_sheet.py": "report"},
        "report/sections.py",
        {
            "from xsam.metrics import NEITHER, RULES\n": "from xsam.report.toy_sheet import spans\n",
            "    made = (": "spans, ",
        },
    ),
    "figure": Addition(
        {"toy_panel.py": "report"},
        "report/panels.py",
        {
            "from xsam.parameters import Value\n": "from xsam.report.toy_panel import toy_panels\n",
            "        list(alpha_panels(table, epochs)),\n": "        list(toy_panels(table)),\n",
        },
    ),
}

GRID = """\
name: toy
task: vision
matrix:
  model: [toy]
  dataset: [toy_images]
  optimizer: [sgd, toy_sam]
  seed: [0, 1]
params: {epochs: 2, batch_size: 20, val_fraction: 0.2, bottleneck: 3}
overrides:
  - when: {optimizer: [toy_sam]}
    params: {strength: 0.5}
"""
NOTHING_ENDED = {"ended 0 toy jobs", "cancelled 0 jobs", "stopped 0 workers"}
TASK_GRID = """\
name: line
task: toy
matrix: {model: [line], dataset: [points], optimizer: [toy_sam], seed: [0]}
params: {epochs: 2, lr: 0.1, count: 4}
"""


class Extended:
    """A copy of the package with every addition, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "xsam"
        shutil.copytree(Path(xsam.__file__).parent, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        for addition in ADDITIONS.values():
            self._add(addition)

    def _add(self, addition: Addition) -> None:
        for name, into in addition.files.items():
            shutil.copyfile(HERE / name, self.package / into / name)
        path = self.package / addition.named_in
        text = path.read_text(encoding="utf-8")
        for before, line in addition.lines.items():
            assert text.count(before) == 1, f"{addition.named_in}: {before!r}"
            text = text.replace(before, before + line)
        path.write_text(text, encoding="utf-8")

    def __call__(self, *arguments: Any, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "xsam.cli.main", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + (done.stderr if status else "")

    def python(self, code: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        ).stdout


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Extended:
    return Extended(tmp_path_factory.mktemp("extended"))


def write_toy_images(folder: Path) -> None:
    """Images in the format that ``toy_images.py`` reads."""
    folder.mkdir()
    for part, count in (("train", 100), ("test", 20)):
        rows = np.zeros((count, 17), np.uint8)
        rows[:, 0] = np.arange(count) % 4
        rows[:, 1:] = np.random.default_rng(count).integers(0, 256, (count, 16))
        (folder / f"{part}.bin").write_bytes(rows.tobytes())


def test_what_is_added_trains_and_is_reported(extended: Extended) -> None:
    write_toy_images(extended.folder / "published")
    grid = extended.folder / "toy.yaml"
    grid.write_text(GRID, encoding="utf-8")
    extended("data", "prepare", "toy_images", "--from", extended.folder / "published")
    extended("run", grid)
    extended("report")
    columns = ["method", "param_bottleneck", "param_strength", "test_spread"]
    stored = extended.python(
        f"from pathlib import Path; from xsam.store import read; print(read(Path('results'))[{columns}].to_json())"
    )
    rows = pd.DataFrame(json.loads(stored))
    assert sorted(rows["method"]) == ["sgd", "sgd", "toy_sam", "toy_sam"]
    assert set(rows["param_bottleneck"]) == {3}
    assert set(rows["param_strength"].dropna()) == {0.5}
    assert (rows["test_spread"] >= 0).all()
    reports = extended.folder / "reports"
    assert "Largest difference between two seeds" in (reports / "toy" / "table.md").read_text(encoding="utf-8")
    assert (reports / "toy" / "figures" / "toy-means.svg").is_file()


def test_a_method_that_is_added_is_exported_and_documented(extended: Extended) -> None:
    shown = extended.python(
        "import xsam.optim; from xsam.grid.reference import reference; "
        "print(xsam.optim.ToySAM.__name__, '| `strength` | a number, above 0, at most 2 |' in reference())"
    )
    assert shown == "ToySAM True\n"


def test_a_task_that_is_added_trains(extended: Extended) -> None:
    grid = extended.folder / "line.yaml"
    grid.write_text(TASK_GRID, encoding="utf-8")
    extended("run", grid, "--results", "lines")
    assert "line: 1 done" in extended("status", "line", "--results", "lines")
    error = extended.python(
        "from pathlib import Path; from xsam.store import read; print(read(Path('lines'))['test_error_final'][0])"
    )
    assert float(error) >= 0


def test_a_launcher_that_is_added_submits_tells_and_cancels(extended: Extended) -> None:
    grid = extended.folder / "line.yaml"
    grid.write_text(TASK_GRID.replace("seed: [0]", "seed: [0, 1]"), encoding="utf-8")
    options = (grid, "--results", "toyed", "--launcher", "toy")
    assert "leave out --jobs" in extended("run", *options, "--jobs", 1, status=2)
    assert "no launcher 'tyo'; did you mean 'toy'?" in extended("run", *options[:-1], "tyo", status=2)
    assert "local|" in extended("run", "--help").replace("\n", "")
    assert "line: 2 done" in extended("run", *options)
    (lease, _) = sorted((extended.folder / "toyed" / "line").glob("state/*/lease/*.json"))
    holder = json.loads(lease.read_text(encoding="utf-8"))["holder"]
    assert (holder["launcher"], holder["job"]) == ("toy", lease.parent.parent.name)
    for row in (extended.folder / "toyed" / "line" / "runs").iterdir():
        row.unlink()
    shown = extended("status", "line", "--results", "toyed", "--json")
    assert [run["why"] for run in json.loads(shown)["line"]] == ["its toy job has not finished it"] * 2
    said = extended("cancel", "line", "--results", "toyed")
    assert set(said.strip().removeprefix("line: ").split(", ")) == NOTHING_ENDED
    assert "toy" in {item["name"] for item in json.loads(extended("doctor", "--json"))["items"]}
