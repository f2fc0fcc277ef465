"""A page of every column of the store, from its schema, the parameters and the metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xsam.metrics import Metric
from xsam.store.layout import TABLES
from xsam.store.schema import arrow_schema
from xsam.tasks import TASKS, get_task

_HEAD = """# Columns of the store

`xsam.store.read(results, table)` gives each table as a pandas frame; a column that a row does not use is null there.
"""
_RULES = {
    "final": "after the last epoch",
    "last5_mean": "mean of the last five epochs",
    "best_val": "at the epoch that was best on validation data",
    "best_test": "at the epoch that was best on test data, which shows only what such a choice inflates",
}
_WORK = {
    "forwards": "forward passes of a batch, probes of alpha among them",
    "backwards": "backward passes of a batch",
    "train_seconds": "wall time of training steps, s",
    "eval_seconds": "wall time of evaluations, s",
    "search_seconds": "wall time of alpha searches, s",
}
MEANING: Mapping[str, Mapping[str, str]] = {
    "runs": {
        "run_id": "hash of everything that can change the run's numbers",
        "grid": "name of the grid that it was trained for",
        "task": "`vision` or `translation`",
        "model": "model",
        "dataset": "data set",
        "optimizer": "the grid's label",
        "method": "the method behind the label",
        "ascent_steps": "ascent steps; null where the method has none",
        "seed": "seed of weights, splits and data order; pairs runs across optimizers",
        "status": "`done`, `diverged` (a loss that is not finite, which is a result) or `failed` (an exception)",
        "error": "traceback of a failed run",
        "note": "what happened on the way, such as a damaged checkpoint that was set aside",
        "launch": "the launch that trained it",
        "attempts": "how often it was started",
        "deaths": "how often its process died without any progress",
        "resumed_from_step": "the step of the checkpoint that it last went on from; null: none",
        "started_at": "time of the first start, UTC",
        "finished_at": "time of its end, UTC",
        **_WORK,
        "skipped_steps": "steps that the gradient scaler left out (fp16)",
        "wall_seconds": "wall time from start to end, interruptions apart, s",
        "peak_memory_bytes": "largest memory, bytes: allocated on the GPU, or resident on a CPU",
        "parameters": "parameters of the model",
        "epoch_rows": "its rows in `epochs`",
        "sharpness_rows": "its rows in `sharpness`",
        "provenance": "JSON: commit, versions, hardware, instructions, checksum of the data, configuration",
    },
    "epochs": {
        "run_id": "the run",
        "grid": "its grid",
        "epoch": "epoch, counted from 0",
        "step": "steps of the optimizer so far",
        "train_loss": "mean training loss of the epoch's first passes",
        "lr": "learning rate at the epoch's last step",
        "alpha": "XSAM's alpha at the end of the epoch",
        "seconds": "wall time of the epoch, s",
        **_WORK,
    },
    "sharpness": {
        "run_id": "the run",
        "grid": "its grid",
        "measure": "what was measured, such as `top_eigenvalue`",
        "value": "its value",
        "error": "its standard error; null: none",
        "epoch": "after which epoch, counted from 0",
        "forwards": "forward passes of the measurement, in its first row",
        "backwards": "backward passes, in its first row",
        "products": "products of the Hessian with a vector, in its first row",
        "seconds": "wall time of the measurement, s, in its first row",
        "details": "JSON: what else it saw",
    },
    "evaluations": {
        "run_id": "the run",
        "grid": "its grid",
        "test_set": "what it was evaluated on; own files with their content's digest",
        "weights": "which of its weights: `final`, `best_val`",
        "metric": "metric",
        "value": "its value",
        "examples": "images or sentence pairs of the test set",
        "signature": "how the metric was computed",
        "checksum": "of the test set's content",
        "details": "JSON: what else was seen",
        "evaluated_at": "when, UTC",
    },
}


def page() -> str:
    """The whole page.

    >>> "| `test_accuracy_final` | double |" in page()
    True
    """
    return "\n".join([_HEAD, *(line for table in TABLES for line in _table(table))])


def _table(table: str) -> Iterator[str]:
    meanings = {**_metrics(), **_parameters(), **MEANING[table]}
    yield f"## {table}\n"
    yield "| column | type | meaning |"
    yield "| --- | --- | --- |"
    for field in arrow_schema(table):
        yield f"| `{field.name}` | {field.type} | {meanings[field.name].replace('|', '/')} |"
    yield ""


def _metrics() -> dict[str, str]:
    found = {}
    for metric in (one for name in TASKS for one in get_task(name).epoch_metrics):
        found[metric.name] = f"{_title(metric)}, after the epoch"
    for metric in (one for name in TASKS for one in get_task(name).run_metrics):
        for rule in metric.rules:
            found[metric.column(rule)] = f"{_title(metric)}, {_RULES[rule]}"
        if not metric.rules:
            found[metric.name] = _title(metric)
        if metric.has_signature:
            found[metric.signature] = f"how {metric.label} was computed"
    return found


def _title(metric: Metric) -> str:
    return f"{metric.title}, {metric.better} is better" if metric.better != "neither" else metric.title


def _parameters() -> dict[str, str]:
    return {
        field.name: f"the parameter [`{field.name.removeprefix('param_')}`](../parameters.md)"
        for field in arrow_schema("runs")
        if field.name.startswith("param_")
    }
