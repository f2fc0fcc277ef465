"""What a grid sees of the task: parameters, combinations that cannot work, and no heavy import."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest

from xsam.optim.optimizer_config import OptimizerConfig
from xsam.tasks import get_task
from xsam.tasks.vision import TASK
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.vision_run import VisionRun


def test_planning_imports_nothing_heavy():
    program = """
import sys
from pathlib import Path
from xsam.optim.optimizer_config import OptimizerConfig
from xsam.tasks import get_task
import xsam.tasks.data
task = get_task("vision")
run = task.config()
task.check(run)
task.unused(run)
xsam.tasks.data.available(Path("data"))
heavy = {"torch", "torchvision", "timm", "numpy", "sklearn", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_defaults_are_valid_values_of_their_own_parameters():
    for name, parameter in TASK.config.parameters().items():
        if not parameter.unset:
            assert parameter.parse(name, parameter.default) == parameter.default


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "resnet81"}, "unknown model 'resnet81'; did you mean 'resnet8'?"),
        ({"model": "transformer"}, "unknown model 'transformer'"),
        ({"model": "timm/resnet8"}, "unknown model 'timm/resnet8'; did you mean 'timm/resnet"),
        ({"model": "timm/vit_tiny_patch16_224"}, "cannot train on batches of 2×1×8×8"),
        ({"model": "vgg11_bn"}, "vgg11_bn needs images of 32×32 or more; digits has 8×8"),
        ({"model": "vgg11_bn", "dataset": "fashion_mnist"}, "fashion_mnist has 28×28"),
        ({"model": "resnet18", "batch_size": 1}, "one image of digits at a time"),
        ({"model": "densenet121", "train_subset": 1, "val_fraction": 0.0}, "one image of digits at a time"),
        ({"train_subset": 1400}, "needs 1,540 images; there are 1,437"),
        ({"train_subset": 4}, "is not one image"),
        ({"test_subset": 361}, "test_subset 361 is more than the 360 test images of digits"),
        ({"cutout": 9}, "cutout 9 is wider than the 8×8 images of digits"),
        ({"dataset": "cifar100", "eval_sets": ("cifar10_c",)}, "trained on cifar10, not on cifar100"),
        ({"model": "resnet18", "batch_size": 8, "accumulation": 8}, "one image of digits at a time"),
    ],
)
def test_combinations_that_cannot_work_are_one_line(given, message, params):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is checked below
        TASK.check(params(**given))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"hidden": ()},
        {"model": "resnet8", "batch_size": 1},
        {"model": "densenet121"},
        {"model": "densenet121", "dataset": "fashion_mnist", "batch_size": 1},
        {"model": "vgg11_bn", "dataset": "cifar100", "augment": "crop_flip"},
        {"model": "timm/test_resnet", "dataset": "cifar10"},
        {"train_subset": 1437, "val_fraction": 0.0},
        {"train_subset": 5000, "dataset": "fashion_mnist"},
        {"test_subset": 360, "cutout": 8},
        {"dataset": "cifar10", "eval_sets": ("cifar10_c",)},
        {"dataset": "tiny_imagenet_64", "model": "vgg11_bn", "augment": "resized_crop_flip"},
    ],
)
def test_combinations_that_work_pass(given, params):
    TASK.check(params(**given))


def test_parameters_that_a_model_does_not_use(params):
    def unused(**given: object) -> frozenset[str]:
        return TASK.unused(params(augment="resized_crop_flip", cutout=2, **given))

    assert unused(model="mlp") == {"init", "channels_last"}
    assert unused(model="resnet8") == {"hidden", "init"}
    assert unused(model="resnet18") == {"hidden"}
    assert unused(model="timm/test_vit") == {"hidden", "init"}


def test_parameters_that_an_augmentation_does_not_use(params):
    common = TASK.unused(params(augment="resized_crop_flip", cutout=2))
    assert TASK.unused(params(augment="crop_flip", cutout=2)) - common == {"crop_scale_min"}
    assert TASK.unused(params(augment="resized_crop_flip")) - common == {"cutout_probability"}


def test_an_older_run_without_the_newer_parameters_stays_valid(params):
    newer = {name for name, parameter in TASK.config.parameters().items() if parameter.omit_at_default}
    run = params(model="resnet8")
    older = VisionRun.of({name: value for name, value in run.values().items() if name not in newer})
    TASK.check(older)
    assert older == run


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["cifar10_d"], "unknown eval_sets 'cifar10_d'; did you mean 'cifar10_c'?"),
        (["cifar10_c", "cifar10_c"], "names one thing twice"),
        ("cifar10_c", "must be a list of names"),
        ([1], "must be a list of names"),
    ],
)
def test_further_test_sets_are_a_list_of_known_names(value, message):
    assert TASK.config.parameters()["eval_sets"].parse("eval_sets", ["cifar10_c"]) == ("cifar10_c",)
    with pytest.raises(ValueError, match=re.escape(message)):
        TASK.config.parameters()["eval_sets"].parse("eval_sets", value)


@pytest.mark.parametrize("model", ["mlp", "resnet8", "resnet18"])
def test_a_run_without_its_unused_parameters_can_be_checked_and_opened(model, params, tmp_path):
    import torch

    run = params(model=model)
    used = VisionRun.of({name: value for name, value in run.values().items() if name not in TASK.unused(run)})
    get_task("vision").check(used)
    problem = get_task("vision").open(used, tmp_path, torch.device("cpu"))
    assert problem.data_checksum == DATASETS["digits"].checksum


def test_a_method_for_normalisation_layers_needs_a_model_that_has_some(params):
    sam_on = OptimizerConfig.of("sam_on", {})
    TASK.check(dataclasses.replace(params(model="resnet8"), optimizer=sam_on))
    with pytest.raises(ValueError, match="sam_on perturbs normalisation layers alone, and model mlp has none"):
        TASK.check(dataclasses.replace(params(), optimizer=sam_on))
