"""Images of noisy stripes, upright or lying: made here, so there is nothing to prepare."""

from __future__ import annotations

import numpy as np


def stripes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """400 training and 200 test images of 1×8×8, and their labels (0: upright, 1: lying)."""
    generator = np.random.default_rng(0)
    labels = np.arange(600) % 2
    upright = np.tile([40, 200], 4) * np.ones((8, 1))
    clean = np.where(labels[:, None, None] == 0, upright, upright.T)
    noisy = clean + generator.normal(0, 120, clean.shape)
    images = np.clip(noisy, 0, 255).astype(np.uint8)[:, None]
    return images[:400], labels[:400], images[400:], labels[400:]
