"""fairseq's Transformers by their names in grids."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from torch import nn

from xsam.tasks.translation.library import fairseq

ARCHITECTURE = "transformer_iwslt_de_en"


def build(given: Mapping[str, Any], source_dictionary: Any, target_dictionary: Any) -> nn.Module:
    """The run's encoder-decoder, with shared decoder input and output embeddings and fairseq's initial weights.

    ``transformer_iwslt_de_en`` is the published architecture: 6 + 6 layers, 512 dimensions, 4 heads;
    with the published dictionaries (8,848 and 6,632 entries) it has 39,469,056 parameters. ``transformer`` is the same
    with the sizes that the run's parameters say.
    """
    task = SimpleNamespace(source_dictionary=source_dictionary, target_dictionary=target_dictionary)
    model: nn.Module = fairseq().TransformerModel.build_model(arguments(given), task)
    return model


def arguments(given: Mapping[str, Any]) -> Namespace:
    """What fairseq's command line would make of the run's architecture."""
    # A Namespace, since the configuration classes share their nested defaults between instances.
    chosen = Namespace(
        share_decoder_input_output_embed=True,
        dropout=given["dropout"],
        attention_dropout=given["attention_dropout"],
        activation_dropout=given["activation_dropout"],
    )
    if given["model"] != ARCHITECTURE:
        for side in ("encoder", "decoder"):
            setattr(chosen, f"{side}_embed_dim", given["embed_dim"])
            setattr(chosen, f"{side}_ffn_embed_dim", given["ffn_dim"])
            setattr(chosen, f"{side}_attention_heads", given["heads"])
            setattr(chosen, f"{side}_layers", given["layers"])
    fairseq().architectures[ARCHITECTURE](chosen)
    return chosen
