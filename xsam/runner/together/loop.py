"""The training loop of several seeds: :func:`xsam.runner.loop.train`, with a row for each run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from xsam.grid.spec import RunSpec
from xsam.runner.callbacks import PROGRESS_SECONDS, SAVING_AT_MOST, Leader
from xsam.runner.checkpoint import Position
from xsam.runner.lease import Lease, LeaseLost
from xsam.runner.schedule import Schedule
from xsam.runner.stop import Interrupted
from xsam.runner.together.trainer import Together
from xsam.runner.trainer import Trainer
from xsam.tasks import Metrics


@dataclass
class Member:
    """One run of several that train together; ``over`` once it has ended, or is another worker's."""

    spec: RunSpec
    lease: Lease
    trainer: Trainer
    leader: Leader
    position: Position
    resumed_from: int
    over: bool = False

    def guarded(self, act: Callable[[], None]) -> None:
        """Do something for this run; a lost lease ends it here, and no other."""
        try:
            act()
        except LeaseLost as error:
            self.leader.log.warning("%s", error)
            self.over = True


def train(together: Together, members: Sequence[Member], ended: Callable[[Member, str], None]) -> None:
    """Train ``members``, which are all at the same step, to their ends.

    Wall time is shared: each run's is its part of what all took.

    Args:
        together: their trainers.
        members: in the order of its rows.
        ended: called at a run's end, with ``"done"`` or ``"diverged"``.

    Raises:
        Interrupted: a stop was requested; the checkpoints are saved.
    """
    first = members[0]
    run, optimizer = first.spec.config, together.optimizer
    steps_per_epoch = first.trainer.problem.steps_per_epoch
    schedule = Schedule(run.training, run.optimizer.lr, steps_per_epoch)
    searches = run.optimizer.searches_each_epoch
    sums = torch.tensor([float(each.position.loss_sum) for each in members], dtype=torch.float64)
    clock = _Clock(members, optimizer)
    epoch, step, told = first.position.epoch, first.position.step, time.monotonic()
    while epoch < schedule.epochs:
        before, steps = epoch * steps_per_epoch, schedule.steps_of(epoch)
        if searches and step == 0:
            optimizer.request_alpha_search()
        while step < steps:
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(before + step)
            losses = together.step(epoch, step)
            sums += losses
            step += 1
            if time.monotonic() - told >= PROGRESS_SECONDS:
                told = time.monotonic()
                for row, member in enumerate(members):
                    member.position.step = step
                    if not member.over:
                        member.leader.step_done(member.position, losses[row])
            for member in members:
                member.position.step = step
            lead = next(each for each in members if not each.over)
            if lead.leader.stop_requested() or lead.leader.checkpoint_due(lead.position):
                clock.tick("train_seconds")
                for total, member in zip(sums, members, strict=True):
                    member.position.loss_sum = total.clone()
                _save(together, members)
                clock.tick()
                if lead.leader.stop_requested():
                    raise Interrupted
        clock.tick("train_seconds")
        together.give()
        clock.tick("train_seconds")
        metrics = together.evaluate()
        clock.tick("eval_seconds")
        for row, member in enumerate(members):
            if not member.over:
                together.seed(row)
                rate = schedule.rate(before + steps - 1)
                _close(member, float(sums[row]) / steps, rate, before + steps, metrics[row])
        sums.zero_()
        epoch, step = epoch + 1, 0
        for member in members:
            if not member.over and not math.isfinite(member.position.history[-1]["train_loss"]):
                member.guarded(partial(ended, member, "diverged"))
                member.over = True
        clock.skip()
        live = [each for each in members if not each.over]
        if not live:
            return
        stop = live[0].leader.stop_requested() and epoch < schedule.epochs
        if stop or live[0].leader.checkpoint_due(live[0].position):
            _save(together, members)
            clock.tick()
        if stop:
            raise Interrupted
    for row, member in enumerate(members):
        if not member.over:
            together.seed(row)
            member.guarded(partial(ended, member, "done"))
            member.over = True


def _close(member: Member, loss: float, rate: float, step: int, metrics: Metrics) -> None:
    """An epoch's row of one run."""
    position, optimizer = member.position, member.trainer.optimizer
    row: dict[str, Any] = {
        "epoch": position.epoch,
        "step": step,
        "train_loss": loss,
        "lr": rate,
        "alpha": getattr(optimizer, "alpha", None),
        "forwards": optimizer.forwards,
        "backwards": optimizer.backwards,
    }
    if math.isfinite(loss):
        row |= metrics
    position.history.append({**row, **position.times})
    position.epoch, position.step = position.epoch + 1, 0
    position.loss_sum, position.times = 0.0, {}
    member.leader.epoch_done(position)


def _save(together: Together, members: Sequence[Member]) -> None:
    began = time.monotonic()
    together.give()
    for row, member in enumerate(members):
        if not member.over:
            together.seed(row)
            member.guarded(partial(member.leader.save, member.position))
    for member in members:
        pause = max(member.leader.pause, (time.monotonic() - began) / SAVING_AT_MOST)
        member.leader.pause = min(pause, member.leader.order.checkpoint_seconds)
    if all(member.over for member in members):
        raise LeaseLost("other workers have these runs")


class _Clock:
    """As :class:`xsam.runner.loop.Clock`: the time of all is shared by those that still train."""

    def __init__(self, members: Sequence[Member], optimizer: Any) -> None:
        self._members, self._optimizer = members, optimizer
        self._last, self._searched = time.perf_counter(), self._search_seconds()

    def tick(self, part: str | None = None) -> None:
        now, searched = time.perf_counter(), self._search_seconds()
        live = [each for each in self._members if not each.over]
        for member in live:
            times = member.position.times
            elapsed, search = (now - self._last) / len(live), (searched - self._searched) / len(live)
            shares = {"seconds": elapsed, "search_seconds": search, **({part: elapsed - search} if part else {})}
            for name, seconds in shares.items():
                times[name] = times.get(name, 0.0) + seconds
        self._last, self._searched = now, searched

    def skip(self) -> None:
        self._last, self._searched = time.perf_counter(), self._search_seconds()

    def _search_seconds(self) -> float:
        return getattr(self._optimizer, "search_seconds", 0.0)
