"""Arithmetic on lists of tensors that never waits for the device: norms, dot products, moves and copies.

Sums accumulate in float32 or wider, and scalars stay on the device as 0-d tensors; what is at hand as a number may be
one. All tensors of a call are on one device; corresponding lists have the same length and shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from operator import attrgetter

import torch
import torch.distributed as dist
from torch import Tensor

from xsam.optim._step import host, row_arithmetic

Tensors = list[Tensor]
Scalar = Tensor | float

_WIDE = {torch.float32, torch.float64}
# Tensors of so few elements in all stay in a core's cache while a step works on them.
_IN_CACHE = 1 << 17
_DTYPE = attrgetter("dtype")

_group: ContextVar[dist.ProcessGroup | None] = ContextVar("group", default=None)


@contextmanager
def parts_of_all(group: dist.ProcessGroup | None) -> Iterator[None]:
    """Inside, tensors are parts of larger ones: norms and inner products are over all processes of ``group``."""
    token = _group.set(group)
    try:
        yield
    finally:
        _group.reset(token)


def _joined_norm(own: Tensor) -> Tensor:
    if _group.get() is None:
        return own
    return _joined_sum(own.to(_wider(own.device, own.dtype)).square()).sqrt().to(own.dtype)


def _joined_sum(own: Tensor) -> Tensor:
    group = _group.get()
    if group is not None:
        dist.all_reduce(own, group=group)
    return own


_rows: ContextVar[bool] = ContextVar("rows", default=False)


@contextmanager
def in_rows() -> Iterator[None]:
    """Inside, tensors are n×P and each row is a vector of its own: norms, inner products and scales are n×1."""
    token = _rows.set(True)
    try:
        yield
    finally:
        _rows.reset(token)


def norm(tensors: Tensors) -> Tensor:
    """Euclidean norm of all elements of all ``tensors`` together, a 0-d tensor, whatever their size.

    Squares of float32 numbers above 1e19 or below 1e-19 leave its range. A CPU looks at the plain norm, and computes it
    once more of scaled elements where that may have happened. An accelerator, which is not waited for, sums in float64.
    """
    if _rows.get():
        return row_arithmetic.norm(tensors)
    return _joined_norm(_own_norm(tensors))


def _own_norm(tensors: Tensors) -> Tensor:
    if not tensors:
        return torch.zeros(())
    dtypes = dtypes_of(tensors)
    dtype = _sum_dtype(dtypes)
    if not _at_hand(tensors[0].device):
        return _norm(tensors, _wider(tensors[0].device, dtype)).to(dtype)
    if len(dtypes) > 1:
        tensors = [tensor.to(dtype) for tensor in tensors]
    total = _norm(tensors, dtype)
    return total if host.ordinary(total) else scaled_norm(tensors, dtype)


def scaled_norm(tensors: Tensors, dtype: torch.dtype) -> Tensor:
    """The norm computed of elements that are divided by the largest; NaN and infinity pass."""
    tensors = [tensor.to(dtype) for tensor in tensors]
    largest = _norm(tensors, dtype, torch.inf)
    if not 0.0 < host.value(largest) < math.inf:
        return largest
    return _norm([tensor / largest for tensor in tensors], dtype) * largest


def dot(first: Tensors, second: Tensors) -> Tensor:
    """Inner product of all elements of ``first`` with those of ``second``, a 0-d tensor."""
    if not first:
        return torch.zeros(())
    dtype = _sum_dtype(dtypes_of(first))
    return _joined_sum(torch.stack([_dot(x, y, dtype) for x, y in zip(first, second, strict=True)]).sum())


def cosine(first: Tensors, second: Tensors, norms: Tensor) -> Tensor:
    """The cosine of the angle between two vectors of these two ``norms``, whatever their size; 0 where one is zero."""
    if not first:
        return torch.zeros(())
    if _rows.get():
        return row_arithmetic.cosine(first, second, norms)
    return _cosine(first, second, norms, partial(dot, first, second))


def cosine_and_norms(first: Tensors, first_norm: Tensor, second: Tensors) -> tuple[Tensor, Tensor]:
    """:func:`cosine` of both, and their norms stacked; on a CPU ``second`` is read from memory once for the two."""
    found = cosine_at_hand(first, first_norm, second)
    if found is not None:
        norms = torch.stack((first_norm, found[1]))
        return torch.scalar_tensor(found[0], dtype=norms.dtype), norms
    norms = torch.stack((first_norm, norm(second)))
    return cosine(first, second, norms), norms


def cosine_at_hand(first: Tensors, first_norm: Tensor, second: Tensors) -> tuple[float, Tensor] | None:
    """The cosine as a number, and the norm of ``second``; None but for tensors of one dtype in a CPU's memory."""
    dtypes = dtypes_of(second)
    dtype = _sum_dtype(dtypes)
    if _rows.get() or len(dtypes) != 1 or first_norm.dtype is not dtype or not _at_hand(second[0].device):
        return None
    if in_cache(second):
        lengths = [*torch._foreach_norm(second, 2, dtype)]
        dots = [_dot(x, y, dtype) for x, y in zip(first, second, strict=True)]
    else:
        dots, lengths = [], []
        for x, y in zip(first, second, strict=True):
            dots.append(_dot(x, y, dtype))
            lengths.append(torch.linalg.vector_norm(y, dtype=dtype))
    second_norm = torch.linalg.vector_norm(torch.stack(lengths))
    if not host.ordinary(second_norm):
        second_norm = scaled_norm(second, dtype)
    second_norm = _joined_norm(second_norm)
    sizes = [host.value(first_norm), host.value(second_norm)]
    return _number(first, second, sizes, dtype, lambda: _joined_sum(torch.stack(dots).sum())), second_norm


