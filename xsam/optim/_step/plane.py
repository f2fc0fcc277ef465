"""The plane of XSAM: unit vectors between the ascent direction v0 and the gradient's direction v1, and past v1.

With psi the angle between v0 and v1,

    v(alpha) = [sin((1 - alpha) psi) v0 + sin(alpha psi) v1] / sin psi,    ||v(alpha)|| = 1

(Chen & Zhou, ICLR 2026, arXiv 2603.10048). No function here waits for an accelerator: there
everything stays on the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from xsam.optim._step import foreach, host
from xsam.optim._step.foreach import Scalar, Tensors

Alphas = tuple[float, ...]
T = TypeVar("T", Tensor, float)
# Cosines closer than this to 1 or -1 are taken for it.
_MARGINS = {dtype: 4 * torch.finfo(dtype).eps for dtype in host.ROUND}


def coefficients(cosine: Tensor, alphas: Alphas) -> Tensor:
    """Coefficients of v0 and v1 in v(alpha), given the cosine of psi.

    At psi = 0 they are the limits (1 - alpha, alpha); at psi = pi, where no plane is defined, v(alpha) is v1. A cosine
    that rounding pushed past 1 or -1 is taken for 1 or -1; NaN stays NaN. alpha = 0 and 1 give v0 and v1 exactly.

    Args:
        cosine: 0-d tensor.
        alphas: n values.

    Returns:
        Tensor of shape (2, n).

    Example:
        >>> coefficients(torch.tensor(0.0), (0.0, 0.5, 1.0))
        tensor([[1.0000, 0.7071, 0.0000],
                [0.0000, 0.7071, 1.0000]])
    """
    margin = _MARGINS[cosine.dtype]
    # Off 1 and -1 the sine is not zero. At psi = 0 the quotients then are the limits to rounding: they err by psi^2.
    psi = torch.acos(cosine.clamp(margin - 1.0, 1.0 - margin))
    only_v1 = _multiples((1.0,) * len(alphas), cosine.dtype, cosine.device)
    multiples = torch.where(cosine <= margin - 1.0, only_v1, _multiples(alphas, cosine.dtype, cosine.device))
    return _sines(multiples, psi, torch.sin)


def _sines(multiples: T, psi: T, sin: Callable[[T], T]) -> T:
    """The coefficient at a multiple of psi, 1 - alpha for v0 and alpha for v1; of numbers or tensors."""
    return sin(multiples * psi) / sin(psi)


@lru_cache(maxsize=64)
def _multiples(alphas: Alphas, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The multiples of psi for v0 and v1, one row each; kept, as it takes a transfer to the device."""
    return torch.tensor([[1.0 - alpha for alpha in alphas], alphas], dtype=dtype, device=device)


class Plane(NamedTuple):
    """The plane of two vectors that need not be of unit length: an ascent direction and a gradient.

    Attributes:
        norms: of the direction, whose unit vector is v0, and of the gradient, whose unit vector is v1.
        cosine: of the angle psi between them; 0 where one of them is zero.
    """

    norms: Tensor
    cosine: Tensor

    @classmethod
    def of(cls, direction: Tensors, direction_norm: Tensor, gradient: Tensors) -> Plane:
        """The plane of a direction whose norm is known and a gradient."""
        cosine, norms = foreach.cosine_and_norms(direction, direction_norm, gradient)
        return cls(norms, cosine)

    @property
    def gradient_norm(self) -> Tensor:
        """The second of the norms."""
        return self.norms[1]

    def weights(self, alphas: Alphas, length: Scalar) -> list[tuple[Scalar, ...]]:
        """For each alpha (a, b) such that ``a * direction + b * gradient`` is ``length * v(alpha)``.

        Numbers on a CPU, 0-d tensors on an accelerator, which is not waited for.

        Where one of the two vectors is zero, v(alpha) is the unit vector of the other; where both are, it is zero.
        """
        if self.norms.device.type == "cpu":
            return self._on_host().weights(alphas, length)
        return self._weights_on_device(alphas, length)

    def _weights_on_device(self, alphas: Alphas, length: Scalar) -> list[tuple[Scalar, ...]]:
        # The coefficient of a zero vector does not matter, so 1 is right for both.
        both = coefficients(self.cosine, alphas).masked_fill((self.norms == 0).any(), 1.0)
        per_norm = length / foreach.divisor(self.norms, 1.0 if isinstance(length, Tensor) else length)
        scaled = both * per_norm.unsqueeze(1)
        return [pair.unbind() for pair in scaled.unbind(1)]

    def _on_host(self) -> HostPlane:
        direction_norm, gradient_norm = self.norms.unbind()
        return HostPlane(direction_norm, gradient_norm, host.value(self.cosine))


class HostPlane(NamedTuple):
    """A :class:`Plane` of vectors in a CPU's memory.

    Numbers are at hand there, and twenty operations on tensors of a single one would take longer than one on all
    weights.

    Attributes:
        direction_norm: norm of the direction, whose unit vector is v0; a 0-d tensor.
        gradient_norm: of the gradient, whose unit vector is v1.
        cosine: of the angle psi between them.
    """

    direction_norm: Tensor
    gradient_norm: Tensor
    cosine: float

    def weights(self, alphas: Alphas, length: Scalar) -> list[tuple[Scalar, ...]]:
        """See :meth:`Plane.weights`; numbers."""
        dtype = self.gradient_norm.dtype
        number = host.ROUND[dtype]
        norms = (host.value(self.direction_norm), host.value(self.gradient_norm))
        to_direction, to_gradient = _per_norm(length, norms[0], dtype), _per_norm(length, norms[1], dtype)
        margin = _MARGINS[dtype]
        psi = math.acos(max(min(self.cosine, 1.0 - margin), margin - 1.0))  # NaN passes both
        pairs: list[tuple[Scalar, ...]] = []
        for alpha in alphas:
            if 0.0 in norms:
                on_v0, on_v1 = 1.0, 1.0
            elif self.cosine <= margin - 1.0:
                on_v0, on_v1 = 0.0, 1.0
            else:
                on_v0, on_v1 = _sines(1.0 - alpha, psi, math.sin), _sines(alpha, psi, math.sin)
            # In the precision of the norms, where what is too large is infinite: an operation would refuse the number.
            pairs.append((number(on_v0 * to_direction), number(on_v1 * to_gradient)))
        return pairs


AnyPlane = Plane | HostPlane


def plane_of(direction: Tensors, direction_norm: Tensor, gradient: Tensors) -> AnyPlane:
    """The plane of a direction whose norm is known and a gradient, in the form that is had soonest."""
    found = foreach.cosine_at_hand(direction, direction_norm, gradient)
    if found is None:
        return Plane.of(direction, direction_norm, gradient)
    cosine, gradient_norm = found
    return HostPlane(direction_norm, gradient_norm, cosine)


def _per_norm(length: Scalar, norm: float, dtype: torch.dtype) -> float:
    """``length / norm``, as torch rounds the quotient of two tensors, or of a number and a tensor."""
    number = host.ROUND[dtype]
    if isinstance(length, Tensor):
        return number(host.value(length) / host.kept_off_zero(norm, dtype))
    return number(number(1.0 / host.kept_off_zero(norm, dtype, length)) * number(length))
