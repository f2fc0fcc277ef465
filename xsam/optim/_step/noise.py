"""Random vectors in the shape of the parameters, apart from torch's random state."""

from __future__ import annotations

import torch

from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class Noise:
    """Standard normal noise from generators that are keyed by a seed and a step.

    Attributes:
        seed: the one in use; None before the first. All processes that train one model have the same.
    """

    def __init__(self) -> None:
        self.seed: int | None = None

    def agreed(self, passes: Passes) -> int:
        """The seed, where there is none yet torch's initial one; the caller keeps it when its step is over."""
        return passes.same_for_all(torch.initial_seed() % 2**53) if self.seed is None else self.seed

    @staticmethod
    def like(parameters: Tensors, seed: int, step: int) -> Tensors:
        """Noise for each of ``parameters``, drawn on their device."""
        generator = torch.Generator(parameters[0].device).manual_seed((seed * 1_000_003 + step) % 2**63)
        return [torch.empty_like(each).normal_(generator=generator) for each in parameters]
