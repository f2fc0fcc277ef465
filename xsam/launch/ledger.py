"""The ledger of a launch on a cluster: which job has which runs, on disk, for every front end that comes later.

One file a launch beside the folder of its job files. It is written before the jobs are submitted and completed after,
so that a front end that dies in between leaves no job that nobody knows of: jobs carry the name that the ledger says.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from xsam.atomic import read_text, write_json
from xsam.launch.squeue import Job, Queue
from xsam.runner.order import WorkOrder
from xsam.store.layout import GridFolder


@dataclass(frozen=True)
class Array:
    """One submission: a job, or an array of several.

    Attributes:
        name: the jobs' name, which no other submission has.
        job: SLURM's number of it; None until SLURM has told.
        shares: run ids of each job.
    """

    name: str
    job: str | None
    shares: tuple[tuple[str, ...], ...]

    def element(self, index: int) -> str | None:
        """SLURM's name of the job that has the share ``index``."""
        if self.job is None or len(self.shares) == 1:
            return self.job
        return f"{self.job}_{index}"

    def found(self, queue: Queue | None) -> Array:
        """The same with its number, if the queue knows the name."""
        job = queue.by_name.get(self.name) if queue is not None and self.job is None else None
        return self if job is None else replace(self, job=job.element.partition("_")[0])


@dataclass(frozen=True)
class Ledger:
    """A launch.

    Attributes:
        order: what it was asked to do.
        profile: name of the cluster's profile.
        arrays: its submissions.
    """

    order: WorkOrder
    profile: str
    arrays: tuple[Array, ...]

    def write(self) -> None:
        """Write it, atomically."""
        # The runs are in the arrays, and only the jobs need what they are to measure.
        order = asdict(replace(self.order, run_ids=(), diagnostics=None))
        texts = {"results": str(self.order.results), "data_dir": str(self.order.data_dir)}
        content = {
            "order": {**order, **texts},
            "profile": self.profile,
            "arrays": [{"name": one.name, "job": one.job, "shares": one.shares} for one in self.arrays],
        }
        self.order.folder.make_launches()
        write_json(_path(self.order.folder, self.order.launch), content)

    @classmethod
    def read(cls, path: Path, results: Path) -> Ledger:
        """Read one; ``results`` is where the results folder is now. ``ValueError`` where it is no ledger."""
        try:
            data: dict[str, Any] = json.loads(read_text(path))
            arrays = tuple(_array(one) for one in data["arrays"])
            run_ids = tuple(run_id for array in arrays for share in array.shares for run_id in share)
            given = data["order"]
            order = WorkOrder(
                results=results,
                grid=str(given["grid"]),
                run_ids=run_ids,
                data_dir=Path(given["data_dir"]),
                launch=str(given["launch"]),
                again={str(run_id): str(launch) for run_id, launch in dict(given.get("again", {})).items()},
                checkpoint_seconds=float(given["checkpoint_seconds"]),
                device=str(given["device"]),
                devices=int(given["devices"]),
            )
            return cls(order, str(data["profile"]), arrays)
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path}: no ledger of a launch ({error})") from None


def _array(data: Any) -> Array:
    job = data["job"]
    if not (job is None or isinstance(job, str)) or not isinstance(data["name"], str):
        raise ValueError("a job without its name")
    shares = tuple(tuple(share) for share in data["shares"])
    if not all(isinstance(run_id, str) for share in shares for run_id in share):
        raise ValueError("a share that is none")
    return Array(data["name"], job, shares)


@dataclass(frozen=True)
class Place:
    """Where a run was submitted to.

    Attributes:
        order: the launch's.
        name: the array's name.
        element: SLURM's name of the job; None where the submission was cut short.
    """

    order: WorkOrder
    name: str
    element: str | None

    def job(self, queue: Queue) -> Job | None:
        """The job in the queue; None where it is not, or no longer, there."""
        return queue.by_element.get(self.element) if self.element is not None else None


def ledgers(folder: GridFolder) -> list[Ledger]:
    """The launches of a grid on clusters, oldest first. A damaged file is none: its jobs hold their runs by leases."""
    found = []
    for path in sorted(folder.launches.glob("*.json")):
        with contextlib.suppress(ValueError):
            found.append(Ledger.read(path, folder.results))
    return found


def places(launches: Sequence[Ledger], queue: Queue | None) -> dict[str, list[Place]]:
    """Run id → where it was submitted to, newest last."""
    found: dict[str, list[Place]] = {}
    for order, array in _arrays(launches):
        known = array.found(queue)
        for index, share in enumerate(known.shares):
            place = Place(order, known.name, known.element(index))
            for run_id in share:
                found.setdefault(run_id, []).append(place)
    return found


def _arrays(launches: Sequence[Ledger]) -> Iterator[tuple[WorkOrder, Array]]:
    for launch in launches:
        for array in launch.arrays:
            yield launch.order, array


def _path(folder: GridFolder, launch: str) -> Path:
    return folder.launches / f"{launch}.json"
