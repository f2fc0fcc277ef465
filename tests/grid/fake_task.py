"""A task with a handful of parameters, so that grids can be tested without the real tasks' tables and their changes."""

from xsam.metrics import RULES, Metric
from xsam.optim.registry import BASES
from xsam.parameters import Parameter, Parameters
from xsam.tasks.common import LOOP_PARAMETERS

TEST_ACCURACY = Metric("test_accuracy", "test accuracy", rules=RULES)
MODELS = ("mlp", "resnet8", "resnet18")


class FakeTask:
    name = "fake"
    numerics = 3
    bases = BASES
    default_base = "sgd"
    metric = TEST_ACCURACY
    epoch_metrics = (TEST_ACCURACY,)
    run_metrics = (TEST_ACCURACY,)
    parameters = {  # noqa: RUF012
        **LOOP_PARAMETERS,
        "model": Parameter("str", choices=MODELS),
        "dataset": Parameter("str", choices=("digits", "cifar10", "cifar100")),
        "batch_size": Parameter("int", 128, at_least=1),
        "val_fraction": Parameter("float", 0, at_least=0, below=1),
        "hidden": Parameter("ints", (64,), at_least=1),
        "augment": Parameter("bool", False),
        "label_noise": Parameter("float", 0.0, at_least=0, at_most=1, omit_at_default=True),
    }

    def unused(self, params: Parameters) -> frozenset[str]:
        return frozenset() if params["model"] == "mlp" else frozenset({"hidden"})

    def check(self, params: Parameters) -> None:
        if params["model"] == "resnet18" and params["dataset"] == "digits":
            raise ValueError("model resnet18 needs images of 32 pixels, dataset digits has 8")
        if params["augment"] and params["batch_size"] == 1:
            raise ValueError("batch_size 1 cannot be augmented")


TASK = FakeTask()
