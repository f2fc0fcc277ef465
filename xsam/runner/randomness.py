"""The random states of a process: torch's, Python's and numpy's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed(number: int) -> None:
    """Seed all generators."""
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number % 2**32)


def state() -> dict[str, Any]:
    """The states of all generators, in types that ``torch.load`` reads with ``weights_only``."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": (kind, torch.tensor(np.asarray(keys, dtype=np.int64)), *rest),  # weights_only knows no numpy arrays
    }


def set_state(found: dict[str, Any]) -> None:
    """Bring all generators back to a :func:`state`."""
    torch.set_rng_state(found["torch"].cpu())
    if found["cuda"]:
        torch.cuda.set_rng_state_all([one.cpu() for one in found["cuda"]])
    random.setstate(found["python"])
    kind, keys, *rest = found["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *rest))


@contextmanager
def kept() -> Iterator[None]:
    """Leave all generators as they were, whatever is drawn inside.

    >>> before = random.getstate()
    >>> with kept():
    ...     _ = random.random()
    >>> random.getstate() == before
    True
    """
    before = state()
    try:
        yield
    finally:
        set_state(before)
