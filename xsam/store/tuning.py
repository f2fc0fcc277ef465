"""What a search for a grid's values has tried and chosen, as ``tuning.json`` beside its runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from xsam.atomic import read_text
from xsam.damage import DamagedFile
from xsam.parameters import Value
from xsam.store.layout import GridFolder

FORMAT = 1
SUFFIX = "@tune"  # of the name of the grid of a search's runs
TUNED = "_tuned"  # of the name of the grid with what it chose


@dataclass(frozen=True)
class TriedPoint:
    """A trial: the values, and what came of them.

    Attributes:
        params: parameter → value.
        results: seed → the validation metric, or the run's status where it has none.
        mean: over the seeds; ``None`` where one has no value.
    """

    params: Mapping[str, float]
    results: Mapping[int, float | str]
    mean: float | None


@dataclass(frozen=True)
class TunedCell:
    """A place of the matrix, without the seed, with all that was tried for it.

    Attributes:
        axes: where it stands.
        trials: in the order of their values, or of being drawn.
        chosen: the place of the winner among them.
        edges: parameters whose chosen value lies at the edge of what was tried.
    """

    axes: Mapping[str, Value]
    trials: tuple[TriedPoint, ...]
    chosen: int
    edges: tuple[str, ...]

    @property
    def winner(self) -> TriedPoint:
        """What was chosen."""
        return self.trials[self.chosen]


@dataclass(frozen=True)
class FollowingCell:
    """A place without trials of its own, whose values follow from what was chosen for the label ``leader``."""

    axes: Mapping[str, Value]
    leader: str
    params: Mapping[str, float]


@dataclass(frozen=True)
class TuningRecord:
    """A finished search.

    Attributes:
        metric, rule: what decided: a metric of the validation part, and how a run's epochs make one number.
        lower_is_better: whether the smallest won.
        seeds: that every trial was run with.
        budget: trials that every method had; ``None`` where each tried all combinations of its own values.
        cells: in the grid's order.
        following: what was not tuned by itself.
    """

    metric: str
    rule: str
    lower_is_better: bool
    seeds: tuple[int, ...]
    budget: int | None
    cells: tuple[TunedCell, ...]
    following: tuple[FollowingCell, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The content of ``tuning.json``."""
        return {
            "format": FORMAT,
            "metric": self.metric,
            "rule": self.rule,
            "lower_is_better": self.lower_is_better,
            "seeds": list(self.seeds),
            "budget": self.budget,
            "cells": [
                {
                    "axes": _lists(cell.axes),
                    "chosen": cell.chosen,
                    "edges": list(cell.edges),
                    "trials": [
                        {
                            "params": dict(trial.params),
                            "results": {str(seed): result for seed, result in trial.results.items()},
                            "mean": trial.mean,
                        }
                        for trial in cell.trials
                    ],
                }
                for cell in self.cells
            ],
            "following": [
                {"axes": _lists(one.axes), "leader": one.leader, "params": dict(one.params)} for one in self.following
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; raises ``ValueError`` or ``KeyError`` for anything else."""
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r} is not {FORMAT}, the one that this version reads")
        cells = tuple(
            TunedCell(
                _tuples(cell["axes"]),
                tuple(
                    TriedPoint(
                        {name: float(value) for name, value in trial["params"].items()},
                        {int(seed): result for seed, result in trial["results"].items()},
                        None if trial["mean"] is None else float(trial["mean"]),
                    )
                    for trial in cell["trials"]
                ),
                range(len(cell["trials"]))[int(cell["chosen"])],
                tuple(map(str, cell["edges"])),
            )
            for cell in data["cells"]
        )
        seeds = tuple(map(int, data["seeds"]))
        following = tuple(
            FollowingCell(_tuples(one["axes"]), str(one["leader"]), {k: float(v) for k, v in one["params"].items()})
            for one in data["following"]
        )
        lower = bool(data["lower_is_better"])
        return cls(str(data["metric"]), str(data["rule"]), lower, seeds, data["budget"], cells, following)


def _lists(axes: Mapping[str, Value]) -> dict[str, Any]:
    return {name: list(one) if isinstance(one, tuple) else one for name, one in axes.items()}


def _tuples(axes: Mapping[str, Any]) -> dict[str, Value]:
    return {name: tuple(one) if isinstance(one, list) else one for name, one in axes.items()}


def tuning_file(folder: GridFolder) -> Path:
    """Where the record of the search whose runs are in ``folder`` is."""
    return folder.root / "tuning.json"


def tuning_of(folder: GridFolder) -> TuningRecord | None:
    """The search behind a grid: of its runs, or the one that chose its values; ``None`` where there was none.

    Raises ``DamagedFile`` where it cannot be read.
    """
    name = folder.name
    of = name if name.endswith(SUFFIX) else f"{name.removesuffix(TUNED)}{SUFFIX}" if name.endswith(TUNED) else None
    if of is None:
        return None
    path = tuning_file(GridFolder(folder.results, of))
    try:
        return TuningRecord.from_json(json.loads(read_text(path)))
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, OSError) as error:
        raise DamagedFile(path, f"not a record of tuning ({error}); 'xsam-bench tune' writes it again") from None
