"""Beam search for the best translation of each source, as fairseq's ``SequenceGenerator`` finds it.

A hypothesis's score is the sum of its tokens' log-probabilities over its length to the power of the length penalty. A
source is done when as many hypotheses have ended as the beam is wide, or when none that goes on can end better than
the best that has ended: log-probabilities are never above 0, so that is known before. What is found is the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xsam.tasks.translation.incremental import IncrementalDecoder

DEAD_SHARE = 1 / 8  # of the sources that are done: so many are worth a copy of the others


@dataclass(frozen=True)
class Hypothesis:
    """A translation: its token numbers, the end of sentence last, and its score."""

    tokens: Tensor
    score: float


@dataclass(frozen=True)
class Limits:
    """Hypotheses kept, exponent of the length in a score, and the most tokens of a translation, its end not counted."""

    beam: int
    length_penalty: float
    longest: int

    def scored(self, total: Tensor, length: int) -> Tensor:
        """Scores of hypotheses of ``length`` tokens whose log-probabilities sum to ``total``."""
        return total / float(length**self.length_penalty)

    def reachable(self, total: Tensor, length: int) -> Tensor:
        """What no longer hypothesis can score above, whose first ``length`` tokens sum to ``total``."""
        return torch.maximum(self.scored(total, length + 1), self.scored(total, self.longest + 1))


def best_candidates(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest of each row and where they are, the largest first.

    Like ``torch.topk``, which looks at every value with a comparison of its own: here columns go in groups whose maxima
    are found first, so that it looks at few.

    >>> best_candidates(torch.tensor([[3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]]), 3)
    (tensor([[9., 6., 5.]]), tensor([[5, 7, 4]]))
    """
    rows, columns = scores.shape
    size = math.isqrt(columns // count)
    groups = columns // size if size > 1 else 0
    if groups < count:
        values, indices = torch.topk(scores, count)
        return values, indices
    whole = groups * size
    # Group g has the columns g, groups + g, 2 · groups + g, …, so that maxima are taken of whole rows.
    maxima = scores[:, :whole].unflatten(1, (size, groups)).amax(1)
    chosen = torch.topk(maxima, count, sorted=False).indices
    places = (chosen[:, None] + groups * torch.arange(size, device=scores.device)[:, None]).flatten(1)
    if whole < columns:
        rest = torch.arange(whole, columns, device=scores.device)
        places = torch.cat([places, rest.expand(rows, -1)], dim=1)
    found, where = torch.topk(scores.gather(1, places), count)
    return found, places.gather(1, where)


class Search:
    """One batch's search.

    Args:
        decoder: started on the sources of ``sources``.
        dictionary: of the target language.
        limits: how to search.
        sources: how many.
        device: the decoder's.
    """

    def __init__(
        self, decoder: IncrementalDecoder, dictionary: Any, limits: Limits, sources: int, device: torch.device
    ) -> None:
        self._decoder, self._limits = decoder, limits
        self._eos, self._pad = dictionary.eos(), dictionary.pad()
        self._beam = min(limits.beam, len(dictionary) - 1)
        self._numbers = torch.arange(sources, device=device)  # of those that are searched
        self._tokens = torch.full((sources, 1), self._eos, device=device)  # a row for each hypothesis
        self._totals = torch.zeros(sources, 1, device=device)  # sources × hypotheses
        self._ended = torch.zeros(sources, dtype=torch.long, device=device)
        self._done = torch.zeros(sources, dtype=torch.bool, device=device)
        self._scores = torch.full((sources,), -math.inf, device=device)
        self._found = torch.full((sources, limits.longest + 1), self._pad, device=device)
        self._lengths = torch.zeros(sources, dtype=torch.long, device=device)

    def run(self) -> list[Hypothesis]:
        """The best hypothesis of each source, in order.

        Raises ``ValueError`` where a source has none with a finite score.
        """
        length = 0  # of the hypotheses that go on
        while len(self._numbers):
            parents, totals, tokens = self._candidates(length)
            length += 1
            self._end(parents, totals, tokens, length)
            self._go_on(parents, totals, tokens, length)
        if not bool(torch.isfinite(self._scores).all()):
            raise ValueError("the model finds no translation with a finite score: its weights are not finite")
        lengths, scores = self._lengths.tolist(), self._scores.tolist()
        rows = zip(self._found, lengths, scores, strict=True)
        return [Hypothesis(tokens[:count], score) for tokens, count, score in rows]

    def _candidates(self, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """The best next tokens of each source: row of the parent, sum of log-probabilities, token."""
        scores = self._decoder.scores(self._tokens[:, -1])
        scores[:, self._pad] = -math.inf
        if length == 0:
            scores[:, self._eos] = -math.inf  # a translation has at least one token
        if length == self._limits.longest:
            ends = scores[:, self._eos].clone()
            scores.fill_(-math.inf)
            scores[:, self._eos] = ends
        sources, kept = self._totals.shape
        entries = scores.shape[1]
        scores = scores.view(sources, kept, entries).add_(self._totals[:, :, None]).view(sources, -1)
        totals, places = best_candidates(scores, min(2 * self._beam, scores.shape[1] - 1))
        first = kept * torch.arange(sources, device=places.device)[:, None]
        return first + places.div(entries, rounding_mode="floor"), totals, places % entries

    def _end(self, parents: Tensor, totals: Tensor, tokens: Tensor, length: int) -> None:
        """Remember each source's best hypothesis that ends here, if it is the best so far.

        Only ends among as many candidates as the beam is wide count; the first of them is the best.
        """
        ends = ((tokens == self._eos) & (totals > -math.inf))[:, : self._beam] & ~self._done[:, None]
        self._ended += ends.sum(1)
        first = ends.int().argmax(1, keepdim=True)
        scores = self._limits.scored(totals.gather(1, first), length)[:, 0]
        better = (ends.any(1) & (scores > self._scores[self._numbers])).nonzero()[:, 0]
        if len(better):
            numbers, rows = self._numbers[better], parents.gather(1, first)[better, 0]
            self._scores[numbers], self._lengths[numbers] = scores[better], length
            self._found[numbers, : length - 1] = self._tokens[rows, 1:]
            self._found[numbers, length - 1] = self._eos

    def _go_on(self, parents: Tensor, totals: Tensor, tokens: Tensor, length: int) -> None:
        """Move on to the best candidates that do not end, of the sources that are not done."""
        if length > self._limits.longest:
            self._numbers = self._numbers[:0]
            return
        ends = (tokens == self._eos) & (totals > -math.inf)
        chosen = ends.int().argsort(dim=1, stable=True)[:, : self._beam]
        parents, totals, tokens = (one.gather(1, chosen) for one in (parents, totals, tokens))
        reachable = self._limits.reachable(totals[:, 0], length)
        self._done |= (self._ended >= self._beam) | (self._scores[self._numbers] >= reachable)
        left = (~self._done).nonzero()[:, 0]
        dead = len(self._done) - len(left)
        if dead and dead >= DEAD_SHARE * len(self._done):
            parents, totals, tokens = parents[left], totals[left], tokens[left]
            self._numbers, self._ended, self._done = self._numbers[left], self._ended[left], self._done[left]
            if not len(left):
                return
            self._decoder.keep(left)
        self._decoder.reorder(parents.flatten())
        self._tokens = torch.cat([self._tokens[parents.flatten()], tokens.view(-1, 1)], dim=1)
        self._totals = totals
