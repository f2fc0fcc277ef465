"""What holds over a training: schedulers, states saved and gone on with, copies, when it is the base alone, passes."""

from __future__ import annotations

import copy
import io
from fractions import Fraction

import torch

from xsam.testing.problems import batches, closure, copy_of, distance, net, same
from xsam.testing.subject import STEPS, Rule, Subject, holds


def _scheduler(make: Subject) -> None:
    model = net()
    optimizer = make(model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    start = optimizer.param_groups[0]["lr"]
    for batch in batches(4):
        optimizer.step(closure(model, batch))
        schedule.step()
    holds(optimizer.base_optimizer.param_groups[0]["lr"] == start / 4, "the base has another learning rate")


def _resumes(make: Subject) -> None:
    for stop in range(1, STEPS):
        model = net(dropout=True)
        torch.manual_seed(3)
        optimizer = make(model)
        saved = io.BytesIO()
        for number, batch in enumerate(batches(STEPS)):
            if number == stop:
                torch.save((model.state_dict(), optimizer.state_dict(), torch.get_rng_state()), saved)
            optimizer.step(closure(model, batch))
        saved.seek(0)
        weights, state, random = torch.load(saved, weights_only=True)
        twin = net(dropout=True)
        other = make(twin)
        twin.load_state_dict(weights)
        other.load_state_dict(state)
        torch.set_rng_state(random)
        for batch in batches(STEPS)[stop:]:
            other.step(closure(twin, batch))
        equal = same(dict(model.state_dict()), dict(twin.state_dict()))
        holds(equal, f"resumed after step {stop}, it ends elsewhere: keep what it needs in _own_state")


def _copies(make: Subject) -> None:
    model = net()
    optimizer = make.trained(model, 2)
    twin = copy.deepcopy(optimizer)
    before, state = copy_of(model.state_dict()), copy_of(optimizer.state_dict())
    assert twin.model is not None
    for batch in batches(2):
        twin.step(closure(twin.model, batch))
    kept = same(dict(model.state_dict()), dict(before)) and same(optimizer.state_dict(), state)
    holds(kept, "training the copy changed the original")


def _inactive(make: Subject) -> None:
    model = net()
    optimizer = make.trained(model, sam_start=STEPS)
    holds(distance(model, make.plain(net())) < 1e-12, "before sam_start it is not the base")
    holds(optimizer.backwards == STEPS, "steps before sam_start take more than one pass")


def zero(make: Subject) -> None:
    """rho=0 is the base optimizer."""
    model = net()
    make.trained(model, rho=0.0)
    far = distance(model, make.plain(net()))
    holds(far < (1e-9 if make.base == "Adam" else 1e-12), f"weights differ from the base's by {far:.1e}")


def counted(make: Subject, wanted: Fraction) -> None:
    """A step takes so many passes in the mean."""
    steps = 6 * wanted.denominator
    found = Fraction(make.trained(net(), steps).backwards, steps)
    holds(found == wanted, f"it took {float(found):g}")


RULES: tuple[tuple[str, Rule], ...] = (
    ("a scheduler rules the base's learning rate", _scheduler),
    ("a saved state goes on bit for bit", _resumes),
    ("a deep copy trains on its own", _copies),
    ("outside of sam_start and sam_until it is the base", _inactive),
)
