"""Every method goes on from a saved state, in another process or in a copy, as if nothing had been."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.optim import family, problems

STEPS, SAVED_AFTER = 8, 4
CASES = [(method, base) for method, base in family.PAIRS if base in ("momentum", "adam")]


def build(method: str, base: str) -> tuple[torch.nn.Module, Any, Any]:
    """A model with dropout and BatchNorm, its optimizer and a schedule."""
    torch.manual_seed(3)
    model = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(36, 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(8, 3),
    ).double()
    optimizer = family.build(method, base, model)
    return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)


def train(model, optimizer, schedule, first, last):
    for batch in problems.batches(STEPS)[first:last]:
        optimizer.step(problems.closure_of(model, batch))
        schedule.step()


def everything(model, optimizer, schedule):
    parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    return {**parts, "rng": torch.get_rng_state()}


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
        torch.save(everything(model, optimizer, schedule), Path(folder) / f"{method}_{base}_resumed")


@pytest.fixture(scope="module")
def resumed_folder(tmp_path_factory):
    """A checkpoint of every case, and what another process made of it."""
    folder = tmp_path_factory.mktemp("resume")
    for method, base in CASES:
        run = build(method, base)
        torch.manual_seed(12)
        train(*run, 0, SAVED_AFTER)
        torch.save(everything(*run), folder / f"{method}_{base}")
    code = f"from tests.optim import test_contract_resume; test_contract_resume.resume_all({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=Path(__file__).parents[2])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("method", "base"), CASES)
def test_a_run_resumed_in_a_new_process_is_the_same_bit_for_bit(method, base, resumed_folder):
    run = build(method, base)
    torch.manual_seed(12)
    train(*run, 0, STEPS)
    resumed = torch.load(resumed_folder / f"{method}_{base}_resumed", weights_only=True)
    problems.assert_bitwise(resumed["model"], run[0].state_dict())
    assert family.same(resumed, everything(*run))


@pytest.mark.parametrize("method", family.METHODS)
def test_a_deep_copy_trains_on_its_own(method):
    model, optimizer, schedule = build(method, "momentum")
    train(model, optimizer, schedule, 0, 4)
    twin = copy.deepcopy(optimizer)
    before, state = problems.snapshot(model), copy.deepcopy(optimizer.state_dict())
    for each in (twin, optimizer):
        torch.manual_seed(1)
        for batch in problems.batches(4):
            each.step(problems.closure_of(each.model, batch))
        if each is twin:
            problems.assert_bitwise(model.state_dict(), before)
            assert family.same(optimizer.state_dict(), state)
    problems.assert_bitwise(model.state_dict(), twin.model.state_dict())
    assert family.same(optimizer.state_dict(), twin.state_dict())


@pytest.mark.parametrize("method", ["looksam", "friendly_sam"])
def test_kept_tensors_load_in_the_parameters_precision_and_are_not_shared(method):
    model, optimizer, _ = build(method, "momentum")
    train(model, optimizer, _, 0, 2)
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved)
    other_model, other, schedule = build(method, "momentum")
    other_model.float()
    other.load_state_dict(saved)
    kept = next(value for value in other.state_dict()["sharpness_aware"].values() if isinstance(value, dict))
    assert len(kept) == 6
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}
    _, third, schedule = build(method, "momentum")
    third.load_state_dict(saved)
    train(third.model, third, schedule, 0, 2)
    assert family.same(saved["sharpness_aware"], before["sharpness_aware"])


@pytest.mark.parametrize("method", ["looksam", "friendly_sam"])
def test_kept_tensors_follow_their_parameters_when_others_are_frozen(method):
    model, optimizer, _ = build(method, "momentum")
    train(model, optimizer, _, 0, 2)
    model[1].requires_grad_(False)
    twin, other, _ = build(method, "momentum")
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    twin[1].requires_grad_(False)
    for net, each in ((model, optimizer), (twin, other)):
        torch.manual_seed(2)
        each.step(problems.closure_of(net, problems.batches(1)[0]))
    problems.assert_bitwise(model.state_dict(), twin.state_dict())
    assert family.same(optimizer.state_dict(), other.state_dict())
