"""The data sets of every task, for whoever prepares and checks them. Imports no torch.

A task's provider is a module with ``names``, ``available``, ``prepare`` and ``verify`` as in :class:`Provider`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from xsam.parameters import Parameters, close_to, nearest
from xsam.tasks import TASKS, get_task, own

Report = Callable[[str, int, int | None], None]
"""Told of progress: what is being done, how far it is, and how far it goes (``None``: nobody knows)."""

UNVERIFIED = "+unverified"


@dataclass(frozen=True)
class Available:
    """A data set and where it is.

    Attributes:
        where: the folder that holds it, the Python package that it comes with, or the folder where it was looked for.
        prepared: whether all its files are there (nothing is opened; :func:`verify` does that).
        facts: counts and format in a few words.
    """

    name: str
    where: str
    prepared: bool
    facts: str


@dataclass(frozen=True)
class Verified:
    """What reading a data set from end to end has found.

    Attributes:
        counts: part (``"train"``, ``"test"``) → number of examples; empty where it cannot be read.
        checksum: hex digest of the content, with ``UNVERIFIED`` behind it for a copy that is not known to be the
            published data; empty where it cannot be read.
        source: the folder or package that was read.
        problem: one line that says what is wrong, ``None`` where nothing is.
        notes: what was done to data of one's own that somebody should know, in words.
    """

    name: str
    counts: Mapping[str, int]
    checksum: str
    source: str
    problem: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the data set is complete and unchanged."""
        return self.problem is None

    @property
    def verified(self) -> bool:
        """Whether it is known to be the published data."""
        return self.ok and not self.checksum.endswith(UNVERIFIED)


@dataclass(frozen=True)
class OwnOptions:
    """What may be said of data of one's own.

    Attributes:
        size: side of the square that each image is resized to.
        image, label: columns of a parquet file.
        bpe_merges: byte-pair merges of a text pair.
        joined_dictionary: whether a text pair has one dictionary for both languages.
    """

    size: int | None = None
    image: str | None = None
    label: str | None = None
    bpe_merges: int | None = None
    joined_dictionary: bool | None = None

    def given(self) -> list[str]:
        """The options of ``data prepare`` that were given."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]


class Provider(Protocol):
    """What a task's module of data sets offers."""

    def names(self) -> tuple[str, ...]:
        """The data sets' names."""

    def available(self, data_dir: Path) -> list[Available]:
        """Where each data set is."""

    def require(self, name: str, data_dir: Path) -> None:
        """Raise ``DataMissing`` where a data set's files are not there; opens none."""

    def recorded(self, name: str, data_dir: Path) -> str:
        """The checksum that a data set was prepared with; reads its manifest alone."""

    def prepare(
        self,
        name: str,
        data_dir: Path,
        source: Path | None,
        *,
        bpe_merges: int | None,
        allow_unverified: bool,
        report: Report,
    ) -> Verified:
        """Fetch a data set, or take it from ``source``, and write what training reads."""

    def verify(self, name: str, data_dir: Path) -> Verified:
        """Read a data set from end to end and check it."""


class OwnMaker(Protocol):
    """What a provider offers beside that where people may bring data of their own."""

    def looks_own(self, source: Path) -> bool:
        """Whether ``source`` looks like data of this task."""

    def prepare_own(self, name: str, data_dir: Path, source: Path, options: OwnOptions, report: Report) -> Verified:
        """Make the data set ``name`` of ``source``."""


def available(data_dir: Path) -> list[Available]:
    """Where each data set of each task is, in the order of their tables, those of one's own behind each task's."""
    own.enter(data_dir)
    return [row for task in TASKS for row in _provider(task).available(data_dir)]


def require(name: str, data_dir: Path) -> None:
    """Raise ``DataMissing``, which names the command that prepares it, where the data set ``name`` is not there."""
    _provider_of(name).require(name, data_dir)


def recorded(name: str, data_dir: Path) -> str:
    """The checksum that the data set ``name`` was prepared with, as its manifest says; nothing else is read.

    Empty for one that is read as it was published. Raises ``DataMissing`` where it is not there.
    """
    return _provider_of(name).recorded(name, data_dir)


