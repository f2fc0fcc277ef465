"""What is kept of prepared images of one's own, and the data set that they are. Needs the standard library alone."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from xsam.tasks.own import Found, OwnSet
from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS
from xsam.tasks.vision.datasets.dataset import Dataset
from xsam.tasks.vision.prepared import MANIFEST, Manifest, manifest

TASK = "vision"
_COUNTS = ("channels", "size", "train", "validation", "test")
_SEAL = "seal"


def reserved() -> set[str]:
    """Names that a set of one's own cannot have: of the built-in sets, of those of plug-ins, and of their folders."""
    from xsam.tasks.own import known

    sets = [one for one in (*DATASETS.values(), *EVALUATION_SETS.values()) if one.name not in known()]
    return {name for one in sets for name in (one.name, one.folder, one.published) if name}


def facts_of(dataset: Dataset) -> dict[str, Any]:
    """What the manifest keeps of ``dataset`` beside its checksum: all that training goes by.

    Its last entry is a digest of the others, so that nobody changes them without notice.
    """
    facts: dict[str, Any] = {name: getattr(dataset, name) for name in ("name", *_COUNTS)}
    facts |= {name: list(getattr(dataset, name)) for name in ("mean", "std")}
    facts["classes"] = list(dataset.class_names)
    return {**facts, _SEAL: _seal(facts)}


def dataset_of(facts: Mapping[str, Any], checksum: str, name: str) -> Dataset:
    """The data set that a manifest's facts tell of; raises ``ValueError`` where they are not those that were kept."""
    kept = {key: value for key, value in facts.items() if key != _SEAL}
    if facts.get(_SEAL) != _seal(kept):
        raise ValueError("changed by hand")
    if kept["name"] != name:
        raise ValueError(f"this is the folder of {kept['name']}: give it its name back")
    numbers = (*kept["mean"], *kept["std"])
    if not all(isinstance(number, float) and math.isfinite(number) for number in numbers):
        raise ValueError("mean and std must be numbers")
    return Dataset(
        name=name,
        channels=int(kept["channels"]),
        size=int(kept["size"]),
        train=int(kept["train"]),
        validation=int(kept["validation"]),
        test=int(kept["test"]),
        classes=len(kept["classes"]),
        class_names=tuple(map(str, kept["classes"])),
        mean=tuple(kept["mean"]),
        std=tuple(kept["std"]),
        folder=name,
        balanced=False,
        checksum=checksum,
        own=True,
    )


def find_own(data_dir: Path) -> Iterator[Found]:
    """The prepared images of one's own below ``data_dir``, in alphabetical order; reads manifests alone."""
    others = reserved()
    for path in sorted(data_dir.glob(f"*/{MANIFEST}")):
        name = path.parent.name
        if name in others:
            continue
        try:
            kept = manifest(path.parent)
            if kept.own is None:
                continue
            dataset = dataset_of(kept.own, kept.checksums[name], name)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            words = str(error) if str(path) in str(error) else f"{path}: damaged ({error}); prepare the data set again"
            yield Found(name, problem=words)
            continue
        yield Found(name, partial(_add, dataset, data_dir), partial(_drop, name))


def is_own(folder: Path) -> bool:
    """Whether ``folder`` holds what was prepared from a user's own images, damaged or not, and nothing else."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return MANIFEST in names and all(name == MANIFEST or name.endswith(".npy") for name in names)


def manifest_of(dataset: Dataset, source: str) -> Manifest:
    """The manifest of a prepared ``dataset``; there is nothing published that it could be held against."""
    assert dataset.checksum is not None
    return Manifest(source, True, {dataset.name: dataset.checksum}, own=facts_of(dataset))


def _add(dataset: Dataset, data_dir: Path) -> OwnSet:
    DATASETS.lend(dataset.name, dataset)
    place = str(data_dir / dataset.folder)
    return OwnSet(dataset.name, TASK, dataset.checksum or "", dataset.facts, dataset.classes, place)


def _drop(name: str) -> None:
    DATASETS.take_back(name)


def _seal(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def statistics(counts: Sequence[Sequence[int]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of pixels divided by 255, to four decimals.

    A channel that is the same everywhere has no deviation to divide by, and gets 1.

    Args:
        counts: for each channel how often each value of 0 to 255 occurs, so that sums are exact.

    >>> statistics([[2] + [0] * 254 + [2], [0] * 255 + [4]])
    ((0.5, 1.0), (0.5, 1.0))
    """
    means, deviations = [], []
    for own in counts:
        total = sum(own)
        first = sum(value * count for value, count in enumerate(own))
        second = sum(value * value * count for value, count in enumerate(own))
        variance = (second * total - first * first) / (total * total)
        means.append(round(first / total / 255, 4))
        deviations.append(round(math.sqrt(variance) / 255, 4) or 1.0)
    return tuple(means), tuple(deviations)
