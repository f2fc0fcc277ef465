"""The Lanczos method with full reorthogonalisation, restarted from the best vectors when its memory is full."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Multiply = Callable[[Tensor], Tensor]

_CHUNK = 2**16


class NotConverged(ArithmeticError):
    """The products that were allowed did not bring every eigenvalue within its tolerance."""


class Ritz(NamedTuple):
    """Approximate eigenpairs, the greatest value first.

    Attributes:
        values: k, float64, on the CPU.
        errors: estimate of each value's absolute error.
        vectors: k × n, orthonormal.
    """

    values: Tensor
    errors: Tensor
    vectors: Tensor


class Krylov:
    """An orthonormal basis that grows by one product at a time, and the operator projected on it.

    Args:
        multiply: a symmetric operator on vectors of n elements.
        start: the first direction, n elements, not zero.
        capacity: basis vectors at most; one more is held for the next.
        seed: of the random vectors that go on where the basis cannot grow (an invariant subspace).

    Attributes:
        length: basis vectors whose product is known.
    """

    def __init__(self, multiply: Multiply, start: Tensor, capacity: int, seed: int) -> None:
        self._multiply = multiply
        self._basis = torch.empty(capacity + 1, start.numel(), dtype=start.dtype, device=start.device)
        self._basis[0] = start / torch.linalg.vector_norm(start)
        self._projected = torch.zeros(capacity, capacity, dtype=torch.float64)
        self._generator = torch.Generator().manual_seed(seed)
        self._capacity = capacity
        self._residual = 0.0
        self.length = 0

    @property
    def full(self) -> bool:
        """Whether the basis has no room for another product."""
        return self.length == self._capacity

    def extend(self) -> None:
        """One more product; raises ``ValueError`` where it is not finite."""
        last = self.length
        vector = self._multiply(self._basis[last])
        onto = self._orthogonalise(vector, last + 1)
        if not torch.isfinite(onto).all():
            raise ValueError("a product of the Hessian is not finite at these weights")
        self._projected[last, : last + 1] = onto
        self._projected[: last + 1, last] = onto
        self.length += 1
        self._residual = float(torch.linalg.vector_norm(vector))
        scale = float(self._projected.abs().max())
        if self._residual <= 10 * torch.finfo(vector.dtype).eps * scale:
            self._residual = 0.0
            vector = self._another()
        else:
            vector /= self._residual
        self._basis[self.length] = vector

    def eigen(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ritz values in descending order, the residual's norm of each, and their coordinates (columns)."""
        values, coordinates = torch.linalg.eigh(self._projected[: self.length, : self.length])
        values, coordinates = values.flip(0), coordinates.flip(1)
        return values, self._residual * coordinates[-1].abs(), coordinates

    def restart(self, values: Tensor, coordinates: Tensor, keep: int) -> None:
        """Go on with the ``keep`` first Ritz vectors alone (thick restart, Wu & Simon 2000), in the same memory."""
        self.rotate(coordinates[:, :keep])
        self._basis[keep] = self._basis[self.length]
        self._projected.zero_()
        self._projected[:keep, :keep] = torch.diag(values[:keep])
        self.length = keep

    def rotate(self, coordinates: Tensor) -> Tensor:
        """Replace the first basis vectors by the combinations in the columns of ``coordinates``; returns them."""
        rotation = coordinates.T.to(self._basis.dtype).to(self._basis.device)
        for columns in torch.split(self._basis, _CHUNK, dim=1):
            columns[: len(rotation)] = rotation @ columns[: self.length]
        return self._basis[: len(rotation)]

    def _orthogonalise(self, vector: Tensor, count: int) -> Tensor:
        """Take the first ``count`` basis vectors out of ``vector``, twice; returns the coefficients."""
        basis = self._basis[:count]
        total = torch.zeros(count, dtype=torch.float64)
        for _ in range(2):
            onto = basis @ vector
            vector -= onto @ basis
            total += onto.double().cpu()
        return total

    def _another(self) -> Tensor:
        """A random unit vector orthogonal to the basis; zero where the basis spans everything."""
        size = self._basis.shape[1]
        vector = torch.randn(size, generator=self._generator, dtype=torch.float64).to(self._basis)
        if self.length >= size:
            return torch.zeros_like(vector)
        self._orthogonalise(vector, self.length)
        unit: Tensor = vector / torch.linalg.vector_norm(vector)
        return unit


def largest(multiply: Multiply, start: Tensor, k: int, tolerance: float, max_products: int, seed: int) -> Ritz:
    """The k algebraically largest eigenpairs, each value to a relative error of about ``tolerance``.

    The error of a Ritz value with residual r is at most r, and r² / gap where the gap to its neighbours is known to be
    wider (Parlett, The Symmetric Eigenvalue Problem, 1998, §11.7); the gap is taken from the Ritz values. It holds
    max(2k + 1, 20) + 1 vectors, and another one while it multiplies.

    Raises:
        NotConverged: after ``max_products`` products.
        ValueError: a product is not finite.

    Example:
        >>> spectrum = torch.arange(50.0, dtype=torch.float64)
        >>> found = largest(lambda v: spectrum * v, torch.ones(50, dtype=torch.float64), 2, 1e-6, 200, seed=0)
        >>> [round(float(value), 4) for value in found.values]
        [49.0, 48.0]
    """
    size = start.numel()
    capacity = min(size, max(2 * k + 1, 20))
    krylov = Krylov(multiply, start, capacity, seed)
    for _ in range(max_products):
        krylov.extend()
        if krylov.length < k:
            continue
        values, residuals, coordinates = krylov.eigen()
        errors = _errors(values, residuals)[:k]
        floor = 10 * torch.finfo(start.dtype).eps * float(values.abs().max())
        if krylov.length == size or bool((errors <= (tolerance * values[:k].abs()).clamp(min=floor)).all()):
            return Ritz(values[:k], errors, krylov.rotate(coordinates[:, :k]))
        if krylov.full:
            krylov.restart(values, coordinates, min(k + (capacity - k) // 2, capacity - 1))
    raise NotConverged(
        f"the {k} largest eigenvalues are not within {tolerance:g} after {max_products} products with the Hessian: "
        "raise max_products or tolerance"
    )


def _errors(values: Tensor, residuals: Tensor) -> Tensor:
    gaps = torch.full_like(values, torch.inf)
    if len(values) > 1:
        between = values[:-1] - values[1:]
        gaps[:-1] = between
        gaps[1:] = torch.minimum(gaps[1:], between)
    else:
        gaps[0] = 0.0
    # A neighbour may lie anywhere within its own residual.
    errors: Tensor = torch.where(
        gaps > 2 * residuals, residuals.square() / (gaps - residuals).clamp(min=1e-300), residuals
    )
    return errors
