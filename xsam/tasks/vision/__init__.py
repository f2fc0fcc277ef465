"""Image classification. Importing this needs the standard library alone: grids are planned from ``TASK``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xsam.optim.bases import BASES
from xsam.optim.registry import METHODS
from xsam.parameters import ParameterError, nearest
from xsam.tasks.vision.architectures import MODELS, TIMM_PREFIX
from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS
from xsam.tasks.vision.datasets.dataset import Dataset
from xsam.tasks.vision.sizes import smallest_batch, steps_per_epoch
from xsam.tasks.vision.summary import EPOCH_METRICS, EVAL_SETS, RUN_METRICS, TEST_ACCURACY
from xsam.tasks.vision.vision_run import DataConfig, VisionRun

if TYPE_CHECKING:
    import torch

    from xsam.tasks import Stacked
    from xsam.tasks.vision.problem import VisionProblem

# Eight seeds of 784-256-128-10 at batch 128, 30 million products, were 1.4 times as fast together as apart under SAM;
# what is larger was not measured.
LARGEST_STACKED = 32_000_000
NUMERICS = 3  # raise by hand whenever the same parameters give other numbers than before


class VisionTask:
    """Image classification; see ``xsam.tasks.Task``."""

    name = "vision"
    numerics = NUMERICS
    config = VisionRun
    provider = "xsam.tasks.vision.prepare"
    own_data = "xsam.tasks.vision.own.manifest"
    bases = BASES
    default_base = "sgd"
    metric = TEST_ACCURACY
    epoch_metrics = EPOCH_METRICS
    run_metrics = RUN_METRICS

    def unused(self, run: VisionRun) -> frozenset[str]:
        """Names of the model's and the data's parameters that make no difference to ``run``.

        >>> sorted(TASK.unused(VisionRun.of({"model": "resnet8", "augment": "crop_flip", "cutout": 16})))
        ['crop_scale_min', 'hidden', 'init']
        """
        return run.model.unused() | run.data.unused()

    def why_unused(self, run: VisionRun, name: str) -> str:
        """Why ``run`` does not use the parameter ``name``, where that hangs on the data; empty for others."""
        if name == "val_fraction" and name in run.data.unused():
            count = DATASETS[run.data.name].validation
            return f"{run.data.name} has {count:,} validation images of its own, the same for every run; leave it out"
        return ""

    def check(self, run: VisionRun) -> None:
        """Raise ``ParameterError`` (one line) for values that are each valid and do not go together.

        Imports timm, and builds the network, only for a model of timm's.
        """
        model, name = run.model.name, run.data.name
        if name in EVALUATION_SETS:
            raise ParameterError(
                f"{name} has no training part: set dataset: {EVAL_SETS[name]}, eval_sets: [{name}]", "dataset"
            )
        dataset = DATASETS[name]
        train = run.data.trained_on()
        pieces = run.training.accumulation * run.training.devices
        batch_size = max(1, smallest_batch(train, run.data.batch_size) // pieces)
        _check_images(run.data, dataset)
        if model.startswith(TIMM_PREFIX):
            from xsam.tasks.vision.models import check_timm

            check_timm(model, dataset.channels, dataset.size, dataset.classes, min(batch_size, 2))
        elif model in MODELS:
            _check_model(model, dataset, batch_size)
            _check_method(run.optimizer.method, model)
        else:
            raise ParameterError(f"unknown model {model!r}{nearest(model, [*MODELS, TIMM_PREFIX + '<name>'])}", "model")

    def check_vectorised(self, run: VisionRun) -> None:
        """Raise ``ParameterError`` (one line) for a model whose seeds cannot, or need not, be trained together."""
        known = MODELS.get(run.model.name)
        if known is None or not known.stacks:
            able = ", ".join(name for name, each in MODELS.items() if each.stacks)
            raise ParameterError(
                f"vectorise: seeds does not train {run.model.name}, only {able}: leave it out", "vectorise", "model"
            )
        dataset = DATASETS[run.data.name]
        hidden: Any = run.model.own.values()["hidden"]  # a list of whole numbers by its declaration
        sizes = (dataset.channels * dataset.size**2, *hidden, dataset.classes)
        products = run.data.batch_size * sum(before * after for before, after in pairwise(sizes))
        if products > LARGEST_STACKED:
            raise ParameterError(
                f"vectorise: seeds is not for {products:,} products a pass (weights × batch_size): it gained 1.4 times "
                f"at 30 million, and above {LARGEST_STACKED:,} nothing is measured; leave it out",
                "vectorise",
                "hidden",
                "batch_size",
            )

    def stack(self, runs: Sequence[VisionRun], problems: Sequence[VisionProblem]) -> Stacked:
        """The problems of several seeds of one cell, to be trained together."""
        from xsam.tasks.vision.stacked import StackedProblems

        return StackedProblems(problems, runs[0].training.label_smoothing)

    def libraries(self, run: VisionRun) -> frozenset[str]:
        """Where the network comes from."""
        if run.model.name.startswith(TIMM_PREFIX):
            return frozenset({"torchvision", "timm"})
        known = MODELS.get(run.model.name)
        return frozenset(known.libraries if known else ())

    def steps_per_epoch(self, run: VisionRun) -> int:
        """Optimizer steps in one epoch of ``run``.

        >>> TASK.steps_per_epoch(VisionRun.of({"train_subset": 256, "val_fraction": 0.1, "batch_size": 128}))
        2
        """
        return steps_per_epoch(run.data.trained_on(), run.data.batch_size)

    def open(self, run: VisionRun, data_dir: Path, device: torch.device) -> VisionProblem:
        """One run's model and data on ``device``; raises ``DataMissing`` where a data set is not prepared."""
        from xsam.tasks.vision.evaluation import load_corrupted
        from xsam.tasks.vision.images import load
        from xsam.tasks.vision.problem import VisionProblem

        eval_sets = {name: load_corrupted(data_dir) for name in run.data.eval_sets}
        return VisionProblem(run, load(run.data.name, data_dir), device, eval_sets)


def _check_images(data: DataConfig, dataset: Dataset) -> None:
    test_subset, cutout = data.test_subset, data.cutout
    if test_subset is not None and test_subset > dataset.test:
        raise ParameterError(
            f"test_subset {test_subset:,} is more than the {dataset.test:,} test images of {dataset.name}",
            "test_subset",
        )
    if cutout > dataset.size:
        raise ParameterError(
            f"cutout {cutout} is wider than the {dataset.size}×{dataset.size} images of {dataset.name}", "cutout"
        )
    for name in data.eval_sets:
        if EVAL_SETS[name] != dataset.name:
            raise ParameterError(
                f"eval_sets: {name} tests what was trained on {EVAL_SETS[name]}, not on {dataset.name}", "eval_sets"
            )


def _check_model(model: str, dataset: Dataset, batch_size: int) -> None:
    smallest, halvings = MODELS[model].smallest_side, MODELS[model].halvings
    if dataset.size < smallest:
        raise ParameterError(
            f"model {model} needs images of {smallest}×{smallest} or more;"
            f" {dataset.name} has {dataset.size}×{dataset.size}",
            "model",
        )
    if batch_size == 1 and halvings and dataset.size <= 2**halvings:
        raise ParameterError(
            f"model {model} cannot train on one image of {dataset.name} at a time: BatchNorm would see one value",
            "model",
        )


def _check_method(method: str, model: str) -> None:
    if METHODS[method].normalisation and not MODELS[model].normalisation:
        raise ParameterError(
            f"{method} perturbs normalisation layers alone, and model {model} has none: name another model or method",
            "optimizer",
            "model",
        )


TASK = VisionTask()
