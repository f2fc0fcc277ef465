"""The models by their names: what builds each, which fields its configuration has, and which images it takes.

Needs the standard library alone. A new model is a file with a function that builds it, and an entry in ``MODELS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from xsam.config import Config, Field
from xsam.registries import Registry

TIMM_PREFIX = "timm/"


@dataclass(frozen=True, kw_only=True)
class MlpConfig(Config):
    """A multilayer perceptron's own fields."""

    hidden: Annotated[tuple[int, ...], Field("sizes of mlp's hidden layers; none: a linear classifier", at_least=1)] = (
        512,
        512,
    )


@dataclass(frozen=True, kw_only=True)
class TorchvisionConfig(Config):
    """The own fields of torchvision's models."""

    init: Annotated[
        Literal["default", "torchvision"],
        Field("torchvision models: whose initial weights; default: every layer's as PyTorch draws them"),
    ] = "default"


@dataclass(frozen=True)
class Architecture:
    """A model that a grid may name.

    Attributes:
        build: ``"module:function"``, or the function itself; it takes channels, size and classes of the images and the
            ``config``, and returns a new ``torch.nn.Module`` on the CPU, its weights from the global random state.
        config: the fields that this model alone has.
        smallest_side: below it a pooling layer has nothing left to pool.
        halvings: of the side before the last BatchNorm, which needs more than one value a channel in training.
        convolutional: whether a memory format makes a difference.
        libraries: what it is made from, besides torch.
        normalisation: whether it has normalisation layers with weights, without which SAM-ON cannot train it.
        stacks: whether it is a ``torch.nn.Sequential`` of Flatten, Linear and ReLU, of which several train together.
    """

    build: str | Callable[..., Any]
    config: type[Config] = Config
    smallest_side: int = 1
    halvings: int = 0
    convolutional: bool = True
    libraries: tuple[str, ...] = ("torchvision",)
    normalisation: bool = True
    stacks: bool = False


_MODULE = "xsam.tasks.vision.models"

MODELS: Registry[Architecture] = Registry(
    "model",
    {
        "mlp": Architecture(
            f"{_MODULE}:mlp", MlpConfig, convolutional=False, libraries=(), normalisation=False, stacks=True
        ),
        "resnet8": Architecture(f"{_MODULE}:resnet8", halvings=2),
        "resnet18": Architecture(f"{_MODULE}:resnet18", TorchvisionConfig, halvings=3),
        "vgg11_bn": Architecture(f"{_MODULE}:vgg11_bn", TorchvisionConfig, smallest_side=32, halvings=4),
        "densenet121": Architecture(f"{_MODULE}:densenet121", TorchvisionConfig, smallest_side=8, halvings=3),
    },
)
