"""The contract that every method keeps, and what only this one promises."""

from __future__ import annotations

import torch
from my_method.data import stripes
from my_method.optimizer import BlendSAM

from xsam import SAM
from xsam.testing import check_method


def test_blend_sam_keeps_the_contract() -> None:
    check_method(BlendSAM, options={"rho": 0.2, "mix": 0.7}, passes=2, base_at_zero_radius=True)


def test_all_of_the_mixture_is_sam() -> None:
    trained = []
    for kind, options in ((BlendSAM, {"mix": 1.0}), (SAM, {})):
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 2).double()
        optimizer = kind(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.1, model=model, **options)
        for seed in range(5):
            x = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
            optimizer.step(lambda model=model, x=x: (model(x) - 1).square().mean())
        trained.append(model.weight.detach())
    assert torch.allclose(*trained, rtol=0, atol=1e-12)


def test_the_stripes_are_the_same_every_time() -> None:
    assert all((first == second).all() for first, second in zip(stripes(), stripes(), strict=True))
