"""Byte-pair encoding (Sennrich et al., ACL 2016) with subword-nmt, as the published preprocessing calls it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import redirect_stderr
from functools import lru_cache
from io import StringIO
from typing import Any

from xsam.tasks.translation.text import Lines

SEPARATOR = "@@"


def learn(lines: Iterable[str], merges: int) -> str:
    """The codes (the text of a codes file) of ``merges`` merges learned on tokenised ``lines``.

    Fewer, where no pair of symbols is left that occurs twice.
    """
    from subword_nmt.learn_bpe import learn_bpe

    codes = StringIO()
    with redirect_stderr(StringIO()):  # a progress bar
        learn_bpe(lines, codes, merges)
    return codes.getvalue()


@lru_cache(maxsize=2)
def _segmenter(codes: str) -> Any:
    from subword_nmt.apply_bpe import BPE

    return BPE(StringIO(codes), separator=SEPARATOR)


def apply(lines: Lines, codes: str) -> list[str]:
    """Each tokenised line in subwords, with blanks between them; all but the last of a word end in ``@@``.

    >>> apply(["low slow"], learn(["low low low lower"], 2))
    ['low s@@ low']
    """
    segmenter = _segmenter(codes)
    return [segmenter.process_line(line) for line in lines]
