"""A set of one's own is known by its content: prepared anew, changed by hand, damaged, renamed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tasks.own_images import COUNTS, made, write_npz
from xsam.tasks import DataMissing, own
from xsam.tasks.data import prepare, verify
from xsam.tasks.vision.datasets import DATASETS
from xsam.tasks.vision.images import load


def test_prepared_anew_it_is_another_set_and_the_former_is_said(tmp_path: Path, data: Path) -> None:
    source = write_npz(tmp_path / "a.npz", made(COUNTS))
    first = prepare("birds", data, source)
    former = DATASETS["birds"]
    assert prepare("birds", data, source).notes == ()
    assert prepare("birds", data) == verify("birds", data)
    other = prepare("birds", data, write_npz(tmp_path / "b.npz", made(COUNTS, seed=1)))
    assert f"its content was {first.checksum} before" in other.notes[-1]
    assert [path.name for path in data.iterdir()] == ["birds"]
    with pytest.raises(own.OwnDataChanged, match=r"has other content now .* plan the grid anew"):
        own.check({"birds": first.checksum}, data)
    own.check({"birds": other.checksum}, data)
    with pytest.raises(DataMissing, match="xsam-bench data prepare owls --from FOLDER"):
        own.check({"owls": first.checksum}, data)
    DATASETS["birds"] = former  # a process that planned before
    with pytest.raises(ValueError, match="prepared anew with other content meanwhile"):
        load("birds", data)


def test_a_changed_folder_is_found_and_named(tmp_path: Path, data: Path) -> None:
    source = write_npz(tmp_path / "a.npz", made(COUNTS))
    prepare("birds", data, source)
    manifest = data / "birds" / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    kept = json.loads(text)
    kept["own"]["std"][0] += 0.1
    for content, message in ((json.dumps(kept), "changed by hand"), (text[:80], "damaged"), ("[]", "damaged")):
        manifest.write_text(content, encoding="utf-8")
        own.enter(data)
        assert "birds" not in own.known()
        assert message in own.hint("birds")
        assert str(manifest) in own.hint("birds")
    manifest.write_text(text, encoding="utf-8")
    array = data / "birds" / "test-8.npy"
    whole = array.read_bytes()
    array.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "as when it was prepared" in str(verify("birds", data).problem)
    array.unlink()
    with pytest.raises(DataMissing, match="xsam-bench data prepare birds --from FOLDER"):
        verify("birds", data)
    prepare("birds", data, source)
    assert verify("birds", data).ok
    (data / "birds").rename(data / "gulls")
    own.enter(data)
    assert dict(own.known()) == {}
    assert "this is the folder of birds" in own.hint("gulls") or "damaged" in own.hint("gulls")
