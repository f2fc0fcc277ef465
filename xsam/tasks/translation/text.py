"""The published preprocessing of a text, line by line: Moses tokens, lower case, cleaning; and reading it safely.

Perl's Moses scripts are reproduced with sacremoses, byte for byte on the corpora that this was checked with.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

MAX_RATIO, MAX_WORDS = 1.5, 175

_FINAL_DOT = re.compile(r"(?<=[^\s.])\.$")

Lines = Sequence[str]


def read_lines(path: Path) -> list[str]:
    r"""The lines of a UTF-8 text, gzipped where its name ends in ``.gz``.

    Only ``"\n"`` ends a line: U+2028 and its like stand within sentences. Raises ``ValueError`` that names file and
    line where the text is not UTF-8, or the gzip file is cut off.
    """
    content = _content(path)
    pieces = content.removesuffix(b"\n").split(b"\n") if content else []
    lines = []
    for number, piece in enumerate(pieces, start=1):
        try:
            lines.append(piece.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}:{number}: not UTF-8 ({error.reason} at byte {error.start} of the line)") from None
    return lines


def _content(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    pieces = []
    try:
        with gzip.open(path) as file:
            while piece := file.read1(1 << 20):  # what is whole is counted, to say where a cut-off file ends
                pieces.append(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        lines = sum(piece.count(b"\n") for piece in pieces)
        raise ValueError(f"{path}:{lines + 1}: the gzip file breaks off here ({error})") from None
    return b"".join(pieces)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    r"""Write ``lines`` to ``path``, each ended by ``"\n"``."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def digest(lines: Lines) -> str:
    r"""The first 16 hex digits of the SHA-256 of ``lines`` in UTF-8, each ended by ``"\n"``: of a text, packed or not.

    >>> digest(["ab"]) == hashlib.sha256(b"ab\n").hexdigest()[:16]
    True
    """
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:16]


def check_aligned(first: Path, second: Path, first_lines: Lines, second_lines: Lines) -> None:
    """Raise ``ValueError`` where the two sides of a corpus have different numbers of lines."""
    if len(first_lines) != len(second_lines):
        shorter, longer = sorted(((len(first_lines), first), (len(second_lines), second)))
        raise ValueError(
            f"{shorter[1]} ends after line {shorter[0]:,} but {longer[1]} has {longer[0]:,} lines:"
            " line n of one must be the translation of line n of the other"
        )


def check_filled(path: Path, lines: Lines) -> None:
    """Raise ``ValueError`` that names the first line without a word."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise ValueError(f"{path}:{number}: an empty line; remove it on both sides")


@lru_cache
def _moses(language: str) -> Any:
    from sacremoses import MosesTokenizer

    return MosesTokenizer(lang=language)


@lru_cache
def _unmoses(language: str) -> Any:
    from sacremoses import MosesDetokenizer

    return MosesDetokenizer(lang=language)


def tokenise(lines: Lines, language: str) -> list[str]:
    """Each line's Moses tokens with blanks between them, special characters escaped (tokenizer.perl -l LANGUAGE).

    >>> tokenise(["Don't go, it's 5 p.m."], "en")
    ['Don &apos;t go , it &apos;s 5 p.m .']
    """
    moses = _moses(language)
    # The Perl script splits a final dot off whatever stands before it; sacremoses spares abbreviations.
    return [_FINAL_DOT.sub(" .", moses.tokenize(line, return_str=True)) for line in lines]


def detokenise(lines: Lines, language: str) -> list[str]:
    """The inverse of :func:`tokenise`, as far as there is one.

    >>> detokenise(["don &apos;t go , it &apos;s late ."], "en")
    ["don't go, it's late."]
    """
    moses = _unmoses(language)
    return [moses.detokenize(line.split()) for line in lines]


def lowercase(lines: Lines) -> list[str]:
    """Each line in lower case, character by character as in Perl (a final sigma is not special).

    >>> lowercase(["ÜBER ΟΔΟΣ"])
    ['über οδοσ']
    """
    return ["".join(map(str.lower, line)) if "Σ" in line else line.lower() for line in lines]


def is_clean(first: str, second: str) -> bool:
    """Whether clean-corpus-n.perl with ratio 1.5 keeps the tokenised pair: 1 to 175 words, neither side much longer.

    >>> is_clean("a b c", "a b"), is_clean("a b c d", "a b"), is_clean("", "a")
    (True, False, False)
    """
    one, other = len(first.split()), len(second.split())
    if not (1 <= one <= MAX_WORDS and 1 <= other <= MAX_WORDS):
        return False
    return one / other <= MAX_RATIO and other / one <= MAX_RATIO


def squeezed(line: str) -> str:
    """``line`` with one blank between words and none around them, as clean-corpus-n.perl writes what it keeps.

    >>> squeezed(" a  b ")
    'a b'
    """
    return " ".join(line.split())
