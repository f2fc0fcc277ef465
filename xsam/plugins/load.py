"""Bringing plug-ins in: by path or module, with the digest of their files, each once and all of it or nothing."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import shutil
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from xsam.optim.registry import METHODS
from xsam.plugins.declare import Plugin
from xsam.plugins.kinds import GROUPS
from xsam.tasks.kinds import parameter_kinds
from xsam.tasks.vision.datasets import DATASETS

SUFFIXES = (".py", ".so", ".pyd")  # of the files that are a plug-in's content
STAGED = "plugins"  # the folder in a launch's


class PluginError(ValueError):
    """A plug-in that cannot be had; the message is one line that names it and says what to do."""


@dataclass(frozen=True)
class LoadedPlugin:
    """A plug-in that this process has loaded.

    Attributes:
        plugin: what it declares.
        reference: how it was named: a path or a module.
        origin: its file, or the folder of its package.
        sha256: of its files, names and content.
        parameters: the parameters of grids that only it has, with their kinds.
    """

    plugin: Plugin
    reference: str
    origin: Path
    sha256: str
    parameters: Mapping[str, str]

    @property
    def name(self) -> str:
        """The plug-in's name."""
        return self.plugin.name

    @property
    def version(self) -> str:
        """Its declared version."""
        return self.plugin.version

    def facts(self) -> dict[str, str]:
        """For a run's provenance."""
        return {"version": self.version, "sha256": self.sha256, "reference": self.reference}

    def record(self) -> dict[str, Any]:
        """What ``grid.json`` keeps, so that results can be read where the plug-in is not."""
        names = self.plugin.names()
        methods = {name: METHODS[name] for name in names.get(METHODS.kind, ())}
        return {
            "name": self.name,
            **self.facts(),
            "methods": {
                name: {"tags": list(one.tags), "alone": one.alone is not None} for name, one in methods.items()
            },
            "classes": {name: DATASETS[name].classes for name in names.get(DATASETS.kind, ())},
            "parameters": dict(self.parameters),
        }


_loaded: dict[str, LoadedPlugin] = {}


def loaded() -> Mapping[str, LoadedPlugin]:
    """The plug-ins of this process by their names."""
    return _loaded


def load(reference: str, folder: Path = Path(), named: str | None = None) -> LoadedPlugin:
    """Load a plug-in, and add what it declares to the registries; the one that is loaded already, where it is the same.

    Args:
        reference: a file (``./my_sam.py``), a folder with an ``__init__.py``, or a module (``my_package.sam``).
        folder: where relative paths begin.
        named: how the user named it, where this is a copy.

    Raises:
        PluginError: there is none, it cannot be imported, declares nothing, or one of its names is taken.
    """
    by_path = is_path(reference)
    origin = origin_of(reference, folder)
    sha256 = digest(origin)
    for one in _loaded.values():
        if one.origin == origin and one.sha256 == sha256:
            return one
    module = _imported(reference, origin, sha256) if by_path else _imported_module(reference)
    plugin = _declared_in(module, reference)
    former = _loaded.get(plugin.name)
    if former is not None:
        if former.sha256 == sha256:  # a copy, such as a launch's
            return former
        if former.origin != origin:
            raise PluginError(
                f"{reference}: {former.reference} is called {plugin.name!r} too: give one of them another name"
            )
        unload(plugin.name)
    return _activate(plugin, named or reference, origin, sha256)


def unload(name: str) -> None:
    """Take out what the plug-in ``name`` added; does nothing where it is not loaded."""
    _loaded.pop(name, None)
    for registry in GROUPS.values():
        registry.drop(name)


def is_path(reference: str) -> bool:
    """Whether a plug-in is named by its place on disk.

    >>> is_path("./my_sam.py"), is_path("my_sam.py"), is_path("my_package.sam")
    (True, True, False)
    """
    return "/" in reference or reference.endswith(".py")


def origin_of(reference: str, folder: Path = Path()) -> Path:
    """The file or folder that a plug-in is in, from looking alone: none of its code runs.

    Raises ``PluginError`` where there is none. Relative paths begin at ``folder``.
    """
    return _file_of(reference, folder) if is_path(reference) else _package_of(reference)


def digest(origin: Path) -> str:
    """SHA-256 over a plug-in's files: their names below ``origin``, in order, and what they hold."""
    total = hashlib.sha256()
    for path in files_of(origin):
        name = path.relative_to(origin).as_posix() if origin.is_dir() else path.name
        content = path.read_bytes()
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def files_of(origin: Path) -> list[Path]:
    """The files that are a plug-in's content: its one file, or the code below its folder."""
    if not origin.is_dir():
        return [origin]
    found = (path for suffix in SUFFIXES for path in origin.rglob(f"*{suffix}"))
    return sorted(path for path in found if "__pycache__" not in path.parts)


