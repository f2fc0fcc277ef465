"""Learning rates against torch's own schedulers and fairseq's formula, and the length of runs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from xsam.runner.schedule import Schedule
from xsam.tasks.run_config import TrainingConfig

STEPS, EPOCHS, LR = 7, 20, 0.3


def schedule_of(**given: Any) -> Schedule:
    return Schedule(TrainingConfig(**{"epochs": EPOCHS, "schedule": "constant", **given}), LR, STEPS)


def rates(schedule: Schedule) -> list[float]:
    return [schedule.rate(update) for update in range(schedule.updates)]


def torchs(
    make: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler], count: int, each: int
) -> list[float]:
    """What a scheduler of torch gives in ``count`` steps, itself stepped after every ``each`` of them."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=LR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer takes no steps here
        scheduler = make(optimizer)
        found = []
        for update in range(count):
            found.append(optimizer.param_groups[0]["lr"])
            if (update + 1) % each == 0:
                scheduler.step()
    return found


def test_cosine_is_torchs_stepped_once_an_epoch() -> None:
    expected = torchs(lambda each: torch.optim.lr_scheduler.CosineAnnealingLR(each, EPOCHS), EPOCHS * STEPS, STEPS)
    assert rates(schedule_of(schedule="cosine")) == pytest.approx(expected, rel=1e-12)


def test_multistep_is_torchs_with_milestones_in_percent_of_the_epochs() -> None:
    expected = torchs(
        lambda each: torch.optim.lr_scheduler.MultiStepLR(each, [6, 10, 19], gamma=0.2), EPOCHS * STEPS, STEPS
    )
    schedule = schedule_of(schedule="multistep", milestones=(30, 50, 95), decay_factor=0.2)
    assert rates(schedule) == pytest.approx(expected, rel=1e-12)


def test_a_milestone_between_two_epochs_takes_effect_at_the_later_one() -> None:
    schedule = schedule_of(schedule="multistep", milestones=(50,), decay_factor=0.1, epochs=3)
    assert rates(schedule) == pytest.approx([LR] * 2 * STEPS + [LR / 10] * STEPS)


@pytest.mark.parametrize("start", [0.0, 1e-3])
def test_inverse_sqrt_is_fairseqs(start: float) -> None:
    # fairseq's InverseSquareRootSchedule.step_update, whose num_updates counts the steps done.
    warmup = 11
    slope, factor = (LR - start) / warmup, LR * warmup**0.5
    expected = [start + n * slope if n < warmup else factor * n**-0.5 for n in range(EPOCHS * STEPS)]
    schedule = schedule_of(schedule="inverse_sqrt", warmup_updates=warmup, warmup_start=start)
    assert rates(schedule) == expected
    assert max(rates(schedule)) == pytest.approx(LR)


def test_warm_up_is_torchs_linear_rise_and_then_the_schedules_rate() -> None:
    warmup = 2 * STEPS
    expected = torchs(
        lambda each: torch.optim.lr_scheduler.LinearLR(each, start_factor=0.1, total_iters=warmup), 3 * STEPS, 1
    )
    schedule = schedule_of(warmup_epochs=2, warmup_start=0.1 * LR)
    assert rates(schedule)[: 3 * STEPS] == pytest.approx(expected, rel=1e-12)
    assert rates(schedule) == rates(schedule_of(warmup_updates=warmup, warmup_start=0.1 * LR))


def test_warm_up_rises_to_the_schedule_and_leaves_the_rest_as_it_is() -> None:
    plain, warm = schedule_of(schedule="cosine"), schedule_of(schedule="cosine", warmup_updates=10)
    assert warm.rate(0) == 0.0
    assert warm.rate(9) == pytest.approx(0.9 * plain.rate(9))
    assert rates(warm)[10:] == rates(plain)[10:]


@pytest.mark.parametrize(
    ("most", "updates", "epochs", "last"), [(None, 140, 20, 7), (1000, 140, 20, 7), (14, 14, 2, 7), (15, 15, 3, 1)]
)
def test_a_run_ends_with_its_epochs_or_after_so_many_updates(
    most: int | None, updates: int, epochs: int, last: int
) -> None:
    schedule = schedule_of(schedule="cosine", max_updates=most)
    assert (schedule.updates, schedule.epochs, schedule.steps_of(epochs - 1)) == (updates, epochs, last)
    assert schedule.rate(14) == pytest.approx(LR * (1 + math.cos(math.pi * 2 / EPOCHS)) / 2), "of all the epochs"
