"""The kind of every parameter that any task, base optimizer or method has."""

from __future__ import annotations

from collections.abc import Mapping

import xsam.tasks as tasks
from xsam.optim.bases import BASES
from xsam.optim.registry import BASE, METHODS
from xsam.parameters import Parameter


def parameter_kinds() -> dict[str, str]:
    """Name → kind (one of ``xsam.parameters.KINDS``); raises ``ValueError`` where a name has two of them.

    >>> parameter_kinds()["rho"]
    'float'
    """
    tables: list[Mapping[str, Parameter]] = [{"base": BASE}]
    tables += [tasks.get_task(name).config.parameters() for name in tasks.TASKS]
    tables += [base.parameters for base in BASES.values()]
    tables += [method.parameters for method in METHODS.values()]
    kinds: dict[str, str] = {}
    for name, parameter in (item for entries in tables for item in entries.items()):
        if kinds.setdefault(name, parameter.kind) != parameter.kind:
            raise ValueError(f"parameter {name!r} is registered as {kinds[name]} and as {parameter.kind}; rename one")
    return kinds