def data_sets(runs: Iterable[Parameters]) -> set[str]:
    """Names of the data sets that runs with these parameters are trained and evaluated on."""
    names = set()
    for params in runs:
        further = params.get("eval_sets")
        names |= {str(params["dataset"]), *(map(str, further) if isinstance(further, tuple) else ())}
    return names


def silent(what: str, done: int, total: int | None) -> None:
    """The :data:`Report` that tells nobody."""


def prepare(
    name: str,
    data_dir: Path,
    source: Path | None = None,
    *,
    bpe_merges: int | None = None,
    allow_unverified: bool = False,
    report: Report = silent,
    options: OwnOptions | None = None,
) -> Verified:
    """Fetch the data set ``name`` from the net, or take it from ``source``, and write it below ``data_dir``.

    A name that is nobody's yet becomes a data set of one's own, made of ``source``.

    Args:
        source: an archive or a folder in the data set's published format; ``None`` downloads.
        bpe_merges: byte-pair merges of a parallel corpus; ``None``: its usual number.
        allow_unverified: take a source that is not known to be the published data, and mark what is made of it.
        report: told of progress.
        options: of data of one's own.

    Raises ``ValueError`` (one line) for an unknown name, a source without the data and a download that failed; then
    nothing half-written stays behind, and an earlier copy stays as it is.
    """
    options = options or OwnOptions()
    own.enter(data_dir)
    providers = _providers()
    if name in providers and name not in own.known():
        if options.given():
            raise ValueError(f"{name} is no data set of your own: leave out {' and '.join(options.given())}")
        return providers[name].prepare(
            name, data_dir, source, bpe_merges=bpe_merges, allow_unverified=allow_unverified, report=report
        )
    own.check_name(name, {*providers} - own.known().keys())
    if source is None:
        if name in own.known():
            return verify(name, data_dir)
        raise ValueError(f"unknown data set {name!r}{nearest(name, providers)}{own.hint(name)}")
    if not source.exists():
        raise ValueError(f"{source}: no such file or folder")
    if allow_unverified:
        raise ValueError(
            f"{name} is a data set of your own, and nothing is published of it: leave out --allow-unverified"
        )
    before = own.known().get(name)
    maker = _own_provider(name, source, before)
    try:
        made = maker.prepare_own(name, data_dir, source, replace(options, bpe_merges=bpe_merges), report)
    except ValueError as error:  # the names of files and classes are anybody's
        raise ValueError(" ".join(str(error).split())) from error
    own.enter(data_dir)
    near = close_to(name, [known for known in providers if known not in own.known()], cutoff=0.85)  # not my_cifar10
    if before is None and near:
        told = f"a data set of your own, checked against nothing that is published{near}"
        return replace(made, notes=(*made.notes, told))
    if before is not None and before.checksum != own.known()[name].checksum:
        told = f"its content was {before.checksum} before; runs on that are kept, and are others than runs on this"
        return replace(made, notes=(*made.notes, told))
    return made


def verify(name: str, data_dir: Path) -> Verified:
    """Read the data set ``name`` from end to end; raises ``DataMissing`` where it is not prepared."""
    own.enter(data_dir)
    return _provider_of(name).verify(name, data_dir)


def _own_provider(name: str, source: Path, before: own.OwnSet | None) -> OwnMaker:
    """The provider of the task whose data ``source`` looks like, which is that of the set of this name so far."""
    makers = {task: cast(OwnMaker, _provider(task)) for task in TASKS if hasattr(_provider(task), "prepare_own")}
    task = next((task for task, maker in makers.items() if maker.looks_own(source)), next(iter(makers)))
    if before is not None and before.task != task:
        raise ValueError(
            f"{name} is a data set of {before.task} in {before.place}, and {source} is one of {task}: "
            "choose another name"
        )
    return makers[task]


def _provider(task: str) -> Provider:
    return cast(Provider, import_module(get_task(task).provider))


def _providers() -> dict[str, Provider]:
    """Data set → its provider."""
    return {data: provider for task in TASKS for provider in [_provider(task)] for data in provider.names()}


def _provider_of(name: str) -> Provider:
    providers = _providers()
    if name not in providers:
        raise ValueError(f"unknown data set {name!r}{nearest(name, providers)}{own.hint(name)}")
    return providers[name]
