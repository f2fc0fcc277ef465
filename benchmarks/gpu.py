"""What training costs on a GPU: ResNet-18 for CIFAR images at batch 128, on random images that are on the device.

    METHOD_over_sgd                  a step of each method as a multiple of SGD's, in float32
    METHOD_peak_mib                  memory allocated at the peak of a step, with nothing else on the device
    FORM_METHOD_images_per_second    SGD and XSAM in fp32, in bf16 (autocast), and with torch.compile in either
    packed_N_images_per_second       1, 2 and 4 processes that train with XSAM on one GPU, all together
    packed_N_over_1                  the same as a multiple of one process's

Methods have their default options; XSAM has a fixed alpha, so that its steps are those without a search. What is timed
is a block of 100 steps, the longest cycle of any method (EigenSAM's), up to the moment the device is done: what a
method does now and then counts in full. Sides take turns. TensorFloat-32 is off. Processes that share a GPU train for
the same seconds, which begin when all of them have warmed up.

Needs a CUDA GPU, and says so where there is none. There are no targets: figures of different GPUs are not comparable.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from threading import Barrier
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import Step, alternate, finish, options
from benchmarks.optimizers import ALPHA
from xsam.optim.registry import METHODS, build, parameters_of
from xsam.runner.memory import peak, reset_peak
from xsam.runner.precision import autocast, set_up
from xsam.tasks.vision.models import build as build_model

CYCLE = 100
ROUNDS = 3
WARM_UP = 10
PACKED = (1, 2, 4)
PACKED_SECONDS = 20.0
PATIENCE = 600.0  # seconds that processes wait for the slowest to start
LR = 0.01


@dataclass(frozen=True)
class Problem:
    """A model and the shape of its batch; the model is one of ``xsam.tasks.vision``, for RGB images of 10 classes."""

    model: str = "resnet18"
    size: int = 32
    batch_size: int = 128


@dataclass(frozen=True)
class Form:
    """The precision of forward passes, and whether the model is compiled."""

    precision: str = "fp32"
    compiled: bool = False


FORMS = {"fp32": Form(), "bf16": Form("bf16"), "compile": Form(compiled=True), "bf16_compile": Form("bf16", True)}


def wrapped() -> list[str]:
    """The methods that wrap SGD.

    >>> wrapped()[0], "sgd" in wrapped(), "adam" in wrapped()
    ('sam', False, False)
    """
    return [name for name, method in METHODS.items() if not method.alone]


def settings(method: str) -> dict[str, Any]:
    """The resolved parameters of ``method`` on SGD: its defaults, and a fixed alpha where it has one.

    >>> settings("looksam")["refresh_every"], settings("xsam")["alpha"] is None
    (5, False)
    """
    declared = parameters_of(method, METHODS[method].alone or "sgd")
    params = {name: parameter.default for name, parameter in declared.items() if not parameter.unset}
    params |= {"base": "sgd", "lr": LR}
    if "alpha" in params:
        params["alpha"] = ALPHA
    return METHODS[method].resolve(params)


def training_step(method: str, device: torch.device, problem: Problem, form: Form = Form()) -> Step:
    """One training step of a new model on one batch; on a GPU it is queued, not waited for."""
    torch.manual_seed(0)
    model = build_model(problem.model, 3, problem.size, 10).to(device).train()
    if form.compiled:
        model.compile(dynamic=False)
    x = torch.randn(problem.batch_size, 3, problem.size, problem.size, device=device)
    y = torch.randint(10, (problem.batch_size,), device=device)
    optimizer = build(method, settings(method), model)

    def loss() -> Tensor:
        with autocast(form.precision, device):
            return F.cross_entropy(model(x), y)

    def step() -> None:
        optimizer.step(loss)

    return step


def wait(device: torch.device) -> None:
    """Until the device has done what was queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def whole(step: Step, device: torch.device, count: int) -> Step:
    """``count`` steps, until the device has done them."""

    def steps() -> None:
        for _ in range(count):
            step()
        wait(device)

    return steps


