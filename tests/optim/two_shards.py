"""What two processes under ``fully_shard`` (FSDP2) do for ``test_sharded``."""

from __future__ import annotations

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tests.optim import family, problems
from tests.optim.ranks import WORLD
from tests.optim.two_processes import halves

METHODS = [name for name, (kind, _) in family.METHODS.items() if kind._works_on_parts]
STEPS = 5


def sharded(net):
    mesh = init_device_mesh("cpu", (WORLD,))
    model = net()
    for layer in model:
        if any(True for _ in layer.parameters()):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def train(method, rank):
    model = sharded(problems.plain_net)
    optimizer = family.build(method, "momentum", model, max_grad_norm=0.5)
    for batch in problems.batches(STEPS):
        optimizer.step(problems.closure_of(model, halves(batch)[rank]))
    return {
        "weights": [parameter.full_tensor().detach() for parameter in model.parameters()],
        "passes": (optimizer.forwards, optimizer.backwards),
    }


def refused():
    found = []
    for method in [*(name for name in family.METHODS if name not in METHODS), "sam"]:
        model = sharded(problems.plain_net)
        optimizer = family.build(method, "momentum", model)
        if method == "sam":
            optimizer.model = None
        before = [parameter.full_tensor().detach().clone() for parameter in model.parameters()]
        try:
            optimizer.step(problems.closure_of(model, problems.batches(1)[0]))
        except RuntimeError as error:
            after = [parameter.full_tensor() for parameter in model.parameters()]
            found.append((method, str(error), all(map(torch.equal, before, after))))
    return found


def results(rank):
    """All methods, in one of the two processes."""
    return {**{method: train(method, rank) for method in METHODS}, "refused": refused()}
