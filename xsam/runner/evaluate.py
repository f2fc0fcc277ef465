"""Using a run that is done: its last checkpoint on test sets that it never saw, and on one's own text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from xsam.grid.spec import RunSpec
from xsam.runner.measure import NotMeasurable, restored
from xsam.runner.order import utc_now
from xsam.store import write_evaluations
from xsam.store.frames import grid_table
from xsam.store.layout import GridFolder
from xsam.tasks import Comparing, Evaluation, Translating

Row = dict[str, Any]


def evaluate(
    folder: GridFolder,
    spec: RunSpec,
    test_sets: Sequence[str],
    data_dir: Path,
    device: str,
    pairs: Iterable[tuple[RunSpec, RunSpec]] = (),
) -> list[Row]:
    """Evaluate every kept weights of a finished run on ``test_sets``, and add the rows to its table ``evaluations``.

    They take the place of older rows of the same test sets. Translations go into the run's folder of outputs, below the
    test set's name.

    Args:
        folder: the run's grid.
        spec: the run.
        test_sets: names of prepared test sets, and files of one's own.
        data_dir: where prepared data are.
        device: torch's name of the device, or "auto" for a GPU where there is one.
        pairs: runs of the grid, this one among each, whose outputs are compared where both were evaluated on the same
            test set; the rows are the first run's.

    Returns:
        The new rows; those of comparisons have a ``run_id``.

    Raises:
        NotMeasurable: the run is not done, or its last checkpoint is gone.
        CheckpointMismatch: the checkpoint does not fit the run or the data.
        DataMissing: the run's data or a test set are not prepared.
        ValueError: a test set that the model cannot be evaluated on, or files that are no test set.
    """
    trainer, _ = restored(folder, spec, data_dir, device)
    rows: list[Row] = []
    for test_set in test_sets:
        found = trainer.evaluate_on(test_set, data_dir, folder.outputs(spec.run_id))
        rows += [_row(one) for one in found]
    _add(folder, spec.run_id, rows)
    names = dict.fromkeys(row["test_set"] for row in rows)
    problem = trainer.problem
    if not isinstance(problem, Comparing):
        return rows
    for of, against in pairs:
        places = folder.outputs(of.run_id), folder.outputs(against.run_id)
        compared = [
            _row(one, {"with": against.run_id, "optimizer": against.optimizer})
            for name in names
            for one in problem.compare_on(name, *places)
        ]
        _add(folder, of.run_id, compared)
        rows += [{**row, "run_id": of.run_id} for row in compared]
    return rows


def _row(found: Evaluation, further: Mapping[str, Any] = MappingProxyType({})) -> Row:
    return {**asdict(found), "details": json.dumps({**found.details, **further}), "evaluated_at": utc_now()}


def _add(folder: GridFolder, run_id: str, rows: Sequence[Row]) -> None:
    """Write rows into the run's table, in place of those that say the same of it."""
    if not rows:
        return
    done = {_key(row) for row in rows}
    older = [
        {name: value for name, value in row.items() if name != "grid"}
        for row in grid_table(folder, "evaluations", [run_id]).to_pylist()
        if row["run_id"] == run_id and _key(row) not in done
    ]
    write_evaluations(folder, run_id, [*older, *rows])


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    other = json.loads(row["details"] or "{}").get("with", "")
    return row["test_set"], row["weights"], row["metric"], other


def translate(
    folder: GridFolder,
    spec: RunSpec,
    batches: Iterable[Sequence[str]],
    data_dir: Path,
    device: str,
    *,
    weights: str,
    beam: int | None = None,
    length_penalty: float | None = None,
) -> Iterator[list[str]]:
    """Translate raw text with a finished run of translation, batch by batch as it comes.

    Args:
        folder, spec, data_dir, device: as in :func:`evaluate`.
        batches: sentences, a batch after the other.
        weights: which of the run's weights: ``"final"`` or ``"best_val"``.
        beam, length_penalty: in place of the run's own.

    Yields:
        For each batch its translations as plain text, one for each sentence, in their order; empty for an empty line.

    Raises:
        as :func:`evaluate`; ``NotMeasurable`` too for a run of another task.
    """
    trainer, _ = restored(folder, spec, data_dir, device)
    problem = trainer.problem
    if not isinstance(problem, Translating):
        raise NotMeasurable(f"run {spec.run_id} is one of {spec.task}: there is nothing to translate with")
    with trainer.evaluated():
        yield from problem.translations(batches, weights, beam, length_penalty)
