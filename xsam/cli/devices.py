"""Whether the device that ``--device`` names is here, before a hundred runs fail of it."""

from __future__ import annotations

import os
import re

from xsam.cli.terminal import BadInput
from xsam.parameters import nearest

_NAME = re.compile(r"([a-z]+)(:[0-9]+)?")
KNOWN = ("auto", "cpu", "cuda", "mps", "xpu")


def check_device(name: str, here: bool = True) -> None:
    """Refuse a name that torch does not have and, where runs are trained ``here``, a device that this machine lacks.

    Imports torch for a device that is asked for by name, other than the CPU.
    """
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in KNOWN or (match[1] == "auto" and match[2]):
        near = nearest("cuda" if name.lower().startswith("gpu") else name, KNOWN)
        raise BadInput(f"--device {name}: no device of torch is called so{near}")
    if match[1] in ("auto", "cpu") or not here:
        return
    import torch

    count = getattr(torch, match[1]).device_count()
    if not count:
        built = (
            "this torch is built without CUDA" if match[1] == "cuda" and torch.version.cuda is None else "it has none"
        )
        raise BadInput(
            f"--device {name}: torch {torch.__version__} cannot use a device {match[1]!r} on this machine ({built}); "
            "leave --device out to take what there is"
        )
    if match[2] and int(match[2][1:]) >= count:
        raise BadInput(f"--device {name}: this machine has {count} of them, {match[1]}:0 to {match[1]}:{count - 1}")


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
