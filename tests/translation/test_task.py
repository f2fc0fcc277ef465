"""The task as grids see it, and fairseq as a guest in the process."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from xsam.grid import Grid
from xsam.grid.load import load_grid
from xsam.optim import registry
from xsam.tasks import Finishing
from xsam.tasks.translation import TASK

GRID = """
name: toy
task: translation
matrix: {dataset: [parallel_text], optimizer: [adam, xsam], seed: [0]}
params: {%s}
"""


def grid_of(tmp_path, params: str) -> Grid:
    path = tmp_path / "grid.yaml"
    model = "" if "model:" in params else f"model: {TASK.config().model.name}, "
    path.write_text(GRID % (model + params), encoding="utf-8")
    return load_grid(path)


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_defaults_are_the_published_recipe(tmp_path):
    adam, xsam = grid_of(tmp_path, "max_updates: 10").runs
    expected = {"lr": 5e-4, "beta1": 0.9, "beta2": 0.98, "eps": 1e-8, "weight_decay": 1e-4, "warmup_updates": 4000}
    expected |= {"schedule": "inverse_sqrt", "label_smoothing": 0.1, "max_tokens": 4096, "dropout": 0.3, "beam": 5}
    assert {name: adam.params[name] for name in expected} == expected
    assert {name: xsam.params[name] for name in expected} == expected
    assert xsam.params["base"] == "adam"
    assert xsam.params["rng"] == "shared"
    assert "layers" not in adam.params


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("source: en", "source and target are both en"),
        ("model: transformer, embed_dim: 30, heads: 4", "embed_dim 30 is no multiple of twice the heads, 4"),
        ("compile: true", "compile makes a graph for each shape of batch"),
        ("warmup_updates: 0", "inverse_sqrt falls from the end of the warm-up"),
        ("schedule: inverse_sqr", "did you mean 'inverse_sqrt'"),
    ],
)
def test_mistakes_are_told_before_anything_runs(params, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        grid_of(tmp_path, params)


@pytest.mark.fairseq
def test_adam_is_fairseqs_adam(tmp_path):
    from fairseq.optim.adam import Adam

    (run, _) = grid_of(tmp_path, "lr: 0.01, weight_decay: 0.1").runs
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    twin = copy.deepcopy(model)
    optimizer = registry.build(run.method, run.params, model, bases=TASK.bases)
    theirs = Adam(twin.parameters(), lr=0.01, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.1)
    for _ in range(50):
        x = torch.randn(16, 5, dtype=torch.float64)
        optimizer.step(lambda x=x: (model(x) - x.sum(dim=1, keepdim=True)).square().mean())
        theirs.zero_grad()
        (twin(x) - x.sum(dim=1, keepdim=True)).square().mean().backward()
        theirs.step()
    for ours, expected in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(ours, expected, rtol=1e-5, atol=1e-6)  # fairseq's computes in float32 on the way


@pytest.mark.fairseq
def test_a_problem_finishes(opened):
    assert isinstance(opened(), Finishing)


@pytest.mark.fairseq
def test_planning_imports_neither_torch_nor_fairseq_and_training_leaves_logging_alone():
    code = """
import logging, sys
import xsam.tasks.translation
assert not {"torch", "fairseq"} & set(sys.modules)
root = logging.getLogger()
before = root.level, list(root.handlers), logging.root.manager.disable
from xsam.tasks.translation.library import fairseq
fairseq()
assert (root.level, list(root.handlers), logging.root.manager.disable) == before
"""
    assert in_a_new_process(code) == ""


def test_without_fairseq_the_way_to_get_it_is_told():
    code = """
import sys
sys.modules["fairseq"] = None
from pathlib import Path
from xsam.tasks.data import prepare
try:
    prepare("parallel_text", Path("nowhere"), Path("."))
except ValueError as error:
    print(error)
"""
    message = in_a_new_process(code)
    assert message.startswith("translation needs fairseq, sacrebleu, sacremoses and subword-nmt")
    assert "pip install --no-deps --require-hashes -r requirements-fairseq.txt" in message
