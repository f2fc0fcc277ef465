"""Single numbers of a CPU's tensors, computed in Python with the bits that operations on the tensors give.

An operation on a tensor of one number takes longer than ten on numbers of Python, which are float64. Where norms are in
float32, a sum, product or quotient of two such numbers that is rounded once more is float32's own (Figueroa, "When is
double rounding innocuous?", 1995).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

Number = Callable[[float], float]

_PACK, _UNPACK = struct.Struct("f").pack, struct.Struct("f").unpack


def _to_float32(value: float) -> float:
    try:
        number: float = _UNPACK(_PACK(value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return number


ROUND: Mapping[torch.dtype, Number] = {torch.float32: _to_float32, torch.float64: float}
_ORDINARY = {torch.float32: (1e-15, 1e18), torch.float64: (1e-140, 1e150)}
_TINY = {dtype: torch.finfo(dtype).tiny for dtype in ROUND}
_LARGEST = {dtype: torch.finfo(dtype).max for dtype in ROUND}


def value(number: Tensor) -> float:
    """The number in a 0-d tensor of a CPU's memory; unlike ``item()``, no operation that might wait for a device."""
    found: Any = number.tolist()
    return float(found)


def limit(dtype: torch.dtype, numerator: float = 1.0) -> float:
    """The smallest number of ``dtype`` to divide by: it is normal, and ``numerator`` divided by it is finite."""
    return max(_TINY[dtype], 2 * abs(numerator) / _LARGEST[dtype])


def kept_off_zero(norm: float, dtype: torch.dtype, numerator: float = 1.0) -> float:
    """``norm``, or :func:`limit` where it is smaller; NaN passes.

    >>> kept_off_zero(2.0, torch.float32), kept_off_zero(0.0, torch.float32) > 0
    (2.0, True)
    """
    lowest = _lowest(dtype, numerator)
    return lowest if norm < lowest else norm


@lru_cache(maxsize=64)
def _lowest(dtype: torch.dtype, numerator: float) -> float:
    return ROUND[dtype](limit(dtype, numerator))


def quotient(numerator: float, norm: Tensor) -> Tensor:
    """``numerator / norm`` of a number and a 0-d tensor, which is kept off zero, as torch rounds it.

    >>> quotient(1.0, torch.tensor(4.0))
    tensor(0.2500)
    """
    number = ROUND[norm.dtype]
    inverse = number(1.0 / kept_off_zero(value(norm), norm.dtype, numerator))
    return torch.scalar_tensor(number(inverse * number(numerator)), dtype=norm.dtype)


def ordinary(norms: Tensor) -> bool:
    """Whether norms on a CPU are so far from the ends of their precision's range that no square has left it."""
    values = [value(norms)] if not norms.dim() else norms.flatten().tolist() if norms.dim() > 1 else norms.tolist()
    return all_ordinary(values, norms.dtype)


def all_ordinary(norms: list[float], dtype: torch.dtype) -> bool:
    """:func:`ordinary`, of numbers."""
    lowest, highest = _ORDINARY[dtype]
    return False not in [lowest < each < highest for each in norms]
