"""The smoothed loss is torch's to the bit, and so are its gradients; it can be differentiated twice."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from xsam.tasks.translation.smoothed_loss import smoothed_cross_entropy

pytestmark = pytest.mark.fairseq


def drawn(rows: int, entries: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(rows * entries)
    scores = 4 * torch.randn(rows, entries, generator=stream, dtype=dtype)
    return scores.requires_grad_(), torch.randint(entries, (rows,), generator=stream)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.37])
@pytest.mark.parametrize(("rows", "entries"), [(1, 2), (3, 17), (64, 1_003), (300, 257)])
def test_value_and_gradient_are_torchs_to_the_bit(rows, entries, smoothing):
    scores, target = drawn(rows, entries)
    expected = F.cross_entropy(scores, target, label_smoothing=smoothing, reduction="sum")
    found = smoothed_cross_entropy(scores, target, smoothing)
    assert torch.equal(found, expected)
    for scale in (1.0, 1 / 777, 2.0**12):
        (one,) = torch.autograd.grad(found * scale, scores, retain_graph=True)
        (other,) = torch.autograd.grad(expected * scale, scores, retain_graph=True)
        assert torch.equal(one, other)


def test_no_rows_are_no_loss():
    scores, target = drawn(0, 5)
    found = smoothed_cross_entropy(scores, target, 0.1)
    found.backward()
    assert found.item() == 0
    assert scores.grad is not None
    assert scores.grad.shape == (0, 5)


def test_not_finite_scores_are_not_hidden():
    scores, target = drawn(3, 5)
    with torch.no_grad():
        scores[1, 2] = torch.nan
    assert smoothed_cross_entropy(scores, target, 0.1).isnan()


def test_it_can_be_differentiated_twice():
    scores, target = drawn(3, 6, torch.float64)
    assert torch.autograd.gradgradcheck(lambda one: smoothed_cross_entropy(one, target, 0.1), scores)
    hessian = torch.autograd.functional.hessian(lambda one: smoothed_cross_entropy(one, target, 0.1), scores)
    expected = torch.autograd.functional.hessian(
        lambda one: F.cross_entropy(one, target, label_smoothing=0.1, reduction="sum"), scores
    )
    assert torch.allclose(hessian, expected, rtol=1e-12, atol=1e-12)
