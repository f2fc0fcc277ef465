"""CIFAR's pickles: crafted files neither crash the process nor take its memory, and each is one line."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.tasks import archives
from xsam.tasks.data import prepare
from xsam.tasks.vision.datasets.cifar_pickle import read_batch
from xsam.tasks.workspace import workspace

NOTHING = (None, None, None, -1, -1, 0)


def number(value: int) -> bytes:
    return pickle.BININT + value.to_bytes(4, "little", signed=True)


def text(value: str) -> bytes:
    return pickle.BINUNICODE + len(value).to_bytes(4, "little") + value.encode()


def raw(value: bytes) -> bytes:
    return pickle.BINBYTES + len(value).to_bytes(4, "little") + value


def value(content: object) -> bytes:
    """The opcodes of ``content``; bytes are taken for opcodes already."""
    match content:
        case bytes():
            return content
        case None:
            return pickle.NONE
        case bool():
            return pickle.NEWTRUE if content else pickle.NEWFALSE
        case int():
            return number(content)
        case str():
            return text(content)
        case tuple():
            return pickle.MARK + b"".join(map(value, content)) + pickle.TUPLE
        case dict():
            items = b"".join(value(key) + value(one) for key, one in content.items())
            return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS
    raise TypeError(content)


def dtype(code: str, state: tuple[object, ...]) -> bytes:
    return b"cnumpy\ndtype\n" + value((code, 0, 1)) + pickle.REDUCE + value((3, "|", *state)) + pickle.BUILD


def array(kind: bytes, shape: object, content: bytes) -> bytes:
    made = b"cnumpy.core.multiarray\n_reconstruct\n" + value((b"cnumpy\nndarray\n", (0,), "b")) + pickle.REDUCE
    return made + value((1, shape, kind, False, raw(content))) + pickle.BUILD


def batch(data: bytes, labels: bytes = pickle.EMPTY_LIST) -> bytes:
    return pickle.PROTO + b"\x02" + value({"data": data, "labels": labels}) + pickle.STOP


BYTES = dtype("u1", NOTHING)
OBJECTS = dtype("O8", (None, None, None, -1, -1, 63))
NESTED = pickle.EMPTY_TUPLE + pickle.TUPLE1 * 2_000_000

# The first two end NumPy's own reader with a signal, the third Python's in C, which the fourth makes take 32 GB.
CRAFTED = {
    "pointers": batch(array(dtype("O8", (None, None, None, 8, 8, 0)), (4,), b"a" * 32)),
    "pointers in a field": batch(
        array(dtype("V8", (None, ("a",), {"a": (OBJECTS, 0)}, 8, 1, 0)), (4,), b"a" * 32),
    ),
    "nested key": pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + NESTED + pickle.NONE + pickle.SETITEM + pickle.STOP,
    "memo": pickle.PROTO + b"\x02" + pickle.NONE + pickle.LONG_BINPUT + b"\xff\xff\xff\x7f" + pickle.STOP,
    "flags": batch(array(dtype("u1", (None, None, None, -1, -1, 63)), (4,), b"a" * 32)),
    "shape": batch(array(BYTES, (1 << 30, 1 << 30, 1 << 30), b"a")),
    "negative shape": batch(array(BYTES, (-1, -4), b"aaaa")),
    "boolean shape": batch(array(BYTES, (True, 4), b"aaaa")),
    "no shape": batch(array(BYTES, 4, b"aaaa")),
    "no content": batch(b"cnumpy.core.multiarray\n_reconstruct\n" + value((None, None, None)) + pickle.REDUCE),
    "short": batch(array(BYTES, (4,), b"aaa")),
    "floats": batch(array(dtype("f8", NOTHING), (4,), b"a" * 32)),
    "big endian": batch(array(b"cnumpy\ndtype\n" + value((">i4", 0, 1)) + pickle.REDUCE, (1,), b"aaaa")),
    "size": pickle.PROTO + b"\x04" + pickle.BINBYTES8 + (1 << 62).to_bytes(8, "little") + pickle.STOP,
    "digits": pickle.PROTO + b"\x02" + pickle.INT + b"9" * 100_000 + b"\n" + pickle.STOP,
    "line breaks": b"cnumpy\nsave\x0b\x0cload\n" + pickle.STOP,
    "long name": b"c" + b"n" * 100_000 + b"\nload\n" + pickle.STOP,
    "bytearray": pickle.PROTO + b"\x05" + pickle.BYTEARRAY8 + (1 << 62).to_bytes(8, "little") + pickle.STOP,
    "extension": pickle.PROTO + b"\x02" + pickle.EXT4 + number(1) + pickle.STOP,
    "defaults": pickle.PROTO + b"\x02cnumpy\ndtype\n" + value((None, {"__defaults__": None})) + pickle.BUILD + b".",
    "labels": batch(array(BYTES, (4,), b"aaaa"), pickle.MARK + number(1) + text("one") + pickle.LIST),
    "no labels": pickle.PROTO + b"\x02" + value({"data": array(BYTES, (4,), b"aaaa")}) + pickle.STOP,
    "none": b"",
    "noise": bytes(range(256)),
}


def test_no_crafted_batch_ends_the_process_or_says_more_than_a_line(tmp_path):
    """In a process of its own, with little memory."""
    for name, content in CRAFTED.items():
        (tmp_path / name).write_bytes(content)
    program = f"""
