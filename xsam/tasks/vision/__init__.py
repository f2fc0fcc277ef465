"""Image classification. Importing this needs the standard library alone: grids are planned from ``TASK``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xsam.optim.registry import BASES
from xsam.parameters import Parameter, Parameters, nearest
from xsam.tasks.common import LOOP_PARAMETERS
from xsam.tasks.vision.architectures import HALVINGS, MODELS, SMALLEST_SIDE, TIMM_PREFIX, TORCHVISION
from xsam.tasks.vision.catalog import DATASETS, EVALUATION_SETS, Dataset
from xsam.tasks.vision.sizes import part_sizes, smallest_batch, steps_per_epoch
from xsam.tasks.vision.summary import EPOCH_METRICS, EVAL_SETS, RUN_METRICS, TEST_ACCURACY

if TYPE_CHECKING:
    import torch

    from xsam.tasks import Problem

NUMERICS = 2  # raise by hand whenever the same parameters give other numbers than before

PARAMETERS: Mapping[str, Parameter] = {
    "model": Parameter("str", "mlp", help=f"{', '.join(MODELS)} or {TIMM_PREFIX}<name>"),
    "dataset": Parameter("str", "digits", choices=(*DATASETS, *EVALUATION_SETS), help="the data set"),
    "hidden": Parameter("ints", (512, 512), at_least=1, help="sizes of mlp's hidden layers; none: a linear classifier"),
    "init": Parameter(
        "str", "default", choices=("default", "torchvision"), help="torchvision models: whose initial weights"
    ),
    "batch_size": Parameter("int", 128, at_least=1, help="images in a step; a last batch of one image is left out"),
    "eval_batch_size": Parameter("int", 200, at_least=1, help="images in an evaluation pass; may change last bits"),
    "train_subset": Parameter("int", None, at_least=1, nullable=True, help="train on this many images; null: all"),
    "val_fraction": Parameter("float", 0.1, at_least=0, below=1, help="validation images / train_subset (or / all)"),
    "label_noise": Parameter("float", 0.0, at_least=0, at_most=1, help="fraction of training labels made wrong"),
    "test_subset": Parameter(
        "int",
        None,
        at_least=1,
        nullable=True,
        omit_at_default=True,
        help="test on this many images, the same for every seed; null: all",
    ),
    "eval_sets": Parameter(
        "names",
        (),
        choices=tuple(EVAL_SETS),
        omit_at_default=True,
        help="further test sets, for the weights after training",
    ),
    "augment": Parameter(
        "str",
        "none",
        choices=("none", "crop_flip", "resized_crop_flip"),
        help="random crop and flip in training; resized: the crop is resized to the images' size",
    ),
    "crop_scale_min": Parameter(
        "float",
        0.8,
        above=0,
        at_most=1,
        omit_at_default=True,
        help="resized_crop_flip: the smallest share of an image's area that a crop takes",
    ),
    "cutout": Parameter(
        "int", 0, at_least=0, omit_at_default=True, help="side in pixels of the square that cutout blanks; 0: no cutout"
    ),
    "cutout_probability": Parameter(
        "float", 0.5, above=0, at_most=1, omit_at_default=True, help="share of training images that cutout changes"
    ),
    "erasing_probability": Parameter(
        "float", 0.0, at_least=0, at_most=1, omit_at_default=True, help="share of training images with a box erased"
    ),
    "label_smoothing": Parameter("float", 0.0, at_least=0, below=1, help="label smoothing of the training loss"),
    "channels_last": Parameter(
        "bool", False, omit_at_default=True, help="memory format of images and convolutions; it changes last bits"
    ),
    **LOOP_PARAMETERS,
}


class VisionTask:
    """Image classification; see ``xsam.tasks.Task``."""

    name = "vision"
    numerics = NUMERICS
    parameters = PARAMETERS
    bases = BASES
    default_base = "sgd"
    metric = TEST_ACCURACY
    epoch_metrics = EPOCH_METRICS
    run_metrics = RUN_METRICS

    def unused(self, params: Parameters) -> frozenset[str]:
        """Names of this task's own parameters that make no difference to the run ``params``.

        >>> sorted(TASK.unused({"model": "resnet8", "augment": "crop_flip", "cutout": 16}))
        ['crop_scale_min', 'hidden', 'init']
        """
        model = params["model"]
        idle = {
            "hidden": model != "mlp",
            "init": model not in TORCHVISION,
            "channels_last": model == "mlp",
            "crop_scale_min": _value(params, "augment") != "resized_crop_flip",
            "cutout_probability": not _value(params, "cutout"),
        }
        return frozenset(name for name, unused in idle.items() if unused)

    def check(self, params: Parameters) -> None:
        """Raise ``ValueError`` (one line) for values that are each valid and do not go together.

        Imports timm, and builds the network, only for a model of timm's.
        """
        model, name = _value(params, "model"), _value(params, "dataset")
        if name in EVALUATION_SETS:
            raise ValueError(f"{name} has no training part: set dataset: {EVAL_SETS[name]}, eval_sets: [{name}]")
        dataset = DATASETS[name]
        train, _ = part_sizes(dataset.train, _value(params, "train_subset"), _value(params, "val_fraction"))
        pieces = _value(params, "accumulation") * _value(params, "devices")
        batch_size = max(1, smallest_batch(train, _value(params, "batch_size")) // pieces)
        _check_images(params, dataset)
        if model.startswith(TIMM_PREFIX):
            from xsam.tasks.vision.models import check_timm

            check_timm(model, dataset.channels, dataset.size, dataset.classes, min(batch_size, 2))
        elif model in MODELS:
            _check_model(model, dataset, batch_size)
        else:
            raise ValueError(f"unknown model {model!r}{nearest(model, [*MODELS, TIMM_PREFIX + '<name>'])}")

    def steps_per_epoch(self, params: Parameters) -> int:
        """Optimizer steps in one epoch of the run ``params``.

        >>> TASK.steps_per_epoch({"dataset": "digits", "train_subset": 256, "val_fraction": 0.1, "batch_size": 128})
        2
        """
        images = DATASETS[_value(params, "dataset")].train
        train, _ = part_sizes(images, _value(params, "train_subset"), _value(params, "val_fraction"))
        return steps_per_epoch(train, _value(params, "batch_size"))

    def open(self, params: Parameters, data_dir: Path, device: torch.device) -> Problem:
        """One run's model and data on ``device``; raises ``DataMissing`` where a data set is not prepared."""
        from xsam.tasks.vision.corruptions import load_corrupted
        from xsam.tasks.vision.datasets import load
        from xsam.tasks.vision.problem import VisionProblem

        eval_sets = {name: load_corrupted(data_dir) for name in _value(params, "eval_sets")}
        return VisionProblem(params, load(str(params["dataset"]), data_dir), device, eval_sets)


