"""Cluster profiles: what jobs ask of a cluster and how runs are packed into them, read from YAML and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xsam.grid.source import GridError, Node, check_keys
from xsam.grid.yaml_file import read_yaml
from xsam.parameters import Parameter

FIELDS: Mapping[str, Parameter] = {
    "partition": Parameter("str", nullable=True),
    "account": Parameter("str", nullable=True),
    "qos": Parameter("str", nullable=True),
    "constraint": Parameter("str", nullable=True),
    "cpus": Parameter("int", 1, at_least=1),
    "gpus": Parameter("int", 0, at_least=0),
    "gpu_type": Parameter("str", nullable=True),
    "warn_seconds": Parameter("int", 120, at_least=10),
    "parallelism": Parameter("int", nullable=True, at_least=1),
    "max_array_size": Parameter("int", nullable=True, at_least=2),
    "runs_per_job": Parameter("int", 1, at_least=1),
    "at_a_time": Parameter("int", nullable=True, at_least=1),
    "container": Parameter("str", ""),
    "scratch": Parameter("str", nullable=True),
    "copy_data": Parameter("bool", False),
    "offline": Parameter("bool", False),
}
SPECIAL = ("time", "mem", "setup", "options")
# sbatch options that submitit or the launcher set themselves.
RESERVED = frozenset(("array", "output", "error", "open-mode", "job-name", "signal", "requeue", "no-requeue", "wrap"))

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d{1,2}):(?P<minutes>[0-5]\d)(?::(?P<seconds>[0-5]\d))?")
_MEM = re.compile(r"[1-9]\d*[KMGT]")


@dataclass(frozen=True)
class Profile:
    """A cluster, as jobs see it.

    Attributes:
        name: the file's name without its ending.
        partition, account, qos, constraint: as ``sbatch`` takes them; None leaves the cluster's default.
        minutes: time limit of a job (``time`` in the file: minutes, ``HH:MM``, ``HH:MM:SS`` or ``D-HH:MM``). Jobs save
            and requeue themselves ``warn_seconds`` before it, so it limits no run.
        cpus, mem, gpus, gpu_type: what one job gets, on one node; ``mem`` as in ``"4G"``. Where a run has several
            processes (its parameter ``devices``), each of them gets ``cpus``.
        warn_seconds: how long before the time limit runs save; a step and a checkpoint must fit.
        parallelism: how many jobs of one array run at a time; None does not limit them.
        max_array_size: jobs in one array at most; None asks the cluster for its ``MaxArraySize``.
        runs_per_job: runs in one job.
        at_a_time: runs of a job that are trained at the same time; one for each GPU where None.
        setup: shell commands that each job begins with.
        container: a command before Python's, such as ``"apptainer exec --nv image.sif"``.
        scratch: a folder on the node, made where it is missing; shell variables in it are the node's. Temporary files
            and torch's compile caches go there, and with ``copy_data`` the prepared data.
        offline: tell the libraries that may look things up that there is no network.
        options: further options of ``sbatch``, by their long names.

    Example:
        >>> Profile("small", minutes=60, mem="2G").sbatch()["time"]
        60
    """

    name: str
    minutes: int = 60
    mem: str = "4G"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    cpus: int = 1
    gpus: int = 0
    gpu_type: str | None = None
    warn_seconds: int = 120
    parallelism: int | None = None
    max_array_size: int | None = None
    runs_per_job: int = 1
    at_a_time: int | None = None
    container: str = ""
    scratch: str | None = None
    copy_data: bool = False
    offline: bool = False
    setup: tuple[str, ...] = ()
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)

    @property
    def members(self) -> int:
        """How many runs one job trains at the same time."""
        return min(self.at_a_time or max(1, self.gpus), self.runs_per_job)

    def sbatch(self, tasks: int = 1) -> dict[str, bool | int | float | str]:
        """What ``sbatch`` is asked for, by its long options; ``tasks`` processes train each run."""
        wanted: dict[str, bool | int | float | str | None] = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "time": self.minutes,
            "nodes": 1,
            "ntasks-per-node": tasks,
            "cpus-per-task": self.cpus,
            "mem": self.mem,
            "gpus-per-node": self._gpus(),
            "requeue": True,
        }
        return {name: value for name, value in {**wanted, **self.options}.items() if value is not None}

    def _gpus(self) -> str | None:
        if not self.gpus:
            return None
        return f"{self.gpu_type}:{self.gpus}" if self.gpu_type else str(self.gpus)


def load_profile(path: Path) -> Profile:
    """Read and check the profile at ``path``; a mistake is one ``GridError`` with file, line and nearest valid name.

    Example:
        >>> load_profile(Path("slurm/profiles/dev.yaml")).partition
        'debug'
    """
    root = read_yaml(path)
    entries = root.mapping("a profile")
    check_keys(entries, [*FIELDS, *SPECIAL], "key")
    values: dict[str, Any] = {}
    for name, node in entries.items():
        if name in FIELDS:
            try:
                values[name] = FIELDS[name].parse(name, node.plain())
            except ValueError as error:
                raise node.place.error(str(error)) from None
    if "time" in entries:
        values["minutes"] = _minutes(entries["time"])
    if "mem" in entries:
        values["mem"] = _mem(entries["mem"])
    if "setup" in entries:
        values["setup"] = tuple(_text(item, "a setup command") for item in entries["setup"].items("setup"))
    if "options" in entries:
        values["options"] = _options(entries["options"])
    profile = Profile(path.stem, **values)
    _check(profile, entries, root)
    return profile


def _check(profile: Profile, entries: Mapping[str, Node], root: Node) -> None:
    """What no single value can be wrong about."""

    def mistake(name: str, message: str) -> GridError:
        return entries.get(name, root).place.error(message)

    if profile.warn_seconds >= 60 * profile.minutes:
        message = f"warn_seconds must be below the time limit, {60 * profile.minutes} s, not {profile.warn_seconds}"
        raise mistake("warn_seconds", message)
    if profile.copy_data and profile.scratch is None:
        raise mistake("copy_data", "copy_data needs scratch, the folder on the node that the data are copied to")
    if profile.gpu_type and not profile.gpus:
        raise mistake("gpu_type", "gpu_type needs gpus, their number")


def _text(node: Node, what: str) -> str:
    value = node.plain()
    if not isinstance(value, str) or "\n" in value:
        raise node.place.error(f"{what} must be one line of text, not {value!r}")
    return value


def _minutes(node: Node) -> int:
    value = node.plain()
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    minutes = 0.0
    if match is not None:
        days, hours, mins, seconds = (int(part or 0) for part in match.groups())
        minutes = (24 * days + hours) * 60 + mins + seconds / 60
    if minutes <= 0:
        raise node.place.error(f"time must be minutes, HH:MM, HH:MM:SS or D-HH:MM, not {value!r}")
    return -int(-minutes // 1)


def _mem(node: Node) -> str:
    value = node.plain()
    if not isinstance(value, str) or not _MEM.fullmatch(value):
        raise node.place.error(f"mem must be a number with K, M, G or T, such as 4G, not {value!r}")
    return value


def _options(node: Node) -> dict[str, bool | int | float | str]:
    options: dict[str, bool | int | float | str] = {}
    for name, entry in node.mapping("options").items():
        value = entry.plain()
        if name in RESERVED or name in FIELDS or name in SPECIAL:
            raise entry.place.error(f"the option {name!r} is set by the launcher or has a key of its own")
        if not isinstance(value, bool | int | float | str) or value is False:
            raise entry.place.error(f"the option {name} must be true, a number or a text, not {value!r}")
        options[name] = value
    return options
