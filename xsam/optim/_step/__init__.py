"""One step of any sharpness-aware optimizer: passes, moved weights, kept buffers, norms, and what processes share."""
