"""Further test sets: what a run measures on them, and finished weights evaluated on them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as by_image

from tests.tasks.archives import write_cifar10, write_cifar10_c
from tests.tasks.vision.test_problem import CPU
from xsam.tasks import DataMissing
from xsam.tasks.data import prepare
from xsam.tasks.vision import TASK
from xsam.tasks.vision.datasets import DATASETS, EVALUATION_SETS
from xsam.tasks.vision.datasets.cifar10_c import CORRUPTIONS
from xsam.tasks.vision.splits import fixed_subset


@pytest.fixture
def cifar10_with_corruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with ``cifar10`` of 100 + 20 images and its corruptions, prepared from files as published."""
    monkeypatch.setitem(DATASETS, "cifar10", write_cifar10(tmp_path / "cifar", train=100, test=20))
    monkeypatch.setitem(EVALUATION_SETS, "cifar10_c", write_cifar10_c(tmp_path / "corrupted", images=20))
    prepare("cifar10", tmp_path / "data", tmp_path / "cifar", allow_unverified=True)
    prepare("cifar10_c", tmp_path / "data", tmp_path / "corrupted", allow_unverified=True)
    return tmp_path / "data"


@pytest.mark.parametrize("test_subset", [None, 7])
def test_accuracy_on_corruptions_is_the_mean_over_their_files(test_subset, cifar10_with_corruptions, params, tmp_path):
    resolved = params(dataset="cifar10", hidden=(), eval_sets=("cifar10_c",), test_subset=test_subset)
    problem = TASK.open(resolved, cifar10_with_corruptions, CPU)
    labels = np.arange(20) % 10
    tested = fixed_subset(20, test_subset)
    (first,) = cifar10_with_corruptions.parent.glob(f"corrupted/**/{CORRUPTIONS[0]}.npy")
    digests = [hashlib.sha256(image.tobytes()).digest() for image in np.load(first)[:20]]
    ordered = np.array(sorted(range(20), key=digests.__getitem__))
    chosen = ordered if tested is None else ordered[tested.numpy()]
    accuracies = []
    for name in CORRUPTIONS:
        (file,) = cifar10_with_corruptions.parent.glob(f"corrupted/**/{name}.npy")
        pixels = torch.from_numpy(np.load(file)).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            scores = problem.model(by_image.normalize(pixels, DATASETS["cifar10"].mean, DATASETS["cifar10"].std))
        right = (scores.argmax(1).numpy() == np.tile(labels, 5)).reshape(5, 20)
        accuracies.append(100 * right[:, chosen].mean())
    random = torch.random.get_rng_state()
    metrics = problem.finish(tmp_path)
    assert metrics["cifar10_c_accuracy"] == pytest.approx(np.mean(accuracies))
    assert np.std(accuracies) > 0
    assert problem.model.training
    assert torch.equal(torch.random.get_rng_state(), random)


def test_what_a_run_saw_names_its_further_test_sets(cifar10_with_corruptions, params, tmp_path):
    plain = TASK.open(params(dataset="cifar10", hidden=()), cifar10_with_corruptions, CPU)
    with_further = params(dataset="cifar10", hidden=(), eval_sets=("cifar10_c",))
    further = TASK.open(with_further, cifar10_with_corruptions, CPU)
    assert further.data_checksum.startswith(plain.data_checksum + "+")
    assert plain.finish(tmp_path) == {}


def test_finished_weights_are_evaluated_on_prepared_sets(cifar10_with_corruptions, params, tmp_path):
    resolved = params(dataset="cifar10", hidden=(), eval_sets=("cifar10_c",), val_fraction=0.0)
    problem = TASK.open(resolved, cifar10_with_corruptions, CPU)

    def scores(name: str) -> dict[str, float]:
        return {one.metric: one.value for one in problem.evaluate_on(name, cifar10_with_corruptions, tmp_path)}

    own = problem.evaluate()
    assert scores("test") == {"accuracy": own["test_accuracy"], "loss": own["test_loss"]}
    assert scores("cifar10") == scores("test")
    assert scores("cifar10_c")["accuracy"] == problem.finish(tmp_path)["cifar10_c_accuracy"]
    (accuracy, _) = problem.evaluate_on("cifar10_c", cifar10_with_corruptions, tmp_path)
    assert accuracy.examples == len(CORRUPTIONS) * 5 * 20
    assert problem.model.training
    for name, message in (
        ("digits", "digits has images of shape"),
        ("val", "this run has no val images"),
        ("cifar10_d", "unknown test set 'cifar10_d'; did you mean 'cifar10_c'"),
    ):
        with pytest.raises(ValueError, match=message):
            scores(name)
    with pytest.raises(DataMissing, match="tiny_imagenet"):
        scores("tiny_imagenet")


def test_a_missing_further_test_set_is_told_before_training(cifar10_with_corruptions, params):
    shutil.rmtree(cifar10_with_corruptions / "cifar10_c")
    with pytest.raises(DataMissing, match="cifar10_c"):
        TASK.open(params(dataset="cifar10", eval_sets=("cifar10_c",)), cifar10_with_corruptions, CPU)
