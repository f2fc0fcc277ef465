"""fairseq's Transformer decoder one token at a time, for many hypotheses of each source at once.

The numbers are those of ``TransformerDecoder`` with an incremental state. What it computes or copies in every step,
though it stays the same, is done once here: keys and values of a source are made once, and shared by its hypotheses;
keys and values of a hypothesis move when it does, in one copy and without being made longer by another.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8  # tokens by which the room of a cache grows


class SelfAttention:
    """Self-attention of one layer over the tokens so far of each hypothesis.

    Two buffers take turns: hypotheses are copied from one into the other, in the order in which they go on.
    """

    def __init__(self, module: Any) -> None:
        projections = (module.q_proj, module.k_proj, module.v_proj)
        self._weight = torch.cat([one.weight for one in projections])
        self._bias = torch.cat([one.bias for one in projections])
        self._out, self._scaling = module.out_proj, module.scaling
        self._heads, self._size = module.num_heads, module.head_dim
        self._now: list[Tensor] = []  # keys and values: hypotheses × heads × room × head size
        self._next: list[Tensor] = []
        self._length = 0

    def clear(self) -> None:
        """Forget all tokens."""
        self._now, self._next, self._length = [], [], 0

    def reorder(self, parents: Tensor, same: bool) -> None:
        """Go on with copies of these hypotheses, as many as there are ``parents``.

        Args:
            same: they are all of them, in their order.
        """
        room = self._now[0].shape[2]
        if room == self._length:
            room += BLOCK
        elif same:
            return
        for side, cache in enumerate(self._now):
            shape = (len(parents), self._heads, room, self._size)
            spare = self._next[side] if side < len(self._next) else cache[:0]
            if spare.shape[2] != room or len(spare) < len(parents):
                spare = cache.new_empty(shape)
            if cache.shape[2] == room:
                torch.index_select(cache, 0, parents, out=spare[: len(parents)])
            else:
                spare[: len(parents), :, : self._length] = cache.index_select(0, parents)
            self._next[side : side + 1] = [cache]
            self._now[side] = spare[: len(parents)]

    def __call__(self, x: Tensor) -> Tensor:
        """Attend from the newest token of each hypothesis, ``x`` (hypotheses × width), to all of its tokens."""
        rows, width = x.shape
        query, *made = F.linear(x, self._weight, self._bias).split(width, dim=1)
        if not self._now:
            self._now = [one.new_empty(rows, self._heads, BLOCK, self._size) for one in made]
        for cache, one in zip(self._now, made, strict=True):
            cache[:, :, self._length] = one.view(rows, self._heads, self._size)
        self._length += 1
        keys, values = (cache.flatten(0, 1)[:, : self._length] for cache in self._now)
        scores = torch.bmm((query * self._scaling).view(-1, 1, self._size), keys.transpose(1, 2))
        found = torch.bmm(torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype), values)
        attended: Tensor = self._out(found.view(rows, width))
        return attended


class SourceAttention:
    """Attention of one layer to the sources, whose keys and values all hypotheses of a source share."""

    def __init__(self, module: Any) -> None:
        self._module, self._heads, self._size = module, module.num_heads, module.head_dim
        self._keys = self._values = torch.empty(0)  # (sources · heads) × source tokens × head size

    def start(self, encoded: Tensor) -> None:
        """Make keys and values of ``encoded`` (source tokens × sources × width)."""
        length, sources, _ = encoded.shape
        made = (project(encoded) for project in (self._module.k_proj, self._module.v_proj))
        self._keys, self._values = (
            one.view(length, sources * self._heads, self._size).transpose(0, 1).contiguous() for one in made
        )

    def keep(self, sources: Tensor) -> None:
        """Go on with these sources alone."""
        self._keys, self._values = (
            whole.unflatten(0, (-1, self._heads)).index_select(0, sources).flatten(0, 1)
            for whole in (self._keys, self._values)
        )

    def __call__(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """Attend from ``x`` (hypotheses × width), those of a source side by side, to what ``padding`` leaves of it."""
        rows, width = x.shape
        sources = len(self._keys) // self._heads
        query = (self._module.q_proj(x) * self._module.scaling).view(sources, -1, self._heads, self._size)
        scores = torch.bmm(query.transpose(1, 2).flatten(0, 1), self._keys.transpose(1, 2))
        if padding is not None:
            scores.unflatten(0, (sources, -1)).masked_fill_(padding[:, None, None], float("-inf"))
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(self._values.dtype)
        found = torch.bmm(weights, self._values).unflatten(0, (sources, -1)).transpose(1, 2)
        attended: Tensor = self._module.out_proj(found.reshape(rows, width))
        return attended


class IncrementalDecoder:
    """The decoder of a Transformer as :func:`xsam.tasks.translation.models.build` makes it, in evaluation mode.

    Its weights are read when this is made: make a new one after they changed.
    """

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._layers = [
            (layer, SelfAttention(layer.self_attn), SourceAttention(layer.encoder_attn)) for layer in decoder.layers
        ]
        self._padding: Tensor | None = None
        self._rows = 0  # hypotheses
        self._step = 0

    def start(self, encoded: Tensor, padding: Tensor) -> None:
        """Begin with one hypothesis of each source.

        Args:
            encoded: the encoder's output, source tokens × sources × width.
            padding: where a source has no token, sources × source tokens.
        """
        self._padding = padding if bool(padding.any()) else None
        self._rows, self._step = len(padding), 0
        for _, own, source in self._layers:
            own.clear()
            source.start(encoded)

    def reorder(self, parents: Tensor) -> None:
        """Go on with copies of these hypotheses (numbers of rows); all sources must have the same number of them."""
        same = torch.equal(parents, torch.arange(self._rows, device=parents.device))
        self._rows = len(parents)
        for _, own, _ in self._layers:
            own.reorder(parents, same)

    def keep(self, sources: Tensor) -> None:
        """Go on with these sources alone; hypotheses are :meth:`reorder`'s."""
        self._padding = None if self._padding is None else self._padding.index_select(0, sources)
        for _, _, source in self._layers:
            source.keep(sources)

    def scores(self, tokens: Tensor) -> Tensor:
        """Log-probabilities of the next token, hypotheses × dictionary, where ``tokens`` are the newest, one each."""
        decoder = self._decoder
        positions = decoder.embed_positions
        self._step += 1
        x = decoder.embed_scale * decoder.embed_tokens(tokens)
        x = x + positions.weights[positions.padding_idx + self._step]
        for layer, own, source in self._layers:
            x = layer.self_attn_layer_norm(x + own(x))
            x = layer.encoder_attn_layer_norm(x + source(x, self._padding))
            x = layer.final_layer_norm(x + layer.fc2(torch.relu_(layer.fc1(x))))
        return torch.log_softmax(decoder.output_layer(x), dim=-1, dtype=torch.float32)
