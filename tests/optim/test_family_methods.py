"""What is each method's own: limits, passes, memory, clipping, and what is left between steps."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from torch import nn

from tests.optim import family, problems
from tests.optim.test_arithmetic import live_bytes
from tests.optim.test_partial_gradients import Branches, X
from xsam.optim import ASAM, GSAM, WSAM, FisherSAM, FriendlySAM, LookbehindSAM, LookSAM, MomentumSAM

LIMITS = [
    (ASAM, {"eta": -0.1}, "eta must be at least 0, not -0.1"),
    (ASAM, {"ascent_steps": 0}, "ascent_steps must be at least 1, not 0"),
    (FisherSAM, {"eta": -1.0}, "eta must be at least 0, not -1"),
    (FisherSAM, {"rho": -1.0}, "rho must be at least 0, not -1"),
    (GSAM, {"gap_weight": -0.1}, "gap_weight must be at least 0, not -0.1"),
    (WSAM, {"gamma": 1.0}, "gamma must be below 1, not 1"),
    (WSAM, {"gamma": -0.1}, "gamma must be at least 0, not -0.1"),
    (WSAM, {"decouple": "no"}, "decouple must be true or false, not 'no'"),
    (LookSAM, {"refresh_every": 0}, "refresh_every must be at least 1, not 0"),
    (LookSAM, {"strength": -1.0}, "strength must be at least 0, not -1"),
    (FriendlySAM, {"sigma": -1.0}, "sigma must be at least 0, not -1"),
    (FriendlySAM, {"decay": 1.0}, "decay must be below 1, not 1"),
    (LookbehindSAM, {"interpolation": 0.0}, "interpolation must be above 0, not 0"),
    (LookbehindSAM, {"interpolation": 1.1}, "interpolation must be at most 1, not 1.1"),
]


@pytest.mark.parametrize(("method", "keywords", "message"), LIMITS)
def test_a_keyword_out_of_its_range_is_one_line(method, keywords, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        method(problems.sgd(problems.plain_net()), **keywords)
    assert str(caught.value) == message


# Passes of four steps.
PASSES = {
    "sam": 12,
    "asam": 12,
    "gsam": 8,
    "wsam": 8,
    "wsam_coupled": 8,
    "looksam": 6,
    "friendly_sam": 8,
    "fisher_sam": 12,
    "momentum_sam": 4,
    "lookbehind_sam": 16,
}


@pytest.mark.parametrize("method", PASSES)
def test_passes_are_counted(method):
    model = problems.plain_net()
    optimizer = family.build(method, "momentum", model)
    calls = 0
    for batch in problems.batches(4):

        def closure(batch=batch):
            nonlocal calls
            calls += 1
            return problems.loss_of(model, batch)

        optimizer.step(closure)
    assert optimizer.forwards == optimizer.backwards == calls == PASSES[method]


# Copies of the parameters beyond the base optimizer and the gradients: during a step, and between steps.
COPIES = {
    "asam": (1, 1),
    "fisher_sam": (1, 1),
    "gsam": (2, 2),
    "wsam": (2, 2),
    "wsam_coupled": (2, 2),
    "looksam": (2, 2),
    "friendly_sam": (3, 2),
    "momentum_sam": (1, 1),
    "lookbehind_sam": (3, 3),
}


@pytest.fixture
def young_objects():
    """Leave what is there already out of the count, as it takes long to go through."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("young_objects")
@pytest.mark.parametrize("method", COPIES)
def test_a_step_holds_as_many_copies_of_the_parameters_as_its_docstring_says(method):
    weight = nn.Parameter(torch.randn(1_000_000))
    # The plain base keeps nothing, that with momentum one buffer.
    base, buffers = ("momentum", 1) if method == "momentum_sam" else ("plain", 0)
    optimizer = family.build(method, base, nn.Module(), [weight])
    held = []

    def closure():
        held.append(live_bytes())
        return (weight**3).sum()

    start = live_bytes()
    for _ in range(4):
        optimizer.step(closure)
    during, between = COPIES[method]
    size = weight.numel() * 4
    assert max(held) - start <= (during + buffers) * size + 100_000
    weight.grad = None
    assert live_bytes() - start <= (between + buffers) * size + 100_000


