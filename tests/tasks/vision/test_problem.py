"""A run's problem: pairing by seed, batches as pure functions, evaluation, selection rules."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xsam.metrics import stored_columns
from xsam.tasks.vision import TASK
from xsam.tasks.vision.images import ImageData, load
from xsam.tasks.vision.problem import VisionProblem
from xsam.tasks.vision.summary import EVAL_SETS, HISTORY_METRICS, RUN_METRICS, summarise

CPU = torch.device("cpu")
NOWHERE = Path("no-such-folder")


def opened(params, **given) -> VisionProblem:
    return TASK.open(params(**{"hidden": (16,), **given}), NOWHERE, CPU)


def same(first: tuple, second: tuple) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_same_seed_gives_the_same_run_whatever_the_optimizer(params):
    sgd = opened(params, label_noise=0.3, augment="crop_flip", optimizer="sgd")
    torch.manual_seed(123)
    xsam = opened(params, label_noise=0.3, augment="crop_flip", optimizer="xsam", rho=0.3, ascent_steps=3)
    other = opened(params, label_noise=0.3, augment="crop_flip", seed=1)
    for name in ("train", "val"):
        part = getattr(sgd, name)
        assert torch.equal(part.images, getattr(xsam, name).images)
        assert torch.equal(part.labels, getattr(xsam, name).labels)
        assert not torch.equal(part.images, getattr(other, name).images)
    weights = [list(problem.model.parameters()) for problem in (sgd, xsam, other)]
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not torch.equal(weights[0][0], weights[2][0])
    for epoch in (0, 1):
        for step in range(sgd.steps_per_epoch):
            assert same(sgd.batch(epoch, step), xsam.batch(epoch, step))
            assert not same(sgd.batch(epoch, step), other.batch(epoch, step))


def test_neither_noise_nor_augmentation_nor_model_moves_the_other_draws(params):
    plain = opened(params)
    changed = opened(params, label_noise=0.5, augment="crop_flip", model="resnet8")
    assert torch.equal(plain.train.images, changed.train.images)
    assert torch.equal(plain.val.labels, changed.val.labels)
    clean, noisy = plain.train.labels, changed.train.labels
    assert int((clean != noisy).sum()) == round(0.5 * len(clean))


def test_opening_leaves_the_global_random_state(params):
    before = torch.random.get_rng_state()
    opened(params, label_noise=0.3)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_a_batch_depends_on_epoch_and_step_alone(augment, params):
    problem = opened(params, augment=augment)
    visits = [(0, 0), (3, 2), (0, 1), (3, 2), (0, 0), (1, 5)]
    seen = {}
    for epoch, step in visits:
        torch.rand(7)  # other users of the global generator do not matter
        batch = problem.batch(epoch, step)
        fresh = opened(params, augment=augment).batch(epoch, step)
        assert same(batch, fresh)
        assert same(seen.setdefault((epoch, step), batch), batch)
    assert not same(seen[0, 0], seen[3, 2])


def test_an_epoch_visits_every_training_image_once_normalised(params):
    problem = opened(params, batch_size=100)
    data = load("digits", NOWHERE)
    expected = sorted(zip(problem.train.images.flatten(1).tolist(), problem.train.labels.tolist(), strict=True))
    for epoch in (0, 1):
        visited = []
        for step in range(problem.steps_per_epoch):
            images, labels = problem.batch(epoch, step)
            pixels = (images.double().flatten(1) * data.std[0] + data.mean[0]) * 16
            assert (pixels - pixels.round()).abs().max() < 1e-4
            visited += zip(pixels.round().int().tolist(), labels.tolist(), strict=True)
        assert sorted(visited) == expected
    assert not same(problem.batch(0, 0), problem.batch(1, 0))


@pytest.mark.parametrize(("epoch", "step"), [(0, -1), (0, 12)])
def test_a_step_that_the_epoch_does_not_have_is_an_error(epoch, step, params):
    problem = opened(params, val_fraction=0.0)
    assert problem.steps_per_epoch == 12  # 1437 / 128 = 11.2
    with pytest.raises(IndexError):
        problem.batch(epoch, step)


def test_train_subset_counts_the_images_trained_on(params):
    problem = opened(params, train_subset=301, val_fraction=0.2, batch_size=100)
    assert (len(problem.train.labels), len(problem.val.labels)) == (301, 60)
    assert problem.steps_per_epoch == 3, "a last batch of one image is left out"
    assert [len(problem.batch(0, step)[1]) for step in range(3)] == [100, 100, 100]


def test_label_noise_touches_the_training_part_only(params):
    clean, noisy = opened(params), opened(params, label_noise=1.0)
    assert torch.equal(clean.val.labels, noisy.val.labels)
    assert torch.equal(clean.test.labels, noisy.test.labels)
    assert not (clean.train.labels == noisy.train.labels).any()


def test_the_loss_is_the_smoothed_cross_entropy_by_its_definition(params):
    problem = opened(params, label_smoothing=0.2)
    images, labels = problem.batch(0, 0)
    loss = problem.loss((images, labels))
    assert loss.requires_grad
    log_p = torch.log_softmax(problem.model(images).double(), dim=1)
    target = F.one_hot(labels, 10) * 0.8 + 0.02
    expected = -(target * log_p).sum(dim=1).mean()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_evaluation_by_definition_and_in_any_batch_size(params):
    problem = opened(params, model="resnet8", label_smoothing=0.3, train_subset=200)
    for step in range(problem.steps_per_epoch):
        problem.loss(problem.batch(0, step))  # moves BatchNorm's statistics
    data = load("digits", NOWHERE)
    problem.model.eval()
    with torch.no_grad():
        scores = problem.model((data.test_images / 16 - data.mean[0]) / data.std[0]).double()
    problem.model.train()
    metrics = problem.evaluate()
    assert set(metrics) == {metric.name for metric in TASK.epoch_metrics}
    assert metrics["test_accuracy"] == 100 * int((scores.argmax(1) == data.test_labels).sum()) / 360
    assert metrics["test_loss"] == pytest.approx(float(F.cross_entropy(scores, data.test_labels)), rel=1e-5)
    uneven = opened(params, model="resnet8", train_subset=200, eval_batch_size=77)
    uneven.model.load_state_dict(problem.model.state_dict())
    assert uneven.evaluate() == pytest.approx(metrics, rel=1e-5)


def test_evaluation_changes_nothing_that_training_sees(params):
    problem = opened(params)
    problem.model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 10)).train()
    state = {name: value.clone() for name, value in problem.model.state_dict().items()}
    random = torch.random.get_rng_state()
    first = problem.evaluate()
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(module.training for module in problem.model.modules())
    assert all(torch.equal(value, state[name]) for name, value in problem.model.state_dict().items())
    assert problem.evaluate() == first
    assert all(parameter.grad is None for parameter in problem.model.parameters())


def test_training_mode_comes_back_when_evaluation_fails(params):
    problem = opened(params)

    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("out of memory")

    problem.model = Broken().train()
    with pytest.raises(RuntimeError):
        problem.evaluate()
    assert problem.model.training


def test_without_a_validation_part_its_metrics_are_nan(params):
    metrics = opened(params, val_fraction=0.0).evaluate()
    assert math.isnan(metrics["val_accuracy"])
    assert math.isnan(metrics["val_loss"])
    assert math.isfinite(metrics["test_loss"])


def test_sgd_learns_digits(params):
    problem = opened(params, hidden=(64,), batch_size=64)
    optimizer = torch.optim.SGD(problem.model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(5):
        for step in range(problem.steps_per_epoch):
            optimizer.zero_grad()
            problem.loss(problem.batch(epoch, step)).backward()
            optimizer.step()
    metrics = problem.evaluate()
    assert metrics["val_accuracy"] > 90
    assert metrics["test_accuracy"] > 90


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_the_weighted_mean_of_the_parts_losses_is_the_batchs(count, params):
    problem = opened(params, batch_size=20)
    batch = problem.batch(0, 0)
    parts = problem.parts(batch, count)
    assert len(parts) == min(count, 20)
    assert same(tuple(torch.cat(tensors) for tensors in zip(*(part for part, _ in parts), strict=True)), batch)
    sizes = [len(labels) for (_, labels), _ in parts]
    assert max(sizes) - min(sizes) <= 1
    assert [weight for _, weight in parts] == [size / 20 for size in sizes]
    whole = float(problem.loss(batch).detach())
    assert sum(weight * float(problem.loss(part).detach()) for part, weight in parts) == pytest.approx(whole, rel=1e-5)


def test_the_loss_is_that_of_whatever_stands_for_the_model(params):
    problem = opened(params)
    assert problem.network is problem.model
    problem.network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    problem.loss(problem.batch(0, 0)).backward()
    assert all(parameter.grad is not None for parameter in problem.network.parameters())
    assert all(parameter.grad is None for parameter in problem.model.parameters())


def test_a_test_subset_is_the_same_for_every_seed_and_grows_by_more_images(params):
    small, other, larger = (
        opened(params, test_subset=size, seed=seed).test for size, seed in ((50, 0), (50, 1), (120, 0))
    )
    assert torch.equal(small.images, other.images)
    assert torch.equal(small.labels, other.labels)

    def contents(part) -> set[bytes]:
        return {image.numpy().tobytes() for image in part.images}

    assert contents(small) < contents(larger) < contents(opened(params).test)
    assert len(larger) == 120
    assert torch.bincount(larger.labels, minlength=10).min() > 3, "not the first classes alone"


def test_channels_last_changes_nothing_but_last_bits(params):
    plain, last = (opened(params, model="resnet8", channels_last=channels_last) for channels_last in (False, True))
    assert last.model.stages[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert last.batch(0, 0)[0].is_contiguous(memory_format=torch.channels_last)
    assert same(plain.batch(0, 0), last.batch(0, 0))
    losses = [float(problem.loss(problem.batch(0, 0)).detach()) for problem in (plain, last)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.fixture
def two_views() -> ImageData:
    """Images stored at 16×16 that are seen at 8×8: the two views of image i have the values 2 i and 2 i + 1."""
    numbers = torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1)
    return ImageData(
        train_images=(2 * numbers).expand(100, 1, 16, 16),
        eval_train_images=(2 * numbers + 1).expand(100, 1, 8, 8),
        train_labels=torch.arange(100) % 10,
        test_images=torch.zeros(10, 1, 8, 8, dtype=torch.uint8),
        test_labels=torch.arange(10),
        mean=(0.0,),
        std=(1.0,),
        peak=1,
        classes=10,
        checksum="",
        source="",
    )


@pytest.mark.parametrize(("augment", "odd"), [("none", True), ("crop_flip", True), ("resized_crop_flip", False)])
def test_only_resized_crops_start_from_the_stored_images(augment, odd, two_views, params):
    problem = VisionProblem(params(augment=augment, hidden=()), two_views, CPU)
    assert (problem.val.images % 2 == 1).all()
    assert problem.val.images.shape[-1] == 8
    images, labels = problem.batch(0, 0)
    assert images.shape == (90, 1, 8, 8)
    centres = images[:, 0, 4, 4].round().long()
    assert ((centres % 2 == 1) == odd).all()
    assert torch.equal(centres // 2 % 10, labels)


ROW = {"val_accuracy": math.nan, "val_loss": math.nan, "test_accuracy": 0.0, "test_loss": 0.0}


def test_selection_rules_by_hand():
    history = [
        {"val_accuracy": val, "val_loss": 1.0, "test_accuracy": test, "test_loss": loss}
        for val, test, loss in [
            (10, 90, 1),
            (70, 60, 2),
            (50, 72, 3),
            (70, 64, 4),
            (40, 66, 5),
            (30, 68, 6),
            (20, 70, 7),
        ]
    ]
    assert summarise(history) == {
        "test_accuracy_final": 70,
        "test_accuracy_last5_mean": (72 + 64 + 66 + 68 + 70) / 5,
        "test_accuracy_best_val": 60,  # the earlier of the two epochs with 70 on validation
        "test_accuracy_best_test": 90,
        "test_loss_final": 7,
        "val_accuracy_best": 70,
        "best_val_epoch": 1,
    }


def test_short_runs_and_runs_without_validation():
    metrics = summarise([{**ROW, "test_accuracy": 50.0}, {**ROW, "test_accuracy": 40.0, "test_loss": 3.0}])
    assert metrics["test_accuracy_last5_mean"] == 45
    assert metrics["test_accuracy_best_test"] == 50
    assert metrics["test_loss_final"] == 3
    assert all(math.isnan(metrics[name]) for name in ("test_accuracy_best_val", "val_accuracy_best", "best_val_epoch"))
    assert all(math.isnan(value) for value in summarise([]).values())
    assert set(summarise([])) == set(metrics) == set(stored_columns(HISTORY_METRICS))
    assert set(stored_columns(RUN_METRICS)) == {*metrics, *(f"{name}_accuracy" for name in EVAL_SETS)}
