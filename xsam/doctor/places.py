"""The folders of results and data, what their disks can do, and the data sets in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from xsam.doctor.item import Item, Needs
from xsam.store import locks
from xsam.tasks import DataMissing
from xsam.tasks import data as datasets
from xsam.tasks.data import UNVERIFIED, Available

LEAST_BYTES = 2**30
LEAST_FILES = 10_000


def items(results: Path, data: Path, needs: Needs) -> Iterator[Item]:
    """Both folders, the locks of the results folder, and every data set."""
    trains = bool(needs.libraries)
    yield _space("results", results, trains)
    yield _locks(results, trains)
    yield _space("data", data, needed=False)
    for found in datasets.available(data):
        needed = found.name in needs.data
        yield _data_set(found, data, needed)


def _space(name: str, folder: Path, needed: bool) -> Item:
    """Free space and files on the folder's disk; state, checkpoints and logs are in the results folder."""
    try:
        place = _existing(folder)
    except NotADirectoryError as error:
        return Item(name, False, str(error), f"choose another folder with --{name}", needed)
    usage, files = shutil.disk_usage(place), os.statvfs(place)
    free = f"{usage.free / 2**30:,.1f} GiB free of {usage.total / 2**30:,.1f}"
    counted = files.f_files > 0  # some file systems have no limit
    facts = f"{folder}{'' if folder.exists() else ' (not made yet)'}: {free}"
    facts += f", {files.f_favail:,} more files" if counted else ""
    if usage.free < LEAST_BYTES:
        return Item(name, False, facts, f"free some space, or choose another folder with --{name}", needed)
    if counted and files.f_favail < LEAST_FILES:
        return Item(name, False, facts, "remove files; 'xsam-bench compact' merges those of finished runs", needed)
    return Item(name, True, facts, needed=needed)


def _locks(folder: Path, needed: bool) -> Item:
    """Hard links, by which workers take runs, and locks, by which compactions and workers keep apart."""
    try:
        trouble = locks.trouble(_existing(folder))
    except OSError as error:
        return Item("leases", False, f"{folder}: {error.strerror or error}", locks.OTHER_DISK, needed)
    if trouble:
        return Item("leases", False, f"{folder}: {trouble}", locks.OTHER_DISK, needed)
    return Item("leases", True, f"{folder}: hard links and file locks work", needed=needed)


def _data_set(found: Available, data: Path, needed: bool) -> Item:
    name = found.name
    try:
        datasets.require(name, data)
        checksum = datasets.recorded(name, data)
    except DataMissing as error:
        command = f"xsam-bench data prepare {name}"
        return Item(f"data {name}", False, "not prepared", str(error) if needed else command, needed)
    except (OSError, ValueError, KeyError, TypeError) as error:  # a manifest that is none
        return Item(
            f"data {name}", False, f"damaged: {error}", f"prepare it again: xsam-bench data prepare {name}", needed
        )
    if not checksum:
        return Item(f"data {name}", True, f"as published, in {found.where}", needed=needed)
    advice = "not known to be the published data; reports say so" if checksum.endswith(UNVERIFIED) else ""
    return Item(f"data {name}", True, f"prepared in {found.where}, checksum {checksum}", advice, needed)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one around it that is there; ``NotADirectoryError`` where that is a file."""
    folder = folder.absolute()
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if not place.is_dir():
        raise NotADirectoryError(f"{place} is no folder")
    return place
