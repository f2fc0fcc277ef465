"""Beam search with fairseq's generator, batch by batch, and its translations in the order of their sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from xsam.tasks.translation.library import fairseq

MAX_LENGTH_FACTOR, MAX_LENGTH_EXTRA = 1.2, 10  # a translation has at most 1.2 times its source's tokens plus 10


@dataclass(frozen=True)
class Beam:
    """How to decode: hypotheses kept, exponent of the length in a hypothesis's score, sentences in a batch."""

    size: int
    length_penalty: float
    batch_size: int


def length_batches(dataset: Any, batch_size: int) -> list[np.ndarray]:
    """All the indices of ``dataset`` in batches of sentences of like length (by source, then target)."""
    order = np.lexsort((dataset.tgt_sizes, dataset.src_sizes))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


@torch.no_grad()
def translate(model: nn.Module, dataset: Any, target_dictionary: Any, beam: Beam, device: torch.device) -> list[str]:
    """The best translation of each source sentence of ``dataset``, in its order, as words with blanks between them.

    One for every sentence, whatever its length; subwords are joined, unknown tokens are ``<unk>``. The model is in
    evaluation mode afterwards.
    """
    generator = fairseq().SequenceGenerator(
        [model],
        target_dictionary,
        beam_size=beam.size,
        max_len_a=MAX_LENGTH_FACTOR,
        max_len_b=MAX_LENGTH_EXTRA,
        len_penalty=beam.length_penalty,
    )
    found: dict[int, str] = {}
    for indices in length_batches(dataset, beam.batch_size):
        sample = dataset.collater([dataset[int(index)] for index in indices])
        # Without the targets, which the search must not see.
        source = {name: sample["net_input"][name].to(device) for name in ("src_tokens", "src_lengths")}
        hypotheses: Sequence[Any] = generator.generate([model], {"net_input": source})
        for index, ranked in zip(sample["id"].tolist(), hypotheses, strict=True):
            found[index] = target_dictionary.string(ranked[0]["tokens"].int().cpu(), "subword_nmt")
    return [found[index] for index in range(len(dataset))]
