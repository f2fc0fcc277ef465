"""What every method keeps to, as checks that name the rule that is broken."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from xsam.optim._step.base import SharpnessAware
from xsam.testing.problems import batches, closure, copy_of, distance, net, same

STEPS = 6
BASES: Mapping[str, Callable[[Any], Optimizer]] = {
    "SGD": lambda parameters: SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "Adam": lambda parameters: Adam(parameters, lr=1e-3, weight_decay=1e-3),
}


class ContractError(AssertionError):
    """A method breaks rules of the contract; the message has a line for each."""


def check_method(
    method: type[SharpnessAware],
    *,
    options: Mapping[str, Any] | None = None,
    passes: int | Fraction | None = None,
    base_at_zero_radius: bool = False,
    waits: bool = False,
) -> None:
    """Run the contract tests on a method: some seconds on a CPU.

    What is looked at: that it builds on SGD and Adam; that weights, buffers and its own state are back after an
    exception in any pass; that BatchNorm ends as after one plain forward; shared dropout masks; accumulation; frozen,
    unused and sparse parameters; 16-bit parameters; schedulers; a state that is saved, loaded and gone on with bit for
    bit; copies; the part of a training in which it is active; that no step waits for the device; how many passes it
    takes.

    Args:
        method: a subclass of :class:`xsam.optim.extend.SharpnessAware`.
        options: keywords with which every branch of it runs within six steps.
        passes: forward-backward passes that a step takes in the mean, as ``Plugin.optimizer`` is told.
        base_at_zero_radius: whether ``rho=0`` has to be the base optimizer alone.
        waits: leave out that no step waits for the device, for methods that probe losses.

    Raises:
        ContractError: every rule that it breaks, a line each.

    Example:
        >>> from xsam import SAM
        >>> check_method(SAM, options={"ascent_steps": 2}, passes=3, base_at_zero_radius=True)
    """
    found = []
    for title, rule in _rules(passes, base_at_zero_radius, waits):
        for base in BASES:
            make = _Maker(method, base, dict(options or {}))
            try:
                with torch.random.fork_rng(devices=[]):
                    rule(make)
            except Exception as error:  # whatever a method raises where it must not is its fault
                found.append(f"- {title} (on {base}): {_said(error)}")
                break
    if found:
        raise ContractError("\n".join((f"{method.__name__} breaks {len(found)} rules:", *found)))


class _Maker:
    """Builds the method on a model."""

    def __init__(self, method: type[SharpnessAware], base: str, options: dict[str, Any]) -> None:
        self.method = method
        self.base = base
        self.options = options

    def __call__(self, model: nn.Module, **others: Any) -> SharpnessAware:
        built = BASES[self.base](model.parameters())
        return self.method(built, **{"model": model, **self.options, **others})

    def trained(self, model: nn.Module, steps: int = STEPS, **others: Any) -> SharpnessAware:
        """The method after some steps."""
        optimizer = self(model, **others)
        for batch in batches(steps):
            optimizer.step(closure(model, batch))
        return optimizer

    def plain(self, model: nn.Module) -> nn.Module:
        """``model`` trained by the base alone."""
        optimizer = BASES[self.base](model.parameters())
        for batch in batches(STEPS):
            optimizer.zero_grad()
            closure(model, batch)().backward()
            optimizer.step()
        return model


Rule = Callable[[_Maker], None]


def _rules(passes: int | Fraction | None, at_zero: bool, waits: bool) -> Iterator[tuple[str, Rule]]:
    yield "it takes a step, changes the weights and returns the first pass's loss", _steps
    yield "a closure that raises leaves weights, buffers and its own state where they were", _undone
    yield "buffers end as one plain forward leaves them", _buffers
    yield "all passes of a step see the same dropout masks", _masks
    yield "closures in a list are the joined batch", _accumulates
    yield "frozen and unused parameters stay", _frozen
    yield "a loss that touches none of its parameters moves nothing", _untouched
    yield "a sparse gradient is a TypeError", _sparse
    yield "16-bit parameters train and stay finite", _sixteen_bit
    yield "a scheduler rules the base's learning rate", _scheduler
    yield "a saved state goes on bit for bit", _resumes
    yield "a deep copy trains on its own", _copies
    yield "outside of sam_start and sam_until it is the base", _inactive
    if not waits:
        yield "no step waits for the device", _waits_not
    if at_zero:
        yield "rho=0 is the base optimizer", _zero
    if passes is not None:
        yield f"a step takes {passes} passes in the mean", lambda make: _counted(make, Fraction(passes))


def _holds(condition: bool, message: str) -> None:
    if not condition:
        raise ContractError(message)


def _steps(make: _Maker) -> None:
    model, twin = net(), net()
    optimizer = make(model)
    (batch,) = batches(1)
    before = copy_of(model.state_dict())
    returned = optimizer.step(closure(model, batch))
    _holds(isinstance(returned, Tensor), f"step() returned {type(returned).__name__}, not a tensor")
    _holds(not same(dict(model.named_parameters()), before), "no weight moved")
    _holds(not returned.requires_grad, "the returned loss still has its graph")
    first = float(closure(twin, batch)().detach())
    moved = "rho" in optimizer._options and float(returned) != first and optimizer.backwards == 1
    _holds(moved or abs(float(returned) - first) < 1e-9, f"step() returned {float(returned):g}, the loss was {first:g}")


def _undone(make: _Maker) -> None:
    model, twin = net(), net()
    optimizer, other = make(model), make(twin)
    for batch in batches(4):
        before = other.forwards
        other.step(closure(twin, batch))
        for call in range(1, other.forwards - before + 1):
            weights, kept = copy_of(model.state_dict()), copy_of(optimizer.state_dict())
            try:
                optimizer.step(_raising(closure(model, batch), call))
            except _Planted:
                pass
            else:
                raise ContractError(f"the exception of pass {call} was swallowed")
            _holds(same(dict(model.state_dict()), dict(weights)), f"weights or buffers differ after pass {call} raised")
            _holds(same(optimizer.state_dict(), kept), f"its state differs after pass {call} raised")
        optimizer.step(closure(model, batch))
        _holds(same(dict(model.state_dict()), dict(twin.state_dict())), "the step that was done again is another one")


class _Planted(Exception):
    """What a closure raises on purpose."""


def _raising(loss: Callable[[], Tensor], call: int) -> Callable[[], Tensor]:
    left = [call]

    def once() -> Tensor:
        value = loss()
        left[0] -= 1
        if not left[0]:
            raise _Planted
        return value

    return once


def _buffers(make: _Maker) -> None:
    model, twin = net(), net()
    optimizer = make(model)
    for batch in batches(3):
        seen: list[bool] = []

        def watched(batch: Any = batch, seen: list[bool] = seen) -> Tensor:
            if not seen:  # the twin looks at the same weights, once
                seen.append(True)
                with torch.no_grad():
                    for mine, theirs in zip(twin.parameters(), model.parameters(), strict=True):
                        mine.copy_(theirs)
                closure(twin, batch)()
            return closure(model, batch)()

        optimizer.step(watched)
    _holds(same(dict(model.named_buffers()), dict(twin.named_buffers())), "they are those of more passes")


def _masks(make: _Maker) -> None:
    model = net(dropout=True)
    optimizer = make(model)
    seen: list[Tensor] = []
    hook = model[4].register_forward_hook(lambda _, __, output: seen.append((output == 0).clone()))
    torch.manual_seed(7)
    (batch,) = batches(1)
    optimizer.step(closure(model, batch))
    hook.remove()
    _holds(all(torch.equal(seen[0], mask) for mask in seen), "passes of one step have different masks")


def _accumulates(make: _Maker) -> None:
    model, twin = (nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).double() for _ in range(2))
    twin.load_state_dict(model.state_dict())
    optimizer, other = make(model), make(twin)
    for images, labels in batches(3):
        parts = list(zip(images.split([5, 3]), labels.split([5, 3]), strict=True))
        optimizer.step([closure(model, part) for part in parts], weights=[5, 3])
        other.step(closure(twin, (images, labels)))
    _holds(distance(model, twin) < 1e-9, f"weights differ by {distance(model, twin):.1e}")


class _Two(nn.Module):
    """Two layers, of which one is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(36, 3)
        self.frozen = nn.Linear(3, 3)
        self.unused = nn.Linear(4, 4)
        self.double()
        self.frozen.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores."""
        scores: Tensor = self.frozen(self.used(images.flatten(1)))
        return scores


def _frozen(make: _Maker) -> None:
    model = _Two()
    before = copy_of(model.state_dict())
    make.trained(model)
    after = model.state_dict()
    moved = [name for name in after if not name.startswith("used") and not torch.equal(after[name], before[name])]
    _holds(not moved, f"{', '.join(moved)} moved")


def _untouched(make: _Maker) -> None:
    model, other = net(), torch.ones(1, requires_grad=True)
    before = copy_of(model.state_dict())
    optimizer = make(model)
    for _ in range(3):
        optimizer.step(lambda: other.sum())
    _holds(same(dict(model.state_dict()), dict(before)), "weights moved")


def _sparse(make: _Maker) -> None:
    embedding = nn.Embedding(5, 3, sparse=True)
    optimizer = make(embedding)
    try:
        optimizer.step(lambda: embedding(torch.tensor([1, 2])).square().sum())
    except TypeError:
        return
    raise ContractError("no TypeError")


def _sixteen_bit(make: _Maker) -> None:
    if make.base != "SGD":  # Adam's eps is 0 in float16
        return
    for dtype in (torch.bfloat16, torch.float16):
        torch.manual_seed(0)
        model = nn.Linear(16, 4).to(dtype)
        optimizer, images = make(model), torch.randn(32, 16).to(dtype)
        for _ in range(STEPS):
            optimizer.step(_squares(model, images))
        good = all(each.dtype is dtype and bool(each.isfinite().all()) for each in model.parameters())
        _holds(good, f"parameters of {dtype} are not finite, or not of that type any more")


def _squares(model: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    return lambda: (model(images).float() - 1).square().mean()


def _scheduler(make: _Maker) -> None:
    model = net()
    optimizer = make(model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    start = optimizer.param_groups[0]["lr"]
    for batch in batches(4):
        optimizer.step(closure(model, batch))
        schedule.step()
    _holds(optimizer.base_optimizer.param_groups[0]["lr"] == start / 4, "the base has another learning rate")


def _resumes(make: _Maker) -> None:
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
        _holds(equal, f"resumed after step {stop}, it ends elsewhere: keep what it needs in _own_state")


def _copies(make: _Maker) -> None:
    model = net()
    optimizer = make.trained(model, 2)
    twin = copy.deepcopy(optimizer)
    before, state = copy_of(model.state_dict()), copy_of(optimizer.state_dict())
    assert twin.model is not None
    for batch in batches(2):
        twin.step(closure(twin.model, batch))
    kept = same(dict(model.state_dict()), dict(before)) and same(optimizer.state_dict(), state)
    _holds(kept, "training the copy changed the original")


def _inactive(make: _Maker) -> None:
    model = net()
    optimizer = make.trained(model, sam_start=STEPS)
    _holds(distance(model, make.plain(net())) < 1e-12, "before sam_start it is not the base")
    _holds(optimizer.backwards == STEPS, "steps before sam_start take more than one pass")


class _Reads(TorchDispatchMode):
    """Notes operations that wait for the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's has no types
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(function)
        if "_local_scalar_dense" in name or "is_nonzero" in name or "nonzero." in name:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


def _waits_not(make: _Maker) -> None:
    if make.base != "SGD":  # Adam reads its step count
        return
    model = net()
    optimizer = make(model)
    with _Reads() as reads:
        for batch in batches(STEPS):
            optimizer.step(closure(model, batch))
    _holds(not reads.found, f"{len(reads.found)} numbers were read from the device (item(), float(), if tensor:)")


def _zero(make: _Maker) -> None:
    model = net()
    make.trained(model, rho=0.0)
    far = distance(model, make.plain(net()))
    _holds(far < (1e-9 if make.base == "Adam" else 1e-12), f"weights differ from the base's by {far:.1e}")


def _counted(make: _Maker, wanted: Fraction) -> None:
    steps = 6 * wanted.denominator
    found = Fraction(make.trained(net(), steps).backwards, steps)
    _holds(found == wanted, f"it took {float(found):g}")


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ContractError) else f"{type(error).__name__}: {text}"
