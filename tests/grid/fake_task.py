"""A task with a handful of parameters, so that grids can be tested without the real tasks' tables and their changes."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from xsam.config import Config, Field
from xsam.metrics import RULES, Metric
from xsam.optim.bases import BASES
from xsam.parameters import ParameterError
from xsam.tasks.run_config import RunConfig

TEST_ACCURACY = Metric("test_accuracy", "test accuracy", rules=RULES)
MODELS = ("mlp", "resnet8", "resnet18")


@dataclass(frozen=True, kw_only=True)
class FakeModel(Config):
    name: Annotated[Literal["mlp", "resnet8", "resnet18"], Field("the model", key="model")] = "mlp"
    hidden: Annotated[tuple[int, ...], Field("sizes", at_least=1)] = (64,)


@dataclass(frozen=True, kw_only=True)
class FakeData(Config):
    name: Annotated[Literal["digits", "cifar10", "cifar100"], Field("the data set", key="dataset")] = "digits"
    batch_size: Annotated[int, Field("images", at_least=1)] = 128
    val_fraction: Annotated[float, Field("share", at_least=0, below=1)] = 0
    augment: Annotated[bool, Field("whether")] = False
    label_noise: Annotated[float, Field("share", at_least=0, at_most=1, omit_at_default=True)] = 0.0


@dataclass(frozen=True, kw_only=True)
class FakeRun(RunConfig):
    model: FakeModel = field(default_factory=FakeModel)
    data: FakeData = field(default_factory=FakeData)


class FakeTask:
    name = "fake"
    numerics = 3
    config = FakeRun
    bases = BASES
    default_base = "sgd"
    metric = TEST_ACCURACY
    epoch_metrics = (TEST_ACCURACY,)
    run_metrics = (TEST_ACCURACY,)

    def unused(self, run: FakeRun) -> frozenset[str]:
        return frozenset() if run.model.name == "mlp" else frozenset({"hidden"})

    def check(self, run: FakeRun) -> None:
        if run.model.name == "resnet18" and run.data.name == "digits":
            raise ParameterError("model resnet18 needs images of 32 pixels, dataset digits has 8", "model", "dataset")
        if run.data.augment and run.data.batch_size == 1:
            raise ParameterError("batch_size 1 cannot be augmented", "batch_size")


TASK = FakeTask()
