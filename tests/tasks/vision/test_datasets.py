"""Opening data sets: content, memory mapping, missing and damaged files."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST

from tests.tasks import archives
from xsam.tasks import DataMissing
from xsam.tasks.data import available, prepare
from xsam.tasks.vision import TASK
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.datasets.cifar10_c import CORRUPTIONS, EXTRA_CORRUPTIONS
from xsam.tasks.vision.evaluation import load_corrupted
from xsam.tasks.vision.images import ImageData, load, read
from xsam.tasks.vision.prepare import names

DEBIAN_FASHION = Path(DATASETS["fashion_mnist"].system_folders[0])
needs_debian_fashion = pytest.mark.needs(str(DEBIAN_FASHION))


def normalised_moments(name: str, data_dir: Path) -> tuple[float, float]:
    data = load(name, data_dir)
    pixels = data.train_images.double() / data.peak
    return float(pixels.mean()), float(pixels.std())


def by_content(images: np.ndarray, labels: list[int]) -> list[int]:
    """The order of ``images`` (N×H×W×C) by the SHA-256 of their bytes, then by label."""
    return sorted(range(len(labels)), key=lambda i: (hashlib.sha256(images[i].tobytes()).digest(), labels[i]))


def test_digits_are_scikit_learns_images_split_once_and_for_all(tmp_path):
    from sklearn.datasets import load_digits

    data = load("digits", tmp_path)
    assert data.train_images.shape == (1437, 1, 8, 8)
    assert data.test_images.shape == (360, 1, 8, 8)
    ours = [(*i.flatten().tolist(), int(y)) for i, y in zip(data.train_images, data.train_labels, strict=True)]
    ours += [(*i.flatten().tolist(), int(y)) for i, y in zip(data.test_images, data.test_labels, strict=True)]
    theirs = [(*map(int, i), int(y)) for i, y in zip(*load_digits(return_X_y=True), strict=True)]
    assert sorted(ours) == sorted(theirs)
    of_each_class = torch.bincount(data.test_labels)
    proportional = np.bincount(load_digits().target) * 360 / 1797
    assert np.abs(of_each_class.numpy() - proportional).max() < 1


def test_recorded_normalisation_of_digits_is_that_of_its_training_part(tmp_path):
    assert normalised_moments("digits", tmp_path) == pytest.approx((0.3051, 0.3760), abs=1e-4)


@needs_debian_fashion
def test_fashion_mnist_is_read_from_debians_files_until_it_is_prepared(tmp_path):
    data = load("fashion_mnist", tmp_path)
    assert data.train_images.shape == (60_000, 1, 28, 28)
    assert torch.bincount(data.train_labels).tolist() == [6000] * 10
    assert torch.bincount(data.test_labels).tolist() == [1000] * 10
    assert data.source == str(DEBIAN_FASHION)
    assert data.checksum == DATASETS["fashion_mnist"].checksum
    assert normalised_moments("fashion_mnist", tmp_path) == pytest.approx((0.2860, 0.3530), abs=1e-4)

    assert prepare("fashion_mnist", tmp_path).source == str(tmp_path / "fashion_mnist")
    prepared = read(DATASETS["fashion_mnist"], tmp_path)
    assert prepared.source == str(tmp_path / "fashion_mnist")
    assert prepared.checksum == data.checksum
    assert torch.equal(prepared.train_images, data.train_images)
    assert torch.equal(prepared.test_labels, data.test_labels)


@needs_debian_fashion
def test_fashion_mnist_agrees_with_torchvisions_reader(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in DEBIAN_FASHION.glob("*-ubyte.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    data = load("fashion_mnist", tmp_path)
    for train, images, labels in (
        (True, data.train_images, data.train_labels),
        (False, data.test_images, data.test_labels),
    ):
        theirs = FashionMNIST(tmp_path, train=train, download=False)
        order = by_content(theirs.data.numpy()[..., None], theirs.targets.tolist())
        assert torch.equal(images[:, 0], theirs.data[order])
        assert torch.equal(labels, theirs.targets[order])


@pytest.mark.parametrize("reader", [CIFAR10, CIFAR100])
def test_cifar_agrees_with_torchvisions_reader(reader, tmp_path, monkeypatch):
    name = reader.__name__.lower()
    write = getattr(archives, f"write_{name}")
    entry = write(tmp_path / DATASETS[name].published, train=200, test=100)
    monkeypatch.setitem(DATASETS, name, entry)
    prepare(name, tmp_path / "data", tmp_path / entry.published)
    data = load(name, tmp_path / "data")

    monkeypatch.setattr(reader, "_check_integrity", lambda self: True)
    monkeypatch.setattr(reader, "_load_meta", lambda self: None)
    for train, images, labels in (
        (True, data.train_images, data.train_labels),
        (False, data.test_images, data.test_labels),
    ):
        theirs = reader(tmp_path, train=train)
        order = by_content(theirs.data, theirs.targets)
        assert np.array_equal(images.numpy().transpose(0, 2, 3, 1), theirs.data[order])
        assert labels.tolist() == [theirs.targets[i] for i in order]
    assert data.train_labels.dtype == torch.int64


def rgb(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_tiny_imagenet_has_the_views_that_torchvisions_transforms_make(tiny_imagenet, tmp_path):
    import zipfile

    from torchvision import transforms

    prepare("tiny_imagenet", tmp_path / "data", tiny_imagenet.source)
    small, large = (load(name, tmp_path / "data") for name in ("tiny_imagenet", "tiny_imagenet_64"))
    with zipfile.ZipFile(tiny_imagenet.source) as archive:
        archive.extractall(tmp_path / "unzipped")
    top = tmp_path / "unzipped" / "tiny-imagenet-200"
    listed = (top / "wnids.txt").read_text().split()
    wnids = sorted(listed)
    assert wnids != listed
    train = [(top / f"train/{w}/images/{w}_{i}.JPEG", y) for y, w in enumerate(wnids) for i in range(12)]
    told = dict(line.split("\t")[:2] for line in (top / "val/val_annotations.txt").read_text().splitlines())
    test = [(top / f"val/images/val_{i}.JPEG", wnids.index(told[f"val_{i}.JPEG"])) for i in range(10)]
    train, test = (
        [part[i] for i in by_content(np.stack([rgb(path) for path, _ in part]), [label for _, label in part])]
        for part in (train, test)
    )
    view = transforms.Compose([transforms.Resize(36), transforms.CenterCrop(32)])
    grey = 0
    for part, raw, seen in (
        (train, small.train_images, small.eval_train_images),
        (test, large.test_images, small.test_images),
    ):
        assert len(raw) == len(seen) == len(part)
        for (path, _), at_64, at_32 in zip(part, raw, seen, strict=True):
            image = Image.open(path)
            grey += image.mode == "L"
            image = image.convert("RGB")
            assert np.array_equal(at_64.permute(1, 2, 0).numpy(), np.asarray(image))
            assert np.array_equal(at_32.permute(1, 2, 0).numpy(), np.asarray(view(image)))
    assert grey >= 2
    assert small.train_labels.tolist() == large.train_labels.tolist() == [label for _, label in train]
    assert small.test_labels.tolist() == [label for _, label in test]
    assert large.eval_train_images is large.train_images
    assert torch.equal(large.train_images, small.train_images)
    assert small.checksum != large.checksum
    assert small.mean == (0.4803, 0.4481, 0.3975)


def test_cifar10_c_is_mapped_one_corruption_and_severity_at_a_time(tiny_cifar10_c, tmp_path):
    import io
    import tarfile

    report = prepare("cifar10_c", tmp_path / "data", tiny_cifar10_c.source)
    assert report.verified
    corrupted = load_corrupted(tmp_path / "data")
    assert corrupted.checksum == report.checksum
    with tarfile.open(tiny_cifar10_c.source) as tar:
        of_name = {
            name: np.load(io.BytesIO(tar.extractfile(f"CIFAR-10-C/{name}.npy").read()))
            for name in (*CORRUPTIONS, *EXTRA_CORRUPTIONS, "labels")
        }
        order = by_content(of_name["gaussian_noise"][:10], of_name["labels"][:10].tolist())
        assert corrupted.labels.tolist() == of_name["labels"][order].tolist()
        for name in (*CORRUPTIONS, *EXTRA_CORRUPTIONS):
            published = of_name[name]
            for severity in (1, 5):
                images = corrupted.images(name, severity)
                assert images.dtype == torch.uint8
                rows = published[(severity - 1) * 10 : severity * 10][order]
                assert np.array_equal(images.numpy(), rows.transpose(0, 3, 1, 2))
    with pytest.raises(ValueError, match="did you mean 'fog'"):
        corrupted.images("fogg", 1)
    with pytest.raises(ValueError, match="severity must be 1 to 5, not 6"):
        corrupted.images("fog", 6)


def test_cifar10_c_cannot_be_trained_on_and_the_error_says_what_it_is_for(params):
    with pytest.raises(ValueError, match=r"no training part: set dataset: cifar10, eval_sets: \[cifar10_c\]"):
        TASK.check(params(dataset="cifar10_c"))


def test_a_missing_cifar10_c_names_the_command(tmp_path):
    with pytest.raises(DataMissing, match="xsam-bench data prepare cifar10_c --data"):
        load_corrupted(tmp_path)


def prepared_cifar(tiny_cifar, data_dir: Path) -> Path:
    prepare("cifar10", data_dir, tiny_cifar.source)
    return data_dir / "cifar10"


def test_images_are_mapped_and_writing_to_them_never_reaches_the_file(tiny_cifar, tmp_path):
    folder = prepared_cifar(tiny_cifar, tmp_path / "data")
    before = (folder / "train-32.npy").read_bytes()
    data = load("cifar10", tmp_path / "data")
    assert "train-32.npy" in Path("/proc/self/maps").read_text()
    data.train_images.zero_()
    assert (folder / "train-32.npy").read_bytes() == before
    assert data.eval_train_images is data.train_images


def test_loading_twice_opens_once(tiny_cifar, tmp_path):
    prepared_cifar(tiny_cifar, tmp_path / "data")
    assert load("cifar10", tmp_path / "data") is load("cifar10", tmp_path / "data")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "tiny_imagenet", "tiny_imagenet_64"])
def test_missing_data_name_the_folder_and_the_command(name, tmp_path):
    data_dir = tmp_path / "my data"
    with pytest.raises(DataMissing) as caught:
        load(name, data_dir)
    message = str(caught.value)
    assert "\n" not in message
    assert str(data_dir / DATASETS[name].folder) in message
    assert f"xsam-bench data prepare {name} --data '{data_dir}'" in message


def test_published_files_below_the_data_folder_have_to_be_prepared_and_then_are_the_source(tmp_path, monkeypatch):
    data_dir = tmp_path / "data"
    entry = archives.write_cifar10(data_dir / "cifar-10-batches-py", train=100, test=20)
    monkeypatch.setitem(DATASETS, "cifar10", entry)
    with pytest.raises(DataMissing, match=r"cifar-10-batches-py has the published files, which have to be prepared"):
        load("cifar10", data_dir)
    assert prepare("cifar10", data_dir).verified
    assert len(load("cifar10", data_dir).train_labels) == 100


def test_a_folder_that_lacks_one_file_is_missing_data_and_names_it(tiny_cifar, tmp_path):
    (prepared_cifar(tiny_cifar, tmp_path / "data") / "test-32.npy").unlink()
    with pytest.raises(DataMissing, match=r"lacks test-32\.npy"):
        load("cifar10", tmp_path / "data")


def test_listing_tells_what_is_prepared(tiny_cifar, tiny_imagenet, tmp_path):
    folder = prepared_cifar(tiny_cifar, tmp_path / "data")
    prepare("tiny_imagenet_64", tmp_path / "data", tiny_imagenet.source)
    rows = {row.name: row for row in available(tmp_path / "data")}
    assert [name for name in rows if name in names()] == [*DATASETS, "cifar10_c"]
    assert rows["digits"].prepared
    assert rows["cifar10"].prepared
    assert rows["cifar10"].where == str(folder)
    assert rows["tiny_imagenet"].prepared, "both sizes are prepared together"
    assert not rows["cifar100"].prepared
    assert "50,000" in rows["cifar100"].facts
    assert rows["cifar10_c"].facts == "950,000 test images, 3×32×32, 10 classes"
    shutil.rmtree(folder)
    assert not {row.name: row for row in available(tmp_path / "data")}["cifar10"].prepared


def test_only_a_smaller_test_view_makes_a_second_tensor(tmp_path):
    data: ImageData = load("digits", tmp_path)
    assert data.eval_train_images is data.train_images
    assert DATASETS["digits"].raw_size == DATASETS["digits"].size == 8
    assert (DATASETS["tiny_imagenet"].raw_size, DATASETS["tiny_imagenet"].size) == (64, 32)
    assert (DATASETS["tiny_imagenet_64"].raw_size, DATASETS["tiny_imagenet_64"].size) == (64, 64)
