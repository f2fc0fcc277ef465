"""What kinds of things a plug-in may add, and the groups of entry points by which packages announce them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xsam.optim.bases import BASES
from xsam.optim.registry import METHODS
from xsam.registries import Registry
from xsam.tasks import TASKS
from xsam.tasks.vision.architectures import MODELS
from xsam.tasks.vision.datasets import DATASETS

MEASUREMENTS = ("hessian", "density", "measures", "directions", "alpha", "planes")  # those of this package

Registries = tuple[tuple[Registry[Any], str, Any], ...]

# Measurements of a model: a function of model, loss and batches → numbers by name, and options that it takes.
DIAGNOSTICS: Registry[Any] = Registry("diagnostic", {})

# Sections of reports: a function of a table's analysis → a sheet, or None.
SECTIONS: Registry[Any] = Registry("section", {})

# Name → module and object, or the object. A further launcher is one file and one entry here.
LAUNCHERS: Registry[Any] = Registry(
    "launcher",
    {
        "local": "xsam.launch.local:LOCAL",
        "slurm": "xsam.launch.slurm:SLURM",
    },
)

# Name → module and class, or what makes a tracker from the folder of its records and a grid's name (xsam.track).
TRACKERS: Registry[Any] = Registry(
    "tracker",
    {
        "tensorboard": "xsam.track.tensorboard:TensorBoard",
        "mlflow": "xsam.track.mlflow:MLflow",
        "wandb": "xsam.track.wandb:WandB",
    },
)

GROUPS: Mapping[str, Registry[Any]] = {
    "xsam.optimizers": METHODS,
    "xsam.bases": BASES,
    "xsam.models": MODELS,
    "xsam.datasets": DATASETS,
    "xsam.tasks": TASKS,
    "xsam.diagnostics": DIAGNOSTICS,
    "xsam.launchers": LAUNCHERS,
    "xsam.trackers": TRACKERS,
    "xsam.sections": SECTIONS,
}
