"""Plug-ins that installed packages announce by entry points: loaded when a grid uses one of their names.

    [project.entry-points."xsam.optimizers"]
    my_sam = "my_method:plugin"

The group says the kind, the entry's name is the name in grids, and its value names the module of the ``Plugin``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from functools import cache

from xsam.plugins.kinds import GROUPS
from xsam.plugins.load import PluginError, load


@cache
def announced() -> Mapping[str, str]:
    """Name of something → the module of its plug-in, of all installed packages."""
    from importlib.metadata import entry_points  # takes a while, and most commands ask for nothing

    return {entry.name: entry.module for group in GROUPS for entry in entry_points(group=group)}


def load_announced(names: Collection[str]) -> None:
    """Load the plug-ins that announce one of ``names``; raises ``PluginError`` where one is broken."""
    for module in sorted({module for name, module in announced().items() if name in names}):
        load(module)


def load_modules(modules: Iterable[str]) -> None:
    """Load those of ``modules`` that an installed package announces; others are nobody's whom the user trusts."""
    known = set(announced().values())
    for module in modules:
        if module in known:
            load(module)


def load_all() -> bool:
    """Load every plug-in that is announced and works; whether there is any."""
    modules = set(announced().values())
    for module in modules:
        with contextlib.suppress(PluginError):
            load(module)
    return bool(modules)
