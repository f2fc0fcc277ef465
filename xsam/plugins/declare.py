"""What a plug-in says of itself: its name, its version, and what it adds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from xsam.config import Config
from xsam.optim.bases import BASES, Base
from xsam.optim.method import Method, one_pass
from xsam.optim.registry import METHODS
from xsam.parameters import Parameter, Parameters, Value
from xsam.plugins.kinds import DIAGNOSTICS, LAUNCHERS, MEASUREMENTS, SECTIONS, TRACKERS, Registries
from xsam.registries import Registry
from xsam.tasks import TASKS, Task
from xsam.tasks.vision.architectures import MODELS, Architecture
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.datasets.dataset import Dataset

if TYPE_CHECKING:
    import torch


Kind = TypeVar("Kind", bound=type)
Function = TypeVar("Function", bound=Callable[..., Any])

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")


class Plugin:
    """A plug-in: what it adds is known to grids, the store, reports and tests as if it were built in.

    Args:
        name: lower-case letters, digits and ``_``; rows and messages call it so.
        version: in the id of every run that uses something of the plug-in. Raise it whenever the same parameters give
            other numbers than before: runs that are stored under the old one are then kept, and trained anew under the
            new one. The content of the plug-in's files is in the provenance of each run besides.

    Raises:
        ValueError: a name or version that cannot be one.

    Example:
        >>> plugin = Plugin("birds", version="1")
        >>> @plugin.model("wide_mlp", convolutional=False)
        ... def wide_mlp(channels, size, classes, config):
        ...     from torch import nn
        ...     return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))
        >>> plugin.names()
        {'model': ['wide_mlp']}
    """

    def __init__(self, name: str, version: str) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"a plug-in's name is lower-case letters, digits and '_', not {name!r}")
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise ValueError(f"the version of {name} must be a short text such as '1', not {version!r}")
        self.name = name
        self.version = version
        self._entries: list[tuple[Registry[Any], str, Any]] = []

    def __repr__(self) -> str:
        return f"Plugin({self.name!r}, version={self.version!r})"

    def optimizer(
        self,
        name: str,
        *,
        passes: int | Fraction | Callable[[Parameters], Fraction | int] | None = None,
        tags: Sequence[str] = ("sam_family",),
        check: Callable[[Parameters], None] | None = None,
    ) -> Callable[[Kind], Kind]:
        """Add a subclass of :class:`xsam.optim.extend.SharpnessAware` as an optimizer of grids; for use as a decorator.

        Its declared options become parameters of grids and columns ``param_<option>``.

        Args:
            name: in grids.
            passes: forward-backward passes that a step takes, or a function of a run's parameters that tells; by
                default ascent steps + 1. ``plan``, ``pass_budget`` and the cost tables go by it.
            tags: what reports count the method as: ``"sam_family"``, to which claims about ``@family`` apply, or
                ``"control"`` for one that is there to be compared with.
            check: raises :class:`xsam.parameters.ParameterError` for values that do not go together.
        """
        counted = _passes(passes)

        def add(kind: Kind) -> Kind:
            if not hasattr(kind, "_options") or not hasattr(kind, "_update"):
                raise TypeError(
                    f"{kind.__name__} is no subclass of xsam.optim.extend.SharpnessAware; an optimizer that steps with "
                    "one gradient is a base: plugin.base(…)"
                )
            resolve = Method.resolve
            if check is not None:
                checked = check

                def resolve(given: dict[str, Value]) -> dict[str, Value]:
                    checked(given)
                    return Method.resolve(given)

            method = Method(kind, tags=tuple(tags), resolve=resolve, passes=counted or Method.passes)
            self._add(METHODS, name, method)
            return kind

        return add

    def base(
        self,
        name: str,
        make: Callable[..., torch.optim.Optimizer],
        parameters: Mapping[str, Parameter],
        keywords: Callable[[Parameters], dict[str, Any]] | None = None,
    ) -> None:
        """Add a torch optimizer that steps with one gradient: alone in grids, and as ``base:`` of every method.

        Args:
            name: in grids.
            make: the optimizer's class, or what makes one from parameters to train and keywords.
            parameters: its parameters in grids, ``lr`` among them.
            keywords: its keyword arguments from a run's parameters; by default ``parameters`` under their own names.
        """
        if "lr" not in parameters:
            raise ValueError(f"the base {name} needs the parameter 'lr', which schedules multiply")
        names = tuple(parameters)

        def own(params: Parameters) -> dict[str, Any]:
            return {each: params[each] for each in names}

        self._add(BASES, name, Base(make, dict(parameters), keywords or own))
        self._add(METHODS, name, Method("xsam.optim._step.alone:BaseAlone", alone=name, tags=(), passes=one_pass))

    def model(
        self,
        name: str,
        *,
        config: type[Config] = Config,
        smallest_side: int = 1,
        halvings: int = 0,
        convolutional: bool = True,
        libraries: Sequence[str] = (),
    ) -> Callable[[Function], Function]:
        """Add a network for images, for use as a decorator of the function that builds it.

        The function takes channels, size and classes of the images and ``config``, and returns a new
        ``torch.nn.Module`` on the CPU, its weights from the global random state. See
        :class:`xsam.tasks.vision.architectures.Architecture` for the arguments.
        """

        def add(build: Function) -> Function:
            self._add(
                MODELS,
                name,
                Architecture(build, config, smallest_side, halvings, convolutional, tuple(libraries)),
            )
            return build

        return add

    def dataset(
        self,
        name: str,
        *,
        channels: int,
        size: int,
        classes: int,
        train: int,
        test: int,
        mean: Sequence[float],
        std: Sequence[float],
        balanced: bool = False,
        peak: int = 255,
    ) -> Callable[[Function], Function]:
        """Add a set of images, for use as a decorator of the function that reads it.

        The function returns training images (``train`` × ``channels`` × ``size`` × ``size``, uint8), their labels
        (integers from 0), test images and test labels, as arrays, the same at every call.

        Args:
            name: in grids.
            channels, size, classes: of the images.
            train, test: numbers of images.
            mean, std: a value for each channel, of pixels divided by ``peak``; images are normalised with them.
            balanced: whether every class has the same number of images, which is then checked.
            peak: the largest pixel value.
        """

        def add(read: Function) -> Function:
            self._add(
                DATASETS,
                name,
                Dataset(
                    name=name,
                    channels=channels,
                    size=size,
                    classes=classes,
                    train=train,
                    test=test,
                    mean=tuple(mean),
                    std=tuple(std),
                    peak=peak,
                    balanced=balanced,
                    package="plug-in",
                    read=read,
                ),
            )
            return read

        return add

    def task(self, task: Task[Any]) -> None:
        """Add a task (:class:`xsam.tasks.Task`): what else than images and sentences can be trained."""
        self._add(TASKS, task.name, task)

    def diagnostic(self, name: str) -> Callable[[Function], Function]:
        """Add a measurement of models, for use as a decorator; grids name it under ``diagnostics: {measure: [...]}``.

        The function takes ``model``, ``loss`` and ``batches`` (``loss(model, batch)`` is a batch's mean loss, with its
        graph), and returns numbers by name, stored as the measures ``<diagnostic>/<name>`` of the table ``sharpness``.
        It leaves weights, buffers and random state as they were. It changes no number of a run, so it is in no id.
        """

        def add(measure: Function) -> Function:
            if name in MEASUREMENTS:
                raise ValueError(f"the diagnostic {name!r} is xsam-bench itself's already: choose another name")
            self._add(DIAGNOSTICS, name, measure)
            return measure

        return add

    def section(self, name: str) -> Callable[[Function], Function]:
        """Add a section to the reports of a process that has loaded this plug-in, for use as a decorator.

        The function takes a table's :class:`xsam.report.analysis.Analysis` and returns a
        :class:`xsam.report.formats.Sheet`, or None where it has nothing to say. It stands below the others of every
        table, under the name given here: ``xsam-bench --plugin FILE|MODULE report``.
        """

        def add(make: Function) -> Function:
            self._add(SECTIONS, name, make)
            return make

        return add

    def launcher(self, name: str, launcher: Any) -> None:
        """Add who starts workers: an object as :class:`xsam.launch.launcher.Launcher` says; ``run --launcher NAME``.

        Its workers have to be able to import what they are sent, so a launcher is an installed package's rather than a
        file's.
        """
        self._add(LAUNCHERS, name, launcher)

    def tracker(self, name: str) -> Callable[[Function], Function]:
        """Add a tracker, ``run --track NAME``, for use as a decorator of its class (:class:`xsam.track.Tracker`).

        The class, or function, takes the folder of the tracker's records and the name of a grid.
        """

        def add(make: Function) -> Function:
            self._add(TRACKERS, name, make)
            return make

        return add

    def names(self) -> dict[str, list[str]]:
        """What it adds: kind → names."""
        found: dict[str, list[str]] = {}
        for registry, name, _ in self._entries:
            found.setdefault(registry.kind, []).append(name)
        return found

    def entries(self) -> Registries:
        """What it adds, with the registry of each."""
        return tuple(self._entries)

    def _add(self, registry: Registry[Any], name: str, entry: Any) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"a name of the kind {registry.kind} is lower-case letters, digits and '_', not {name!r}")
        self._entries.append((registry, name, entry))


def _passes(
    passes: int | Fraction | Callable[[Parameters], Fraction | int] | None,
) -> Callable[[Parameters], Fraction] | None:
    if passes is None:
        return None
    if callable(passes):
        function = passes
        return lambda params: Fraction(function(params))
    if passes == 1:
        return one_pass  # there is no other pass whose dropout masks could differ
    return lambda params: Fraction(passes)
