"""Eigenvalues, trace and density against Hessians written out, and against another library."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.sharpness.problems import MODELS, dense_hessian, loss_fn, plain_loss, problem, quadratic
from xsam.sharpness import NotConverged, spectral_density, top_eigenpairs, top_eigenvalues, trace
from xsam.sharpness._lanczos import largest


def spectrum(model: nn.Module, batches: list[Any], weights: list[float] | None = None) -> Tensor:
    matrix = dense_hessian(model, batches, weights or [1.0] * len(batches))
    return torch.linalg.eigvalsh(matrix).flip(0)


@pytest.mark.parametrize("graph_bytes", [0, 2**30], ids=["graphs built anew", "graphs kept"])
@pytest.mark.parametrize("name", MODELS)
def test_largest_eigenvalues_are_those_of_the_dense_hessian(name: str, graph_bytes: int) -> None:
    model, batches = problem(name, sizes=(6, 6, 6))
    found = top_eigenvalues(model, loss_fn, batches, k=5, graph_bytes=graph_bytes)
    torch.testing.assert_close(found, spectrum(copy.deepcopy(model).eval(), batches)[:5], rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", MODELS)
def test_float32_is_as_near_as_it_can_be(name: str) -> None:
    model, batches = problem(name, torch.float32)
    exact = spectrum(copy.deepcopy(model).double().eval(), batches)
    torch.testing.assert_close(top_eigenvalues(model, loss_fn, batches, k=3), exact[:3], rtol=2e-4, atol=0)


def test_batches_weigh_equally_or_as_told() -> None:
    model, batches = problem("mlp", sizes=(2, 9))
    still = copy.deepcopy(model).eval()
    equal, by_size = (top_eigenvalues(model, loss_fn, batches, k=2, weights=weights) for weights in (None, [2, 9]))
    torch.testing.assert_close(equal, spectrum(still, batches)[:2], rtol=1e-4, atol=0)
    torch.testing.assert_close(by_size, spectrum(still, batches, [2.0, 9.0])[:2], rtol=1e-4, atol=0)
    together = [(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))]
    torch.testing.assert_close(by_size, top_eigenvalues(model, loss_fn, together, k=2), rtol=1e-4, atol=0)


def test_batchnorm_uses_the_batch_where_asked() -> None:
    model, batches = problem("cnn")
    in_training = spectrum(copy.deepcopy(model).train(), batches)
    found = top_eigenvalues(model, loss_fn, batches, k=3, batchnorm="batch")
    torch.testing.assert_close(found, in_training[:3], rtol=1e-4, atol=0)
    assert not torch.allclose(found, top_eigenvalues(model, loss_fn, batches, k=3), rtol=1e-2)


def test_algebraically_largest_leaves_out_what_is_large_and_negative() -> None:
    model = quadratic([-50.0, -3.0, 0.0, 1.0, 2.0, 4.0])
    found = top_eigenpairs(model, plain_loss, [torch.tensor(1.0, dtype=torch.float64)], k=4)
    assert found.values.tolist() == pytest.approx([4.0, 2.0, 1.0, 0.0], abs=1e-9)
    products = found.vectors @ model.matrix
    torch.testing.assert_close(products[:3], found.values[:3, None] * found.vectors[:3], rtol=0, atol=1e-6)


def test_restarts_find_what_one_basis_cannot_hold() -> None:
    values = torch.cat([torch.linspace(0, 1, 2000, dtype=torch.float64), torch.tensor([1.01, 1.012, 1.02]).double()])
    start = torch.ones_like(values)
    found = largest(lambda vector: values * vector, start, k=3, tolerance=1e-6, max_products=2000, seed=0)
    assert found.values.tolist() == pytest.approx([1.02, 1.012, 1.01], rel=1e-6)
    assert float(found.errors.max()) <= 1.02e-6
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-9)


def test_every_copy_of_a_repeated_eigenvalue_is_found() -> None:
    model = quadratic([1.0] * 6)
    found = top_eigenvalues(model, plain_loss, [torch.tensor(1.0, dtype=torch.float64)], k=4)
    assert found.tolist() == pytest.approx([1.0] * 4)


def test_a_linear_loss_is_flat() -> None:
    model, batches = nn.Linear(3, 1), [torch.ones(2, 3)]
    assert top_eigenvalues(model, lambda model, x: model(x).mean(), batches, k=2).tolist() == [0.0, 0.0]
    assert trace(model, lambda model, x: model(x).mean(), batches).estimate == 0.0


def test_frozen_and_unused_parameters_do_not_count() -> None:
    model, batches = problem("mlp")
    alone = top_eigenvalues(model, loss_fn, batches, k=3)
    model.register_parameter("idle", nn.Parameter(torch.ones(2, dtype=torch.float64)))
    model.register_parameter("frozen", nn.Parameter(torch.ones(2, dtype=torch.float64), requires_grad=False))
    torch.testing.assert_close(top_eigenvalues(model, loss_fn, batches, k=3), alone, rtol=1e-4, atol=0)


def test_the_seed_decides() -> None:
    model, batches = problem("attention")
    assert trace(model, loss_fn, batches, seed=3) == trace(model, loss_fn, batches, seed=3)
    assert trace(model, loss_fn, batches, seed=3) != trace(model, loss_fn, batches, seed=4)
    torch.manual_seed(9)
    first = top_eigenvalues(model, loss_fn, batches)
    torch.manual_seed(10)
    assert torch.equal(first, top_eigenvalues(model, loss_fn, batches))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp"])
def test_trace_intervals_cover_as_often_as_they_say(name: str) -> None:
    model, batches = problem(name)
    exact = float(spectrum(copy.deepcopy(model).eval(), batches).sum())
    estimates = [trace(model, loss_fn, batches, samples=40, seed=seed) for seed in range(200)]
    covered = sum(abs(each.estimate - exact) <= 1.96 * each.standard_error for each in estimates)
    assert 0.90 <= covered / 200 <= 0.99
    mean = sum(each.estimate for each in estimates) / 200
    spread = math.sqrt(sum(each.standard_error**2 for each in estimates)) / 200
    assert abs(mean - exact) < 4 * spread


def test_density_has_the_moments_of_the_spectrum() -> None:
    model, batches = problem("mlp")
    exact = spectrum(copy.deepcopy(model).eval(), batches)
    density = spectral_density(model, loss_fn, batches, probes=200, steps=10)
    torch.testing.assert_close(density.weights.sum(dim=1), torch.ones(200, dtype=torch.float64))
    for power in (1, 2, 3):
        per_probe = (density.weights * density.nodes**power).sum(dim=1)
        error = float(per_probe.std()) / math.sqrt(200)
        assert abs(float(per_probe.mean()) - float((exact**power).mean())) < 4 * error
    at = torch.linspace(-2, 3, 2001, dtype=torch.float64)
    assert float(torch.trapezoid(density.smooth(at, 0.05), at)) == pytest.approx(1.0, abs=1e-3)


def test_density_stops_at_an_invariant_subspace() -> None:
    model = quadratic([0.0, 1.0, 1.0, 2.0])
    density = spectral_density(model, plain_loss, [torch.tensor(1.0, dtype=torch.float64)], probes=1, steps=40)
    near = [float(density.weights[0][(density.nodes[0] - value).abs() < 1e-6].sum()) for value in (0.0, 1.0, 2.0)]
    assert sum(near) == pytest.approx(1.0)


@pytest.mark.slow
def test_resnet8_agrees_with_curvlinops() -> None:
    import curvlinops
    from scipy.sparse.linalg import eigsh

    from xsam.tasks.vision.models import build

    torch.manual_seed(0)
    model = build("resnet8", 1, 8, 10)
    x, y = torch.randn(96, 1, 8, 8), torch.randint(10, (96,))
    for _ in range(20):
        model(x)
    data = list(zip(x.split(32), y.split(32), strict=True))
    ours = top_eigenvalues(model, loss_fn, data, k=5)
    parameters = [each for each in model.parameters() if each.requires_grad]
    operator = curvlinops.HessianLinearOperator(model.eval(), nn.CrossEntropyLoss(), parameters, data)
    theirs = eigsh(operator.to_scipy(), k=5, which="LA", tol=1e-5, return_eigenvectors=False)
    np.testing.assert_allclose(ours.numpy(), np.sort(theirs)[::-1], rtol=5e-4)


def test_mistakes_are_told() -> None:
    model, batches = problem("mlp")
    with pytest.raises(ValueError, match="batches is empty"):
        top_eigenvalues(model, loss_fn, [])
    with pytest.raises(ValueError, match="k must be at most the number of parameters"):
        top_eigenvalues(model, loss_fn, batches, k=1000)
    with pytest.raises(ValueError, match="unknown batchnorm 'train'"):
        top_eigenvalues(model, loss_fn, batches, batchnorm="train")
    with pytest.raises(ValueError, match="without detach"):
        top_eigenvalues(model, lambda model, batch: loss_fn(model, batch).detach(), batches)
    with pytest.raises(ValueError, match="scalar"):
        trace(model, lambda model, batch: model(batch[0]), batches)
    with pytest.raises(ValueError, match="not finite"):
        top_eigenvalues(model, lambda model, batch: loss_fn(model, batch) * math.inf, batches)
    with pytest.raises(NotConverged, match="after 4 products"):
        top_eigenvalues(model, loss_fn, batches, k=3, max_products=4)
    with pytest.raises(ValueError, match="no parameter"):
        top_eigenvalues(model.requires_grad_(False), loss_fn, batches)
