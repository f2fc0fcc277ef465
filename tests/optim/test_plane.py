"""The unit vectors between and past two directions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from xsam.optim import SAM, XSAM
from xsam.optim._step.foreach import norm
from xsam.optim._step.plane import Plane, coefficients

ALPHAS = tuple(tenth / 10 for tenth in range(21))
angles = st.floats(0.0, math.pi - 1e-3)
alphas = st.floats(0.0, 2.0)


def at(psi, alpha, dtype=torch.float64):
    return [value.item() for value in coefficients(torch.tensor(math.cos(psi), dtype=dtype), (alpha,))]


def plane_of(direction, gradient):
    direction, gradient = [torch.as_tensor(direction)], [torch.as_tensor(gradient)]
    return Plane.of(direction, norm(direction), gradient)


def vectors(direction, gradient, alphas, length=1.0):
    direction, gradient = torch.as_tensor(direction), torch.as_tensor(gradient)
    return [a * direction + b * gradient for a, b in plane_of(direction, gradient).weights(alphas, length)]


@given(psi=angles, alpha=alphas)
def test_the_vector_has_unit_length(psi, alpha):
    c0, c1 = at(psi, alpha)
    assert c0**2 + c1**2 + 2 * c0 * c1 * math.cos(psi) == pytest.approx(1.0, abs=1e-7)


@given(psi=st.floats(1e-6, math.pi - 1e-3), alpha=alphas)
def test_the_vector_is_alpha_times_the_angle_away_from_v0(psi, alpha):
    c0, c1 = at(psi, alpha)
    x, y = c0 + c1 * math.cos(psi), c1 * math.sin(psi)
    assert x == pytest.approx(math.cos(alpha * psi), abs=1e-8)
    assert y == pytest.approx(math.sin(alpha * psi), abs=1e-8)


@given(psi=st.floats(0.0, 1e-4), alpha=alphas)
def test_small_angles_run_into_their_limit_without_a_jump(psi, alpha):
    assert at(psi, alpha) == pytest.approx([1 - alpha, alpha], abs=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("psi", [0.0, 1e-5, 0.3, math.pi / 2, 3.0])
def test_alpha_zero_and_one_are_exact(psi, dtype):
    assert at(psi, 0.0, dtype) == [1.0, 0.0]
    assert at(psi, 1.0, dtype) == [0.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_opposite_directions_give_v1(alpha, dtype):
    assert at(math.pi, alpha, dtype) == [0.0, 1.0]


@pytest.mark.parametrize("beyond", [1.0 + 1e-12, 1.5])
def test_a_cosine_past_its_range_is_taken_for_the_end_of_it(beyond):
    for alpha in ALPHAS:
        c = coefficients(torch.tensor(beyond, dtype=torch.float64), (alpha,)).flatten().tolist()
        assert c == pytest.approx([1 - alpha, alpha], abs=1e-12)
        assert coefficients(torch.tensor(-beyond, dtype=torch.float64), (alpha,)).flatten().tolist() == [0.0, 1.0]


def test_nan_stays_nan():
    assert coefficients(torch.tensor(math.nan), (0.3, 1.0)).isnan().all()


def test_lengths_of_the_two_vectors_do_not_matter():
    short, long = vectors([3e-9, 0.0], [0.0, 5e7], ALPHAS, 2.0), vectors([1.0, 0.0], [0.0, 1.0], ALPHAS, 2.0)
    for a, b in zip(short, long, strict=True):
        torch.testing.assert_close(a, b)


def test_a_zero_direction_leaves_the_gradients_unit_vector():
    for vector in vectors([0.0, 0.0], [0.0, 4.0], ALPHAS, 3.0):
        assert vector.tolist() == [0.0, 3.0]


def test_a_zero_gradient_leaves_the_directions_unit_vector():
    for vector in vectors([0.0, 4.0], [0.0, 0.0], ALPHAS, 3.0):
        assert vector.tolist() == [0.0, 3.0]


def test_two_zero_vectors_give_zero():
    for vector in vectors([0.0, 0.0], [0.0, 0.0], ALPHAS):
        assert vector.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_non_finite_vectors_give_non_finite_ones(bad, place):
    first, second = pair = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])
    pair[place][1] = bad
    for vector in vectors(first, second, ALPHAS[1:]):
        assert not vector.isfinite().all()


def quadratic(start, method, **keywords):
    """One step on |w|^2 / 2, whose gradient is w, at learning rate 0.5."""
    weight = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = method(torch.optim.SGD([weight], lr=0.5), **keywords)
    optimizer.step(lambda: weight.square().sum() / 2)
    return weight.detach(), optimizer


@pytest.mark.parametrize("method", [SAM, XSAM])
@pytest.mark.parametrize("ascent_steps", [1, 2])
def test_a_zero_gradient_moves_nothing(method, ascent_steps):
    weight, _ = quadratic([0.0, 0.0], method, rho=0.1, ascent_steps=ascent_steps)
    assert weight.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("scale", ["ascent", "local"])
def test_parallel_directions_give_the_gradient_whatever_alpha(scale):
    # w + rho w/|w| points along w: psi is 0, and the step has length |w| + rho, or |w|.
    for alpha in ALPHAS:
        weight, _ = quadratic([3.0, 4.0], XSAM, rho=1.0, alpha=alpha, scale=scale)
        length = 6.0 if scale == "ascent" else 5.0
        assert weight.tolist() == pytest.approx([3.0 - 0.5 * length * 0.6, 4.0 - 0.5 * length * 0.8], abs=1e-7)


def test_a_step_past_a_maximum_gives_v1():
    # On -|w - 1| the gradient turns round at 1: v0 and v1 are opposite.
    weight = torch.nn.Parameter(torch.tensor([0.5], dtype=torch.float64))
    optimizer = XSAM(torch.optim.SGD([weight], lr=0.1), rho=1.0, alpha=0.5)
    optimizer.step(lambda: -(weight - 1).abs().sum())
    assert weight.item() == pytest.approx(0.5 + 0.1)


def test_a_zero_ascent_gradient_stops_or_goes_along_the_local_one():
    # w^2 (w - 2)^2 has a maximum at 1, where the ascent of length 0.5 from 0.5 ends.
    def step(scale):
        weight = torch.nn.Parameter(torch.tensor([0.5], dtype=torch.float64))
        optimizer = XSAM(torch.optim.SGD([weight], lr=0.1), rho=0.5, alpha=0.5, scale=scale)
        optimizer.step(lambda: (weight.square() * (weight - 2).square()).sum())
        return weight.item()

    local_gradient = 2 * 0.5 * 1.5**2 + 2 * 0.5**2 * -1.5
    assert step("ascent") == 0.5
    assert step("local") == pytest.approx(0.5 - 0.1 * local_gradient)


@pytest.mark.parametrize("method", [SAM, XSAM])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_losses_flow_into_the_weights(method, bad):
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = method(torch.optim.SGD([weight], lr=0.5))
    loss = optimizer.step(lambda: (weight * bad).sum())
    assert not loss.isfinite()
    assert not weight.isfinite().all()


finite_norms = st.sampled_from([0.0, 1e-25, 1e-3, 1.0, 4e7])
cosines = st.one_of(st.floats(-1.0, 1.0), st.sampled_from([-1.5, -1.0, 1.0, 1.5]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(first=finite_norms, second=finite_norms, cosine=cosines, alpha=alphas)
@example(first=1e-25, second=1e-25, cosine=0.0, alpha=2.0)  # the sine of pi, rounded, over a small norm
def test_plain_numbers_and_tensors_give_the_same_weights(dtype, first, second, cosine, alpha):
    plane = Plane(torch.tensor([first, second], dtype=dtype), torch.tensor(cosine, dtype=dtype))
    on_host, on_device = plane._on_host().weights((alpha, 1.0), 0.3), plane._weights_on_device((alpha, 1.0), 0.3)
    tolerance = {"rtol": 2e-3, "atol": 1e-6} if dtype is torch.float32 else {"rtol": 1e-6, "atol": 1e-12}
    for mine, theirs in zip(on_host, on_device, strict=True):
        for one, other, norm_ in zip(mine, theirs, (first, second), strict=True):
            # What counts is how far it goes, the weight times the norm; of a vector of zeros the weight must be finite.
            scale = norm_ or torch.finfo(dtype).tiny ** 0.5
            expected = other.double() * scale
            torch.testing.assert_close(torch.tensor(one, dtype=torch.float64) * scale, expected, **tolerance)
