"""Saving and resuming, schedulers, copies: the optimizer as a torch optimizer."""

from __future__ import annotations

import copy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from tests.optim import problems
from xsam.optim import SAM, XSAM, BaseAlone

STEPS, SAVED_AFTER = 9, 4


def build(method, base):
    """A model with dropout and BatchNorm, its optimizer and a schedule."""
    torch.manual_seed(3)
    model = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(36, 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(8, 3),
    ).double()
    built = problems.sgd(model) if base == "sgd" else torch.optim.Adam(model.parameters(), lr=1e-2)
    if method == "xsam":
        optimizer = XSAM(built, rho=0.2, ascent_steps=2, model=model, search_every=3)
    elif method == "sam":
        optimizer = SAM(built, rho=0.2, model=model)
    else:
        optimizer = BaseAlone(built, model=model)
    return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)


def train(model, optimizer, schedule, first, last):
    for batch in problems.batches(STEPS)[first:last]:
        if isinstance(optimizer, XSAM) and optimizer.backwards == 6:
            optimizer.request_alpha_search()
        optimizer.step(problems.closure_of(model, batch))
        schedule.step()


CASES = [("xsam", "sgd"), ("xsam", "adam"), ("sam", "sgd"), ("alone", "adam")]


def resume_all(folder):
    """Entry of a second process: load each checkpoint, finish, and save what came out."""
    for method, base in CASES:
        model, optimizer, schedule = build(method, base)
        saved = torch.load(Path(folder) / f"{method}_{base}", weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        torch.set_rng_state(saved["rng"])
        train(model, optimizer, schedule, SAVED_AFTER, STEPS)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
        torch.save(state, Path(folder) / f"{method}_{base}_resumed")


@pytest.fixture(scope="module")
def resumed_folder(tmp_path_factory):
    """A checkpoint of every case, and what another process made of it."""
    folder = tmp_path_factory.mktemp("resume")
    for method, base in CASES:
        model, optimizer, schedule = build(method, base)
        torch.manual_seed(12)
        train(model, optimizer, schedule, 0, SAVED_AFTER)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
        torch.save({**state, "rng": torch.get_rng_state()}, folder / f"{method}_{base}")
    code = f"from tests.optim import test_state; test_state.resume_all({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=Path(__file__).parents[2])
    return folder


@pytest.mark.parametrize(("method", "base"), CASES)
def test_a_run_resumed_in_a_new_process_is_the_same_bit_for_bit(method, base, resumed_folder):
    model, optimizer, schedule = build(method, base)
    torch.manual_seed(12)
    train(model, optimizer, schedule, 0, STEPS)
    resumed = torch.load(resumed_folder / f"{method}_{base}_resumed", weights_only=True)
    problems.assert_bitwise(resumed["model"], model.state_dict())
    assert torch.equal(resumed["rng"], torch.get_rng_state())
    expected = optimizer.state_dict()
    assert resumed["optimizer"]["sharpness_aware"] == expected["sharpness_aware"]
    assert resumed["optimizer"]["param_groups"] == expected["param_groups"]
    for index, entry in expected["state"].items():
        problems.assert_bitwise(resumed["optimizer"]["state"][index], entry)


def test_a_pending_request_and_changed_radii_are_saved():
    model, optimizer, _ = build("xsam", "sgd")
    train(model, optimizer, _, 0, 2)
    optimizer.rho, optimizer.probe_radius = 0.7, 0.9
    optimizer.request_alpha_search()
    _, other, _ = build("xsam", "sgd")
    other.load_state_dict(optimizer.state_dict())
    assert (other.rho, other.probe_radius, other.alpha) == (0.7, 0.9, optimizer.alpha)
    assert other.last_search == optimizer.last_search
    before = other.forwards
    other.step(problems.closure_of(other.model, problems.batches(1)[0]))
    assert other.forwards - before == 3 + 21


@pytest.mark.parametrize(
    ("source", "message"),
    [("plain", "saved by a bare torch optimizer"), ("sam", "saved by SAM"), ("version", "another version of xsam")],
)
def test_a_state_of_something_else_is_one_error_and_changes_nothing(source, message):
    model, optimizer, schedule = build("xsam", "sgd")
    train(model, optimizer, schedule, 0, 2)
    if source == "version":
        state = copy.deepcopy(optimizer.state_dict())
        state["sharpness_aware"]["version"] = 99
    elif source == "sam":
        state = build("sam", "sgd")[1].state_dict()
    else:
        state = build("sam", "sgd")[1].base_optimizer.state_dict()
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after["sharpness_aware"] == before["sharpness_aware"]
    for index, entry in before["state"].items():
        problems.assert_bitwise(after["state"][index], entry)


def test_groups_that_do_not_fit_change_nothing():
    _, optimizer, _ = build("xsam", "sgd")
    other = XSAM(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1), rho=0.9)
    with pytest.raises(ValueError, match="parameter group"):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.rho == 0.2


def test_groups_stay_shared_after_the_base_loads_a_state():
    model, optimizer, _ = build("xsam", "sgd")
    optimizer.base_optimizer.load_state_dict(optimizer.base_optimizer.state_dict())
    assert optimizer.param_groups is optimizer.base_optimizer.param_groups
    assert optimizer.state is optimizer.base_optimizer.state
    assert optimizer.defaults is optimizer.base_optimizer.defaults
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer.step(problems.closure_of(model, problems.batches(1)[0]))
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


