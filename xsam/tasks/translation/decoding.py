"""Beam search batch by batch, and its translations in the order of their sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xsam.tasks.translation.incremental import IncrementalDecoder
from xsam.tasks.translation.search import Hypothesis, Limits, Search

MAX_LENGTH_FACTOR, MAX_LENGTH_EXTRA = 1.2, 10  # a translation has at most 1.2 times its source's tokens plus 10
IN_CACHE = 160  # hypotheses that a CPU decodes at a time: what it computes with stays in its caches


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
def translate(model: Any, dataset: Any, target_dictionary: Any, beam: Beam, device: torch.device) -> list[str]:
    """The best translation of each source sentence of ``dataset``, in its order, as words with blanks between them.

    One for every sentence, whatever its length; subwords are joined, unknown tokens are ``<unk>``. The model is in
    evaluation mode afterwards.

    Raises ``ValueError`` (one line) where no translation has a finite score.
    """
    model.eval()
    decoder = IncrementalDecoder(model.decoder)
    found: dict[int, str] = {}
    for indices in length_batches(dataset, beam.batch_size):
        sample = dataset.collater([dataset[int(index)] for index in indices])
        # Without the targets, which the search must not see.
        source = {name: sample["net_input"][name].to(device) for name in ("src_tokens", "src_lengths")}
        hypotheses = searched(model, decoder, source, target_dictionary, beam)
        for index, best in zip(sample["id"].tolist(), hypotheses, strict=True):
            found[index] = target_dictionary.string(best.tokens.tolist(), "subword_nmt")
    return [found[index] for index in range(len(dataset))]


def searched(
    model: Any, decoder: IncrementalDecoder, source: dict[str, torch.Tensor], dictionary: Any, beam: Beam
) -> Iterator[Hypothesis]:
    """The best hypothesis of each source of a batch, in order; a CPU searches a few sources at a time."""
    encoded = model.encoder(**source)
    states, padding = encoded["encoder_out"][0], encoded["encoder_padding_mask"][0]
    sources, tokens = padding.shape
    longest = min(int(MAX_LENGTH_FACTOR * tokens + MAX_LENGTH_EXTRA), model.max_decoder_positions() - 1)
    limits = Limits(beam.size, beam.length_penalty, longest)
    share = sources if padding.device.type != "cpu" else max(1, IN_CACHE // beam.size)
    for start in range(0, sources, share):
        chosen = padding[start : start + share]
        used = ~chosen.all(0)  # tokens that none of these sources has are looked at in vain
        decoder.start(states[used, start : start + share], chosen[:, used])
        yield from Search(decoder, dictionary, limits, len(chosen), chosen.device).run()