@pytest.mark.parametrize("method", family.METHODS)
def test_max_grad_norm_clips_what_the_base_is_given(method):
    model, twin = problems.plain_net(), problems.plain_net()
    fixed = {"alpha": 1.2, "search_every": None} if method == "xsam" else {}
    clipped = family.build(method, "plain" if method != "momentum_sam" else "momentum", model, **fixed)
    free = family.build(method, "plain" if method != "momentum_sam" else "momentum", twin, **fixed)
    (batch,) = problems.batches(1)
    clipped.max_grad_norm = 0.01
    clipped.step(problems.closure_of(model, batch))
    free.step(problems.closure_of(twin, batch))
    torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.01)
    for parameter, other in zip(model.parameters(), twin.parameters(), strict=True):
        # Clipping twice would shrink it by another 1e-4: torch's formula has the norm plus 1e-6 in its denominator.
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-5, atol=0)


def test_decoupled_sharpness_is_clipped_as_the_authors_do_and_has_its_groups_learning_rate():
    model = problems.plain_net()
    twin = copy.deepcopy(model)
    groups = [{"params": list(model[1].parameters())}, {"params": list(model[3].parameters()), "lr": 0.02}]
    optimizer = WSAM(torch.optim.SGD(groups, lr=0.1), rho=0.4, gamma=0.8, max_grad_norm=0.3)
    (batch,) = problems.batches(1)
    optimizer.step(problems.closure_of(model, batch))

    def clipped_gradient():
        gradients = torch.autograd.grad(problems.loss_of(twin, batch), list(twin.parameters()))
        norm = torch.cat([each.flatten() for each in gradients]).norm()
        return gradients, norm, [each * min(1.0, 0.3 / norm.item()) for each in gradients]

    gradients, norm, local = clipped_gradient()
    assert norm > 0.31
    start = [parameter.detach().clone() for parameter in twin.parameters()]
    with torch.no_grad():
        for parameter, gradient in zip(twin.parameters(), gradients, strict=True):
            parameter.add_(0.4 * gradient / norm)
    _, norm, perturbed = clipped_gradient()
    assert norm > 0.31
    rates = [0.1, 0.1, 0.02, 0.02]
    for parameter, before, g, p, rate in zip(model.parameters(), start, local, perturbed, rates, strict=True):
        torch.testing.assert_close(parameter.detach(), before - rate * (g + 4 * (p - g)), rtol=1e-5, atol=1e-7)


def test_the_learning_rate_may_be_a_tensor():
    model, twin = problems.plain_net(), problems.plain_net()
    for net, rate in ((model, torch.tensor(0.01)), (twin, 0.01)):
        optimizer = WSAM(torch.optim.Adam(net.parameters(), lr=rate), rho=0.4)
        for batch in problems.batches(3):
            optimizer.step(problems.closure_of(net, batch))
    assert problems.largest_difference(model.parameters(), twin.parameters()) < 1e-8


def test_a_parameter_without_a_kept_part_counts_in_looksams_length_and_is_not_turned():
    model = Branches([["first"], ["first"], ["first", "second"]])
    optimizer = LookSAM(
        torch.optim.SGD(model.parameters(), lr=0.0), rho=0.3, refresh_every=2, strength=0.6, rng="fresh"
    )
    optimizer.step(lambda: model(X))
    kept = [None if each is None else each.clone() for each in optimizer._kept.of(list(model.parameters()))]
    twin = Branches([["first", "second"]])
    gradients = torch.autograd.grad(twin(X), list(twin.parameters()), allow_unused=True)
    optimizer.step(lambda: model(X))
    norm = torch.cat([each.flatten() for each in gradients if each is not None]).norm()
    assert torch.cat([each.flatten() for each in kept if each is not None]).norm() == pytest.approx(1.0)
    for parameter, gradient, part in zip(model.parameters(), gradients, kept, strict=True):
        if gradient is None:
            assert parameter.grad is None
        else:
            expected = gradient if part is None else gradient + 0.6 * norm * part
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-12, atol=1e-14)


BASES_WITHOUT_MOMENTUM = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.1),
    "Adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=0.1),
}


