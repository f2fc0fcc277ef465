"""One description of a parameter, used by everything that has parameters.

Optimizers and tasks publish tables ``{name: Parameter}``. From the same table the grid checks what a user wrote, the
store derives the type of the column ``param_<name>``, and the run builds its optimizer and its task. This module needs
the standard library alone, so a grid can be planned without importing torch.
"""

from __future__ import annotations

import difflib
import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Value = bool | int | float | str | tuple[int, ...] | tuple[str, ...] | None
Parameters = Mapping[str, Value]

KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "ints": "a list of whole numbers",
    "names": "a list of names",
}
LISTS = ("ints", "names")


class ParameterError(ValueError):
    """A value that is not valid, or several that do not go together: one line, and which parameters it is about.

    Args:
        message: what is wrong, and the way out.
        names: the parameters that somebody may have to change, the likeliest first.
    """

    def __init__(self, message: str, *names: str) -> None:
        super().__init__(message)
        self.names = names


@dataclass(frozen=True)
class Parameter:
    """A parameter's kind, default and limits.

    Args:
        kind: one of ``KINDS``; a list (one of ``LISTS``) is held as a tuple.
        default: used where the user gives none; ``None`` needs ``nullable``.
        at_least, above, at_most, below: limits of a number (of each, in a list).
        choices: the only texts allowed (for each, in a list), beside those that begin with one of ``prefixes``.
        nullable: whether ``null`` is a value ("not set") of this parameter.
        omit_at_default: leave the parameter out of a run's id while it has its default. For parameters that came after
            results were first published: those results keep their ids.
        unset: a default that another parameter decides (``probe_radius`` from ``probe_ratio``); the parameter is then
            absent until its method has resolved it.
        help: one line for documentation.

    Example:
        >>> Parameter("float", 0.05, at_least=0).parse("rho", 1)
        1.0
        >>> Parameter("float", 0.05, at_least=0).parse("rho", -1)
        Traceback (most recent call last):
        ...
        xsam.parameters.ParameterError: rho must be at least 0, not -1
    """

    kind: str
    default: Value = None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    nullable: bool = False
    omit_at_default: bool = False
    unset: bool = False
    help: str = ""

    def parse(self, name: str, value: Any) -> Value:
        """Return ``value`` in this parameter's own type, or raise ``ParameterError`` that says what is wrong."""
        if value is None:
            if self.nullable:
                return None
            raise ParameterError(f"{name} must be {KINDS[self.kind]}, not null", name)
        typed = self._typed(name, value)
        for each in typed if isinstance(typed, tuple) else (typed,):
            if self._limited and isinstance(each, int | float) and not isinstance(each, bool):
                self._check_limits(name, each)
            if self.choices and each not in self.choices and not str(each).startswith(self.prefixes or ("\0",)):
                known = (*self.choices, *(f"{prefix}<name>" for prefix in self.prefixes))
                raise ParameterError(f"unknown {name} {each!r}{nearest(str(each), known)}", name)
        return typed

    def _typed(self, name: str, value: Any) -> Value:
        if self.kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
            if not abs(value) <= sys.float_info.max:
                raise ParameterError(f"{name} must be finite, not {value!r}", name)
            return float(value) + 0.0  # one zero: -0.0 would hash to another run id
        if self.kind == "int" and _is_int(value):
            return int(value)
        if self.kind == "str" and isinstance(value, str):
            return value
        if self.kind == "bool" and isinstance(value, bool):
            return value
        if isinstance(value, list | tuple):
            if self.kind == "ints" and all(_is_int(item) for item in value):
                return tuple(int(item) for item in value)
            if self.kind == "names" and all(isinstance(item, str) for item in value):
                if len(set(value)) < len(value):
                    raise ParameterError(f"{name} names one thing twice: {value!r}", name)
                return tuple(value)
        raise ParameterError(f"{name} must be {KINDS[self.kind]}, not {value!r}", name)

    @cached_property
    def _limited(self) -> bool:
        return any(limit is not None for limit in (self.at_least, self.above, self.at_most, self.below))

    def _check_limits(self, name: str, number: float) -> None:
        limits: tuple[tuple[float | None, str, Callable[[float, float], bool]], ...] = (
            (self.at_least, "at least", operator.ge),
            (self.above, "above", operator.gt),
            (self.at_most, "at most", operator.le),
            (self.below, "below", operator.lt),
        )
        for limit, words, holds in limits:
            if limit is not None and not holds(number, limit):
                raise ParameterError(f"{name} must be {words} {limit:g}, not {number:g}", name)


def real(value: Value) -> float:
    """A value that is a number by its parameter's kind, as one; raises ``TypeError`` where it is none."""
    if isinstance(value, int | float):
        return float(value)
    raise TypeError(f"a number is needed, not {value!r}")


def whole(value: Value) -> int:
    """A value that is a whole number by its parameter's kind, as one; raises ``TypeError`` where it is none."""
    if isinstance(value, int):
        return value
    raise TypeError(f"a whole number is needed, not {value!r}")


def _is_int(value: Any) -> bool:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and abs(value) < 2**63  # what a column of the store can hold


def nearest(wrong: str, names: Iterable[str]) -> str:
    """The end of an error message: the nearest valid name, or all of them where none is near.

    >>> nearest("resnet81", ["resnet8", "mlp"]), nearest("XSAM", ["xsam", "sam"])
    ("; did you mean 'resnet8'?", "; did you mean 'xsam'?")
    """
    known = sorted(names)
    return close_to(wrong, known) or (f"; valid: {', '.join(known)}" if known else "")


def close_to(wrong: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """As :func:`nearest`, but nothing where no name is as near as ``cutoff`` (``difflib``'s ratio)."""
    known = sorted(names)
    lower = {name.lower(): name for name in reversed(known)}  # XSAM is near xsam
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=cutoff)
    close = close or [lower[name] for name in difflib.get_close_matches(wrong.lower(), lower, n=1, cutoff=cutoff)]
    return f"; did you mean {close[0]!r}?" if close else ""
