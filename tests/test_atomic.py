import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xsam import atomic


def test_a_file_is_written_into_folders_that_did_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "a b" / "c" / "file.bin"
    atomic.write_bytes(path, b"content")
    assert path.read_bytes() == b"content"
    assert os.listdir(path.parent) == ["file.bin"]


def test_json_is_readable_and_refuses_what_json_lacks(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomic.write_json(path, {"name": "größe", "values": [1, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "größe", "values": [1, None]}
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(path, {"loss": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8"))["values"] == [1, None]


def test_json_has_a_line_for_each_entry_and_for_each_item_in_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomic.write_json(
        path, {"name": "g", "runs": [{"id": 1, "params": {"a": [1, 2]}}, {}], "none": [], "axes": {"b": "c"}}
    )
    lines = ["{", '  "name": "g",', '  "runs": [', '    {"id": 1, "params": {"a": [1, 2]}},', "    {}", "  ],"]
    lines += ['  "none": [],', '  "axes": {', '    "b": "c"', "  }", "}"]
    assert path.read_text(encoding="utf-8") == "\n".join(lines) + "\n"


@pytest.mark.parametrize("durable", [True, False])
def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file.bin"
    atomic.write_bytes(path, b"old")

    def half_written() -> None:
        with atomic.replacing(path, durable) as temporary:
            assert temporary.parent == path.parent
            temporary.write_bytes(b"ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_written()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file.bin"
    atomic.write_bytes(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_content_reaches_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        events.append("sync " + Path(os.readlink(f"/proc/self/fd/{descriptor}")).suffix)
        sync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    atomic.write_bytes(tmp_path / "file.bin", b"x")
    assert events == ["sync .tmp", "rename", "sync "]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic.write_bytes(tmp_path / "file.bin", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "file.bin").stat().st_mode & 0o777 == 0o640


def test_threads_that_write_one_file_never_mix_their_content(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    contents = [bytes([65 + index]) * 20_000 for index in range(6)]

    def write(content: bytes) -> None:
        for _ in range(15):
            atomic.write_bytes(path, content, durable=False)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            assert path.read_bytes() in contents
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["file.bin"]


WRITER = """
import sys
from pathlib import Path
from xsam.atomic import write_bytes
path = Path(sys.argv[1])
print("ready", flush=True)
for number in range(10**9):
    write_bytes(path, b"%09d" % number * 30_000, durable=False)
"""


def test_a_killed_writer_never_leaves_a_half_written_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    for attempt in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            writer.wait(0.005 * attempt)  # kills at different points of a write
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        if path.exists():
            content = path.read_bytes()
            assert len(content) == 9 * 30_000
            assert content == content[:9] * 30_000
