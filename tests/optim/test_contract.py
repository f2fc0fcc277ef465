"""What every method keeps to on every base optimizer."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.optim import family, problems
from tests.optim.test_arithmetic import Recorder
from tests.optim.test_partial_gradients import Branches, X
from tests.optim.test_passes import DeafBatchNorm
from xsam.optim import SAM, BaseAlone

STEPS = 8


def train(optimizer, model, steps=STEPS):
    torch.manual_seed(5)
    for batch in problems.batches(steps):
        optimizer.step(problems.closure_of(model, batch))
    return model


def train_base(base, parameters_of=nn.Module.parameters, net=problems.batch_norm_net):
    """The base without any wrapper, and without closures."""
    model = net()
    optimizer = family.BASES[base](parameters_of(model))
    for batch in problems.batches(STEPS):
        optimizer.zero_grad()
        problems.loss_of(model, batch).backward()
        optimizer.step()
    return model


def distance(first, second):
    return problems.largest_difference(first.state_dict().values(), second.state_dict().values())


@pytest.fixture(scope="module")
def plainly_trained():
    return {base: train_base(base) for base in family.BASES}


@pytest.mark.parametrize(("method", "base"), [pair for pair in family.PAIRS if pair[0] in family.VANISHING])
@pytest.mark.parametrize(("rho", "tolerance"), [(0.0, 1e-12), (1e-8, 1e-6)])
def test_a_vanishing_radius_is_the_base_optimizer(method, base, rho, tolerance, plainly_trained):
    model = problems.batch_norm_net()
    train(family.build(method, base, model, rho=rho), model)
    # Adam divides by the root of tiny second moments, which magnifies rounding.
    assert distance(model, plainly_trained[base]) < tolerance * (1000 if base.startswith("adam") else 1)


SAM_IN_DISGUISE = {
    "le_sam": {"rho": 0.2, "sigma": 1e6},
    "looksam": {"refresh_every": 1},
    "lookbehind_sam": {"ascent_steps": 1, "interpolation": 1.0},
    "gsam": {"gap_weight": 0.0},
    "wsam_coupled": {"gamma": 0.5},
    "friendly_sam": {"sigma": 0.0},
    "fisher_sam": {"ascent_steps": 1, "eta": 0.0},
    "asam": {"ascent_steps": 1, "rho": 0.2e-6, "eta": 1e6},
}


@pytest.mark.parametrize("base", family.BASES)
@pytest.mark.parametrize("method", SAM_IN_DISGUISE)
def test_special_cases_are_sam(method, base):
    model, twin = problems.batch_norm_net(), problems.batch_norm_net()
    train(family.build(method, base, model, **SAM_IN_DISGUISE[method]), model)
    train(SAM(family.BASES[base](twin.parameters()), rho=0.2, model=twin), twin)
    if method in ("looksam", "lookbehind_sam"):
        problems.assert_bitwise(model.state_dict(), twin.state_dict())
    else:
        assert distance(model, twin) < (1e-5 if method == "asam" else 1e-9)


class Failing:
    """A closure that raises at its n-th call, after its forward."""

    def __init__(self, model, batch, call):
        self.loss, self.left = problems.closure_of(model, batch), call

    def __call__(self):
        loss = self.loss()
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return loss


def state_without_direction(optimizer):
    """LookSAM lets go of its direction when it sets out to refresh it; the step that is done again refreshes too."""
    state = optimizer.state_dict()
    return {**state, "sharpness_aware": {k: v for k, v in state["sharpness_aware"].items() if k != "kept"}}


@pytest.mark.parametrize(("method", "base"), family.PAIRS)
def test_a_raising_closure_leaves_everything_where_it_was(method, base):
    model, twin = problems.batch_norm_net(), problems.batch_norm_net()
    optimizer, other = family.build(method, base, model), family.build(method, base, twin)
    for batch in problems.batches(4):  # the last of which refreshes, or searches, again
        before = other.forwards
        other.step(problems.closure_of(twin, batch))
        for call in range(1, other.forwards - before + 1):
            weights, state = problems.snapshot(model), copy.deepcopy(state_without_direction(optimizer))
            with pytest.raises(KeyboardInterrupt):
                optimizer.step(Failing(model, batch, call))
            problems.assert_bitwise(model.state_dict(), weights)
            assert family.same(state_without_direction(optimizer), state)
            assert all(parameter.grad is None for parameter in model.parameters())
        optimizer.step(problems.closure_of(model, batch))
        problems.assert_bitwise(model.state_dict(), twin.state_dict())
    assert family.same(optimizer.state_dict(), other.state_dict())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("method", "base"), family.PAIRS)
def test_schedulers_attach_without_warnings_and_rule_the_base(method, base):
    model = problems.plain_net()
    optimizer = family.build(method, base, model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    start = optimizer.param_groups[0]["lr"]
    for batch in problems.batches(5):
        optimizer.step(problems.closure_of(model, batch))
        schedule.step()
    assert optimizer.base_optimizer.param_groups[0]["lr"] == start / 4


def groups_of(net):
    weights = [p for p in net.parameters() if p.dim() > 1]
    biases = [p for p in net.parameters() if p.dim() == 1]
    return [{"params": weights, "weight_decay": 0.1}, {"params": biases, "lr": 0.01}]


@pytest.mark.parametrize(("method", "base"), [pair for pair in family.PAIRS if pair[0] in family.VANISHING])
def test_groups_keep_their_own_options(method, base):
    model = problems.plain_net()
    train(family.build(method, base, model, groups_of(model), rho=0.0), model)
    plain = train_base(base, groups_of, problems.plain_net)
    assert distance(model, plain) < (1e-9 if base.startswith("adam") else 1e-12)


# Which layers take part in the passes of three steps; more passes than that go on with the last entry.
PLANS = [
    [["first"]],
    [["first"], [], ["first"], ["first"]],
    [[], ["first"]],
    [["first"], ["first"], [], ["first"], [], ["first"]],
]


@pytest.mark.parametrize("shift", range(2))
@pytest.mark.parametrize(("method", "base"), family.PAIRS)
def test_frozen_and_unused_parameters_stay_put(method, base, shift):
    model = Branches(PLANS[(list(family.BASES).index(base) + shift) % len(PLANS)])
    model.second.requires_grad_(False)
    model.second.weight.grad = torch.ones_like(model.second.weight)
    before = problems.snapshot(model)
    optimizer = family.build(method, base, model, rng="fresh")
    for _ in range(5):
        optimizer.step(lambda: model(X))
    after = model.state_dict()
    assert all(torch.equal(after[n], before[n]) for n in after if n.startswith(("second", "unused")))
    assert not any(torch.equal(after[n], before[n]) for n in after if n.startswith(("always", "first")))
    assert all(each.isfinite().all() for each in after.values())
    model.second.requires_grad_(True)
    model.plan = [["first", "second"]]
    for _ in range(2):
        optimizer.step(lambda: model(X))
    assert not torch.equal(model.second.weight, before["second.weight"])


@pytest.mark.parametrize("method", family.METHODS)
def test_a_sparse_gradient_is_one_error(method):
    embedding = nn.Embedding(5, 3, sparse=True)
    before = embedding.weight.detach().clone()
    optimizer = family.build(method, "momentum", embedding)
    with pytest.raises(TypeError, match="build the embedding with sparse=False"):
        optimizer.step(lambda: embedding(torch.tensor([1, 2])).square().sum())
    assert torch.equal(embedding.weight, before)


@pytest.mark.parametrize("method", family.METHODS)
def test_a_loss_that_touches_no_parameter_of_the_optimizer_moves_nothing(method):
    other = torch.ones(1, requires_grad=True)
    model = nn.Linear(2, 1)
    before = problems.snapshot(model)
    optimizer = family.build(method, "momentum", model)
    for _ in range(4):
        optimizer.step(lambda: other.sum())
    problems.assert_bitwise(model.state_dict(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def deaf_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), DeafBatchNorm(4), nn.Flatten(), nn.Linear(64, 3)).double()


@pytest.mark.parametrize("net", [problems.batch_norm_net, deaf_net])
@pytest.mark.parametrize("method", family.METHODS)
def test_buffers_end_as_one_plain_forward_at_the_first_passs_weights_leaves_them(method, net):
    model, twin = net(), net()
    optimizer = family.build(method, "momentum", model)
    for batch in problems.batches(4):
        first_call = True

        def closure(batch=batch):
            nonlocal first_call
            if first_call:
                with torch.no_grad():
                    for parameter, moved in zip(twin.parameters(), model.parameters(), strict=True):
                        parameter.copy_(moved)
                problems.loss_of(twin, batch)
                first_call = False
            return problems.loss_of(model, batch)

        optimizer.step(closure)
    problems.assert_bitwise(dict(model.named_buffers()), dict(twin.named_buffers()))


@pytest.mark.parametrize("method", family.METHODS)
def test_shared_randomness_gives_every_pass_the_same_masks_and_goes_on_as_after_one(method):
    def masks(wrap):
        model = problems.dropout_net()
        optimizer = wrap(model)
        seen = []
        model[3].register_forward_hook(lambda _, inputs, output: seen.append((output == 0).clone()))
        torch.manual_seed(7)
        for batch in problems.batches(2):
            optimizer.step(problems.closure_of(model, batch))
        return seen, torch.rand(3)

    seen, following = masks(lambda model: family.build(method, "momentum", model, rng="shared"))
    (first, second), after_base = masks(lambda model: BaseAlone(problems.sgd(model)))
    assert {torch.equal(mask, first) + 2 * torch.equal(mask, second) for mask in seen} == {1, 2}
    assert torch.equal(following, after_base)


@pytest.mark.parametrize("max_grad_norm", [None, 0.5])
@pytest.mark.parametrize("method", family.METHODS)
def test_no_step_waits_for_the_device(method, max_grad_norm):
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    fixed = {"alpha": 1.2, "search_every": None} if method == "xsam" else {}
    optimizer = family.build(method, "momentum", model, max_grad_norm=max_grad_norm, **fixed)
    data = [(x.float(), y) for x, y in problems.batches(4)]
    with Recorder() as recorder:
        for batch in data:
            optimizer.step([problems.closure_of(model, batch)] * 2, weights=[1, 2])
    assert any("addmm" in name or "linear" in name for name in recorder.names)
    assert not [name for name in recorder.names if "_local_scalar_dense" in name or "is_nonzero" in name]


@pytest.mark.parametrize("method", family.METHODS)
def test_closures_in_a_list_are_the_joined_batch(method):
    model, twin = problems.plain_net(), problems.plain_net()
    optimizer, other = family.build(method, "momentum", model), family.build(method, "momentum", twin)
    for x, y in problems.batches(4):
        parts = list(zip(x.split([5, 3]), y.split([5, 3]), strict=True))
        optimizer.step([problems.closure_of(model, part) for part in parts], weights=[5, 3])
        other.step(problems.closure_of(twin, (x, y)))
    assert distance(model, twin) < 1e-10


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", family.METHODS)
def test_sixteen_bit_parameters_train(method, dtype):
    torch.manual_seed(0)
    model = nn.Linear(16, 4).to(dtype)
    optimizer = family.build(method, "momentum", model)
    x = torch.randn(32, 16).to(dtype)
    losses = [optimizer.step(lambda: (model(x).float() - 1).square().mean()).item() for _ in range(6)]
    assert all(parameter.dtype is dtype and parameter.isfinite().all() for parameter in model.parameters())
    assert min(losses[3:]) < losses[0]
