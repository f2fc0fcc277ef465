"""A checksum of our own in every parquet file, looked at before any byte of it reaches the parquet reader.

A reader of parquet trusts what it reads: one flipped byte may give other numbers, or end the process. A sealed file has
a block between its data and its footer, where parquet looks for nothing, so that every reader takes it for what it is::

    PAR1 data … | XSAMseal, length, summary, SHA-256, XSAMends | footer, its length, PAR1

The summary is JSON: what is asked of the file most often, without parsing a footer of a hundred columns. The SHA-256 is
that of everything but itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_BEGIN, _END = b"XSAMseal", b"XSAMends"
_MAGIC = b"PAR1"
_TAIL = 8  # of parquet: the footer's length and its magic
_DIGEST = hashlib.sha256().digest_size


class BrokenSeal(ValueError):
    """The content is not what was written."""


def seal(content: bytes, summary: Mapping[str, Any]) -> bytes:
    """A parquet file's bytes with the block that :func:`unseal` checks.

    >>> import io, pyarrow as pa, pyarrow.parquet as pq
    >>> file = io.BytesIO()
    >>> pq.write_table(pa.table({"x": [1]}), file)
    >>> sealed = seal(file.getvalue(), {"rows": 1})
    >>> unseal(sealed), pq.read_table(io.BytesIO(sealed))["x"].to_pylist()
    ({'rows': 1}, [1])
    """
    place = _footer(content)
    text = json.dumps(summary).encode()
    opening = _BEGIN + len(text).to_bytes(4, "little") + text
    digest = hashlib.sha256(content[:place] + opening + content[place:]).digest()
    return b"".join([content[:place], opening, digest, _END, content[place:]])


def unseal(content: bytes) -> dict[str, Any] | None:
    """The summary of a sealed file that is whole; None for a parquet file that was never sealed.

    Raises:
        BrokenSeal: it is no whole parquet file, or not the one that was sealed.
    """
    if len(content) < 2 * len(_MAGIC) + _TAIL or content[:4] != _MAGIC or content[-4:] != _MAGIC:
        raise BrokenSeal("empty" if not content else "no whole parquet file")
    end = _footer(content)
    if end < len(_MAGIC) or content[end - len(_END) : end] != _END:
        if _BEGIN in content or _END in content:  # a flipped byte in the seal, or in the length of the footer
            raise BrokenSeal("its checksum is not where it was")
        return None
    place = end - len(_END) - _DIGEST
    digest = hashlib.sha256(memoryview(content)[:place])
    digest.update(memoryview(content)[end:])
    if digest.digest() != content[place : place + _DIGEST]:
        raise BrokenSeal("its checksum does not fit")
    begin = content.rindex(_BEGIN, 0, place)
    start = begin + len(_BEGIN) + 4
    length = int.from_bytes(content[start - 4 : start], "little")
    summary: dict[str, Any] = json.loads(content[start : start + length])
    return summary


def _footer(content: bytes) -> int:
    """Where the footer of a parquet file begins."""
    return len(content) - _TAIL - int.from_bytes(content[-_TAIL:-4], "little")
