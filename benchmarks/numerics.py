"""What portable numerics cost: a training step with ``numerics: portable`` next to the same step with native.

SAM steps of the suite's own training loop on one thread, images and sentences made up. How torch computes is settled
when a process loads it, so each side is a process of its own; they take turns. What the ratio is depends on the CPU:
native uses AVX-512 where there is one.

Targets: none; `docs/numerics.md` has the table that this printed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import finish, options
from xsam.grid import load_grid
from xsam.runner import numerics
from xsam.tasks import get_task
from xsam.tasks.run_config import PORTABLE

CASES: Mapping[str, Mapping[str, Any]] = {
    "digits_mlp": {"model": "mlp", "dataset": "digits", "hidden": [64], "batch_size": 64},
    "fashion_mlp": {"model": "mlp", "dataset": "fashion_mnist", "hidden": [512, 512]},
    "fashion_resnet8": {"model": "resnet8", "dataset": "fashion_mnist"},
    "fashion_resnet8_channels_last": {"model": "resnet8", "dataset": "fashion_mnist", "channels_last": True},
    "cifar_resnet18": {"model": "resnet18", "dataset": "cifar10", "batch_size": 8},
    "translation": {},
}
TURNS, SECONDS, WARM_UP = 3, 2.0, 2


def main() -> None:
    """Measure, print, and write where asked; with a case and a setting, one turn of one side."""
    parser = options(__doc__)
    parser.add_argument("--turn", nargs=2, metavar=("CASE", "NUMERICS"), help="one turn: milliseconds of a step")
    arguments = parser.parse_args()
    if arguments.turn:
        print(milliseconds(*arguments.turn))
        return
    figures: dict[str, float] = {}
    for case in CASES:
        sides: dict[str, list[float]] = {"native": [], PORTABLE: []}
        for _ in range(TURNS):
            for setting, measured in sides.items():
                measured.append(_turn(case, setting))
        medians = {setting: statistics.median(measured) for setting, measured in sides.items()}
        figures |= {f"{case}_{setting}_ms": value for setting, value in medians.items()}
        figures[f"{case}_portable_over_native"] = medians[PORTABLE] / medians["native"]
    finish(figures, {}, arguments)


def _turn(case: str, setting: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name not in numerics.SETTINGS}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.numerics", "--turn", case, setting]
    done = subprocess.run(command, env={**environment, "OMP_NUM_THREADS": "1"}, capture_output=True, check=True)
    return float(done.stdout.split()[-1])


def milliseconds(case: str, setting: str) -> float:
    """Median time of a step in this process."""
    numerics.enter(setting)
    import torch

    from xsam.runner.run import set_up_torch
    from xsam.runner.trainer import Trainer

    set_up_torch(1, 0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if case == "translation":
            from benchmarks.translation import SETTING, write_corpus
            from xsam.tasks.translation.prepare import prepare

            (folder / "texts").mkdir()
            write_corpus(folder / "texts")
            prepare("parallel_text", folder, folder / "texts", bpe_merges=SETTING.data.bpe_merges)
            task, given = "translation", {**SETTING.model.values(), **SETTING.data.values()}
        else:
            task, given = "vision", dict(CASES[case])
        grid = folder / "grid.yaml"
        params = {**given, "numerics": setting}
        grid.write_text(json.dumps({"name": "g", "task": task, "matrix": {"optimizer": ["sam"]}, "params": params}))
        (run,) = load_grid(grid).runs
        if task == "vision" and given["dataset"] != "digits":
            from xsam.tasks.vision.problem import VisionProblem

            problem: Any = VisionProblem(run.config, _noise(given["dataset"]), torch.device("cpu"))  # type: ignore[arg-type]  # its task's
        else:
            problem = get_task(task).open(run.config, folder, torch.device("cpu"))
        trainer, steps = Trainer(run, problem), problem.steps_per_epoch
        taken: list[float] = []
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end or len(taken) < WARM_UP + 5:
            batch = problem.batch(len(taken) // steps, len(taken) % steps)
            start = time.perf_counter()
            trainer.step(batch)
            taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken[WARM_UP:])


def _noise(name: str) -> Any:
    """Random bytes in the shape of a data set, without most of its images."""
    import torch

    from xsam.tasks.vision.datasets import DATASETS
    from xsam.tasks.vision.images import ImageData

    known, count = DATASETS[name], 4_000
    images = torch.randint(0, 256, (count, known.channels, known.size, known.size), dtype=torch.uint8)
    labels = torch.arange(count) % known.classes
    return ImageData(
        images, images, labels, images[:10], labels[:10], known.mean, known.std, known.peak, known.classes, "", "noise"
    )


if __name__ == "__main__":
    main()
