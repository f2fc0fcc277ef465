"""Checkpoints: everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xsam.atomic import replacing
from xsam.runner.distributed import ALONE, ProcessGroup
from xsam.runner.trainer import Trainer

FORMAT = 2


class CheckpointMismatch(Exception):
    """The checkpoint on disk belongs to another run or to other data."""


@dataclass
class Position:
    """Where a run stands, and what it has gathered on the way.

    Attributes:
        epoch: epochs finished.
        step: steps finished in the current epoch.
        loss_sum: sum of the current epoch's step losses (kept on the device; a float in the file).
        history: one row for each finished epoch.
        times: wall time spent in the current epoch so far, over all starts of the run: ``seconds`` in all, and
            ``train_seconds``, ``eval_seconds`` and ``search_seconds`` of it (searches for alpha are not training).
        peak_memory_bytes: the largest seen so far; None where it cannot be measured.
        sharpness: rows of what was measured on the way.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: Any = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    sharpness: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Identity:
    """What a checkpoint must have in common with the run that resumes from it."""

    run_id: str
    data_checksum: str


def save(path: Path, identity: Identity, position: Position, trainer: Trainer, group: ProcessGroup = ALONE) -> None:
    """Write a checkpoint atomically; nothing half-written is ever under ``path``.

    Every process of ``group`` takes part, and rank 0 writes. Replicas differ in their random states alone.
    """
    states = group.gather(_random_state())
    if group.rank:
        return
    content = {
        "format": FORMAT,
        "identity": asdict(identity),
        "position": {**vars(position), "loss_sum": float(position.loss_sum)},
        "rng": states,
        **trainer.state_dict(),
    }
    with replacing(path) as temporary:
        torch.save(content, temporary)


def load(path: Path, identity: Identity, trainer: Trainer, group: ProcessGroup = ALONE) -> Position | None:
    """Bring trainer and random state to where the checkpoint left them; None where there is no checkpoint.

    Raises:
        CheckpointMismatch: the checkpoint is of another run, of other data, or of another format.
    """
    if not path.exists():
        return None
    content = torch.load(path, map_location=trainer.device, weights_only=True)
    if content["format"] != FORMAT:
        raise CheckpointMismatch(
            f"{path}: checkpoint format {content['format']}, not {FORMAT}; delete it to train anew"
        )
    for name, mine in asdict(identity).items():
        stored = content["identity"][name]
        if stored != mine:
            raise CheckpointMismatch(f"{path}: made with {name} {stored}, not {mine}; delete it to train anew")
    trainer.load_state_dict(content)
    _set_random_state(content["rng"][group.rank])
    return Position(**content["position"])


def _random_state() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": (kind, torch.tensor(np.asarray(keys, dtype=np.int64)), *rest),  # weights_only knows no numpy arrays
    }


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *rest))