def stage(names: Iterable[str], place: Path) -> list[dict[str, str]]:
    """Leave the plug-ins ``names`` for the workers of a launch whose folder is ``place``; returns what they look for.

    Files named by path are copied, so that a launch goes on with what it began with; a module is what it is on each
    machine, and its digest is compared there.
    """
    left = []
    for name in sorted(names):
        one = _loaded[name]
        reference = one.reference
        if is_path(reference):
            target = place / STAGED / name / one.origin.name
            target.parent.mkdir(parents=True, exist_ok=True)
            for path in files_of(one.origin):
                copy = target / path.relative_to(one.origin) if one.origin.is_dir() else target
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            reference = target.relative_to(place).as_posix()
        left.append({"name": name, **one.facts(), "place": reference})
    return left


def load_staged(left: Iterable[Mapping[str, str]], place: Path) -> None:
    """Load what :func:`stage` left in ``place``; raises ``PluginError`` where it is another plug-in by now."""
    for wanted in left:
        reference = wanted["place"]
        found = load(reference, place, wanted["reference"])
        if found.sha256 != wanted["sha256"]:
            raise PluginError(
                f"{reference}: the plug-in {wanted['name']} has changed since this launch began (content "
                f"{found.sha256[:12]}, not {wanted['sha256'][:12]}): give the command again"
            )


def _activate(plugin: Plugin, reference: str, origin: Path, sha256: str) -> LoadedPlugin:
    before = parameter_kinds()
    try:
        for registry, name, entry in plugin.entries():
            registry.add(name, entry, plugin.name)
        own = {name: kind for name, kind in parameter_kinds().items() if name not in before}
    except Exception as error:
        unload(plugin.name)
        raise PluginError(f"{reference}: {error}") from None
    _loaded[plugin.name] = LoadedPlugin(plugin, reference, origin, sha256, own)
    return _loaded[plugin.name]


def _file_of(reference: str, folder: Path) -> Path:
    path = (folder / reference).resolve()
    if path.is_dir() and not (path / "__init__.py").is_file():
        raise PluginError(f"{reference}: the folder {path} has no __init__.py: name a file in it, or add one")
    if not path.exists():
        raise PluginError(f"{reference}: no such file or folder ({path})")
    return path


def _package_of(reference: str) -> Path:
    """The folder of the outermost package of a module, or its one file; nothing but packages is imported."""
    top = reference.partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise PluginError(
            f"{reference}: no module named {top!r}: install it in this environment, or name its file with ./ before it"
        )
    if spec.origin is not None and not spec.submodule_search_locations:
        return Path(spec.origin)
    places = list(spec.submodule_search_locations or ())
    if spec.origin is None or not places:  # a namespace, which others may share
        raise PluginError(f"{reference}: {top} is a folder without an __init__.py: add one, or name a file by its path")
    return Path(places[0])


def _imported(reference: str, origin: Path, sha256: str) -> ModuleType:
    name = f"xsam_plugin_{origin.stem}_{sha256[:12]}"
    file = origin / "__init__.py" if origin.is_dir() else origin
    places = [str(origin)] if origin.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise PluginError(f"{reference}: no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # classes look themselves up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        for key in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
            del sys.modules[key]
        raise _failed(reference, origin, error) from error
    return module


def _imported_module(reference: str) -> ModuleType:
    try:
        return importlib.import_module(reference)
    except (Exception, SystemExit) as error:
        raise _failed(reference, _package_of(reference), error) from error


def _failed(reference: str, origin: Path, error: BaseException) -> PluginError:
    """What is said of a plug-in whose import raises: the line in its own files, and how to see the rest."""
    if isinstance(error, SyntaxError) and error.filename:
        where, what = f"{error.filename}:{error.lineno}", f"{type(error).__name__}: {error.msg}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(origin)]
        where = f"{own[-1].filename}:{own[-1].lineno}" if own else str(origin)
        what = f"{type(error).__name__}: {error}"
    line = " ".join(f"{where}: {what}".split())
    command = f"python {origin}" if is_path(reference) and not origin.is_dir() else f"python -c 'import {reference}'"
    see = command if not origin.is_dir() or not is_path(reference) else f"python {origin / '__init__.py'}"
    return PluginError(f"{reference}: cannot be imported ({line}); `{see}` shows all of it")


def _declared_in(module: ModuleType, reference: str) -> Plugin:
    found = {id(value): value for value in vars(module).values() if isinstance(value, Plugin)}
    if len(found) != 1:
        count = "no Plugin" if not found else f"{len(found)} Plugins"
        raise PluginError(
            f"{reference}: {count} in it: a plug-in has one, plugin = xsam.plugins.Plugin('my_method', version='1')"
        )
    (plugin,) = found.values()
    return plugin