import io, json, pathlib, resource
from xsam.tasks.vision.datasets.cifar_pickle import read_batch
limit = 3 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
said = {{}}
for path in sorted(pathlib.Path({str(tmp_path)!r}).iterdir()):
    try:
        read_batch(io.BytesIO(path.read_bytes()), "labels", 1 << 28)
    except ValueError as error:
        said[path.name] = str(error)
    print(json.dumps(said), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    said = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, (done.returncode, done.stderr, list(said)[-1:])
    assert set(said) == set(CRAFTED)
    for line in said.values():
        assert len(line.splitlines()) == 1
        assert len(line) < 250
    assert said["pointers"] == "an array of 'O8', not of bytes or integers"
    assert said["nested key"] == "it has more than 1,000 tuples"
    assert said["shape"].startswith("an array of shape (1073741824,")
    assert said["labels"] == "labels are not a list of integers"


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_batches_of_every_age_are_read(protocol):
    images = np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8)
    for given in ([3, 300], np.array([3, 300])):
        content = {"data": images, "labels": given, "filenames": ["a.png", "ü.png"]}
        packed = pickle.dumps(content, protocol)
        ours, labels = read_batch(io.BytesIO(packed), "labels", 1 << 20)
        assert np.array_equal(ours, images)
        assert ours.dtype == np.uint8
        assert labels.tolist() == [3, 300]
    python2 = archives.pickled({"data": np.asfortranarray(images), "labels": [3, 300]})
    assert np.array_equal(read_batch(io.BytesIO(python2), "labels", 1 << 20)[0], images)
    with pytest.raises(ValueError, match="more than 100 bytes"):
        read_batch(io.BytesIO(python2), "labels", 100)


def test_a_crafted_batch_in_an_archive_is_one_line_that_names_it(tiny_cifar, tmp_path):
    import tarfile

    with tarfile.open(tiny_cifar.source) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    folder = tmp_path / "unpacked" / tiny_cifar.dataset.published
    (folder / "data_batch_3").write_bytes(CRAFTED["pointers"])
    with pytest.raises(ValueError, match=r"data_batch_3: not in the format of cifar10 \(an array of 'O8'") as caught:
        prepare("cifar10", tmp_path / "data", folder, allow_unverified=True)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "data").iterdir()) == []


def test_folders_of_killed_preparations_go_and_those_of_living_ones_stay(tmp_path):
    program = f"""
import pathlib, sys
from xsam.tasks.workspace import workspace
with workspace(pathlib.Path({str(tmp_path)!r})) as own:
    (own / "half").write_text("written")
    print(own, flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    alive = Path(process.stdout.readline().strip())
    foreign = tmp_path / ".prepare-otherhost-1-x"  # where locks do not tell
    foreign.mkdir()
    old = tmp_path / ".prepare-old"
    (old / "below").mkdir(parents=True)
    for path in (old / "below", old):
        os.utime(path, (time.time() - 2 * 86400,) * 2)
    with workspace(tmp_path) as own:
        assert {path.name for path in tmp_path.iterdir()} == {alive.name, own.name, foreign.name}
        process.kill()
        process.communicate()
        with workspace(tmp_path) as other:
            assert {path.name for path in tmp_path.iterdir()} == {own.name, other.name, foreign.name}
    assert [path.name for path in tmp_path.iterdir()] == [foreign.name]
