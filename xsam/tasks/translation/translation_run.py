"""What a run of machine translation is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from xsam.config import Config, Field
from xsam.parameters import Parameter
from xsam.tasks.run_config import RunConfig, Schedule, TrainingConfig, WarmupUpdates
from xsam.tasks.translation.corpora import CORPORA

PUBLISHED = "transformer_iwslt_de_en"
SIZES = ("embed_dim", "ffn_dim", "heads", "layers")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """The Transformer; sizes are those of ``transformer``, the published model has its own."""

    name: Annotated[
        Literal["transformer_iwslt_de_en", "transformer"],
        Field("the published model, or one of your own sizes", key="model"),
    ] = "transformer_iwslt_de_en"
    embed_dim: Annotated[int, Field("transformer: size of a token's vector", at_least=1)] = 512
    ffn_dim: Annotated[int, Field("transformer: inner size of the feed-forward layers", at_least=1)] = 1024
    heads: Annotated[int, Field("transformer: attention heads", at_least=1)] = 4
    layers: Annotated[int, Field("transformer: layers of the encoder, and of the decoder", at_least=1)] = 6
    dropout: Annotated[float, Field("dropout of layers and embeddings", at_least=0, below=1)] = 0.3
    attention_dropout: Annotated[float, Field("dropout of attention weights", at_least=0, below=1)] = 0.0
    activation_dropout: Annotated[float, Field("dropout within feed-forward layers", at_least=0, below=1)] = 0.0
    dropout_masks: Annotated[
        Literal["torch", "words"],
        Field(
            "torch: a draw for each element; words: four elements of each random 64-bit word, probability in steps of "
            "1/65,536, faster on a CPU; attention_dropout stays torch's",
            omit_at_default=True,
        ),
    ] = "torch"


@dataclass(frozen=True, kw_only=True)
class DataConfig(Config):
    """The corpus and its batches."""

    name: Annotated[str, Field("the corpus", key="dataset")] = "iwslt14_de_en"
    source: Annotated[str, Field("language to translate from")] = "de"
    target: Annotated[str, Field("language to translate to")] = "en"
    bpe_merges: Annotated[int | None, Field("byte-pair merges; null: the corpus's usual", at_least=1)] = None
    max_tokens: Annotated[int, Field("tokens of a batch, padding included, on the longer side", at_least=1)] = 4096
    valid_subset: Annotated[
        int | None,
        Field("validate on this many sentences, the same for every seed; null: all", at_least=1, omit_at_default=True),
    ] = None
    test_subset: Annotated[
        int | None,
        Field("test on this many sentences, the same for every seed; null: all", at_least=1, omit_at_default=True),
    ] = None

    @classmethod
    def parameters(cls) -> Mapping[str, Parameter]:
        """See :meth:`Config.parameters`: with the corpora that there are now."""
        own = dict(super().parameters())
        return {**own, "dataset": replace(own["dataset"], choices=tuple(CORPORA))}


@dataclass(frozen=True, kw_only=True)
class DecodingConfig(Config):
    """How translations are searched for."""

    beam: Annotated[int, Field("hypotheses that beam search keeps", at_least=1)] = 5
    length_penalty: Annotated[float, Field("exponent of the length that divides a hypothesis's score")] = 1.0
    eval_batch_size: Annotated[int, Field("sentences decoded at a time; may change last bits", at_least=1)] = 128


@dataclass(frozen=True, kw_only=True)
class TranslationTraining(TrainingConfig):
    """The training loop's parameters, with fairseq's schedule, and the loss's."""

    schedule: Schedule = "inverse_sqrt"
    warmup_updates: WarmupUpdates = 4000
    label_smoothing: Annotated[float, Field("label smoothing of the training loss", at_least=0, below=1)] = 0.1
    average_last: Annotated[int, Field("final weights: the mean of this many last epochs'", at_least=1)] = 1


@dataclass(frozen=True, kw_only=True)
class TranslationRun(RunConfig):
    """A run of machine translation.

    Example:
        >>> run = TranslationRun.of({"model": "transformer", "layers": 2, "beam": 1})
        >>> run.model.layers, run.decoding.beam, run.training.warmup_updates
        (2, 1, 4000)
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TranslationTraining = field(default_factory=TranslationTraining)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
