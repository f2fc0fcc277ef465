"""Python, the libraries and the devices of this machine."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from types import ModuleType

from xsam.doctor.item import Item, Needs
from xsam.launch.local_workers import visible_gpus
from xsam.tasks.translation import library

OLDEST_PYTHON = (3, 11)
# What is imported → the distributions that bring it.
TRANSLATION = {
    "fairseq": ("ve-fairseq", "fairseq", "fairseq-fixed"),
    "sacrebleu": ("sacrebleu",),
    "sacremoses": ("sacremoses",),
    "subword_nmt": ("subword-nmt",),
}


def items(cores: int, needs: Needs) -> Iterator[Item]:
    """Everything in this module, in turn."""
    yield _python(bool(needs.libraries))
    yield _cores(cores, needs.cores)
    torch, item = _torch("torch" in needs.libraries)
    yield item
    yield _gpu(torch)
    for name in ("torchvision", "timm"):
        yield _library(name, name in needs.libraries)
    yield _translation("translation" in needs.libraries)


def _python(needed: bool) -> Item:
    oldest = ".".join(map(str, OLDEST_PYTHON))
    works = sys.version_info >= OLDEST_PYTHON
    facts = f"{platform.python_version()} on {platform.platform()}"
    return Item("python", works, facts, "" if works else f"install Python {oldest} or later", needed)


def _cores(cores: int, wanted: int) -> Item:
    works = cores >= wanted
    facts = f"{cores} CPU cores to use"
    return Item(
        "cores", works, facts, "" if works else f"a run takes {wanted}: lower threads or devices", needed=wanted > 0
    )


def _torch(needed: bool) -> tuple[ModuleType | None, Item]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of its own that cannot be loaded
        reason = str(error).splitlines()[0]
        return None, Item("torch", False, reason, "pip install --force-reinstall torch", needed)
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    facts = f"{torch.__version__}, built for {build}, {torch.get_num_threads()} threads by default (runs set their own)"
    return torch, Item("torch", True, facts, needed=needed)


def _gpu(torch: ModuleType | None) -> Item:
    if torch is None:
        return Item("gpu", False, "not to be told without torch")
    if torch.cuda.is_available():
        try:
            cards = "; ".join(_card(torch, number) for number in range(torch.cuda.device_count()))
        except RuntimeError as error:  # taken by somebody else, or broken
            return Item("gpu", False, str(error).splitlines()[0], "look at it with nvidia-smi, or use --device cpu")
        return Item("gpu", True, cards)
    if torch.backends.mps.is_available():
        return Item("gpu", True, "Apple's (MPS)", "used with --device mps alone")
    if not visible_gpus():
        return Item("gpu", False, "none: runs train on the CPU")
    if torch.version.cuda is None:
        return Item("gpu", False, "there is one, but torch is built for CPUs", "install torch's build for CUDA")
    return Item(
        "gpu", False, "there is one that torch cannot use", f"update its driver to one for CUDA {torch.version.cuda}"
    )


def _card(torch: ModuleType, number: int) -> str:
    card = torch.cuda.get_device_properties(number)
    with torch.cuda.device(number):
        precision = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
    return f"{card.name}, {card.total_memory / 2**30:.0f} GiB, {precision}"


def _library(name: str, needed: bool) -> Item:
    found = _version(name, (name,))
    return Item(name, found is not None, found or "not installed", "" if found else f"pip install {name}", needed)


def _translation(needed: bool) -> Item:
    """The libraries of the extra ``translation``, imported only where they are needed."""
    found = {name: _version(name, distributions) for name, distributions in TRANSLATION.items()}
    facts = ", ".join(f"{name.replace('_', '-')} {version or 'missing'}" for name, version in found.items())
    if not all(found.values()):
        return Item("translation", False, facts, library.INSTALL, needed)
    if needed:
        try:
            library.require()
        except library.TranslationUnavailable as error:
            return Item("translation", False, facts, str(error), needed)
    return Item("translation", True, facts, needed=needed)


def _version(module: str, distributions: tuple[str, ...]) -> str | None:
    """Version of an installed library, without importing it."""
    if find_spec(module) is None:
        return None
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "of unknown version"
