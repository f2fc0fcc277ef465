"""The spectrum of the loss's Hessian: its largest eigenvalues, its trace, its density.

All functions take the same first arguments:

    model: the network; it and the random state are left as they were, on exceptions too.
    loss_fn: ``loss_fn(model, batch)`` returns the batch's mean loss, a scalar with its graph.
    batches: any number, of anything that ``loss_fn`` takes. The Hessian is that of the mean of their losses, with
        respect to the parameters that require a gradient.

and these keywords:

    weights: of the batches' losses, in proportion (numbers of examples, where those differ); None: equal.
    batchnorm: ``"eval"``: BatchNorm uses its running statistics, and the loss is that of the trained network;
        ``"batch"``: each batch's own, through which the loss is differentiated too, as in training. Dropout is off.
    seed: of the random vectors; the same seed gives the same numbers.
    graph_bytes: memory for the graphs of gradients, which are kept between products for as many batches as fit.

They raise ``ValueError`` where there is no batch, no trainable parameter, or a product that is not finite. Vectors are
float64 if a parameter is, else float32. Work is counted in products of the Hessian with a vector, each about three
times the cost of a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xsam.optim._step import options
from xsam.sharpness._frozen import BatchNorm, frozen
from xsam.sharpness._hessian import GRAPH_BYTES, Hessian, LossFunction, closures
from xsam.sharpness._lanczos import Krylov, largest

TOLERANCE = 1e-4
MAX_PRODUCTS = 2000


class Eigenpairs(NamedTuple):
    """The largest eigenvalues and what they cost.

    Attributes:
        values: k, descending; float64, on the CPU.
        errors: an estimate of each value's absolute error.
        vectors: k × n, orthonormal; the elements of all trainable parameters one after the other.
        products: products with the Hessian that it took.
    """

    values: Tensor
    errors: Tensor
    vectors: Tensor
    products: int


class Trace(NamedTuple):
    """An unbiased estimate of a trace and its standard error."""

    estimate: float
    standard_error: float


class Density(NamedTuple):
    """A spectral density as weighted points.

    Attributes:
        nodes: probes × steps eigenvalues; float64, on the CPU.
        weights: the share of the spectrum at each of them; each row sums to 1.
    """

    nodes: Tensor
    weights: Tensor

    def smooth(self, at: Tensor, width: float) -> Tensor:
        """The density at the eigenvalues ``at``, with each point spread to a normal one of standard deviation width."""
        options.number("width", width, above=0)
        spread = torch.exp(-0.5 * ((at.double()[:, None] - self.nodes.reshape(-1)) / width).square())
        return spread @ self.weights.reshape(-1) / (len(self.nodes) * width * math.sqrt(2 * math.pi))


def top_eigenvalues(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    k: int = 5,
    *,
    weights: Sequence[float] | None = None,
    batchnorm: BatchNorm = "eval",
    tolerance: float = TOLERANCE,
    max_products: int = MAX_PRODUCTS,
    seed: int = 0,
    graph_bytes: int = GRAPH_BYTES,
) -> Tensor:
    """The k algebraically largest eigenvalues of the Hessian, descending: float64, on the CPU.

    Lanczos with full reorthogonalisation and thick restarts (Wu & Simon, SIAM J. Matrix Anal. Appl. 22, 2000). It
    starts from the gradient, which lies mostly in the space sought (Gur-Ari et al., arXiv 1812.04754), with as much of
    a random vector added, and stops as soon as each value is within ``tolerance``, relative to itself. Memory: at most
    max(2k + 1, 20) + 6 vectors as long as all parameters together, and ``graph_bytes``.

    Arguments are described at the top of this module.

    Raises:
        NotConverged: the tolerance is not reached within ``max_products``.
        ValueError: k is above the number of parameters.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> batch = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> top_eigenvalues(model, lambda model, batch: model(batch).square().mean(), [batch], k=2).round(decimals=3)
        tensor([4., 1.], dtype=torch.float64)
    """
    found = top_eigenpairs(
        model,
        loss_fn,
        batches,
        k,
        weights=weights,
        batchnorm=batchnorm,
        tolerance=tolerance,
        max_products=max_products,
        seed=seed,
        graph_bytes=graph_bytes,
    )
    return found.values


def top_eigenpairs(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    k: int = 5,
    *,
    weights: Sequence[float] | None = None,
    batchnorm: BatchNorm = "eval",
    tolerance: float = TOLERANCE,
    max_products: int = MAX_PRODUCTS,
    seed: int = 0,
    graph_bytes: int = GRAPH_BYTES,
) -> Eigenpairs:
    """As :func:`top_eigenvalues`, with eigenvectors, errors and the number of products."""
    options.whole_number("k", k, at_least=1)
    options.number("tolerance", tolerance, above=0)
    with _hessian(model, loss_fn, batches, weights, batchnorm, seed, graph_bytes) as (hessian, signs):
        if k > hessian.size:
            raise ValueError(f"k must be at most the number of parameters ({hessian.size}), not {k}")
        start = signs() / math.sqrt(hessian.size)
        gradient = hessian.gradient()
        norm = float(torch.linalg.vector_norm(gradient))
        if 0 < norm < math.inf:
            start += gradient / norm
        del gradient
        ritz = largest(hessian.__matmul__, start, k, tolerance, max_products, seed)
        return Eigenpairs(ritz.values, ritz.errors, ritz.vectors.clone(), hessian.products)


def trace(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    *,
    samples: int = 100,
    weights: Sequence[float] | None = None,
    batchnorm: BatchNorm = "eval",
    seed: int = 0,
    graph_bytes: int = GRAPH_BYTES,
) -> Trace:
    """The Hessian's trace as (estimate, standard error), by Hutchinson's method with ``samples`` random sign vectors.

    Of vectors z with independent signs the mean of zᵀHz is the trace (Hutchinson, Commun. Stat. Simul. 19, 1990). Each
    takes one product. Arguments are described at the top of this module.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> batch = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> trace(model, lambda model, batch: model(batch).square().mean(), [batch])
        Trace(estimate=5.0, standard_error=0.0)
    """
    options.whole_number("samples", samples, at_least=2)
    values = torch.empty(samples, dtype=torch.float64)
    with _hessian(model, loss_fn, batches, weights, batchnorm, seed, graph_bytes) as (hessian, signs):
        for index in range(samples):
            vector = signs()
            values[index] = torch.dot(vector, hessian @ vector).double()
    if not torch.isfinite(values).all():
        raise ValueError("a product of the Hessian is not finite at these weights")
    return Trace(float(values.mean()), float(values.std()) / math.sqrt(samples))


def spectral_density(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    *,
    probes: int = 4,
    steps: int = 40,
    weights: Sequence[float] | None = None,
    batchnorm: BatchNorm = "eval",
    seed: int = 0,
    graph_bytes: int = GRAPH_BYTES,
) -> Density:
    """The distribution of the Hessian's eigenvalues, by stochastic Lanczos quadrature.

    From each of ``probes`` random vectors ``steps`` Lanczos steps give a Gauss quadrature of the density: moments up to
    2 · steps − 1 are those of a random sample of the spectrum (Ghorbani et al., ICML 2019, arXiv 1901.10159). It takes
    probes · steps products, and memory for steps + 1 vectors. Arguments are described at the top of this module.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> batch = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> density = spectral_density(model, lambda model, batch: model(batch).square().mean(), [batch])
        >>> density.nodes[0].round(decimals=3), density.weights[0].round(decimals=3)
        (tensor([4., 1.], dtype=torch.float64), tensor([0.5000, 0.5000], dtype=torch.float64))
    """
    options.whole_number("probes", probes, at_least=1)
    options.whole_number("steps", steps, at_least=1)
    nodes, shares = [], []
    with _hessian(model, loss_fn, batches, weights, batchnorm, seed, graph_bytes) as (hessian, signs):
        length = min(steps, hessian.size)
        for probe in range(probes):
            krylov = Krylov(hessian.__matmul__, signs(), length, seed + probe)
            while not krylov.full:
                krylov.extend()
            values, _, coordinates = krylov.eigen()
            nodes.append(values)
            shares.append(coordinates[0].square())
    return Density(torch.stack(nodes), torch.stack(shares))


@contextmanager
def _hessian(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    weights: Sequence[float] | None,
    batchnorm: BatchNorm,
    seed: int,
    graph_bytes: int,
) -> Iterator[tuple[Hessian, Callable[[], Tensor]]]:
    """The Hessian, and a source of random vectors for it."""
    options.whole_number("graph_bytes", graph_bytes, at_least=0)
    with frozen(model, batchnorm) as parameters:
        hessian = Hessian(parameters, *closures(model, loss_fn, batches, weights), graph_bytes)
        yield hessian, partial(_signs, hessian, torch.Generator().manual_seed(seed))


def _signs(hessian: Hessian, generator: torch.Generator) -> Tensor:
    """A vector of random signs, drawn on the CPU so that every device sees the same."""
    signs = torch.randint(0, 2, (hessian.size,), generator=generator, dtype=torch.int8)
    return signs.mul_(2).sub_(1).to(hessian.device, hessian.dtype)
