"""Tiny models with their data, and their Hessians written out."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Batch = tuple[Tensor, Tensor]


class Attention(nn.Module):
    """One encoder layer over short sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(
            4, nhead=2, dim_feedforward=6, dropout=0.3, batch_first=True, activation=F.gelu
        )
        self.classifier = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.encoder(x).mean(dim=1))


def mlp() -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)), (5,)


def cnn() -> tuple[nn.Module, tuple[int, ...]]:
    layers = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Softplus(), nn.Flatten(), nn.Linear(3 * 16, 3)
    return nn.Sequential(*layers), (1, 4, 4)


def attention() -> tuple[nn.Module, tuple[int, ...]]:
    return Attention(), (3, 4)


MODELS = {"mlp": mlp, "cnn": cnn, "attention": attention}


def problem(
    name: str, dtype: torch.dtype = torch.float64, sizes: Sequence[int] = (6, 6)
) -> tuple[nn.Module, list[Batch]]:
    """A model in training mode, with BatchNorm statistics that fit its data, and batches of these sizes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, shape = MODELS[name]()
        model.to(dtype)
        batches = [(torch.randn(size, *shape, dtype=dtype), torch.randint(3, (size,))) for size in sizes]
        for x, _ in batches:
            model(x)
    return model, batches


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    x, y = batch
    return F.cross_entropy(model(x), y)


def dense_hessian(model: nn.Module, batches: Sequence[Batch], weights: Sequence[float]) -> Tensor:
    """The Hessian of the weighted mean loss, of the model in whatever mode it is, in float64.

    By central differences of the gradient: forward-mode derivatives of normalisation layers are not exact in torch.
    """
    model = copy.deepcopy(model).double()
    parameters = list(model.parameters())
    start = nn.utils.parameters_to_vector(parameters).detach()

    def gradient(at: Tensor) -> Tensor:
        nn.utils.vector_to_parameters(at, parameters)
        losses = [w * loss_fn(model, (x.double(), y)) for w, (x, y) in zip(weights, batches, strict=True)]
        return torch.cat([each.reshape(-1) for each in torch.autograd.grad(sum(losses) / sum(weights), parameters)])

    steps = 1e-5 * torch.eye(len(start), dtype=torch.float64)
    matrix = torch.stack([gradient(start + step) - gradient(start - step) for step in steps]) / 2e-5
    return (matrix + matrix.T) / 2


class Quadratic(nn.Module):
    """½ xᵀAx + bᵀx of its weights x; the batch is a factor of it."""

    def __init__(self, matrix: Tensor, slope: Tensor, at: Tensor) -> None:
        super().__init__()
        self.x = nn.Parameter(at.clone())
        self.matrix, self.slope = matrix, slope

    def forward(self, factor: Tensor) -> Tensor:
        return factor * (0.5 * self.x @ self.matrix @ self.x + self.slope @ self.x)


def quadratic(eigenvalues: Sequence[float]) -> Quadratic:
    """A quadratic with this spectrum, at a random place."""
    generator = torch.Generator().manual_seed(1)
    size = len(eigenvalues)
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    matrix = basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T
    slope, at = torch.randn(2, size, generator=generator, dtype=torch.float64)
    return Quadratic(matrix, slope, at)


def plain_loss(model: nn.Module, batch: Tensor) -> Tensor:
    """The loss of models that return it themselves."""
    loss: Tensor = model(batch)
    return loss


def highest_on_sphere(model: Quadratic, radius: float) -> tuple[float, Tensor]:
    """The greatest rise at this distance from x, and the step there: (λI − A) s = g with ‖s‖ = radius, λ ≥ λ_max."""
    gradient = (model.matrix @ model.x + model.slope).detach()
    values, vectors = torch.linalg.eigh(model.matrix)
    parts = vectors.T @ gradient
    low, high = float(values[-1]) + 1e-12, float(values[-1]) + float(gradient.norm()) / radius + 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if float((parts / (middle - values)).norm()) > radius:
            low = middle
        else:
            high = middle
    step = vectors @ (parts / (high - values))
    return float(0.5 * step @ model.matrix @ step + gradient @ step), step
