"""An optimizer around another one: groups and state that both share, saved, loaded and copied together."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from xsam.optim._step.checks import check_group

STATE_KEY = "sharpness_aware"
STATE_VERSION = 1


def _of_base(name: str, doc: str) -> Any:
    return property(attrgetter(f"base_optimizer.{name}"), doc=doc)


class OptimizerWrapper(Optimizer):
    """A ``torch.optim.Optimizer`` whose groups, state and defaults are those of ``base_optimizer``.

    A class of this kind steps the base; what it has to remember beside the base's state is ``_own_state``.
    """

    base_optimizer: Optimizer

    # Loading a state gives the base new objects here, so they are looked up each time.
    param_groups = _of_base("param_groups", "The base optimizer's parameter groups.")
    state = _of_base("state", "The base optimizer's state.")
    defaults = _of_base("defaults", "The base optimizer's defaults.")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the base optimizer."""
        params = param_group["params"]
        if not isinstance(params, Tensor | list | tuple):  # an iterator, which is read once
            param_group = {**param_group, "params": list(params)}
        check_group(param_group)
        self.base_optimizer.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """The base's state, and under ``"sharpness_aware"`` all that the method itself needs to go on."""
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        self._check_savable()
        own = {"version": STATE_VERSION, "method": type(self).__name__, **self._own_state()}
        state = {**self.base_optimizer.state_dict(), STATE_KEY: own}
        for after in self._optimizer_state_dict_post_hooks.values():
            state = after(self, state) or state
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`: the next steps are the same bit for bit.

        Raises:
            ValueError: the state is another method's or a bare optimizer's, or its groups do not fit; nothing is
                changed.
        """
        state = dict(state_dict)
        for before in self._optimizer_load_state_dict_pre_hooks.values():
            state = before(self, state) or state
        own = dict(state.pop(STATE_KEY, {}))
        method, version = own.pop("method", None), own.pop("version", None)
        if method != type(self).__name__:
            saved = "a bare torch optimizer" if method is None else method
            raise ValueError(f"this state was saved by {saved}, and cannot be loaded into {type(self).__name__}")
        own = {**self._added_state(own), **own}
        if version != STATE_VERSION or own.keys() != self._own_state().keys():
            raise ValueError(f"this state of {method} was saved by another version of xsam and cannot be loaded")
        self.base_optimizer.load_state_dict(state)
        self._load_own_state(own)
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def _check_savable(self) -> None:
        """Raise ``RuntimeError`` where the weights are not those that a saved state goes on from."""

    def _own_state(self) -> dict[str, Any]:
        """What is saved beside the base's state: plain numbers, strings, lists, None, and tensors."""
        return {}

    def _added_state(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Values for what states of this version did not hold at first, by name."""
        return {}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        """Take over what ``_own_state`` has saved."""

    def __getstate__(self) -> dict[str, Any]:
        # Without hooks, as in torch, and without the step() that a scheduler has bound to this very object.
        kept = vars(self).items()
        return {name: value for name, value in kept if name != "step" and not name.startswith("_optimizer_")}
