"""Dropout that draws faster than torch does on a CPU: torch's very masks, or masks of four elements a random word."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xsam.tasks.translation.library import fairseq

LEVELS = 2**16  # a 64-bit word is cut into four numbers of as many values
PER_WORD = 4

UNIFORM_BITS = 53  # of a 64-bit word, the lowest; what torch makes a uniform double of
CHUNK = 2**16  # words at a time: they stay in the cache, and memory is not asked for eight bytes an element


class SameDropout(nn.Module):
    """Dropout with the results of ``torch.nn.Dropout`` to the bit, and its use of the random state, in less time.

    torch draws a 64-bit word for each element, makes a double in [0, 1) of its lowest 53 bits and compares that with
    the probability. Here the words are drawn in one sweep and compared as whole numbers, which is the same. Where torch
    draws otherwise, this is torch's own dropout: on accelerators, in other types than float32, and on CPUs for which
    torch has MKL's generator (:func:`draws_words` looks).

    Args:
        p: share of the elements to drop, from 0 to below 1.

    Example:
        >>> x, dropout = torch.ones(3, 50), SameDropout(0.25)
        >>> _ = torch.manual_seed(0)
        >>> expected = F.dropout(x, 0.25)
        >>> _ = torch.manual_seed(0)
        >>> torch.equal(dropout(x), expected)
        True
        >>> dropout.eval()(torch.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with elements dropped in training mode, itself otherwise."""
        if not (self.training and self.p):
            return x
        # Masks are drawn in the order of the memory.
        if x.device.type != "cpu" or x.dtype != torch.float32 or not x.is_contiguous() or not draws_words():
            return F.dropout(x, self.p)
        stay = 1 - self.p
        return x * kept_of_words(x.numel(), stay).view(x.shape).to(x.dtype).mul_(torch.ones(()).div_(stay))

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"p={self.p:g}"


def kept_of_words(count: int, stay: float) -> Tensor:
    """``torch.empty(count).bernoulli_(stay)`` as booleans, from the words of torch's generator of the CPU."""
    kept = torch.empty(count, dtype=torch.bool)
    words = torch.empty(min(count, CHUNK), dtype=torch.int64)
    limit = math.ceil(stay * 2**UNIFORM_BITS)  # a product with a power of two is exact
    for own in kept.split(CHUNK):
        drawn = words[: len(own)].random_(-(2**63), None)
        torch.lt(drawn.bitwise_and_(2**UNIFORM_BITS - 1), limit, out=own)
    return kept


@cache
def draws_words() -> bool:
    """Whether torch's ``bernoulli_`` on this CPU draws a word an element, as :func:`kept_of_words` takes it."""
    before = torch.default_generator.get_state()
    try:
        expected, state = torch.empty(1_000).bernoulli_(0.7).bool(), torch.default_generator.get_state()
        torch.default_generator.set_state(before)
        found = kept_of_words(1_000, 0.7)
        return torch.equal(found, expected) and torch.equal(torch.default_generator.get_state(), state)
    finally:
        torch.default_generator.set_state(before)


def threshold(p: float) -> int:
    """How many of the 65,536 values of a number mean that an element is dropped.

    >>> threshold(0.25), threshold(0.3), threshold(1e-9), threshold(0.9999999)
    (16384, 19661, 0, 65535)
    """
    return min(round(p * LEVELS), LEVELS - 1)


class WordDropout(nn.Module):
    """Dropout with probability :func:`threshold` (p) / 65,536, which differs from ``p`` by 1/131,072 at most.

    Elements that stay are divided by the exact probability to stay. Words come from torch's global generator of the
    input's device: states that are saved and brought back for ``torch.nn.Dropout`` do the same here.

    Args:
        p: share of the elements to drop, from 0 to below 1.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> dropout = WordDropout(0.25)
        >>> sorted(set(dropout(torch.ones(3, 50)).flatten().tolist()))
        [0.0, 1.3333333730697632]
        >>> dropout.eval()(torch.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self._dropped = threshold(p)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with elements dropped in training mode, itself otherwise."""
        if not (self.training and self._dropped):
            return x
        words = torch.empty(-(-x.numel() // PER_WORD), dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None)  # without a range the highest bit of each would be 0
        numbers = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = (numbers >= self._dropped - LEVELS // 2).to(x.dtype)
        return x * kept.mul_(LEVELS / (LEVELS - self._dropped))

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"p={self._dropped / LEVELS:.6g}"


def draw_same(model: nn.Module) -> None:
    """Let the dropout of a fairseq model's layers, embeddings and feed-forward layers be :class:`SameDropout`."""
    _replace(model, SameDropout)


def draw_words(model: nn.Module) -> None:
    """Let the dropout of a fairseq model's layers, embeddings and feed-forward layers draw words."""
    _replace(model, WordDropout)


def _replace(model: nn.Module, kind: type[SameDropout] | type[WordDropout]) -> None:
    """Put a ``kind`` in every dropout's place; that of attention weights stays: it is inside torch's own attention."""
    own, attention = fairseq().Dropout, fairseq().MultiheadAttention
    for module in list(model.modules()):
        if isinstance(module, attention):
            continue
        for name, child in list(module.named_children()):
            if isinstance(child, own):
                setattr(module, name, kind(child.p))
