"""Dropout masks from random words: a tenth of the time that torch takes on a CPU, where it draws for each element."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xsam.tasks.translation.library import fairseq

LEVELS = 2**16  # a 64-bit word is cut into four numbers of as many values
PER_WORD = 4


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


def draw_words(model: nn.Module) -> None:
    """Let the dropout of a fairseq model's layers, embeddings and feed-forward layers draw words.

    That of attention weights stays torch's: it is inside torch's own attention.
    """
    own, attention = fairseq().Dropout, fairseq().MultiheadAttention
    for module in list(model.modules()):
        if isinstance(module, attention):
            continue
        for name, child in list(module.named_children()):
            if isinstance(child, own):
                setattr(module, name, WordDropout(child.p))
