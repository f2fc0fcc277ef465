"""What a step of every method costs next to its base alone: a small CNN at batch 128, on one thread.

    METHOD_passes     forward-backward passes of a step at the method's default options, in the mean over a run
    METHOD_over_sgd   CPU time of its steps as a multiple of SGD's; beyond the passes it is the method's own arithmetic

Sides take turns in blocks of five steps, of which one is a full one of LookSAM's, and the median of the blocks counts:
what comes up more seldom, EigenSAM's power iterations and XSAM's searches (alpha is fixed here), is not in the time. It
is CPU time, the sum of what a step does, so that the turns of other programs are no part of it.
``--figure FILE`` draws both numbers of every method as an SVG.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from benchmarks.measure import finish, options
from benchmarks.optimizers import ALPHA, RHO, plain_sgd, small_cnn
from xsam.optim import registry
from xsam.optim.pass_counts import passes_per_step
from xsam.parameters import Value
from xsam.report.figures.style import content, styled

BATCH, ROUNDS, BLOCK = (128, 3, 32, 32), 25, 5
METHODS = [name for name, one in registry.METHODS.items() if one.alone is None]
BASE: dict[str, Value] = {"base": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": False}


def options_of(method: str) -> dict[str, Value]:
    """The method's default options, with the radius and, where it has one, the fixed alpha of ``optimizers.py``."""
    defaults = {name: one.default for name, one in registry.METHODS[method].parameters.items() if not one.unset}
    chosen = {"rho": RHO, "alpha": ALPHA}
    return {**BASE, **defaults, **{name: value for name, value in chosen.items() if name in defaults}}


def sides() -> dict[str, Callable[[], None]]:
    """Name → a step on a copy of the same model and the same batch."""
    torch.manual_seed(0)
    template = small_cnn()
    x, y = torch.randn(BATCH), torch.randint(10, BATCH[:1])

    def stepping(method: str, model: nn.Module) -> Callable[[], None]:
        optimizer = registry.build(method, options_of(method), model, steps=10**6)

        def step() -> None:
            optimizer.step(lambda: F.cross_entropy(model(x), y))

        return step

    made = {"sgd": plain_sgd(copy.deepcopy(template), x, y)}
    return {**made, **{method: stepping(method, copy.deepcopy(template)) for method in METHODS}}


def cpu_seconds(steps: Mapping[str, Callable[[], None]]) -> dict[str, float]:
    """Median CPU seconds of a block of steps of each side; the first turn of all warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(ROUNDS + 1):
        for name, step in steps.items():
            start = time.process_time()
            for _ in range(BLOCK):
                step()
            if turn:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def draw(figures: Mapping[str, float]) -> bytes:
    """A bar for each method's time, and a line where its passes alone would end."""
    with styled():
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axes = figure.add_subplot()
        places = range(len(METHODS))
        passes = [figures[f"{method}_passes"] for method in METHODS]
        axes.barh(places, [figures[f"{method}_over_sgd"] for method in METHODS], label="time of a step")
        axes.vlines(passes, [place - 0.4 for place in places], [place + 0.4 for place in places], "black")
        axes.plot([], [], color="black", label="its passes")
        axes.set_yticks(places, METHODS)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_axisbelow(True)
        axes.set_xlabel("as a multiple of SGD's step")
        axes.legend(loc="lower right")
        return content(figure, "svg")


def main() -> None:
    """Measure, print, write and draw."""
    parser = options(__doc__)
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the figures as an SVG")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seconds = cpu_seconds(sides())
    figures: dict[str, float] = {}
    for method in METHODS:
        figures[f"{method}_passes"] = float(passes_per_step(method, options_of(method)))
        figures[f"{method}_over_sgd"] = seconds[method] / seconds["sgd"]
    if arguments.figure:
        arguments.figure.write_bytes(draw(figures))
    finish(figures, {}, arguments)


if __name__ == "__main__":
    main()
