"""What a checkpoint is trusted for: to be what was written, of this run, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.runner.training import fresh, run_through, spec_of
from xsam.runner import checkpoint
from xsam.runner.checkpoint import CheckpointMismatch, Identity, Position
from xsam.runner.stop import Interrupted

IDENTITY = Identity("run", "data")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    trainer = fresh(spec_of(tmp_path), tmp_path)
    path = tmp_path / "checkpoint"
    checkpoint.save(path, IDENTITY, Position(epoch=1), trainer)
    return path


def altered(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def slightly(content: dict[str, Any]) -> None:
    name = next(iter(content["model"]))
    content["model"][name] = content["model"][name] * 1.0000001


def unknown_field(content: dict[str, Any]) -> None:
    content["position"]["surprise"] = 1


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "without its beginning": lambda path: path.write_bytes(path.read_bytes()[100:]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "garbage": lambda path: path.write_bytes(random.Random(0).randbytes(5000)),
    "foreign": lambda path: torch.save({"model": {}}, path),
    "altered": lambda path: altered(path, slightly),
    "unknown field": lambda path: altered(path, unknown_field),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_not_written_is_refused_before_it_is_read(saved: Path, tmp_path: Path, damage: str) -> None:
    DAMAGES[damage](saved)
    trainer = fresh(spec_of(tmp_path), tmp_path)
    before = {name: value.clone() for name, value in trainer.problem.model.state_dict().items()}
    with pytest.raises(CheckpointMismatch, match=r"checkpoint: ") as refused:
        checkpoint.load(saved, IDENTITY, trainer)
    assert "\n" not in str(refused.value)
    after = trainer.problem.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_no_flipped_byte_is_taken(saved: Path) -> None:
    good, chance = saved.read_bytes(), random.Random(2)
    for place in [*range(len(good) - 300, len(good)), *(chance.randrange(len(good)) for _ in range(100))]:
        bad = bytearray(good)
        bad[place] ^= 1 << chance.randrange(8)
        saved.write_bytes(bad)
        with pytest.raises(CheckpointMismatch):
            checkpoint.check(saved, IDENTITY)
    saved.write_bytes(good)
    checkpoint.check(saved, IDENTITY)


@pytest.mark.parametrize("identity", [Identity("other", "data"), Identity("run", "other")])
def test_another_run_and_other_data_are_named(saved: Path, identity: Identity) -> None:
    with pytest.raises(CheckpointMismatch, match=r"made with \w+ (run|data), not other"):
        checkpoint.check(saved, identity)


def test_torch_reads_it_as_what_it_is(saved: Path) -> None:
    assert torch.load(saved, weights_only=True)["position"]["epoch"] == 1
    comment = json.loads(saved.read_bytes().rpartition(b"xsam-checkpoint")[2])
    assert (comment["format"], comment["run_id"], comment["data_checksum"]) == (checkpoint.FORMAT, "run", "data")


def test_a_run_may_stop_at_the_end_of_an_epoch_where_no_checkpoint_is_due(tmp_path: Path) -> None:
    from tests.runner.training import STEPS, Quiet
    from xsam.runner.loop import train

    spec = spec_of(tmp_path)

    class AtTheEnd(Quiet):
        """The wish comes between two epochs."""

        def epoch_done(self, position: Position) -> None:
            self.stop_after = self.done

    trainer = fresh(spec, tmp_path)
    with pytest.raises(Interrupted):
        train(trainer, spec.config, Position(), AtTheEnd(trainer, tmp_path / "checkpoint"))
    again = fresh(spec, tmp_path)
    position = checkpoint.load(tmp_path / "checkpoint", IDENTITY, again)
    assert position is not None
    assert (position.epoch, position.step) == (1, 0)
    rest = Quiet(again, tmp_path / "checkpoint")
    assert train(again, spec.config, position, rest) == "done"
    assert rest.done == STEPS
    whole, straight = run_through(spec, tmp_path)
    assert [row["train_loss"] for row in position.history] == [row["train_loss"] for row in straight.history]
    for name, value in whole.problem.model.state_dict().items():
        assert torch.equal(value, again.problem.model.state_dict()[name])
