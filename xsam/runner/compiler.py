"""torch's compiler, which its optimizers load for nothing: a second at the beginning of every process.

The first optimizer that is built, and the first step of any, import ``torch._dynamo`` to say that no graph goes through
them. In a process that records no graph nobody listens. A :class:`Later` stands in the module's place until somebody
wants more of it than that, and is then the module itself: compiled runs, and plug-ins that compile, notice nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

NAME = "torch._dynamo"


class Later(ModuleType):
    """What optimizers ask of the compiler, answered as it answers outside of graphs; all else loads it.

    >>> later = Later(NAME)
    >>> later.graph_break()
    >>> later.disable(abs, True, wrapping=False)(-1)
    1
    """

    def graph_break(self, msg: str = "") -> None:
        """The end of a graph, where there is none."""

    def disable(self, fn: Any = None, recursive: bool = True, **named: Any) -> Any:
        """``fn`` kept out of graphs: by itself while there can be none, by the compiler from when it is loaded."""
        if fn is None or named != {"wrapping": False}:  # not torch's own decorator
            return _loaded().disable(fn, recursive, **named)

        @cache
        def kept_out() -> Callable[..., Any]:
            kept: Callable[..., Any] = _loaded().disable(fn, recursive, **named)
            return kept

        def call(*positional: Any, **keywords: Any) -> Any:
            return (fn if sys.modules.get(NAME) is self else kept_out())(*positional, **keywords)

        return call

    def __getattr__(self, name: str) -> Any:
        if name in ("__file__", "__wrapped__"):  # asked of every module by those who look for sources
            raise AttributeError(name)
        return getattr(_loaded(), name)


def load_when_used() -> None:
    """Have the compiler loaded when something compiles, and not by the first optimizer.

    >>> load_when_used()
    >>> torch._dynamo.graph_break()
    """
    if NAME not in sys.modules:
        later: Any = Later(NAME)
        sys.modules[NAME] = torch._dynamo = later


def _loaded() -> Any:
    if isinstance(sys.modules.get(NAME), Later):
        del sys.modules[NAME]
    return import_module(NAME)
