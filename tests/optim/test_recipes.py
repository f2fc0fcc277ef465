"""Every recipe in ``docs/recipes`` runs from top to bottom, with the real libraries."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path for path in (ROOT / "docs" / "recipes").glob("*.md") if path.name != "README.md")
NEEDS = {"accelerate": ["accelerate"], "bases": ["schedulefree"], "lightning": ["lightning"]}

pytestmark = pytest.mark.slow


def code_of(path):
    return "\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.M | re.S))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_runs(path, tmp_path):
    for name in NEEDS.get(path.stem, []):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name} (pip install 'xsam-bench[recipes]')")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *environment.get("PYTHONPATH", "").split(os.pathsep)])
    done = subprocess.run(
        [sys.executable, "-c", code_of(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_list_of_recipes_is_whole():
    listed = set(re.findall(r"\((\w+\.md)\)", (ROOT / "docs" / "recipes" / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in RECIPES}