def _value(params: Parameters, name: str) -> Any:
    """A parameter's value in a run; its default where the run does not use it or is older than the parameter."""
    return params.get(name, PARAMETERS[name].default)


def _check_images(params: Parameters, dataset: Dataset) -> None:
    test_subset, cutout = _value(params, "test_subset"), _value(params, "cutout")
    if test_subset is not None and test_subset > dataset.test:
        raise ValueError(f"test_subset {test_subset:,} is more than the {dataset.test:,} test images of {dataset.name}")
    if cutout > dataset.size:
        raise ValueError(f"cutout {cutout} is wider than the {dataset.size}×{dataset.size} images of {dataset.name}")
    for name in _value(params, "eval_sets"):
        if EVAL_SETS[name] != dataset.name:
            raise ValueError(f"eval_sets: {name} tests what was trained on {EVAL_SETS[name]}, not on {dataset.name}")


def _check_model(model: str, dataset: Dataset, batch_size: int) -> None:
    smallest = SMALLEST_SIDE.get(model, 1)
    if dataset.size < smallest:
        raise ValueError(
            f"model {model} needs images of {smallest}×{smallest} or more;"
            f" {dataset.name} has {dataset.size}×{dataset.size}"
        )
    halvings = HALVINGS.get(model, 0)
    if batch_size == 1 and halvings and dataset.size <= 2**halvings:
        raise ValueError(
            f"model {model} cannot train on one image of {dataset.name} at a time: BatchNorm would see one value"
        )


TASK = VisionTask()
