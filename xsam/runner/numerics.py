"""Which instructions compute a run's numbers on a CPU, and what of the machine can change their last bits.

torch and its libraries choose among their kernels by what the CPU can do, and kernels for wider registers add in
another order. ``numerics: portable`` (:class:`xsam.tasks.run_config.TrainingConfig`) pins the choice to one that every
x86-64 CPU since about 2015 gives the same bits with. Libraries read their settings when they are loaded, so
:func:`enter` comes before the first import of torch; this module imports none.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xsam.tasks.run_config import PORTABLE, VECTORISED

if TYPE_CHECKING:
    import torch

# Left alone, each of them takes AVX-512 where there is one.
SETTINGS: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels, and the mathematical functions that they call
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions
    # Matrix products. MKL_CBWR=AVX2 would be faster, but MKL obeys it on Intel's CPUs alone; this one all obey.
    "MKL_CBWR": "COMPATIBLE",
}
NEEDED = ("avx2", "fma")
# The other names by which libraries are told what to use, and all of the CPU's features that they look at.
_VARIABLES = (*SETTINGS, "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_DYNAMIC", "KMP_DETERMINISTIC_REDUCTION")
_FLAGS = re.compile(r"avx|avx2|fma|f16c|avx512\w+|avx_vnni\w*|amx_\w+")
_CPUINFO = Path("/proc/cpuinfo")
_entered: str | None = None  # by this process
_kept: list[Any] = []


class NotPortable(Exception):
    """Portable numerics cannot be had here; the message is one line that says why."""


def check(setting: str, device: str = "auto", machine: str | None = None, flags: Collection[str] | None = None) -> None:
    """Raise :class:`NotPortable` where this machine (or the given one) cannot train runs of ``setting`` on ``device``.

    Args:
        setting: of a run's ``numerics``.
        device: torch's name of the device, or "auto".
        machine: architecture; this machine's by default.
        flags: the CPU's features as Linux names them; this machine's by default.

    >>> check("portable", machine="x86_64", flags=["sse4_2", "avx"])
    Traceback (most recent call last):
    ...
    xsam.runner.numerics.NotPortable: numerics portable needs an x86-64 CPU with AVX2 and FMA, and this one (x86_64) \
lacks avx2, fma; --set numerics=native trains here, with last bits of its own
    """
    if setting in VECTORISED.values() and device not in ("auto", "cpu"):
        raise NotPortable(f"vectorise: seeds is of CPUs: train on cpu, not on {device}, or leave it out")
    if instructions(setting) != PORTABLE:
        return
    if device not in ("auto", "cpu"):
        raise NotPortable(f"numerics portable is of CPUs: train on cpu, not on {device}, or --set numerics=native")
    machine, flags = machine or platform.machine(), cpu_flags() if flags is None else flags
    lacking = [flag for flag in NEEDED if flag not in flags]
    if machine.lower() not in ("x86_64", "amd64") or lacking:
        lacks = f" lacks {', '.join(lacking)}" if lacking else " is none"
        raise NotPortable(
            f"numerics portable needs an x86-64 CPU with AVX2 and FMA, and this one ({machine}){lacks}; "
            "--set numerics=native trains here, with last bits of its own"
        )


def instructions(setting: str) -> str:
    """Which instructions a setting of ``numerics`` means: ``"native"`` or ``"portable"``.

    >>> instructions("vectorised"), instructions("portable_vectorised")
    ('native', 'portable')
    """
    return next((plain for plain, word in VECTORISED.items() if word == setting), setting)


def enter(setting: str) -> None:
    """Bring this process to ``setting``; the first time before torch is loaded.

    Raises :class:`NotPortable` where the CPU is too old, and where the process has computed otherwise already.
    """
    global _entered
    check(setting)
    setting = instructions(setting)
    if setting == PORTABLE and "torch" in sys.modules and any(os.environ.get(key) != SETTINGS[key] for key in SETTINGS):
        wanted = " ".join(f"{name}={value}" for name, value in SETTINGS.items())
        raise NotPortable(f"numerics portable comes too late: this process has loaded torch without {wanted}")
    if _entered not in (None, setting):
        raise NotPortable(f"this process computes with numerics {_entered}: runs with {setting} need one of their own")
    _entered = setting
    if setting == PORTABLE:
        os.environ.update(SETTINGS)


def set_up_torch() -> None:
    """What :func:`enter` began, in torch itself; does nothing in a native process, nor a second time.

    The square root of MKL's compatible branch refines an approximation that the CPU gives (``rsqrtps``), and makers
    define that differently. IEEE 754 leaves one right answer, which numpy's has on all of them.
    """
    if _entered != PORTABLE or _kept:
        return
    import torch

    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of replacing a kernel, which is meant
        library.impl("sqrt", _square_root, "CPU")
        library.impl("sqrt_", lambda own: own.copy_(_square_root(own)), "CPU")
        library.impl("sqrt.out", _square_root_into, "CPU")
    _kept.append(library)  # its kernels go with it


def _square_root(own: torch.Tensor) -> torch.Tensor:
    import numpy as np
    import torch

    plain = own.detach()
    if own.dtype in (torch.float16, torch.bfloat16):
        return _square_root(plain.float()).to(own.dtype)
    if not (own.is_floating_point() or own.is_complex()):
        plain = plain.to(torch.get_default_dtype())
    with np.errstate(invalid="ignore"):  # of a negative number it is NaN, here as there
        return torch.from_numpy(np.asarray(np.sqrt(plain.numpy())))


def _square_root_into(own: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
    return out.resize_(own.shape).copy_(_square_root(own))


def cpu_flags() -> list[str]:
    """The features of this machine's CPU on which numbers may depend, as Linux names them; none where it tells none."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return sorted(flag for flag in flags if _FLAGS.fullmatch(flag))


def facts() -> dict[str, Any]:
    """For a row's provenance: the CPU's features, what torch makes of them, and the libraries that compute.

    Keys are ``capability`` (the instruction set of torch's own kernels), ``flags``, ``blas``, ``onednn``, ``libc``,
    ``environment`` (the variables that choose kernels, where they are set), ``intra_op_threads`` and
    ``inter_op_threads``.
    """
    import torch

    built = torch.__config__.show()
    return {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "flags": cpu_flags(),
        "blas": _found(r"Math Kernel Library Version ([\w.-]+)", built, "MKL ") or _found(r"BLAS_INFO=(\w+)", built),
        "onednn": _found(r"MKL-DNN v([\w.]+)", built),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "intra_op_threads": torch.get_num_threads(),
        "inter_op_threads": torch.get_num_interop_threads(),
    }


def _found(pattern: str, text: str, prefix: str = "") -> str | None:
    match = re.search(pattern, text)
    return prefix + match[1] if match else None
