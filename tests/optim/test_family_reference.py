"""The family agrees with an independent implementation of each method, in float64 over many steps."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.optim import family_reference as plain
from tests.optim import problems, reference
from xsam.optim import (
    ASAM,
    GAM,
    GSAM,
    LESAM,
    SAMON,
    WSAM,
    EigenSAM,
    FisherSAM,
    FriendlySAM,
    LookbehindSAM,
    LookSAM,
    MomentumSAM,
    StableSAM,
    ZSharp,
)

STEPS = 12

CASES = {
    "asam": (ASAM, {}, plain.ASAM, {}),
    "asam of two steps": (ASAM, {"ascent_steps": 2, "eta": 0.1}, plain.ASAM, {"steps": 2, "eta": 0.1}),
    "fisher_sam": (FisherSAM, {}, plain.FisherSAM, {}),
    "fisher_sam of three steps": (FisherSAM, {"ascent_steps": 3, "eta": 50}, plain.FisherSAM, {"steps": 3, "eta": 50}),
    "gsam": (GSAM, {}, plain.GSAM, {}),
    "gsam, heavy": (GSAM, {"gap_weight": 1.5}, plain.GSAM, {"weight": 1.5}),
    "wsam": (WSAM, {}, plain.WSAM, {}),
    "wsam, coupled": (WSAM, {"gamma": 0.7, "decouple": False}, plain.WSAM, {"gamma": 0.7, "decouple": False}),
    "looksam": (LookSAM, {}, plain.LookSAM, {}),
    "looksam of two": (LookSAM, {"refresh_every": 2, "strength": 0.3}, plain.LookSAM, {"every": 2, "strength": 0.3}),
    "friendly_sam": (FriendlySAM, {}, plain.FriendlySAM, {}),
    "friendly_sam, weak": (FriendlySAM, {"sigma": 0.4, "decay": 0.6}, plain.FriendlySAM, {"sigma": 0.4, "decay": 0.6}),
    "friendly_sam, the text": (FriendlySAM, {"decay": 0.6}, plain.FriendlySAMOfTheText, {"decay": 0.6}),
    "stable_sam": (StableSAM, {}, plain.StableSAM, {}),
    "stable_sam of three steps": (StableSAM, {"ascent_steps": 3}, plain.StableSAM, {"steps": 3}),
    "le_sam": (LESAM, {}, plain.LESAM, {}),
    "le_sam, within its budget": (LESAM, {"sigma": 0.01}, plain.LESAM, {"sigma": 0.01}),
    "sam_on": (SAMON, {}, plain.SAMON, {}),
    "gam": (GAM, {}, plain.GAM, {}),
    "gam, heavy": (
        GAM,
        {"norm_rho": 0.5, "gam_beta_1": 0.1, "gam_beta_2": 0.9, "gam_gamma": 0.7},
        plain.GAM,
        {"norm_rho": 0.5, "beta_1": 0.1, "beta_2": 0.9, "gamma": 0.7},
    ),
    "zsharp": (ZSharp, {}, plain.ZSharp, {}),
    "zsharp of the upper half": (ZSharp, {"percentile": 0.5}, plain.ZSharp, {"percentile": 0.5}),
    "momentum_sam": (MomentumSAM, {}, plain.MomentumSAM, {}),
    "lookbehind_sam": (LookbehindSAM, {}, plain.LookbehindSAM, {}),
    "lookbehind_sam of four steps": (
        LookbehindSAM,
        {"ascent_steps": 4, "interpolation": 0.8},
        plain.LookbehindSAM,
        {"steps": 4, "interpolation": 0.8},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_method_follows_its_reference(case):
    method, keywords, reference_of, reference_keywords = CASES[case]
    model = problems.batch_norm_net()
    twin = copy.deepcopy(model)
    optimizer = method(problems.sgd(model), rho=0.3, model=model, **keywords)
    expected = reference_of(twin, reference.SGD(0.1, 0.9, 1e-3), 0.3, **reference_keywords)
    for batch in problems.batches(STEPS):
        expected.step(lambda net, batch=batch: problems.loss_of(net, batch))
        optimizer.step(problems.closure_of(model, batch))
    assert problems.largest_difference(model.parameters(), twin.parameters()) < 1e-9
    assert model[1].num_batches_tracked.item() == STEPS
    assert problems.largest_difference([model[1].running_mean], [twin[1].running_mean]) < 1e-9


@pytest.mark.parametrize("negative", [False, True])
def test_eigen_sam_follows_its_reference_whose_hessian_is_differentiated(negative):
    """Within what differences of gradients leave of it, from the same first vector."""
    model = problems.plain_net()
    twin = copy.deepcopy(model)
    options = {"alignment": 0.5, "eigen_every": 4, "power_steps": 3}
    optimizer = EigenSAM(problems.sgd(model), rho=0.3, model=model, **options)
    expected = plain.EigenSAM(twin, reference.SGD(0.1, 0.9, 1e-3), 0.3, 0.5, 4, 3)
    start = [torch.randn_like(parameter) for parameter in model.parameters()]
    length = torch.cat([part.flatten() for part in start]).norm() * (-1 if negative else 1)
    optimizer._kept.replace(list(model.parameters()), [part / length for part in start])
    expected.vector = reference.flat(start) / length
    for batch in problems.batches(STEPS):
        expected.step(lambda net, batch=batch: problems.loss_of(net, batch))
        optimizer.step(problems.closure_of(model, batch))
    assert problems.largest_difference(model.parameters(), twin.parameters()) < 1e-7
    vector = torch.cat([each.flatten() for each in optimizer._kept.of(list(model.parameters()))])
    assert (vector - expected.vector).norm() < 1e-6


def test_many_power_iterations_find_the_top_eigenvector():
    model = problems.plain_net()
    (batch,) = problems.batches(1)
    optimizer = EigenSAM(torch.optim.SGD(model.parameters(), lr=0.0), power_steps=200, model=model)
    optimizer.step(problems.closure_of(model, batch))
    values, vectors = torch.linalg.eigh(plain.hessian(model, lambda net: problems.loss_of(net, batch)))
    top = vectors[:, values.abs().argmax()]
    vector = torch.cat([each.flatten() for each in optimizer._kept.of(list(model.parameters()))])
    assert abs(float(top @ vector)) > 1 - 1e-6


def test_momentum_sam_perturbs_along_adams_first_moment():
    model = problems.plain_net()
    optimizer = MomentumSAM(torch.optim.Adam(model.parameters(), lr=1e-2), rho=0.7)
    for batch in problems.batches(4):
        start = reference.flat(model.parameters())
        moments = [optimizer.state[p]["exp_avg"] for p in model.parameters() if p in optimizer.state]
        expected = start - 0.7 * reference.unit(reference.flat(moments)) if moments else start
        seen = []

        def closure(batch=batch, seen=seen):
            seen.append(reference.flat(model.parameters()))
            return problems.loss_of(model, batch)

        optimizer.step(closure)
        assert len(seen) == 1
        assert torch.allclose(seen[0], expected, rtol=0, atol=1e-14)
