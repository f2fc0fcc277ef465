"""fairseq's Transformers by their names in grids."""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace
from typing import Any

from torch import nn

from xsam.tasks.translation.dropout import draw_same, draw_words
from xsam.tasks.translation.library import fairseq
from xsam.tasks.translation.translation_run import PUBLISHED, ModelConfig


def build(model: ModelConfig, source_dictionary: Any, target_dictionary: Any) -> nn.Module:
    """The run's encoder-decoder, with shared decoder input and output embeddings and fairseq's initial weights.

    ``transformer_iwslt_de_en`` is the published architecture: 6 + 6 layers, 512 dimensions, 4 heads;
    with the published dictionaries (8,848 and 6,632 entries) it has 39,469,056 parameters. ``transformer`` is the same
    with the sizes that the run's parameters say. Dropout modules are replaced by faster ones; they have no weights, and
    unless ``dropout_masks`` says otherwise they drop what fairseq's would, to the bit.
    """
    network = original(model, source_dictionary, target_dictionary)
    (draw_words if model.dropout_masks == "words" else draw_same)(network)
    return network


def original(model: ModelConfig, source_dictionary: Any, target_dictionary: Any) -> nn.Module:
    """:func:`build`'s model as fairseq makes it."""
    task = SimpleNamespace(source_dictionary=source_dictionary, target_dictionary=target_dictionary)
    network: nn.Module = fairseq().TransformerModel.build_model(arguments(model), task)
    return network


def arguments(model: ModelConfig) -> Namespace:
    """What fairseq's command line would make of the run's architecture."""
    # A Namespace, since the configuration classes share their nested defaults between instances.
    chosen = Namespace(
        share_decoder_input_output_embed=True,
        dropout=model.dropout,
        attention_dropout=model.attention_dropout,
        activation_dropout=model.activation_dropout,
    )
    if model.name != PUBLISHED:
        for side in ("encoder", "decoder"):
            setattr(chosen, f"{side}_embed_dim", model.embed_dim)
            setattr(chosen, f"{side}_ffn_embed_dim", model.ffn_dim)
            setattr(chosen, f"{side}_attention_heads", model.heads)
            setattr(chosen, f"{side}_layers", model.layers)
    fairseq().architectures[PUBLISHED](chosen)
    return chosen
