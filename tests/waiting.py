"""Waiting for what must come, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 240.0  # seconds; a loaded machine takes a while to import torch


def wait_until(found: Callable[[], T], what: str, seconds: float = PATIENCE, every: float = 0.01) -> T:
    """Ask until the answer is not empty; returns it."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(every)
    return value
