"""``check_method`` passes what keeps the contract, and names the rule that each planted fault breaks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.optim import family
from xsam.optim.extend import AscentMethod, SharpnessAware, ascend
from xsam.testing import ContractError, check_method

WAITING = {"xsam"}  # its search probes losses
# LookSAM lets go of its direction when it sets out to refresh it, and so does the step that is done again: that saves a
# copy, and is an exception to one rule (tests/optim/test_contract.py).


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in family.METHODS if name != "looksam"])
def test_the_methods_of_this_package_pass(name: str) -> None:
    kind, options = family.METHODS[name]
    check_method(kind, options=options, base_at_zero_radius=name in family.VANISHING, waits=name in WAITING)


class Good(AscentMethod):
    """SAM."""

    def _update(self, passes: Any, parameters: Any) -> Any:
        loss = ascend(passes, parameters, self.rho, 1).loss
        passes.weights.restore()
        return loss


class MovesByItself(Good):
    """Moves weights behind the back of ``passes.weights``."""

    def _update(self, passes: Any, parameters: Any) -> Any:
        loss = passes.gradient()
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=0.1)
        passes.gradient()
        return loss


class Forgetful(Good):
    """Keeps a number that no saved state has."""

    def _prepare(self) -> None:
        super()._prepare()
        self.count = 0

    def _update(self, passes: Any, parameters: Any) -> Any:
        loss = super()._update(passes, parameters)
        self.count += 1
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(self.count)
        return loss


class Reads(Good):
    """Reads a number from the device."""

    def _update(self, passes: Any, parameters: Any) -> Any:
        loss = super()._update(passes, parameters)
        for parameter in parameters:
            if parameter.grad is not None and float(parameter.grad.norm()) > 1e9:
                parameter.grad.zero_()
        return loss


class SecondLoss(Good):
    """Returns the last pass's loss."""

    def _update(self, passes: Any, parameters: Any) -> Any:
        super()._update(passes, parameters)
        return passes.gradient() * 2


class Counts(Good):
    """Changes its state before the last pass."""

    def _prepare(self) -> None:
        super()._prepare()
        self.count = 0

    def _update(self, passes: Any, parameters: Any) -> Any:
        self.count += 1
        return super()._update(passes, parameters)

    def _own_state(self) -> dict[str, Any]:
        return {**super()._own_state(), "count": self.count}

    def _load_own_state(self, own: Any) -> None:
        super()._load_own_state(own)
        self.count = own["count"]


class ThawsAll(Good):
    """Gives gradients to all that takes no part."""

    def _update(self, passes: Any, parameters: Any) -> Any:
        loss = super()._update(passes, parameters)
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.ones_like(parameter)
        return loss


FAULTS: dict[type[SharpnessAware], str] = {
    MovesByItself: "a closure that raises leaves weights",
    Forgetful: "a saved state goes on bit for bit",
    Reads: "no step waits for the device",
    SecondLoss: "returns the first pass's loss",
    Counts: "its state differs after pass 1 raised",
    ThawsAll: "unused parameters stay",
}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_a_broken_rule_is_named(kind: type[SharpnessAware]) -> None:
    with pytest.raises(ContractError, match=FAULTS[kind]):
        check_method(kind)


def test_a_wrong_count_of_passes_is_named() -> None:
    with pytest.raises(ContractError, match=r"a step takes 3 passes in the mean .*: it took 2"):
        check_method(Good, passes=3)


def test_checking_leaves_the_random_state_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    check_method(Good, passes=2, base_at_zero_radius=True)
    assert torch.equal(torch.rand(2), expected)
