"""Where a number comes from: code, versions, hardware, data, config; one JSON text in each run's row."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import xsam
from xsam.grid.spec import RunSpec, canonical_json
from xsam.plugins import loaded
from xsam.runner import numerics

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scikit-learn",
    "ve-fairseq",
    "sacrebleu",
    "sacremoses",
    "subword-nmt",
)


def provenance(spec: RunSpec, data_checksum: str, device: torch.device) -> str:
    """Canonical JSON of everything that one would need to repeat the run."""
    return canonical_json(
        {
            "code": code_version(),
            "packages": _packages(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "device": device.type,
            "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            "threads": spec.params["threads"],
            "arithmetic": numerics.facts(),
            "data_checksum": data_checksum,
            "config": spec.to_json(),
            **({"plugins": {name: loaded()[name].facts() for name in spec.plugins}} if spec.plugins else {}),
        }
    )


@cache
def code_version() -> dict[str, Any]:
    """The package's version, its commit, and whether files differed from that: by git in a checkout of its own.

    Elsewhere by what the distribution was built from; both are None where nobody knows.
    """
    root = Path(xsam.__file__).resolve().parent
    version: dict[str, Any] = {"version": xsam.__version__, "commit": None, "dirty": None}
    if _git(root, "ls-files", "--error-unmatch", "__init__.py") is not None:
        version["commit"] = _git(root, "rev-parse", "HEAD")
        version["dirty"] = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".") != ""
    elif (root / "_build.json").exists():  # setup.py writes it
        version |= json.loads((root / "_build.json").read_text(encoding="utf-8"))
    return version


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def _packages() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
