"""What every method keeps to, as checks that name the rule that is broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import torch

from xsam.optim._step.base import SharpnessAware
from xsam.testing import parameter_rules, step_rules, training_rules
from xsam.testing.subject import BASES, ContractError, Rule, Subject


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
            make = Subject(method, base, dict(options or {}))
            try:
                with torch.random.fork_rng(devices=[]):
                    rule(make)
            except Exception as error:  # whatever a method raises where it must not is its fault
                found.append(f"- {title} (on {base}): {_said(error)}")
                break
    if found:
        raise ContractError("\n".join((f"{method.__name__} breaks {len(found)} rules:", *found)))


def _rules(passes: int | Fraction | None, at_zero: bool, waits: bool) -> Iterator[tuple[str, Rule]]:
    yield from (*step_rules.RULES, *parameter_rules.RULES, *training_rules.RULES)
    if not waits:
        yield "no step waits for the device", step_rules.waits_not
    if at_zero:
        yield "rho=0 is the base optimizer", training_rules.zero
    if passes is not None:
        yield f"a step takes {passes} passes in the mean", lambda make: training_rules.counted(make, Fraction(passes))


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ContractError) else f"{type(error).__name__}: {text}"
