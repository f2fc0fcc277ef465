"""The networks: small ones of our own, torchvision's fitted to small images, and any of timm's.

Torchvision and timm are imported when one of their models is built, since they take seconds.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from xsam.config import Config
from xsam.parameters import ParameterError
from xsam.tasks.vision.architectures import MODELS, TIMM_PREFIX, MlpConfig, TorchvisionConfig

RESNET8_WIDTHS = (16, 32, 64)


def build(name: str, channels: int, size: int, classes: int, own: Config | None = None) -> nn.Module:
    """A new network for ``channels`` × ``size`` × ``size`` images, on the CPU; weights from the global random state.

    Args:
        name: one of ``architectures.MODELS``, or ``timm/<name>``.
        own: the fields of this architecture alone; None: all at their defaults.

    >>> sum(p.numel() for p in build("resnet8", channels=3, size=32, classes=10).parameters())
    78042
    """
    if name.startswith(TIMM_PREFIX):
        return _timm(name.removeprefix(TIMM_PREFIX), channels, size, classes)
    architecture = MODELS[name]
    own = architecture.config() if own is None else own
    make = architecture.build
    if isinstance(make, str):
        module, _, function = make.partition(":")
        make = getattr(import_module(module), function)
    network: nn.Module = make(channels, size, classes, own)
    return network


def mlp(channels: int, size: int, classes: int, config: MlpConfig) -> nn.Module:
    """Fully connected layers with ReLU between them."""
    inputs = (channels * size * size, *config.hidden)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(inputs):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(inputs[-1], classes))


def resnet8(channels: int, size: int, classes: int, config: Config) -> nn.Module:
    """See :class:`ResNet8`."""
    return ResNet8(channels, classes)


class ResNet8(nn.Module):
    """Three stages of one basic block, widths 16-32-64, each after the first halving the side (He et al. 2016, §4.2).

    Shortcuts that change shape are 1×1 convolutions with BatchNorm. Input N×``channels``×S×S, output N×``classes``.
    """

    def __init__(self, channels: int, classes: int) -> None:
        from torchvision.models.resnet import BasicBlock, conv1x1

        super().__init__()
        first, *_, last = RESNET8_WIDTHS
        stem = nn.Conv2d(channels, first, 3, padding=1, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(first), nn.ReLU())
        blocks = [BasicBlock(first, first)]
        for before, after in pairwise(RESNET8_WIDTHS):
            shortcut = nn.Sequential(conv1x1(before, after, stride=2), nn.BatchNorm2d(after))
            blocks.append(BasicBlock(before, after, stride=2, downsample=shortcut))
        self.stages = nn.Sequential(*blocks)
        self.classifier = nn.Linear(last, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores (before softmax) of ``images``."""
        scores: torch.Tensor = self.classifier(self.stages(self.stem(images)).mean(dim=(2, 3)))
        return scores


def resnet18(channels: int, size: int, classes: int, config: TorchvisionConfig) -> nn.Module:
    """Torchvision's, fitted to small images."""
    from torchvision import models

    model: nn.Module = models.resnet18(num_classes=classes)
    model.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    return _initialised(model, config)


def vgg11_bn(channels: int, size: int, classes: int, config: TorchvisionConfig) -> nn.Module:
    """Torchvision's, fitted to small images."""
    from torchvision import models

    model = models.vgg11_bn(num_classes=classes)
    stem = nn.Conv2d(channels, 64, 3, padding=1)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    hidden = nn.Linear(512, 4096)
    nn.init.normal_(hidden.weight, 0, 0.01)
    for layer in (stem, hidden):
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    model.features[0], model.classifier[0] = stem, hidden
    model.avgpool = nn.AdaptiveAvgPool2d(1)  # nothing to pool at 32×32, where one pixel is left
    return _initialised(model, config)


def densenet121(channels: int, size: int, classes: int, config: TorchvisionConfig) -> nn.Module:
    """Torchvision's, fitted to small images."""
    from torchvision import models

    model = models.densenet121(num_classes=classes)
    model.features.conv0 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.features.conv0.weight)
    for name in ("norm0", "relu0", "pool0"):  # the paper's network for small images begins with a convolution alone
        setattr(model.features, name, nn.Identity())
    for number in (1, 2, 3):
        model.features.get_submodule(f"transition{number}").relu = nn.Identity()
    return _initialised(model, config)


def _initialised(model: nn.Module, config: TorchvisionConfig) -> nn.Module:
    """``model`` with the initial weights that the configuration wants; it was built with torchvision's own."""
    if config.init == "default":
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
                module.reset_parameters()
    return model


def _timm(name: str, channels: int, size: int, classes: int) -> nn.Module:
    import timm
    from timm.models import get_pretrained_cfg

    published = get_pretrained_cfg(name)
    options: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    if published is not None and published.fixed_input_size:
        options["img_size"] = size
    return timm.create_model(name, pretrained=False, **options)


@lru_cache(maxsize=256)
def check_timm(name: str, channels: int, size: int, classes: int, batch_size: int) -> None:
    """Raise ``ParameterError`` (one line) unless ``timm/<name>`` exists and takes a training batch of such images.

    Builds the network and runs one batch of ``batch_size`` black images, without disturbing the global random state.
    """
    import timm

    known = timm.list_models()
    plain = name.removeprefix(TIMM_PREFIX)
    if plain not in known:
        close = difflib.get_close_matches(plain, known, n=1)
        hint = f"did you mean '{TIMM_PREFIX}{close[0]}'?" if close else "timm.list_models() lists them"
        raise ParameterError(f"unknown model {name!r}; {hint}", "model")
    fault = _trial(name, channels, size, classes, batch_size)
    if fault is not None:
        reason = " ".join(fault.split())
        raise ParameterError(
            f"model {name} cannot train on batches of {batch_size}×{channels}×{size}×{size}: {reason}", "model"
        )


def _trial(name: str, channels: int, size: int, classes: int, batch_size: int) -> str | None:
    """What goes wrong in one training forward, or ``None``."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            network = build(name, channels, size, classes).train()
            scores = network(torch.zeros(batch_size, channels, size, size))
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:  # what torch and timm raise for a misfit
            return str(error) or type(error).__name__
    if not isinstance(scores, torch.Tensor) or scores.shape != (batch_size, classes):
        return "its output is not one row of class scores for each image"
    return None
