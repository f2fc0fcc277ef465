"""One small grid, trained once for every test that needs stored runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Bench

LABEL = "x_.+-"  # everything that a label may hold
GRID = f"""
name: small
task: vision
matrix:
  model: [mlp]
  dataset: [digits]
  optimizer: [sgd, {{{LABEL}: {{method: xsam, rho: 0.2}}}}]
  seed: [0, 1, 2]
params: {{hidden: [8], epochs: 2, batch_size: 256, lr: 0.05}}
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of ``GRID``, never to be changed."""
    bench = Bench(tmp_path_factory.mktemp("trained"))
    bench("run", bench.write_grid(GRID), "--jobs", 1)
    return bench.results


@pytest.fixture
def stored(bench: Bench, trained: Path) -> Bench:
    """The command in a folder with ``GRID`` and a copy of its results."""
    bench.write_grid(GRID)
    shutil.copytree(trained, bench.results)
    return bench