def step_seconds(
    sides: dict[str, Callable[[], Step]], device: torch.device, rounds: int = ROUNDS, count: int = CYCLE
) -> dict[str, float]:
    """Median seconds of one step of each side, in the mean over ``count`` steps."""
    blocks = {name: whole(make(), device, count) for name, make in sides.items()}
    return {name: seconds / count for name, seconds in alternate(blocks, rounds, block=1).items()}


def ratios(device: torch.device, problem: Problem, methods: Iterable[str], **effort: int) -> dict[str, float]:
    """A step of each method as a multiple of SGD's; ``effort`` is that of :func:`step_seconds`."""
    names = ("sgd", *methods)
    seconds = step_seconds({name: partial(training_step, name, device, problem) for name in names}, device, **effort)
    return {f"{name}_over_sgd": seconds[name] / seconds["sgd"] for name in names[1:]}


def speeds(device: torch.device, problem: Problem, forms: Iterable[str], **effort: int) -> dict[str, float]:
    """Images a second of SGD and XSAM in each form; ``effort`` is that of :func:`step_seconds`."""
    sides: dict[str, Callable[[], Step]] = {
        f"{form}_{method}": partial(training_step, method, device, problem, FORMS[form])
        for form in forms
        for method in ("sgd", "xsam")
    }
    seconds = step_seconds(sides, device, **effort)
    return {f"{name}_images_per_second": problem.batch_size / value for name, value in seconds.items()}


def peaks(device: torch.device, problem: Problem, methods: Iterable[str]) -> dict[str, float]:
    """MiB allocated on a GPU at the peak of a step, after a first one that makes the optimizer's buffers."""
    found = {}
    for method in ("sgd", *methods):
        gc.collect()
        step = training_step(method, device, problem)
        whole(step, device, 2)()
        reset_peak(device)
        whole(step, device, 2)()
        allocated = peak(device)
        assert allocated is not None  # only a CPU's may be unknown
        found[f"{method}_peak_mib"] = allocated / 2**20
        del step
    return found


_together: Any = None  # the barrier of a process of packed()


def _join(barrier: Barrier) -> None:
    global _together
    _together = barrier
    torch.set_num_threads(1)


def _train_for(seconds: float, device: str, problem: Problem) -> float:
    """Images a second of one of several processes."""
    place = torch.device(device)
    set_up("fp32", place)
    block = whole(training_step("xsam", place, problem), place, WARM_UP)
    block()
    _together.wait(PATIENCE)
    start, images, elapsed = time.perf_counter(), 0, 0.0
    while elapsed < seconds:
        block()
        images += WARM_UP * problem.batch_size
        elapsed = time.perf_counter() - start
    return images / elapsed


def packed(device: torch.device, problem: Problem, processes: int, seconds: float = PACKED_SECONDS) -> float:
    """Images a second of so many processes together that train on one device at the same time.

    Raises:
        concurrent.futures.process.BrokenProcessPool: one of them was killed.
        torch.cuda.OutOfMemoryError: they do not fit.
    """
    context = get_context("spawn")
    barrier = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, _join, (barrier,)) as pool:
        futures = [pool.submit(_train_for, seconds, str(device), problem) for _ in range(processes)]
        return sum(future.result() for future in futures)


def packing(device: torch.device, problem: Problem, numbers: Iterable[int], seconds: float) -> dict[str, float]:
    """Images a second of 1 and other numbers of processes on one device, and as multiples of one's."""
    rates = {number: packed(device, problem, number, seconds) for number in numbers}
    figures = {f"packed_{number}_images_per_second": rate for number, rate in rates.items()}
    return {**figures, **{f"packed_{number}_over_1": rate / rates[1] for number, rate in rates.items() if number != 1}}


def main() -> None:
    """Measure and print."""
    arguments = options(__doc__).parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks.gpu: this machine has no CUDA GPU that torch can use; nothing was measured")
    device, problem = torch.device("cuda", torch.cuda.current_device()), Problem()
    set_up("fp32", device)
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}")
    figures = peaks(device, problem, wrapped())
    figures |= ratios(device, problem, wrapped())
    figures |= speeds(device, problem, FORMS)
    gc.collect()
    torch.cuda.empty_cache()  # what this process keeps is not there for the others
    figures |= packing(device, problem, PACKED, PACKED_SECONDS)
    finish(figures, {}, arguments)


if __name__ == "__main__":
    main()
