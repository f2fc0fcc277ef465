"""Machine translation with fairseq's Transformers. Importing this needs the standard library alone.

Grids are planned from ``TASK``; fairseq is imported by the worker that trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xsam.optim.bases import BASES, Base
from xsam.parameters import ParameterError
from xsam.registries import Over
from xsam.tasks.translation.corpora import CORPORA, PARTS
from xsam.tasks.translation.summary import EPOCH_METRICS, RUN_METRICS, TEST_BLEU
from xsam.tasks.translation.translation_run import PUBLISHED, SIZES, DataConfig, TranslationRun

if TYPE_CHECKING:
    import torch

    from xsam.tasks.translation.problem import TranslationProblem

NUMERICS = 1  # raise by hand whenever the same parameters give other numbers than before


def _fairseq_adam() -> Base:
    """fairseq's ``adam``: its weight decay is decoupled, as in torch's AdamW."""
    table = BASES["adamw"].parameters
    defaults = {"lr": 5e-4, "weight_decay": 1e-4, "beta2": 0.98}
    changed = {name: replace(table[name], default=default) for name, default in defaults.items()}
    return replace(BASES["adamw"], parameters={**table, **changed})


class TranslationTask:
    """Machine translation; see ``xsam.tasks.Task``."""

    name = "translation"
    numerics = NUMERICS
    config = TranslationRun
    provider = "xsam.tasks.translation.prepare"
    own_data = "xsam.tasks.translation.own"
    bases: Mapping[str, Base] = Over({"adam": _fairseq_adam()}, BASES)
    default_base = "adam"
    metric = TEST_BLEU
    epoch_metrics = EPOCH_METRICS
    run_metrics = RUN_METRICS

    def unused(self, run: TranslationRun) -> frozenset[str]:
        """Names of the model's and the data's parameters that make no difference to ``run``.

        >>> "layers" in TASK.unused(TranslationRun())
        True
        """
        model = run.model
        sizes = SIZES if model.name == PUBLISHED else ()
        masks = () if model.dropout or model.activation_dropout else ("dropout_masks",)
        return frozenset((*sizes, *masks))

    def check(self, run: TranslationRun) -> None:
        """Raise ``ParameterError`` (one line) for values that are each valid and do not go together."""
        model, data = run.model, run.data
        if data.source == data.target:
            raise ParameterError(f"source and target are both {data.source}", "source", "target")
        _check_own(data)
        if model.name != PUBLISHED and model.embed_dim % (2 * model.heads):
            raise ParameterError(
                f"embed_dim {model.embed_dim} is no multiple of twice the heads, {model.heads}", "embed_dim", "heads"
            )
        for part in PARTS[1:]:
            subset, pairs = getattr(data, f"{part}_subset"), (CORPORA[data.name].counts or {}).get(part)
            if subset is not None and pairs is not None and subset > pairs:
                raise ParameterError(
                    f"{part}_subset {subset:,} is more than the {pairs:,} {part} pairs of {data.name}", f"{part}_subset"
                )
        if run.training.compile:
            raise ParameterError(
                "compile makes a graph for each shape of batch, and translation has hundreds: leave it out", "compile"
            )

    def libraries(self, run: TranslationRun) -> frozenset[str]:
        """fairseq and what it needs."""
        return frozenset({"translation"})

    def steps_per_epoch(self, run: TranslationRun) -> int | None:
        """Unknown before the corpus is prepared."""
        return None

    def open(self, run: TranslationRun, data_dir: Path, device: torch.device) -> TranslationProblem:
        """One run's model and data on ``device``; raises ``DataMissing`` where the corpus is not prepared."""
        from xsam.tasks.translation.pairs import load
        from xsam.tasks.translation.problem import TranslationProblem

        corpus = CORPORA[run.data.name]
        merges = run.data.bpe_merges or corpus.merges
        data = load(corpus.name, merges, run.data.source, run.data.target, data_dir, corpus.own)
        data = data.limited({"valid": run.data.valid_subset, "test": run.data.test_subset})
        return TranslationProblem(run, data, device)


def _check_own(data: DataConfig) -> None:
    """What is known of a text pair of one's own before it is read."""
    corpus = CORPORA[data.name]
    if not corpus.own or corpus.languages is None:
        return
    first, second = corpus.languages
    if {data.source, data.target} != {first, second}:
        raise ParameterError(
            f"{data.name} has the languages {first} and {second}, not {data.source} and {data.target}: "
            f"give source: {first}, target: {second}, or the other way round",
            "source",
            "target",
            "dataset",
        )
    if data.bpe_merges not in (None, corpus.merges):
        raise ParameterError(
            f"{data.name} is prepared with {corpus.merges:,} byte-pair merges, not {data.bpe_merges:,}: leave out "
            "bpe_merges, or prepare it with --bpe-merges under another name",
            "bpe_merges",
        )


TASK = TranslationTask()
