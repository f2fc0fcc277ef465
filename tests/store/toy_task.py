"""A task with one parameter of each kind, for tests of the store without any real task."""

from types import SimpleNamespace

from xsam.metrics import Metric
from xsam.parameters import Parameter
from xsam.store.schema import arrow_schema

TEST_ACCURACY = Metric("test_accuracy", "test accuracy", rules=("final", "best_val"))


def read_columns(table: str) -> list[str]:
    """The columns that reading ``table`` gives: the stored ones, and of runs the metric under the grid's rule."""
    names = list(arrow_schema(table).names)
    if table == "runs":
        names.insert(names.index("test_accuracy_final"), "test_accuracy")
    return names


PARAMETERS = {
    "model": Parameter("str", "mlp"),
    "dataset": Parameter("str", "digits"),
    "seed": Parameter("int", 0),
    "hidden": Parameter("ints", (64,)),
    "augment": Parameter("bool", True),
    "label_noise": Parameter("float", 0.0),
}
TASK = SimpleNamespace(
    config=SimpleNamespace(parameters=lambda: PARAMETERS),
    metric=TEST_ACCURACY,
    run_metrics=(TEST_ACCURACY,),
    epoch_metrics=(Metric("val_accuracy", "validation accuracy"), TEST_ACCURACY),
)