def _cosine(first: Tensors, second: Tensors, norms: Tensor, plain_dot: Callable[[], Tensor]) -> Tensor:
    dtype, device = norms.dtype, norms.device
    if not _at_hand(device):
        wide = _wider(device, dtype)
        total = _joined_sum(torch.stack([_dot(x, y, wide) for x, y in zip(first, second, strict=True)]).sum())
        return (total / divisor(norms).to(wide).prod()).to(dtype)
    return torch.scalar_tensor(_number(first, second, norms.tolist(), dtype, plain_dot), dtype=dtype)


def _number(
    first: Tensors, second: Tensors, sizes: list[float], dtype: torch.dtype, plain_dot: Callable[[], Tensor]
) -> float:
    """The cosine of vectors of these two sizes, numbers of ``dtype``."""
    if host.all_ordinary(sizes, dtype):
        number = host.ROUND[dtype]
        return number(host.value(plain_dot()) / number(sizes[0] * sizes[1]))  # not near zero
    x_norm, y_norm = divisor(torch.tensor(sizes, dtype=dtype)).unbind()
    units = ([x.to(dtype) / x_norm for x in first], [y.to(dtype) / y_norm for y in second])
    return host.value(dot(*units))


def divisor(norms: Tensor, numerator: float = 1.0) -> Tensor:
    """``norms`` kept off zero, to divide a vector of that norm by: a zero vector stays zero. NaN and infinity pass.

    The limit is the smallest normal number, or what leaves ``numerator`` divided by it finite.
    """
    return norms.clamp(min=host.limit(norms.dtype, numerator))


def quotient(numerator: float, norm: Tensor) -> Tensor:
    """``numerator / norm``, both numbers, the second one in a 0-d tensor that is kept off zero."""
    if _at_hand(norm.device) and not norm.dim():
        return host.quotient(numerator, norm)
    return numerator / divisor(norm, numerator)


def add_scaled_(targets: Tensors, sources: Tensors, scale: Scalar) -> None:
    """``targets += scale * sources`` with a 0-d ``scale``."""
    if all_wide(targets):
        _add_scaled(targets, sources, scale)
        return
    # One by one in float32: a 16-bit scale would round the radius, and 1/norm can overflow float16.
    for target, source in zip(targets, sources, strict=True):
        target.add_(source.to(_scale_dtype(scale)) * scale)


def _add_scaled(targets: Tensors, sources: Tensors, scale: Scalar) -> None:
    if isinstance(scale, Tensor):
        torch._foreach_addcmul_(targets, sources, [scale] * len(targets))
    else:
        torch._foreach_add_(targets, sources, alpha=scale)


def scale_(tensors: Tensors, scale: Tensor) -> None:
    """``tensors *= scale`` with a 0-d ``scale``."""
    if all_wide(tensors) and not scale.dim():
        torch._foreach_mul_(tensors, scale)
        return
    for tensor in tensors:
        tensor.copy_(tensor.to(scale.dtype) * scale)


