"""What two processes under DistributedDataParallel do for ``test_distributed``: they run through all of ``CASES``."""

from __future__ import annotations

from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from tests.optim import family, problems
from tests.optim.ranks import WORLD
from xsam.optim import SAM, XSAM, BaseAlone

STEPS, SEARCH_EVERY = 20, 5
RHO, PROBE_RADIUS = 0.3, 0.8

METHODS = {
    "alone": BaseAlone,
    "sam": partial(SAM, rho=RHO),
    "sam2": partial(SAM, rho=RHO, ascent_steps=2),
    "xsam": partial(XSAM, rho=RHO, probe_radius=PROBE_RADIUS, search_every=SEARCH_EVERY),
    "xsam2": partial(XSAM, rho=RHO, ascent_steps=2, probe_radius=PROBE_RADIUS, search_every=SEARCH_EVERY),
}
# How a model is wrapped, into how many closures a batch is cut, and whether the optimizer is told of the wrapper.
WAYS = {
    "plain": ({}, 1, True),
    "bucket views": ({"gradient_as_bucket_view": True}, 1, True),
    "small buckets": ({"bucket_cap_mb": 0.0005}, 1, True),
    "static graph": ({"static_graph": True}, 1, True),
    "unused parameters": ({"find_unused_parameters": True}, 1, True),
    "accumulated": ({}, 2, True),
    "accumulated into views": ({"gradient_as_bucket_view": True, "bucket_cap_mb": 0.0005}, 2, True),
    "unknown to the optimizer": ({}, 1, False),
    "accumulated and unknown": ({}, 2, False),
    "accumulated over a static graph": ({"static_graph": True}, 2, True),
}


def halves(batch):
    return list(zip(batch[0].chunk(WORLD), batch[1].chunk(WORLD), strict=True))


def closures(model, batch, pieces):
    """A closure for each of ``pieces`` unequal pieces of the batch, and their weights."""
    sizes = [len(batch[1])] if pieces == 1 else [1, len(batch[1]) - 1]
    parts = list(zip(batch[0].split(sizes), batch[1].split(sizes), strict=True))
    return [problems.closure_of(model, part) for part in parts], sizes


def result_of(model, optimizer, alphas):
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    return {
        "weights": problems.snapshot(inner),
        "gradients": [None if p.grad is None else p.grad.clone() for p in inner.parameters()],
        "alphas": alphas,
        "passes": (optimizer.forwards, optimizer.backwards, optimizer.skipped),
    }


def train(method, perturbation, way, rank):
    options, pieces, known = WAYS[way]
    model = DistributedDataParallel(problems.plain_net(), **options)
    optimizer = METHODS[method](problems.sgd(model), model=model if known else None, perturbation=perturbation)
    alphas = []
    for batch in problems.batches(STEPS):
        optimizer.step(*closures(model, halves(batch)[rank], pieces))
        alphas.append(getattr(optimizer, "alpha", None))
    return result_of(model, optimizer, alphas)


def buffers(perturbation, wrap, rank):
    """BatchNorm's buffers along a plain loop (``perturbation`` None) or XSAM, both at learning rate 0."""
    model = DistributedDataParallel(problems.batch_norm_net(), **wrap)
    base = problems.sgd(model, lr=0.0)
    optimizer = XSAM(base, rho=0.5, model=model, search_every=2, perturbation=perturbation or "global")
    seen = []
    for index, batch in enumerate(problems.batches(5)):
        half = halves(batch)[rank]
        if perturbation is None:
            base.zero_grad()
            problems.loss_of(model, half).backward()
            base.step()
        else:
            optimizer.step(problems.closure_of(model, half))
        if index == 2:
            with torch.no_grad():
                problems.loss_of(model.eval(), half)
            model.train()
        seen.append({name: buffer.clone() for name, buffer in model.module.named_buffers()})
    return seen


def messages(perturbation, pieces, rank):
    """How often gradients are averaged in each of three steps, bucket by bucket."""
    model = DistributedDataParallel(problems.plain_net())
    calls = []

    def hook(group, bucket):
        calls.append(bucket.index())
        return allreduce_hook(group, bucket)

    model.register_comm_hook(None, hook)
    optimizer = SAM(problems.sgd(model), model=model, ascent_steps=2, perturbation=perturbation)
    counts = []
    for batch in problems.batches(3):
        calls.clear()
        optimizer.step(*closures(model, halves(batch)[rank], pieces))
        counts.append(len(calls))
    return counts