@pytest.mark.parametrize("base", BASES_WITHOUT_MOMENTUM)
def test_a_base_without_momentum_is_one_clear_error(base):
    message = f"MomentumSAM perturbs along the base's momentum, and this {base} has none: give it momentum=0.9, say"
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        MomentumSAM(BASES_WITHOUT_MOMENTUM[base](problems.plain_net().parameters()))
    assert str(caught.value) == message


def test_a_group_without_momentum_is_refused_wherever_it_comes_from():
    model = problems.plain_net()
    groups = [{"params": model[1].parameters()}, {"params": model[3].parameters(), "momentum": 0.0}]
    with pytest.raises(ValueError, match="this SGD has none"):
        MomentumSAM(torch.optim.SGD(groups, lr=0.1, momentum=0.9))
    optimizer = MomentumSAM(torch.optim.SGD(model[1].parameters(), lr=0.1, momentum=0.9))
    with pytest.raises(ValueError, match="this SGD has none"):
        optimizer.add_param_group({"params": list(model[3].parameters()), "momentum": 0})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": list(model[3].parameters())})
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize("kind", [torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adamax])
def test_other_bases_with_momentum_are_perturbed_by_the_radius(kind):
    model = problems.plain_net()
    optimizer = MomentumSAM(kind(model.parameters(), lr=1e-3), rho=0.5)
    distances = []
    for batch in problems.batches(3):
        start = [parameter.detach().clone() for parameter in model.parameters()]

        def closure(batch=batch, start=start):
            moved = [p.detach() - s for p, s in zip(model.parameters(), start, strict=True)]
            distances.append(torch.cat([part.flatten() for part in moved]).norm().item())
            return problems.loss_of(model, batch)

        optimizer.step(closure)
    assert distances == pytest.approx([0.0, 0.5, 0.5], abs=1e-12)


def test_momentum_sam_leaves_no_empty_state_in_the_base():
    model = problems.plain_net()
    optimizer = MomentumSAM(problems.sgd(model))
    with pytest.raises(RuntimeError, match="has no graph"):
        optimizer.step(lambda: torch.zeros(()))
    assert optimizer.state_dict()["state"] == {}


def test_lookbehind_steps_its_base_k_times():
    model = problems.plain_net()
    optimizer = LookbehindSAM(torch.optim.Adam(model.parameters(), lr=1e-3), ascent_steps=3)
    calls = []
    optimizer.base_optimizer.register_step_post_hook(lambda *_: calls.append(1))
    for batch in problems.batches(2):
        optimizer.step(problems.closure_of(model, batch))
    assert {entry["step"].item() for entry in optimizer.state.values()} == {6.0}
    assert len(calls) == 6


def test_no_hook_stays_on_the_base():
    model = problems.plain_net()
    base = problems.sgd(model)
    optimizer = WSAM(base)
    (batch,) = problems.batches(1)
    optimizer.step(problems.closure_of(model, batch))
    with pytest.raises(ZeroDivisionError):
        optimizer.step(lambda: 1 / 0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    base.zero_grad()
    base.step()
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize("method", family.METHODS)
def test_an_overflow_in_any_pass_skips_the_step(method):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    base = "momentum"
    optimizer = family.build(method, base, model, grad_scaler=scaler)
    x = torch.randn(8, 4)
    for _ in range(3):
        optimizer.step(lambda: model(x).square().mean())
    before = optimizer.forwards
    twin = copy.deepcopy(optimizer)
    twin.step(lambda: twin.model(x).square().mean())
    passes = 3 if method == "xsam" else twin.forwards - before
    for failing in range(1, passes + 1):
        weights, scale = problems.snapshot(model), scaler.get_scale()
        state = copy.deepcopy(optimizer.state_dict())
        calls = 0

        def closure(failing=failing):
            nonlocal calls
            calls += 1
            return model(x).square().mean() * (torch.inf if calls == failing else 1.0)

        optimizer.step(closure)
        assert calls == failing
        problems.assert_bitwise(model.state_dict(), weights)
        assert family.same(optimizer.state_dict()["state"], state["state"])
        assert scaler.get_scale() == scale / 2
        assert optimizer.skipped == failing
    optimizer.step(lambda: model(x).square().mean())
    problems.assert_bitwise(model.state_dict(), twin.model.state_dict())
