"""torch's compiler is loaded by what compiles, and by nothing else."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

CODE = """
import sys
from pathlib import Path
import torch
from xsam import XSAM
from xsam.runner.run import set_up_torch, warm_up
from xsam.tasks.vision.images import load

warm_up("cpu")
set_up_torch(threads=1, seed=0)
load("digits", Path("data"))
model = torch.nn.Linear(2, 1)
optimizer = XSAM(torch.optim.AdamW(model.parameters(), lr=0.1), model=model)
x = torch.ones(3, 2)
optimizer.step(lambda: model(x).square().mean())
heavy = {"torch._dynamo.convert_frame", "torch._inductor", "sympy", "sklearn", "pandas"} & set(sys.modules)
assert not heavy, heavy

plain = model(x)
model.compile(backend="eager")
assert torch.equal(model(x), plain)
assert "torch._dynamo.convert_frame" in sys.modules
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.utils.counters["frames"]["ok"] == 1
optimizer.step(lambda: model(x).square().mean())
torch.optim.SGD(model.parameters(), lr=0.1).step()
"""


def test_loads_the_compiler_when_a_model_is_compiled_and_no_earlier() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)
