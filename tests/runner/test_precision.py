"""fp32 is float32 throughout, and TensorFloat-32 is asked for by its own name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.runner.training import fresh, spec_of


@pytest.fixture(autouse=True)
def _switches() -> Iterator[None]:
    """Give the process's switches back to the other tests."""
    kept = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_no_other_precision_leaves_tensorfloat_on(precision: str, tmp_path: Path) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True  # the run before, or torch's default
    fresh(spec_of(tmp_path, "sgd", precision=precision), tmp_path)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (False, False)


def test_tf32_is_refused_where_it_would_silently_be_something_else(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="precision tf32 needs an NVIDIA GPU of the Ampere generation or later, not cpu"
    ):
        fresh(spec_of(tmp_path, "sgd", precision="tf32"), tmp_path)


def test_ids_are_as_before_and_tf32_has_its_own(tmp_path: Path) -> None:
    plain, named, other = (
        spec_of(tmp_path, "sgd", **given) for given in ({}, {"precision": "fp32"}, {"precision": "tf32"})
    )
    assert plain.run_id == named.run_id != other.run_id


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_products_and_convolutions_on_a_gpu_are_as_exact_as_their_precision_says() -> None:
    from xsam.runner import precision

    device = torch.device("cuda")
    torch.manual_seed(0)
    images, weights = torch.randn(8, 64, 32, 32, device=device), torch.randn(64, 64, 3, 3, device=device)
    exact = torch.nn.functional.conv2d(images.double(), weights.double())
    errors = {}
    for name in ("fp32", "tf32"):
        precision.set_up(name, device)
        found = torch.nn.functional.conv2d(images, weights)
        errors[name] = float((found.double() - exact).norm() / exact.norm())
    assert errors["fp32"] < 1e-5 < errors["tf32"]
