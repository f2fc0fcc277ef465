"""Downloads that go on where they were cut, which pooch's do not. Needs the standard library alone."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from xsam.atomic import is_full, naming
from xsam.tasks.data import Report

TIMEOUT_SECONDS = 60.0
_BLOCK = 1 << 18
_RANGE_NOT_SATISFIABLE = 416


def fetch(url: str, target: Path, md5: str | None, report: Report) -> None:
    """Download ``url`` to ``target``, which appears only when it is whole and has the digest ``md5``.

    What has arrived is kept in ``<target>.part``: a connection that is cut, in this call or in an earlier one, costs
    only the rest. A part that turns out to be something else is deleted.

    Args:
        report: called with the file's name, the bytes that are there and those of the whole file (None: not told).

    Raises ``ValueError`` (one line without the address) where nothing more arrives, and for another digest;
    ``OSError`` that names the part where the disk is full.
    """
    part = target.with_name(f"{target.name}.part")
    while not _advance(url, part, report):
        pass  # cut, but further than before
    digest = file_md5(part)
    if md5 not in (None, digest):
        part.unlink()
        raise ValueError(f"what was downloaded is not the published file: MD5 {digest}, not {md5}")
    os.replace(part, target)


def file_md5(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def _advance(url: str, part: Path, report: Report) -> bool:
    """Fetch what ``part`` lacks over one connection; False where it was cut after some bytes."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            start = have if response.status == http.client.PARTIAL_CONTENT else 0
            length = response.headers["Content-Length"]
            total = start + int(length) if length is not None else None
            size = _receive(response, part, start, total, report)
    except urllib.error.HTTPError as error:
        if error.code == _RANGE_NOT_SATISFIABLE and have:
            return _complete(part, have, error.headers["Content-Range"])
        raise ValueError(str(error)) from None
    except (OSError, http.client.HTTPException) as error:
        if is_full(error):
            raise
        if part.exists() and part.stat().st_size > have:
            return False
        raise ValueError(str(error) or type(error).__name__) from None
    if total is None or size >= total:
        return True
    if size <= have:
        raise ValueError(f"the connection ends after {size:,} of {total:,} bytes")
    return False


def _receive(response: http.client.HTTPResponse, part: Path, start: int, total: int | None, report: Report) -> int:
    name, size = part.name.removesuffix(".part"), start
    with part.open("r+b" if start else "wb") as writing:
        writing.seek(start)
        while block := response.read(_BLOCK):
            with naming(part):
                writing.write(block)
            size += len(block)
            report(name, size, total)
    return size


def _complete(part: Path, have: int, content_range: str | None) -> bool:
    """Whether ``part`` is the whole file, which the server tells as ``bytes */<size>``; deleted where it is not."""
    if content_range == f"bytes */{have}":
        return True
    part.unlink()
    return False