def family_member(method, perturbation, rank):
    model = DistributedDataParallel(problems.plain_net(), gradient_as_bucket_view=True)
    optimizer = family.build(method, "momentum", model, perturbation=perturbation, max_grad_norm=1.0)
    for batch in problems.batches(5):
        optimizer.step(problems.closure_of(model, halves(batch)[rank]))
    return result_of(model, optimizer, [])


class Branches(nn.Module):
    """Rank 0 trains one layer, rank 1 another, both a third, and nobody a fourth."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(36, 3) for _ in range(4)).double()

    def forward(self, value, rank):
        value = value.flatten(1)
        return self.layers[rank](value) + torch.tanh(self.layers[2](value))


def branch_closure(model, batch, rank):
    return lambda: nn.functional.cross_entropy(model(batch[0], rank), batch[1])


def branches(perturbation, rank):
    model = DistributedDataParallel(Branches(), find_unused_parameters=True)
    optimizer = XSAM(problems.sgd(model), rho=RHO, model=model, perturbation=perturbation)
    for batch in problems.batches(4):
        optimizer.step(branch_closure(model, halves(batch)[rank], rank))
    return result_of(model, optimizer, [optimizer.alpha])


def overflow(perturbation, failing_call, rank):
    """Four steps, in the second of which rank 1's loss overflows at one pass."""
    model = DistributedDataParallel(problems.plain_net().float())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = METHODS["xsam2"](problems.sgd(model), model=model, grad_scaler=scaler, perturbation=perturbation)
    scales = []
    for step, (x, y) in enumerate(problems.batches(4)):
        half = halves((x.float(), y))[rank]
        factors = iter([1e38 if (step, call, rank) == (1, failing_call, 1) else 1.0 for call in range(1, 30)])
        optimizer.step(lambda half=half, factors=factors: problems.loss_of(model, half) * next(factors))
        scales.append(scaler.get_scale())
    return {**result_of(model, optimizer, [optimizer.alpha]), "scales": scales}


def refused(rank):
    net = problems.plain_net()
    found = []
    for model in (None, net, DistributedDataParallel(net, static_graph=True)):
        try:
            SAM(problems.sgd(net), model=model, perturbation="local")
        except ValueError as error:
            found.append(str(error))
    return found


def own_group(rank):
    """Each process alone in the group of its wrapper."""
    groups = [dist.new_group([each]) for each in range(WORLD)]
    model = DistributedDataParallel(problems.plain_net(), process_group=groups[rank])
    optimizer = METHODS["xsam"](problems.sgd(model), model=model, perturbation="local")
    for batch in problems.batches(STEPS):
        optimizer.step(problems.closure_of(model, halves(batch)[rank]))
    return result_of(model, optimizer, [optimizer.alpha])


CASES = {
    **{
        ("train", method, perturbation, way): lambda rank, m=method, p=perturbation, w=way: train(m, p, w, rank)
        for method in METHODS
        for perturbation in ("global", "local")
        for way in WAYS
        # A local perturbation needs the wrapper, and no static graph.
        if perturbation == "global" or (WAYS[way][2] and "static" not in way)
        # Every way of wrapping with XSAM; the others in the plain way.
        if way == "plain" or method == "xsam2"
    },
    **{
        ("family", method, perturbation): lambda rank, m=method, p=perturbation: family_member(m, p, rank)
        for method in family.METHODS
        for perturbation in ("global", "local")
    },
    **{
        ("buffers", perturbation): lambda rank, p=perturbation: buffers(p, {}, rank)
        for perturbation in (None, "global", "local")
    },
    **{
        ("buffers apart", perturbation): lambda rank, p=perturbation: buffers(p, {"broadcast_buffers": False}, rank)
        for perturbation in (None, "global", "local")
    },
    **{
        ("messages", perturbation, pieces): lambda rank, p=perturbation, n=pieces: messages(p, n, rank)
        for perturbation in ("global", "local")
        for pieces in (1, 2)
    },
    **{
        ("branches", perturbation): lambda rank, p=perturbation: branches(p, rank)
        for perturbation in ("global", "local")
    },
    **{
        ("overflow", perturbation, call): lambda rank, p=perturbation, c=call: overflow(p, c, rank)
        for perturbation in ("global", "local")
        for call in (1, 2, 3)
    },
    ("refused",): refused,
    ("own group",): own_group,
}


def results(rank):
    """All cases, in one of the two processes."""
    return {case: run(rank) for case, run in CASES.items()}
