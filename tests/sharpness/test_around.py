"""Measures, directions and planes on losses whose answers are known, and against the optimizers' own steps."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from tests.sharpness.problems import dense_hessian, highest_on_sphere, loss_fn, plain_loss, problem, quadratic
from xsam import ASAM, SAM, XSAM
from xsam.sharpness import (
    DirectionQuality,
    alpha_profile,
    ascent_plane,
    direction_quality,
    measures,
    random_plane,
)
from xsam.sharpness._neighbourhood import surface

ONE = torch.tensor(1.0, dtype=torch.float64)


def moved_loss(model: nn.Module, batches: list[tuple[Tensor, Tensor]], offset: Tensor) -> float:
    """The mean loss in evaluation mode at the weights plus ``offset``, of a copy."""
    other = copy.deepcopy(model).eval()
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(other.parameters()) + offset, other.parameters())
    return float(sum(loss_fn(other, batch).detach() for batch in batches)) / len(batches)


def flat_gradient(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    other = copy.deepcopy(model).eval()
    loss = sum(loss_fn(other, batch) for batch in batches) / len(batches)
    return torch.cat([each.reshape(-1) for each in torch.autograd.grad(loss, list(other.parameters()))])


def test_measures_are_what_they_say() -> None:
    model, batches = problem("cnn")
    table = measures(model, loss_fn, batches, rho=0.2, adaptive_rho=0.5)
    gradient, weights = flat_gradient(model, batches), nn.utils.parameters_to_vector(model.parameters()).detach()
    loss = moved_loss(model, batches, torch.zeros_like(gradient))
    sizes = weights.abs() + 0.01
    adaptive = 0.5 * sizes**2 * gradient / (sizes * gradient).norm()
    assert table["train_loss"].value == pytest.approx(loss)
    assert table["gradient_norm"].value == pytest.approx(float(gradient.norm()))
    expected = moved_loss(model, batches, 0.2 * gradient / gradient.norm()) - loss
    assert table["sam_sharpness"].value == pytest.approx(expected)
    assert table["adaptive_sharpness"].value == pytest.approx(moved_loss(model, batches, adaptive) - loss)
    assert table["worst_sharpness"].value >= table["sam_sharpness"].value


@pytest.mark.parametrize("spectrum", [[3.0, 1.0, 0.5, 0.1], [2.0, 1.9, -1.0, -5.0], [-1.0, -2.0, -3.0, -4.0]])
def test_the_worst_loss_in_the_ball_is_found(spectrum: list[float]) -> None:
    model = quadratic(spectrum)
    rise, _ = highest_on_sphere(model, 0.3)
    assert measures(model, plain_loss, [ONE], rho=0.3)["worst_sharpness"].value == pytest.approx(rise, rel=1e-2)


def test_the_worst_loss_may_be_inside_the_ball() -> None:
    model = quadratic([-4.0, -3.0, -2.0])
    gradient = (model.matrix @ model.x + model.slope).detach()
    step = -torch.linalg.solve(model.matrix, gradient)
    rise = float(gradient @ step + 0.5 * step @ model.matrix @ step)
    radius = 2 * float(step.norm())
    assert measures(model, plain_loss, [ONE], rho=radius)["worst_sharpness"].value == pytest.approx(rise, rel=5e-2)


def test_average_sharpness_is_half_the_mean_curvature() -> None:
    model = quadratic([4.0, 2.0, 1.0, 1.0])
    found = measures(model, plain_loss, [ONE], rho=0.01, samples=1000)["average_sharpness"]
    assert found.error > 0
    assert abs(found.value - 0.5 * 0.01**2 * 2.0) < 4 * found.error


def by_name(rows: list[DirectionQuality], k: int) -> dict[str, DirectionQuality]:
    return {row.direction: row for row in rows if row.ascent_steps == k}


@pytest.mark.parametrize("k", [1, 3])
def test_directions_are_those_of_the_optimizers(k: int) -> None:
    model, (batch, _) = problem("mlp")
    rho, radius = 0.4, 0.9
    found = by_name(direction_quality(model, loss_fn, batch, rho, radius, (k,), seed=5), k)
    still = copy.deepcopy(model).eval()

    def step(make: type[SAM] | type[XSAM], rho: float, **options: float) -> tuple[Tensor, SAM | XSAM]:
        other = copy.deepcopy(still)
        optimizer = make(torch.optim.SGD(other.parameters(), lr=0.0), rho=rho, ascent_steps=k, **options)
        optimizer.step(lambda: loss_fn(other, batch))
        gradient = torch.cat([each.grad.reshape(-1) for each in other.parameters() if each.grad is not None])
        return gradient / gradient.norm(), optimizer

    searched, optimizer = step(XSAM, rho, probe_radius=radius)
    assert isinstance(optimizer, XSAM)
    assert optimizer.alpha is not None
    assert found["xsam"].alpha == optimizer.alpha
    assert optimizer.last_search is not None
    assert found["xsam"].psi_cosine == pytest.approx(optimizer.last_search.cosine)
    start = moved_loss(model, [batch], torch.zeros_like(searched))
    gradient = flat_gradient(model, [batch])
    expected = {
        "local": gradient / gradient.norm(),
        "sam": step(SAM, rho)[0],
        "xsam": searched,
        "wide_sam": step(SAM, optimizer.alpha * rho)[0],
    }
    for name, direction in expected.items():
        assert found[name].rise == pytest.approx(moved_loss(model, [batch], radius * direction) - start), name
        assert found[name].cosine_xsam == pytest.approx(float(direction @ searched)), name
    assert found["best"].rise >= max(found[name].rise for name in expected) - 1e-9
    assert found["best"].cosine_best == pytest.approx(1.0)
    assert max(optimizer.last_search.losses) - start == pytest.approx(found["xsam"].rise)


def test_the_best_direction_is_the_best() -> None:
    model = quadratic([3.0, 2.5, 1.0, 0.2, -1.0])
    rise, step = highest_on_sphere(model, 0.6)
    rows = direction_quality(model, plain_loss, ONE, rho=0.3, probe_radius=0.6, ascent_steps=(1, 2))
    for k in (1, 2):
        found = by_name(rows, k)
        assert found["best"].rise == pytest.approx(rise, rel=5e-3)
        gradient = (model.matrix @ model.x + model.slope).detach()
        expected = float(gradient @ step / gradient.norm() / step.norm())
        assert found["local"].cosine_best == pytest.approx(expected, abs=5e-3)


def test_in_two_dimensions_everything_is_in_the_plane() -> None:
    rows = direction_quality(quadratic([2.0, 0.5]), plain_loss, ONE, rho=0.5)
    assert all(row.in_plane == pytest.approx(1.0) for row in rows)
    far = direction_quality(quadratic([2.0, 1.0, 0.5, 0.1, -1.0, -2.0]), plain_loss, ONE, rho=0.5)
    assert all(0 < row.in_plane < 1 for row in far)


def test_a_flat_place_has_no_direction() -> None:
    model = quadratic([1.0, 2.0])
    with torch.no_grad():
        model.x.copy_(-torch.linalg.solve(model.matrix, model.slope))
    rows = direction_quality(model, plain_loss, ONE, rho=0.1)
    assert all(math.isfinite(row.rise) for row in rows)
    assert by_name(rows, 1)["best"].rise == pytest.approx(0.5 * 2.0 * 0.2**2, rel=1e-2)


def test_asam_takes_the_adaptive_step() -> None:
    model, (batch, _) = problem("mlp")
    model.eval()
    seen: list[float] = []
    optimizer = ASAM(torch.optim.SGD(model.parameters(), lr=0.0), rho=0.7, model=model)

    def closure() -> Tensor:
        loss = loss_fn(model, batch)
        seen.append(loss.item())
        return loss

    optimizer.step(closure)
    assert measures(model, loss_fn, [batch], 0.07)["adaptive_sharpness"].value == pytest.approx(seen[1] - seen[0])


def test_the_arc_is_what_xsam_searches() -> None:
    model, (batch, _) = problem("mlp")
    model.eval()
    profile = alpha_profile(model, loss_fn, [batch], 0.3, 0.5, 2)
    optimizer = XSAM(torch.optim.SGD(model.parameters(), lr=0.0), rho=0.3, probe_radius=0.5, ascent_steps=2)
    optimizer.step(lambda: loss_fn(model, batch))
    assert optimizer.last_search is not None
    assert profile.alphas == optimizer.last_search.alphas
    assert profile.losses == pytest.approx(optimizer.last_search.losses)
    assert profile.loss == pytest.approx(loss_fn(model, batch).item())


def test_the_ascent_plane_holds_its_marks() -> None:
    model = quadratic([3.0, 1.0])
    plane = ascent_plane(model, plain_loss, [ONE], 0.5, 1.0, points=41)
    assert (len(plane.losses), len(plane.losses[0])) == (41, 41)
    start = plain_loss(model, ONE).item()
    middle = plane.losses[20][20]
    assert middle == pytest.approx(start)
    assert plane.radii == {"rho": 0.5, "rho_m": 1.0}
    assert plane.marks["v0"] == pytest.approx((0.5, 0.0))
    for name in ("v1", "v(alpha*)"):
        assert math.hypot(*plane.marks[name]) == pytest.approx(1.0)
    assert plane.marks["v1"][1] > 0
    gradient = (model.matrix @ model.x + model.slope).detach()
    along = plane.losses[20][-1]  # the farthest point along v0, in the gradient's direction
    step = plane.x[-1] * gradient / gradient.norm()
    assert along == pytest.approx(start + float(gradient @ step + 0.5 * step @ model.matrix @ step))


def test_random_planes_move_filters_by_their_size_and_no_biases() -> None:
    model, batches = problem("cnn")
    with torch.no_grad():
        model[0].weight[1] *= 10
    plane = random_plane(model, loss_fn, batches, extent=0.5, points=3, seed=4)
    assert plane == random_plane(model, loss_fn, batches, extent=0.5, points=3, seed=4)
    assert plane != random_plane(model, loss_fn, batches, extent=0.5, points=3, seed=5)
    assert plane.losses[1][1] == pytest.approx(moved_loss(model, batches, torch.zeros(183, dtype=torch.float64)))
    from xsam.sharpness.planes import _filter_normalised

    with surface(model, loss_fn, batches, None, "eval") as around:
        parts = around.split(_filter_normalised(around, torch.Generator().manual_seed(4)))
    for part, parameter in zip(parts, model.parameters(), strict=True):
        if parameter.dim() == 1:
            assert not part.any()
        else:
            torch.testing.assert_close(part.flatten(1).norm(dim=1), parameter.detach().flatten(1).norm(dim=1))


def test_a_second_order_view_agrees_with_the_hessian() -> None:
    model, batches = problem("attention")
    model.eval()
    matrix = dense_hessian(model, batches, [1.0, 1.0])
    gradient = flat_gradient(model, batches)
    unit, rho = gradient / gradient.norm(), 1e-3
    expected = rho * float(gradient @ unit) + 0.5 * rho**2 * float(unit @ matrix @ unit)
    assert measures(model, loss_fn, batches, rho)["sam_sharpness"].value == pytest.approx(expected, rel=1e-4)