SCHEDULES = {
    "step": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5),
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6),
    "one_cycle": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=6),
    "warmup": lambda optimizer: torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2),
            torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
        ],
        milestones=[2],
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("method", [SAM, XSAM])
def test_schedulers_attach_without_warnings_and_rule_the_base(method, schedule):
    model, twin = problems.plain_net(), problems.plain_net()
    wrapped, plain = method(problems.sgd(model)), problems.sgd(twin)
    with warnings.catch_warnings():
        if schedule == "warmup":
            # SequentialLR warns of its own calls with every optimizer.
            warnings.simplefilter("ignore")
        on_wrapped, on_plain = SCHEDULES[schedule](wrapped), SCHEDULES[schedule](plain)
        for batch in problems.batches(5):
            wrapped.step(problems.closure_of(model, batch))
            plain.zero_grad()
            problems.loss_of(twin, batch).backward()
            plain.step()
            on_wrapped.step()
            on_plain.step()
            assert wrapped.base_optimizer.param_groups[0]["lr"] == plain.param_groups[0]["lr"]
            assert wrapped.param_groups[0]["momentum"] == plain.param_groups[0]["momentum"]


def test_groups_keep_their_own_options():
    model, twin = problems.plain_net(), problems.plain_net()

    def groups(net):
        weights = [p for p in net.parameters() if p.dim() > 1]
        biases = [p for p in net.parameters() if p.dim() == 1]
        return [{"params": weights, "weight_decay": 0.1}, {"params": biases, "lr": 0.5}]

    optimizer, plain = XSAM(torch.optim.SGD(groups(model), lr=0.1), rho=0.0), torch.optim.SGD(groups(twin), lr=0.1)
    for batch in problems.batches(4):
        optimizer.step(problems.closure_of(model, batch))
        plain.zero_grad()
        problems.loss_of(twin, batch).backward()
        plain.step()
    assert problems.largest_difference(model.parameters(), twin.parameters()) < 1e-12


def test_the_norm_is_over_all_groups():
    first, second = torch.nn.Parameter(torch.tensor([1.0])), torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = SAM(torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=0.1), rho=1.0)
    seen = []

    def closure():
        seen.append((first.item(), second.item()))
        return (3 * first + 4 * second).sum()

    optimizer.step(closure)
    assert seen[1] == pytest.approx((1.6, 1.8))


def test_a_group_added_later_takes_part():
    model = problems.plain_net()
    optimizer = XSAM(torch.optim.SGD(model[1].parameters(), lr=0.1), rho=0.2)
    batch = problems.batches(1)[0]
    optimizer.step(problems.closure_of(model, batch))
    before = model[3].weight.detach().clone()
    optimizer.add_param_group({"params": list(model[3].parameters())})
    optimizer.step(problems.closure_of(model, batch))
    assert not torch.equal(model[3].weight, before)


def test_a_deep_copy_trains_on_its_own():
    model, optimizer, schedule = build("xsam", "sgd")
    train(model, optimizer, schedule, 0, 2)
    twin = copy.deepcopy(optimizer)
    before = problems.snapshot(model)
    batch = problems.batches(1)[0]
    torch.manual_seed(1)
    twin.step(problems.closure_of(twin.model, batch))
    problems.assert_bitwise(model.state_dict(), before)
    torch.manual_seed(1)
    optimizer.step(problems.closure_of(model, batch))
    problems.assert_bitwise(model.state_dict(), twin.model.state_dict())
    assert twin.state_dict()["sharpness_aware"] == optimizer.state_dict()["sharpness_aware"]


def test_hooks_run_as_on_any_optimizer():
    model, optimizer, _ = build("sam", "sgd")
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.register_state_dict_post_hook(lambda _, state: {**state, "note": 1})
    optimizer.register_load_state_dict_pre_hook(lambda _, state: {k: v for k, v in state.items() if k != "note"})
    optimizer.step(problems.closure_of(model, problems.batches(1)[0]))
    assert seen == ["before", "after"]
    state = optimizer.state_dict()
    assert state["note"] == 1
    optimizer.load_state_dict(state)


def test_a_profile_shows_the_step_and_global_hooks_run():
    model, optimizer, _ = build("xsam", "sgd")
    closure = problems.closure_of(model, problems.batches(1)[0])
    seen = []
    handle = register_optimizer_step_post_hook(lambda each, *_: seen.append(type(each).__name__))
    try:
        optimizer.step(closure)
    finally:
        handle.remove()
    assert seen == ["SGD", "XSAM"]
    with torch.profiler.profile() as profile:
        optimizer.step(closure)
    assert {"Optimizer.step#XSAM.step", "Optimizer.step#SGD.step"} <= {event.key for event in profile.key_averages()}
    assert torch.is_grad_enabled()


def test_the_registry_builds_every_method():
    from xsam.optim import registry

    for method in registry.METHODS:
        base = registry.METHODS[method].alone or "sgd"
        table = registry.parameters_of(method, base)
        given = {name: parameter.default for name, parameter in table.items() if not parameter.unset}
        params = {**registry.METHODS[method].resolve(given), "base": base, "max_grad_norm": 5.0}
        model = problems.batch_norm_net()  # SAM-ON perturbs normalisation layers
        optimizer = registry.build(method, params, model)
        assert optimizer.max_grad_norm == 5.0
        assert optimizer.step(problems.closure_of(model, problems.batches(1)[0])).isfinite()
