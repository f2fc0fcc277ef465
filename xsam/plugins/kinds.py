"""What kinds of things a plug-in may add, and the groups of entry points by which packages announce them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xsam.optim.registry import BASES, METHODS
from xsam.registries import Registry
from xsam.tasks import TASKS
from xsam.tasks.vision.architectures import MODELS
from xsam.tasks.vision.catalog import DATASETS

Registries = tuple[tuple[Registry[Any], str, Any], ...]

GROUPS: Mapping[str, Registry[Any]] = {
    "xsam.optimizers": METHODS,
    "xsam.bases": BASES,
    "xsam.models": MODELS,
    "xsam.datasets": DATASETS,
    "xsam.tasks": TASKS,
}
