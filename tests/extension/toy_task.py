"""A task in one file: a line through noisy points."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from xsam.config import Config, Field
from xsam.metrics import LOWER, Metric
from xsam.optim.bases import BASES
from xsam.tasks.run_config import RunConfig
from xsam.tasks.seeding import derive, generator

ERROR = Metric("test_error", "test error", LOWER, decimals=4, lowest=0, rules=("final",))


@dataclass(frozen=True, kw_only=True)
class LineModel(Config):
    name: Annotated[Literal["line"], Field("the model", key="model")] = "line"


@dataclass(frozen=True, kw_only=True)
class Points(Config):
    name: Annotated[Literal["points"], Field("the data", key="dataset")] = "points"
    count: Annotated[int, Field("points in a step", at_least=1)] = 8


@dataclass(frozen=True, kw_only=True)
class LineRun(RunConfig):
    model: LineModel = field(default_factory=LineModel)
    data: Points = field(default_factory=Points)


class LineTask:
    name = "toy"
    numerics = 1
    config = LineRun
    provider = "xsam.tasks.toy_task"
    bases = BASES
    default_base = "sgd"
    metric = ERROR
    epoch_metrics = (ERROR,)
    run_metrics = (ERROR,)

    def unused(self, run: LineRun) -> frozenset[str]:
        return frozenset()

    def check(self, run: LineRun) -> None: ...

    def libraries(self, run: LineRun) -> frozenset[str]:
        return frozenset()

    def steps_per_epoch(self, run: LineRun) -> int:
        return 5

    def open(self, run: LineRun, data_dir: Path, device):
        import torch

        class Problem:
            steps_per_epoch = 5
            data_checksum = "points"

            def __init__(self) -> None:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(derive(run.seed, "init"))
                    self.model = self.network = torch.nn.Linear(1, 1).to(device)

            def batch(self, epoch, step):
                x = torch.randn(run.data.count, 1, generator=generator(run.seed, "points", epoch, step))
                return x, 3 * x + 1

            def parts(self, batch, count):
                return [(batch, 1.0)]

            def loss(self, batch):
                x, y = batch
                return (self.network(x) - y).square().mean()

            def evaluate(self):
                with torch.no_grad():
                    return {"test_error": float(self.loss(self.batch(0, 0)))}

            def summarise(self, history):
                return {"test_error_final": history[-1]["test_error"]}

        return Problem()


TASK = LineTask()


def names() -> tuple[str, ...]:
    return ("points",)


def available(data_dir: Path) -> list:
    return []


def require(name: str, data_dir: Path) -> None: ...


def recorded(name: str, data_dir: Path) -> str:
    return ""
