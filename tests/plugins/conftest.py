from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xsam import plugins
from xsam.registries import recorded

HERE = Path(__file__).parent

GRID = """\
name: mine
task: vision
plugins: [./my_sam.py]
matrix:
  model: [my_net]
  dataset: [my_blobs]
  optimizer: [sgd, my_sam]
  seed: [0, 1]
params: {epochs: 1, batch_size: 20}
overrides:
  - when: {optimizer: [my_sam]}
    params: {shrink: 0.5}
diagnostics: [my_norms]
"""


@pytest.fixture(autouse=True)
def unloaded() -> Iterator[None]:
    """No plug-in outlives its test."""
    yield
    for name in list(plugins.loaded()):
        plugins.unload(name)
    recorded.clear()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a grid and the plug-in that it names."""
    shutil.copyfile(HERE / "my_sam.py", tmp_path / "my_sam.py")
    (tmp_path / "mine.yaml").write_text(GRID, encoding="utf-8")
    return tmp_path


@pytest.fixture
def edit(place: Path) -> Callable[[str, str], None]:
    """Replaces a text in the plug-in."""

    def replace(before: str, after: str) -> None:
        path = place / "my_sam.py"
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after), encoding="utf-8")

    return replace
