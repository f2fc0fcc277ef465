"""Norms and angles of vectors that are the rows of n×P tensors: each row's is its own, and no row sees another."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xsam.optim._step import host


def norm(tensors: list[Tensor]) -> Tensor:
    """The Euclidean norm of each row over all ``tensors`` together, n×1, whatever its size.

    >>> norm([torch.tensor([[3.0, 4.0], [1e-30, 0.0]])])
    tensor([[5.0000e+00],
            [1.0000e-30]])
    """
    if not tensors:
        return torch.zeros(())
    parts = [torch.linalg.vector_norm(tensor, dim=1, keepdim=True) for tensor in tensors]
    plain: Tensor = parts[0] if len(parts) == 1 else torch.linalg.vector_norm(torch.cat(parts, 1), dim=1, keepdim=True)
    if host.ordinary(plain):
        return plain
    return torch.stack([_norm_of_row([tensor[row] for tensor in tensors], each) for row, each in enumerate(plain)])


def _norm_of_row(parts: list[Tensor], plain: Tensor) -> Tensor:
    """The plain norm, shape 1, or where squares may have left the range the one of elements divided by the largest."""
    if host.ordinary(plain):
        return plain
    largest = torch.stack([torch.linalg.vector_norm(part, torch.inf) for part in parts]).amax(0, keepdim=True)
    if not 0.0 < largest.item() < math.inf:
        return largest
    scaled: Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part / largest) for part in parts]))
    return scaled.view(1) * largest


def dot(first: list[Tensor], second: list[Tensor]) -> Tensor:
    """The inner product of each row of ``first`` with the same row of ``second``, n×1."""
    parts = [(x * y).sum(1, keepdim=True) for x, y in zip(first, second, strict=True)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1).sum(1, keepdim=True)


def cosine(first: list[Tensor], second: list[Tensor], norms: Tensor) -> Tensor:
    """The cosine between each row of ``first`` and of ``second``, n×1; 0 where one of them is zero.

    Args:
        norms: of both, 2×n×1.
    """
    if host.ordinary(norms):
        return dot(first, second) / (norms[0] * norms[1])
    rows = [
        _cosine_of_row([x[row : row + 1] for x in first], [y[row : row + 1] for y in second], norms[:, row : row + 1])
        for row in range(norms.shape[1])
    ]
    return torch.cat(rows)


def _cosine_of_row(first: list[Tensor], second: list[Tensor], norms: Tensor) -> Tensor:
    if host.ordinary(norms):
        return dot(first, second) / (norms[0] * norms[1])
    x_norm, y_norm = norms.clamp(min=host.limit(norms.dtype)).unbind()
    return dot([x / x_norm for x in first], [y / y_norm for y in second])
