"""Checks of the optimizers' keyword arguments: each returns the value or raises a ``ValueError`` of one line."""

from __future__ import annotations

from typing import TypeVar, cast

from xsam.parameters import Parameter

Choice = TypeVar("Choice", bound=str)


def number(
    name: str,
    value: float,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> float:
    """A finite number within its limits.

    >>> number("rho", 1, at_least=0)
    1.0
    """
    limits = Parameter("float", at_least=at_least, above=above, at_most=at_most, below=below)
    return cast(float, limits.parse(name, value))


def whole_number(name: str, value: int, *, at_least: int) -> int:
    """A whole number that is large enough."""
    return cast(int, Parameter("int", at_least=at_least).parse(name, value))


def flag(name: str, value: bool) -> bool:
    """True or false, and nothing that merely counts as one of them."""
    return cast(bool, Parameter("bool").parse(name, value))


def choice(name: str, value: Choice, choices: tuple[Choice, ...]) -> Choice:
    """One of a few words."""
    return cast(Choice, Parameter("str", choices=choices).parse(name, value))