def combine_(targets: Tensors, scale: Scalar, sources: Tensors, source_scale: Scalar) -> None:
    """``targets = scale * targets + source_scale * sources`` with 0-d scales."""
    dtypes = dtypes_of(targets)
    if dtypes and dtypes <= _WIDE:
        if _at_hand(targets[0].device) and (_rows.get() or not in_cache(targets)):
            # Tensor by tensor and from the end, where whoever read them last has left them in the cache.
            for target, source in zip(reversed(targets), reversed(sources), strict=True):
                add_product(target.mul_(scale), source, source_scale, out=target)
            return
        if not isinstance(scale, Tensor) and len(dtypes) == 1:
            # A Python number would be made a tensor for each target.
            scale = torch.scalar_tensor(scale, dtype=targets[0].dtype, device=targets[0].device)
        torch._foreach_mul_(targets, scale)
        _add_scaled(targets, sources, source_scale)
        return
    # Rounded once: the two terms may cancel.
    dtype = _scale_dtype(scale)
    for target, source in zip(targets, sources, strict=True):
        target.copy_(target.to(dtype) * scale + source.to(dtype) * source_scale)


def add_product(start: Tensor, vector: Tensor, scale: Scalar, out: Tensor) -> Tensor:
    """``start + scale * vector`` in ``out``, for 32 or 64 bits."""
    if isinstance(scale, Tensor):
        return torch.addcmul(start, vector, scale, out=out)
    return torch.add(start, vector, alpha=scale, out=out)


def copy_(targets: Tensors, sources: Tensors) -> None:
    """``targets = sources``, bit for bit where the dtypes are equal."""
    dtypes = dtypes_of(targets)
    if len(dtypes) == 1:
        torch._foreach_copy_(targets, sources)
        return
    # One multi-tensor copy for each dtype: a list of several falls back to a copy for each tensor.
    for dtype in dtypes:
        pairs = [(target, source) for target, source in zip(targets, sources, strict=True) if target.dtype is dtype]
        torch._foreach_copy_([target for target, _ in pairs], [source for _, source in pairs])


def widened(tensors: Tensors) -> Tensors:
    """The tensors themselves, or copies in float32 of those in 16 bits, whose products would leave their range."""
    return [tensor if wide(tensor) else tensor.float() for tensor in tensors]


def wide(tensor: Tensor) -> bool:
    """Whether arithmetic on ``tensor`` rounds to float32 or finer."""
    return tensor.dtype in _WIDE


def in_cache(tensors: Tensors) -> bool:
    """Whether ``tensors`` are few and small enough to be read several times, rather than one after the other."""
    return sum([tensor.numel() for tensor in tensors]) <= _IN_CACHE


def all_wide(tensors: Tensors) -> bool:
    """Whether torch's multi-tensor operations suit: no 16-bit tensors, and any at all, as they refuse empty lists."""
    dtypes = dtypes_of(tensors)
    return bool(dtypes) and dtypes <= _WIDE


def dtypes_of(tensors: Tensors) -> set[torch.dtype]:
    """The dtypes that occur."""
    return set(map(_DTYPE, tensors))


def _scale_dtype(scale: Scalar) -> torch.dtype:
    return scale.dtype if isinstance(scale, Tensor) else torch.float32


def _norm(tensors: Tensors, dtype: torch.dtype, order: float = 2) -> Tensor:
    total: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors, order, dtype)), order)
    return total


def _at_hand(device: torch.device) -> bool:
    """Whether a number can be looked at without waiting for the device."""
    return device.type == "cpu"


def _wider(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """float64, for sums of float32 numbers of any size, where the device has it."""
    return dtype if device.type == "mps" else torch.float64


def _sum_dtype(dtypes: set[torch.dtype]) -> torch.dtype:
    return torch.float64 if torch.float64 in dtypes else torch.float32


def _dot(x: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
    if x.dtype is not dtype or y.dtype is not dtype:
        x, y = x.to(dtype), y.to(dtype)
    if x.is_contiguous() and y.is_contiguous():
        return torch.dot(x, y) if x.dim() == 1 else torch.dot(x.view(-1), y.view(-1))
    # In the order of memory, dense tensors of equal strides flatten without a copy.
    order = sorted(range(x.dim()), key=x.stride, reverse=True)
    return torch.dot(x.permute(order).reshape(-1), y.permute(order).reshape(-1))
