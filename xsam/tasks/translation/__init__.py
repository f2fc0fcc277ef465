"""Machine translation with fairseq's Transformers. Importing this needs the standard library alone.

Grids are planned from ``TASK``; fairseq is imported by the worker that trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xsam.optim.registry import BASES, Base
from xsam.parameters import Parameter, Parameters
from xsam.tasks.common import LOOP_PARAMETERS, check_loop_parameters, unused_loop_parameters
from xsam.tasks.translation.corpora import CORPORA
from xsam.tasks.translation.summary import EPOCH_METRICS, RUN_METRICS, TEST_BLEU

if TYPE_CHECKING:
    import torch

    from xsam.tasks import Problem

NUMERICS = 1  # raise by hand whenever the same parameters give other numbers than before

PUBLISHED = "transformer_iwslt_de_en"
SIZES = ("embed_dim", "ffn_dim", "heads", "layers")

PARAMETERS: Mapping[str, Parameter] = {
    "model": Parameter(
        "str", PUBLISHED, choices=(PUBLISHED, "transformer"), help="the published model, or one of your own sizes"
    ),
    "dataset": Parameter("str", "iwslt14_de_en", choices=tuple(CORPORA), help="the corpus"),
    "source": Parameter("str", "de", help="language to translate from"),
    "target": Parameter("str", "en", help="language to translate to"),
    "bpe_merges": Parameter("int", None, at_least=1, nullable=True, help="byte-pair merges; null: the corpus's usual"),
    "embed_dim": Parameter("int", 512, at_least=1, help="transformer: size of a token's vector"),
    "ffn_dim": Parameter("int", 1024, at_least=1, help="transformer: inner size of the feed-forward layers"),
    "heads": Parameter("int", 4, at_least=1, help="transformer: attention heads"),
    "layers": Parameter("int", 6, at_least=1, help="transformer: layers of the encoder, and of the decoder"),
    "dropout": Parameter("float", 0.3, at_least=0, below=1, help="dropout of layers and embeddings"),
    "attention_dropout": Parameter("float", 0.0, at_least=0, below=1, help="dropout of attention weights"),
    "activation_dropout": Parameter("float", 0.0, at_least=0, below=1, help="dropout within feed-forward layers"),
    "label_smoothing": Parameter("float", 0.1, at_least=0, below=1, help="label smoothing of the training loss"),
    "max_tokens": Parameter("int", 4096, at_least=1, help="tokens of a batch, padding included, on the longer side"),
    "beam": Parameter("int", 5, at_least=1, help="hypotheses that beam search keeps"),
    "length_penalty": Parameter("float", 1.0, help="exponent of the length that divides a hypothesis's score"),
    "eval_batch_size": Parameter("int", 128, at_least=1, help="sentences decoded at a time; may change last bits"),
    "average_last": Parameter("int", 1, at_least=1, help="final weights: the mean of this many last epochs'"),
    **LOOP_PARAMETERS,
    "schedule": replace(LOOP_PARAMETERS["schedule"], default="inverse_sqrt"),
    "warmup_updates": replace(LOOP_PARAMETERS["warmup_updates"], default=4000),
}


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
    parameters = PARAMETERS
    bases: Mapping[str, Base] = {**BASES, "adam": _fairseq_adam()}
    default_base = "adam"
    metric = TEST_BLEU
    epoch_metrics = EPOCH_METRICS
    run_metrics = RUN_METRICS

    def unused(self, params: Parameters) -> frozenset[str]:
        """Names of this task's own parameters that make no difference to the run ``params``.

        >>> "layers" in TASK.unused({"model": "transformer_iwslt_de_en"})
        True
        """
        return frozenset(SIZES if params["model"] == PUBLISHED else ()) | unused_loop_parameters(params)

    def check(self, params: Parameters) -> None:
        """Raise ``ValueError`` (one line) for values that are each valid and do not go together."""
        given: Mapping[str, Any] = params
        if given["source"] == given["target"]:
            raise ValueError(f"source and target are both {given['source']}")
        if given["model"] != PUBLISHED and given["embed_dim"] % (2 * given["heads"]):
            raise ValueError(f"embed_dim {given['embed_dim']} is no multiple of twice the heads, {given['heads']}")
        if given.get("compile"):
            raise ValueError(
                "compile makes a graph for each shape of batch, and translation has hundreds: leave it out"
            )
        check_loop_parameters(params)

    def steps_per_epoch(self, params: Parameters) -> int | None:
        """Unknown before the corpus is prepared."""
        return None

    def open(self, params: Parameters, data_dir: Path, device: torch.device) -> Problem:
        """One run's model and data on ``device``; raises ``DataMissing`` where the corpus is not prepared."""
        from xsam.tasks.translation.pairs import load
        from xsam.tasks.translation.problem import TranslationProblem

        given: Mapping[str, Any] = params
        corpus = CORPORA[given["dataset"]]
        merges = given["bpe_merges"] or corpus.merges
        return TranslationProblem(params, load(corpus.name, merges, given["source"], given["target"], data_dir), device)


TASK = TranslationTask()
