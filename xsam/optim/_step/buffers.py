"""Keeping the buffers of the modules in a loss as one plain forward leaves them."""

from __future__ import annotations

import gc
import sys
import warnings
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter, is_
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.utils.stateless import _functional_call
from torch.utils.hooks import RemovableHandle

from xsam.optim._step.backup import Backup

Owner = dict[str, Tensor | None]
_CHILDREN, _BUFFERS = attrgetter("_modules"), attrgetter("_buffers")


class Buffers:
    """The buffers of the modules in a loss as they were at the start of a step, and as its first pass left them.

    Buffers are put back in place; one that a module replaced by another tensor, the usual thing in hand-written
    layers, is replaced again. The memory of the copies is kept from step to step.

    Where no model is named, the modules are those that first passes call: a hook on all modules, set while such a pass
    runs, remembers each outermost one for later steps. Compiled code would be compiled once more for the hook, so it is
    not set again once a compiled module was met, or where the first step met none: the modules then are those that own
    one of the parameters.

    Attributes:
        looking: whether the next first pass is to be run inside :meth:`meeting`.
    """

    def __init__(self) -> None:
        self._start = _Snapshot()
        self._kept = _Snapshot()
        self._met: list[_Snapshot] = []  # of modules that this step is the first to call, as they were when met
        self._lent: list[_Snapshot] = []  # of buffers that torch.func.functional_call lends to modules in this step
        self._structure: _Structure | None = None  # of a model that was named
        self._roots: list[weakref.ref[nn.Module]] = []
        self._known: set[int] = set()  # modules by id(), alive while the step runs
        self._handle: RemovableHandle | None = None
        self.looking = True

    def start(self, model: nn.Module | None) -> None:
        """Copy all buffers of ``model``, or of the modules met so far: the state that :meth:`roll_back` returns to."""
        self._met = []
        self._lent = []
        if model is not None:
            self.looking = False
            if self._structure is None or not self._structure.is_of(model):
                self._structure = _Structure(model)
            self._start.take(self._structure.owners)
            return
        self._roots = [root for root in self._roots if root() is not None]
        modules = _modules([module for root in self._roots if (module := root()) is not None])
        self._known = set(map(id, modules))
        self._start.take(_owners(modules))

    @contextmanager
    def meeting(self, parameters: Iterable[Tensor]) -> Iterator[None]:
        """Inside, in a step's first pass, meet the modules that are called, and those of ``parameters``."""
        quiet = None if self._roots else warnings.catch_warnings()
        if quiet is not None:  # of a compiled module's warning that hooks on all modules fire for itself too
            quiet.__enter__()
            warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global hooks")
        self._handle = register_module_forward_pre_hook(self._meet)
        try:
            yield
        finally:
            self._handle.remove()
            if quiet is not None:
                quiet.__exit__(None, None, None)
        if not (self._roots or self._lent):
            self.looking = False
            self.add_owners(parameters)

    def add_owners(self, parameters: Iterable[Tensor]) -> None:
        """Meet all modules with one of ``parameters`` in them; takes a moment where there are many."""
        for module in _owning(parameters):
            if id(module) not in self._known:
                self._add(module)

    def keep(self) -> None:
        """Copy the buffers as they are now: the state that :meth:`restore` returns to."""
        owners = self._start.owners
        for met in self._met:
            owners = [*owners, *met.owners]
        self._kept.take(owners)
        for lent in self._lent:
            lent.take(lent.owners)

    def restore(self) -> None:
        """Put the buffers back to where they were at :meth:`keep`."""
        self._kept.write()
        for lent in self._lent:
            lent.write()

    def roll_back(self) -> None:
        """Put the buffers back to where they were at :meth:`start`, or when their module was first met."""
        for snapshot in (self._start, *self._met, *self._lent):
            snapshot.write()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # a copy of an optimizer meets modules of its own

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(vars(Buffers()))

    def _meet(self, module: nn.Module, _: object) -> None:
        if torch.compiler.is_compiling() or id(module) in self._known:
            return
        if _in_functional_call():
            lent = _Snapshot()
            lent.take([owner.copy() for owner in _owners(module.modules())])
            self._lent.append(lent)
        elif any(_compiled(each) for each in self._add(module)) and self._handle is not None:
            self.looking = False
            self._handle.remove()

    def _add(self, root: nn.Module) -> list[nn.Module]:
        """Remember ``root``, and return the modules in it that were not known."""
        new = [module for module in root.modules() if id(module) not in self._known]
        self._known.update(map(id, new))
        self._roots.append(weakref.ref(root))
        met = _Snapshot()
        met.take(_owners(new))
        self._met.append(met)
        return new


