"""Checkpoints: everything that a run needs to go on as if it had never stopped.

A checkpoint is a file as ``torch.save`` makes it, a ZIP archive, whose comment says which run it is of and what its
content hashes to. A file that is not what was written is not gone on from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import torch

from xsam.atomic import is_no_file, open_file, replacing
from xsam.runner import randomness
from xsam.runner.distributed import ALONE, ProcessGroup
from xsam.runner.trainer import Trainer

FORMAT = 3
_MAGIC = b"xsam-checkpoint"
_CHUNK = 1 << 22


class CheckpointMismatch(Exception):
    """The checkpoint on disk is damaged, or belongs to another run, to other data, or to another version."""


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
        notes: what those who read the run's row should know of how it went.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: Any = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    sharpness: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Identity:
    """What a checkpoint must have in common with the run that resumes from it."""

    run_id: str
    data_checksum: str


def save(path: Path, identity: Identity, position: Position, trainer: Trainer, group: ProcessGroup = ALONE) -> None:
    """Write a checkpoint atomically; nothing half-written is ever under ``path``.

    Every process of ``group`` takes part, and rank 0 writes. Replicas differ in their random states alone.
    """
    states = group.gather(randomness.state())
    if group.rank:
        return
    position_now = {**vars(position), "loss_sum": float(position.loss_sum)}
    write(path, identity, {"position": position_now, "rng": states, **trainer.state_dict()})


def write(path: Path, identity: Identity, content: Mapping[str, Any]) -> None:
    """Write the ``content`` of a checkpoint to ``path`` with its hash, atomically."""
    with replacing(path) as temporary, temporary.open("w+b") as file:
        hashing = _Hashing(file)
        torch.save(dict(content), cast(IO[bytes], hashing))
        hashing.check()
        facts = {"format": FORMAT, **asdict(identity)}
        comment = _MAGIC + json.dumps({**facts, "sha256": _with_facts(hashing.hash, facts)}).encode()
        file.seek(-2, 2)  # the length of the archive's comment, its last two bytes
        file.write(len(comment).to_bytes(2, "little") + comment)


class _Hashing:
    """A file that is written to, and the hash of what was."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.hash = file, hashlib.sha256()
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        self.hash.update(data)
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:  # torch's writer, in C++, would end the process
                self._error = error
        return len(data)

    def check(self) -> None:
        """Raise what went wrong in writing."""
        if self._error is not None:
            raise self._error

    def flush(self) -> None:
        self._file.flush()


def _with_facts(digest: hashlib._Hash, facts: Mapping[str, Any]) -> str:
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()


def check(path: Path, identity: Identity) -> None:
    """Raise :class:`CheckpointMismatch` unless the file is what was written, for this run and these data."""
    try:
        with open_file(path) as file:
            facts = _facts(file)
    except FileNotFoundError:
        raise
    except OSError as error:
        if not is_no_file(error):
            raise
        raise CheckpointMismatch(f"{path}: no checkpoint: {error.strerror}") from None
    if facts is None:
        raise CheckpointMismatch(f"{path}: damaged, or no checkpoint of this version")
    if facts["format"] != FORMAT:
        raise CheckpointMismatch(f"{path}: checkpoint format {facts['format']}, not {FORMAT}")
    for name, mine in asdict(identity).items():
        if facts[name] != mine:
            raise CheckpointMismatch(f"{path}: made with {name} {facts[name]}, not {mine}")


def _facts(file: IO[bytes]) -> dict[str, Any] | None:
    """What the comment of a checkpoint says, if the content has the hash that stands there; else None."""
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16)))
    comment = file.read().rpartition(_MAGIC)[2]
    end = max(0, size - len(_MAGIC) - len(comment) - 2)
    try:
        facts: dict[str, Any] = json.loads(comment)
        stated = facts.pop("sha256")
    except (ValueError, KeyError, AttributeError):
        return None
    file.seek(end)
    if file.read(2) != (len(_MAGIC) + len(comment)).to_bytes(2, "little"):
        return None
    file.seek(0)
    digest = hashlib.sha256()
    while end > 0 and (part := file.read(min(_CHUNK, end))):
        digest.update(part)
        end -= len(part)
    digest.update(bytes(2))  # where the comment's length is now, there was none
    return facts if _with_facts(digest, facts) == stated else None


def load(path: Path, identity: Identity, trainer: Trainer, group: ProcessGroup = ALONE) -> Position | None:
    """Bring trainer and random state to where the checkpoint left them; None where there is no checkpoint.

    Raises:
        CheckpointMismatch: see :func:`check`; trainer and random state are as they were.
    """
    if not path.exists():
        return None
    check(path, identity)
    content = torch.load(path, map_location=trainer.device, weights_only=True)
    trainer.load_state_dict(content)
    randomness.set_state(content["rng"][group.rank])
    return Position(**content["position"])
