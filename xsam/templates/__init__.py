"""The grids and cluster profiles that come with the package, by name, so that an installation has them too.

``grids`` and ``profiles`` beside this file are, in a checkout, links to ``configs`` and ``slurm/profiles``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

_HERE = Path(__file__).parent
STARTER = "grid"  # the template that explains every part of a grid
_CLUSTERS = "slurm"  # begins the names of templates that are profiles


@cache
def grids() -> Mapping[str, Path]:
    """Name → file of every grid that comes with the package, in the order of their names.

    Example:
        >>> "quickstart" in grids(), "cpu/fashion" in grids()
        (True, True)
    """
    # Beside the paper's grids are its claims, which are no grid.
    found = {name: path for name, path in _files(_HERE / "grids").items() if path.stem != "claims"}
    return MappingProxyType({STARTER: _HERE / "grid.yaml", **found})


@cache
def profiles() -> Mapping[str, Path]:
    """Name → file of every cluster profile that comes with the package."""
    return MappingProxyType(_files(_HERE / "profiles"))


def templates() -> dict[str, Path]:
    """Name → file of everything that can be copied: grids, and profiles as ``slurm/NAME``."""
    return {**grids(), **{f"{_CLUSTERS}/{name}": path for name, path in profiles().items()}}


def is_profile(template: str) -> bool:
    """Whether the template of this name is a cluster profile."""
    return template.startswith(f"{_CLUSTERS}/")


def summary(path: Path) -> str:
    """The first sentence of the comment that a template begins with.

    Example:
        >>> summary(grids()["quickstart"])
        "The smallest honest grid: four optimizers on scikit-learn's digits, a minute on a laptop, no download."
    """
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return " ".join(lines).partition(". ")[0].rstrip(".") + "."


def _files(folder: Path) -> dict[str, Path]:
    """The YAML files in a folder and the folders in it; those of the folder itself come first."""
    found = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}