class _Structure:
    """The modules in a model and who of them has buffers, kept for as long as none comes or goes.

    Attributes:
        owners: the modules' buffers, where there are any.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = _modules([model])
        # A scripted module's are no dicts of its own: they are looked at anew each time.
        self._lasting = all(isinstance(module._modules, dict) for module in self._modules)
        self._children = [module._modules for module in self._modules]
        self._buffers = [module._buffers for module in self._modules]
        self._empty: list[Any] = [each for each in (*self._children, *self._buffers) if not each]
        self._with_children = [each for each in self._children if each]
        self._named = [[*each.values()] for each in self._with_children]
        self.owners = _owners(self._modules)

    def is_of(self, model: nn.Module) -> bool:
        """Whether ``model`` still is the one that was looked at, with the same modules and owners of buffers."""
        return (
            self._lasting
            and model is self._modules[0]
            and not any(self._empty)
            and [[*each.values()] for each in self._with_children] == self._named
            and all(map(is_, map(_CHILDREN, self._modules), self._children))
            and all(map(is_, map(_BUFFERS, self._modules), self._buffers))
        )


class _Snapshot:
    def __init__(self) -> None:
        self.owners: Sequence[Owner] = ()
        self._held: list[Owner] = []
        self._backup = Backup()

    def take(self, owners: Sequence[Owner]) -> None:
        self.owners = owners
        self._held = [owner.copy() for owner in owners] if owners else []
        if not owners:
            self._backup.release()
            return
        with torch.no_grad():
            self._backup.save(
                [buffer for held in self._held for buffer in held.values() if buffer is not None and _writable(buffer)]
            )

    def write(self) -> None:
        if not self.owners:
            return
        for owner, held in zip(self.owners, self._held, strict=True):
            owner.update(held)
        self._backup.restore()


def _modules(roots: Iterable[nn.Module]) -> list[nn.Module]:
    """All modules in ``roots``, these among them, each once; faster than ``nn.Module.modules``."""
    found: dict[int, nn.Module] = {}
    left: list[nn.Module | None] = [*roots]
    while left:
        module = left.pop()
        if module is not None and id(module) not in found:
            found[id(module)] = module
            left.extend(module._modules.values())
    return list(found.values())


def _owners(modules: Iterable[nn.Module]) -> list[Owner]:
    return [
        # A scripted module's are no dict, and it never replaces one.
        module._buffers if isinstance(module._buffers, dict) else dict(module.named_buffers(recurse=False))
        for module in modules
        if len(module._buffers)
    ]


def _compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def _owning(parameters: Iterable[Tensor]) -> list[nn.Module]:
    """All modules there are with one of ``parameters`` in them, outer ones first."""
    wanted = set(map(id, parameters))
    modules = [each for each in gc.get_objects() if issubclass(type(each), nn.Module)]
    found = [module for module in modules if any(id(parameter) in wanted for parameter in module.parameters())]
    return sorted(found, key=lambda module: -sum(1 for _ in module.modules()))


def _in_functional_call() -> bool:
    """Whether ``torch.func.functional_call`` is under way, in which a module has buffers that are lent to it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not _functional_call.__code__:
        frame = frame.f_back
    return frame is not None


def _writable(buffer: Tensor) -> bool:
    # An expanded tensor cannot be written in place, so no forward changes it either.
    return buffer.is_contiguous() or all(
        stride > 0 or size <= 1 for stride, size in zip(buffer.stride(), buffer.shape, strict=True)
    )
