"""What the training loop's options do to a step and to an evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.runner.training import STEPS, fresh, run_through, spec_of
from xsam.runner.average import WeightAverage
from xsam.runner.trainer import Trainer

RESNET = {"model": "resnet8", "train_subset": 256}


@pytest.mark.parametrize("optimizer", ["sgd", "sam", "xsam"])
@pytest.mark.parametrize("count", [2, 3, 500])
def test_accumulated_parts_give_the_whole_batchs_step(optimizer: str, count: int, tmp_path: Path) -> None:
    whole = fresh(spec_of(tmp_path, optimizer), tmp_path)
    parts = fresh(spec_of(tmp_path, optimizer, accumulation=count), tmp_path)
    for step in (0, STEPS - 1):  # a full batch and the short last one
        batch = whole.problem.batch(0, step)
        torch.testing.assert_close(parts.step(batch), whole.step(batch), rtol=1e-5, atol=0)
    for one, other in zip(parts.problem.model.parameters(), whole.problem.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert parts.optimizer.backwards == whole.optimizer.backwards


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_forward_passes_are_in_the_precision_and_weights_stay_in_float32(
    precision: str, dtype: torch.dtype | None, tmp_path: Path
) -> None:
    trainer = fresh(spec_of(tmp_path, "xsam", precision=precision), tmp_path)
    seen = set()
    trainer.problem.model.register_forward_hook(lambda module, given, output: seen.add((module.training, output.dtype)))
    trainer.step(trainer.problem.batch(0, 0))
    trainer.evaluate()
    assert seen == {(True, dtype or torch.float32), (False, dtype or torch.float32)}
    assert {parameter.dtype for parameter in trainer.problem.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("given", [{}, RESNET])
def test_a_step_in_lower_precision_goes_the_same_way(precision: str, given: dict, tmp_path: Path) -> None:
    """One step from the same weights: rounding moves an activation across its kink here and there, and no more."""
    losses, moves = {}, {}
    for each in ("fp32", precision):
        trainer = fresh(spec_of(tmp_path, "xsam", alpha=1.3, precision=each, **given), tmp_path)
        before = flat(trainer)
        losses[each] = float(trainer.step(trainer.problem.batch(0, 0)))
        moves[each] = flat(trainer) - before
        assert trainer.optimizer.skipped == 0
    assert losses[precision] == pytest.approx(losses["fp32"], rel=0.02)
    assert moves[precision].norm() == pytest.approx(float(moves["fp32"].norm()), rel=0.2)
    assert torch.cosine_similarity(moves[precision], moves["fp32"], dim=0) > 0.9


def flat(trainer: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in trainer.problem.model.parameters()])


def test_a_float16_overflow_skips_the_step_and_halves_the_scale(tmp_path: Path) -> None:
    trainer = fresh(spec_of(tmp_path, "sam", precision="fp16"), tmp_path)
    before = {name: tensor.clone() for name, tensor in trainer.problem.model.state_dict().items()}
    images, labels = trainer.problem.batch(0, 0)
    scale = trainer.state_dict()["scaler"]["scale"]
    trainer.step((images * 3e4, labels))
    assert trainer.optimizer.skipped == 1
    assert trainer.state_dict()["scaler"]["scale"] == scale / 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.problem.model.state_dict().items())
    trainer.step((images, labels))
    assert trainer.optimizer.backwards > 2


def test_the_average_of_weights_and_statistics_is_evaluated_and_the_model_trains_on(tmp_path: Path) -> None:
    decay = 0.8
    averaged = fresh(spec_of(tmp_path, "sam", ema_decay=decay, **RESNET), tmp_path)
    plain = fresh(spec_of(tmp_path, "sam", **RESNET), tmp_path)
    expected = {name: tensor.double().clone() for name, tensor in plain.problem.model.state_dict().items()}
    for step in range(2):
        batch = plain.problem.batch(0, step)
        averaged.step(batch)
        plain.step(batch)
        for name, tensor in plain.problem.model.state_dict().items():
            fraction = decay if tensor.is_floating_point() else 0.0
            expected[name] = fraction * expected[name] + (1 - fraction) * tensor.double()
    seen: dict[str, torch.Tensor] = {}
    model = averaged.problem.model
    hook = model.register_forward_pre_hook(
        lambda module, given: seen.update(
            {name: tensor.double().clone() for name, tensor in model.state_dict().items()}
        )
    )
    averaged.evaluate()
    hook.remove()
    for name, tensor in expected.items():
        torch.testing.assert_close(seen[name], tensor, rtol=1e-5, atol=1e-6)
    for name, tensor in plain.problem.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), "the evaluation left the model as it was"


def test_an_average_is_put_away_when_the_evaluation_fails() -> None:
    model = torch.nn.Linear(2, 1)
    average = WeightAverage(model, decay=0.5)
    torch.nn.init.zeros_(model.weight)

    def evaluate() -> None:
        assert model.weight.abs().sum() > 0
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), average.applied():
        evaluate()
    assert model.weight.abs().sum() == 0


def test_a_run_of_so_many_updates_ends_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    trainer, position = run_through(spec_of(tmp_path, "sgd", epochs=5, max_updates=STEPS + 4), tmp_path)
    assert trainer.optimizer.backwards == STEPS + 4
    assert [row["step"] for row in position.history] == [STEPS, STEPS + 4]
    _, whole = run_through(spec_of(tmp_path, "sgd", epochs=5), tmp_path)
    assert position.history[0]["train_loss"] == whole.history[0]["train_loss"]


@pytest.mark.slow
def test_a_compiled_model_learns_the_same_and_keeps_its_names(tmp_path: Path) -> None:
    torch._dynamo.reset()
    compiled, position = run_through(spec_of(tmp_path, "xsam", alpha=1.3, compile=True), tmp_path)
    plain, expected = run_through(spec_of(tmp_path, "xsam", alpha=1.3), tmp_path)
    assert compiled.problem.model.state_dict().keys() == plain.problem.model.state_dict().keys()
    for one, other in zip(position.history, expected.history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-3)
