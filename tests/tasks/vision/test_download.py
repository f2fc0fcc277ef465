"""Downloads from a real HTTP server: whole, cut and continued, missing, and other than published."""

from __future__ import annotations

import dataclasses
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from xsam.tasks.data import prepare
from xsam.tasks.vision.datasets import DATASETS


class Server:
    """Gives the files of a folder.

    Attributes:
        cut_after: bytes of a body after which a connection is closed, or None.
        ranges: whether parts of a file can be asked for.
        asked: the header ``Range`` of each request so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.cut_after, self.ranges = folder, None, True
        self.asked: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                server.asked.append(self.headers["Range"])
                path = server.folder / self.path.lstrip("/")
                if not path.is_file():
                    self.send_error(404)
                    return
                content = path.read_bytes()
                start = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "") if server.ranges else None
                first = int(start[1]) if start else 0
                if start and first >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(content) - first))
                self.end_headers()
                body = content[first:]
                self.wfile.write(body if server.cut_after is None else body[: server.cut_after])

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/"
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "www"
    folder.mkdir()
    running = Server(folder)
    yield running
    running.close()


@pytest.fixture
def served(tiny_cifar, server, monkeypatch) -> Path:
    """The archive of ``cifar10`` on the server, which is now where its entry says that it is."""
    monkeypatch.setitem(DATASETS, "cifar10", dataclasses.replace(tiny_cifar.dataset, url=server.url))
    return Path(shutil.copy(tiny_cifar.source, server.folder))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def failed(data: Path) -> str:
    with pytest.raises(ValueError, match=r"cannot download .*--from") as caught:
        prepare("cifar10", data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_archive_is_downloaded_prepared_and_not_kept(served, tmp_path):
    told: list[tuple[str, int, int | None]] = []

    def report(what: str, done: int, total: int | None) -> None:
        told.append((what, done, total))

    assert prepare("cifar10", tmp_path / "data", report=report).verified
    assert names(tmp_path / "data") == {"cifar10"}
    size = served.stat().st_size
    assert told[-1] == (served.name, size, size)


def test_single_files_are_downloaded(tiny_fashion, server, tmp_path, monkeypatch):
    for path in tiny_fashion.source.iterdir():
        shutil.copy(path, server.folder)
    monkeypatch.setitem(DATASETS, "fashion_mnist", dataclasses.replace(tiny_fashion.dataset, url=server.url))
    assert prepare("fashion_mnist", tmp_path / "data").ok
    assert names(tmp_path / "data") == {"fashion_mnist"}


def test_a_connection_that_is_cut_again_and_again_costs_only_the_rest(served, server, tmp_path):
    server.cut_after = 100_000
    assert prepare("cifar10", tmp_path / "data").verified
    size = served.stat().st_size
    starts = [int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) for asked in server.asked[1:]]
    assert starts == list(range(100_000, size, 100_000))


def test_a_download_goes_on_in_the_next_command(served, server, tmp_path):
    data = tmp_path / "data"

    def interrupt(what: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("cifar10", data, report=interrupt)
    (part,) = (data / ".downloads" / "cifar10").iterdir()
    have = part.stat().st_size
    assert part.name == f"{served.name}.part"
    assert 0 < have < served.stat().st_size
    assert prepare("cifar10", data).verified
    assert server.asked[-1] == f"bytes={have}-"
    assert names(data) == {"cifar10"}


@pytest.mark.parametrize(
    "part",
    [lambda whole: whole, lambda whole: whole + b"surplus"],
    ids=["whole", "longer than the file"],
)
def test_a_part_that_has_nothing_to_ask_for_is_settled(part: Callable[[bytes], bytes], served, tmp_path):
    folder = tmp_path / "data" / ".downloads" / "cifar10"
    folder.mkdir(parents=True)
    (folder / f"{served.name}.part").write_bytes(part(served.read_bytes()))
    assert prepare("cifar10", tmp_path / "data").verified


def test_a_server_without_ranges_starts_over(served, server, tmp_path):
    server.ranges = False
    folder = tmp_path / "data" / ".downloads" / "cifar10"
    folder.mkdir(parents=True)
    (folder / f"{served.name}.part").write_bytes(served.read_bytes()[:1000])
    assert prepare("cifar10", tmp_path / "data").verified


def test_a_part_of_something_else_is_found_by_its_digest_and_deleted(served, tmp_path):
    folder = tmp_path / "data" / ".downloads" / "cifar10"
    folder.mkdir(parents=True)
    (folder / f"{served.name}.part").write_bytes(b"something else")
    assert "not the published file: MD5" in failed(tmp_path / "data")
    assert names(tmp_path / "data") == set()
    assert prepare("cifar10", tmp_path / "data").verified


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("not there", "404"),
        ("other content", "not the published file"),
        ("nobody answers", "refused"),
        ("ends at once", "the connection ends after 0 of"),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_nothing(fault, message, served, server, tmp_path, monkeypatch):
    if fault == "not there":
        served.unlink()
    elif fault == "other content":
        served.write_bytes(b"a portal's login page")
    elif fault == "nobody answers":
        monkeypatch.setitem(DATASETS, "cifar10", dataclasses.replace(DATASETS["cifar10"], url="http://127.0.0.1:9/"))
    else:
        server.cut_after = 0
    assert message in failed(tmp_path / "data")
    left = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.stat().st_size]
    assert left == []
