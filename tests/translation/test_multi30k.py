"""Preparing Multi30k: its files as published, its further test sets, and texts under its name that are others."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
from pathlib import Path

import pytest

from tests.translation.conftest import sentence_pairs, write_pairs
from xsam.tasks import DataMissing
from xsam.tasks.data import prepare, verify
from xsam.tasks.translation import testsets, text
from xsam.tasks.translation.corpora import CORPORA
from xsam.tasks.translation.pairs import load


def test_multi30k_is_read_from_its_gz_files(tmp_path, monkeypatch):
    pairs = {"train": 30, "val": 4, "test_2016_flickr": 5}
    for seed, (name, count) in enumerate(pairs.items()):
        write_pairs(tmp_path / "plain", name, sentence_pairs(count, seed))
        for language in ("de", "en"):
            content = (tmp_path / "plain" / f"{name}.{language}").read_bytes()
            path = tmp_path / "raw" / f"{name}.{language}.gz"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(content))
    corpus = dataclasses.replace(
        CORPORA["multi30k_de_en"], merges=20, counts={"train": 30, "valid": 4, "test": 5}, digests={}, tests={}
    )
    monkeypatch.setitem(CORPORA, "multi30k_de_en", corpus)
    packed = prepare("multi30k_de_en", tmp_path / "a", tmp_path / "raw")
    assert packed.counts == {"train": 30, "valid": 4, "test": 5}
    assert prepare("multi30k_de_en", tmp_path / "b", tmp_path / "plain").checksum == packed.checksum


@pytest.fixture
def multi30k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with Multi30k's files, two of its three further test sets among them, in the place of the real ones."""
    folder = tmp_path / "raw"
    counts = {"train": 30, "val": 4, "test_2016_flickr": 5, "test_2017_flickr": 5, "test_2018_flickr": 3}
    digests = {}
    for seed, (name, count) in enumerate(counts.items()):
        write_pairs(folder, name, sentence_pairs(count, seed))
        part = {"val": "valid", "test_2016_flickr": "test"}.get(name, name)
        digests |= {f"{part}.{lang}": text.digest(text.read_lines(folder / f"{name}.{lang}")) for lang in ("de", "en")}
    del digests["test_2018_flickr.de"], digests["test_2018_flickr.en"]
    corpus = dataclasses.replace(
        CORPORA["multi30k_de_en"],
        merges=20,
        counts={"train": 30, "valid": 4, "test": 5},
        digests=digests,
        tests={"test_2017_flickr": 5, "test_2017_mscoco": 2, "test_2018_flickr": 3},
    )
    monkeypatch.setitem(CORPORA, "multi30k_de_en", corpus)
    return folder


def test_another_test_set_under_the_published_name_is_refused(multi30k, tmp_path):
    for language in ("de", "en"):
        shutil.copy(multi30k / f"test_2017_flickr.{language}", multi30k / f"test_2016_flickr.{language}")
    with pytest.raises(ValueError, match=r"the test text in de has checksum .* the test text in en has checksum"):
        prepare("multi30k_de_en", tmp_path / "data", multi30k)
    assert not list((tmp_path / "data").rglob("*.*"))
    assert not prepare("multi30k_de_en", tmp_path / "data", multi30k, allow_unverified=True).verified


def test_one_changed_training_sentence_is_refused(multi30k, tmp_path):
    path = multi30k / "train.en"
    path.write_text(path.read_text(encoding="utf-8").replace("dog", "cat", 1), encoding="utf-8")
    with pytest.raises(ValueError, match="the train text in en has checksum"):
        prepare("multi30k_de_en", tmp_path / "data", multi30k)


def test_a_wrong_test_set_that_was_accepted_before_is_found(multi30k, tmp_path, monkeypatch):
    right = CORPORA["multi30k_de_en"]
    for language in ("de", "en"):
        shutil.copy(multi30k / f"test_2017_flickr.{language}", multi30k / f"test_2016_flickr.{language}")
    monkeypatch.setitem(CORPORA, "multi30k_de_en", dataclasses.replace(right, digests={}))
    prepare("multi30k_de_en", tmp_path / "data", multi30k)
    manifest = next((tmp_path / "data").rglob("bpe20/manifest.json"))
    content = json.loads(manifest.read_text(encoding="utf-8"))
    del content["unchecked"]  # as it was written before texts were compared
    manifest.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setitem(CORPORA, "multi30k_de_en", right)
    assert "is not the test text of the published multi30k_de_en" in str(
        verify("multi30k_de_en", tmp_path / "data").problem
    )
    with pytest.raises(ValueError, match="is not the test text of the published"):
        load("multi30k_de_en", 20, "de", "en", tmp_path / "data")


def test_further_test_sets_are_prepared_where_their_files_are(multi30k, tmp_path):
    for language in ("de", "en"):
        (multi30k / f"test_2017_flickr.{language}").rename(tmp_path / f"test_2017_flickr.{language}")
    found = prepare("multi30k_de_en", tmp_path / "data", multi30k)
    assert found.verified
    assert testsets.names("multi30k_de_en", tmp_path / "data") == ("test_2018_flickr",)
    assert testsets.load(CORPORA["multi30k_de_en"], "test_2018_flickr", "de", "en", tmp_path / "data")[0].pairs == 3
    with pytest.raises(DataMissing, match=r"no test set 'test_2017_flickr' on disk.*prepare it from a folder with"):
        testsets.load(CORPORA["multi30k_de_en"], "test_2017_flickr", "de", "en", tmp_path / "data")
    later = tmp_path / "later"
    later.mkdir()
    for language in ("de", "en"):
        (tmp_path / f"test_2017_flickr.{language}").rename(later / f"test_2017_flickr.{language}")
    assert prepare("multi30k_de_en", tmp_path / "data", later).checksum == found.checksum
    named = {
        name: testsets.load(CORPORA["multi30k_de_en"], name, "de", "en", tmp_path / "data")[0].checksum
        for name in testsets.names("multi30k_de_en", tmp_path / "data")
    }
    assert {name: checksum.endswith("+unverified") for name, checksum in named.items()} == {
        "test_2018_flickr": True,
        "test_2017_flickr": False,
    }
    path = tmp_path / "data" / "multi30k_de_en" / "tests" / "test_2018_flickr.en"
    path.write_bytes(path.read_bytes()[:-5])
    assert "test_2018_flickr.en is missing or was changed" in str(verify("multi30k_de_en", tmp_path / "data").problem)
