"""What the five largest Hessian eigenvalues cost, next to PyHessian and curvlinops.

resnet8 after a short training on 1,000 of scikit-learn's digits (8×8), the loss their mean cross entropy, BatchNorm in
evaluation. Every side looks for the five algebraically largest eigenvalues to 1%: of its tolerances (1%, 0.1%, 0.01%)
the loosest one counts whose values are all within 1% of the reference, which is ours at a tolerance of 1e-5.
curvlinops runs through scipy's eigsh. PyHessian's power iteration finds the largest in modulus, which can be negative
ones.

Products with the Hessian and seconds are compared on one thread, with the data in ``--batches`` batches; ours includes
building its graphs. A peer whose search takes longer than that of the one before is given up.

Targets:
    hvps_over_best_peer    ≤ 1.0
    seconds_over_best_peer ≤ 1.05
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import Target, alternate, finish, options
from xsam.sharpness import top_eigenpairs
from xsam.tasks.vision.images import load
from xsam.tasks.vision.models import build

TARGETS = {"hvps_over_best_peer": Target(1.0), "seconds_over_best_peer": Target(1.05)}
IMAGES, TOP, ACCURACY = 1000, 5, 0.01
TOLERANCES = (0.01, 0.001, 0.0001)
OURS = "xsam"

Batch = tuple[Tensor, Tensor]


class Counter:
    """Counts products with the Hessian; ``TimeoutError`` from the next one where ``limit`` seconds are over."""

    def __init__(self, limit: float = math.inf) -> None:
        self._end = time.perf_counter() + limit
        self.products = 0

    def wrap(self, multiply: Callable[..., Any]) -> Callable[..., Any]:
        """``multiply``, counted."""

        def counted(*arguments: Any) -> Any:
            if time.perf_counter() > self._end:
                raise TimeoutError
            self.products += 1
            return multiply(*arguments)

        return counted


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross entropy."""
    return F.cross_entropy(model(batch[0]), batch[1])


def trained() -> tuple[nn.Module, Batch]:
    """resnet8 after 10 epochs of Adam, and its data."""
    torch.manual_seed(0)
    data = load("digits", Path("data"))
    x = (data.train_images[:IMAGES].float() / data.peak - data.mean[0]) / data.std[0]
    y = data.train_labels[:IMAGES]
    model = build("resnet8", 1, 8, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(10):
        for rows in torch.randperm(IMAGES).split(100):
            optimizer.zero_grad()
            loss_fn(model, (x[rows], y[rows])).backward()
            optimizer.step()
    return model.eval(), (x, y)


def ours(model: nn.Module, batches: list[Batch], tolerance: float, counted: Counter) -> list[float]:
    """This project's."""
    found = top_eigenpairs(model, loss_fn, batches, TOP, tolerance=tolerance)
    counted.products = found.products
    return found.values.tolist()


def curvlinops(model: nn.Module, batches: list[Batch], tolerance: float, counted: Counter) -> list[float]:
    """curvlinops' operator in scipy's eigsh."""
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import LinearOperator, eigsh

    parameters = [each for each in model.parameters() if each.requires_grad]
    hessian = HessianLinearOperator(model, nn.CrossEntropyLoss(), parameters, batches, check_deterministic=False)
    operator = hessian.to_scipy()
    counting = LinearOperator(operator.shape, matvec=counted.wrap(operator.matvec), dtype=operator.dtype)
    start = np.random.default_rng(0).standard_normal(operator.shape[0]).astype(operator.dtype)
    values = eigsh(counting, k=TOP, which="LA", tol=tolerance, v0=start, return_eigenvectors=False)
    return sorted((float(value) for value in values), reverse=True)


def pyhessian(model: nn.Module, batches: list[Batch], tolerance: float, counted: Counter) -> list[float]:
    """PyHessian's power iteration; it keeps the graph where the data are one batch."""
    library: Any = import_module("pyhessian.hessian")  # "import" would give the class that hides it
    data = {"data": batches[0]} if len(batches) == 1 else {"dataloader": batches}
    side = library.hessian(copy.deepcopy(model), nn.CrossEntropyLoss(), cuda=False, **data)
    side.dataloader_hv_product = counted.wrap(side.dataloader_hv_product)
    multiply = library.hessian_vector_product
    library.hessian_vector_product = counted.wrap(multiply)
    try:
        torch.manual_seed(0)
        values, _ = side.eigenvalues(maxIter=200, tol=tolerance, top_n=TOP)
    finally:
        library.hessian_vector_product = multiply
    return sorted(values, reverse=True)


SIDES: dict[str, Callable[[nn.Module, list[Batch], float, Counter], list[float]]] = {
    OURS: ours,
    "curvlinops": curvlinops,
    "pyhessian": pyhessian,
}


@dataclass(frozen=True)
class Setting:
    """The loosest tolerance that is accurate enough, and what it takes."""

    tolerance: float
    products: int
    seconds: float


def fitting(name: str, model: nn.Module, batches: list[Batch], exact: list[float], limit: float) -> Setting | None:
    """The side's setting; None where a search takes longer than ``limit`` seconds, or none finds the values."""
    for tolerance in TOLERANCES:
        start, counted = time.perf_counter(), Counter(limit)
        try:
            values = SIDES[name](model, batches, tolerance, counted)
        except TimeoutError:
            print(f"{name:10} tolerance {tolerance:g}: given up after {counted.products} products", flush=True)
            return None
        seconds = time.perf_counter() - start
        wrong = max(abs(value - right) / right for value, right in zip(values, exact, strict=True))
        print(
            f"{name:10} tolerance {tolerance:g}: {counted.products} products, {seconds:.2f} s, furthest off"
            f" {100 * wrong:.2g}%",
            flush=True,
        )
        if wrong <= ACCURACY:
            return Setting(tolerance, counted.products, seconds)
    return None


def fitted(model: nn.Module, batches: list[Batch]) -> dict[str, Setting]:
    """The settings of the sides that were not given up, ours first."""
    exact = ours(model, batches, 1e-5, Counter())
    print(f"eigenvalues: {', '.join(f'{value:.4g}' for value in exact)}", flush=True)
    found: dict[str, Setting] = {}
    limit = math.inf
    for name in SIDES:
        setting = fitting(name, model, batches, exact, limit)
        if setting is not None:
            found[name] = setting
            if name != OURS:
                limit = setting.seconds
    return found


def main() -> None:
    """Measure, print, and compare with the targets."""
    parser = options(__doc__)
    parser.add_argument("--batches", type=int, default=1, choices=(1, 4, 10), help="batches of the images")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, (x, y) = trained()
    size = IMAGES // arguments.batches
    batches = list(zip(x.split(size), y.split(size), strict=True))
    settings = fitted(model, batches)

    def step(name: str) -> Callable[[], None]:
        def run() -> None:
            SIDES[name](model, batches, settings[name].tolerance, Counter())

        return run

    seconds = alternate({name: step(name) for name in settings}, rounds=2, block=1)
    figures: dict[str, float] = {}
    for name, setting in settings.items():
        figures[f"{name}_hvps"], figures[f"{name}_seconds"] = setting.products, seconds[name]
    for unit in ("hvps", "seconds"):
        best_peer = min(figures[f"{name}_{unit}"] for name in settings if name != OURS)
        figures[f"{unit}_over_best_peer"] = figures[f"{OURS}_{unit}"] / best_peer
    finish(figures, TARGETS, arguments)


if __name__ == "__main__":
    main()
