"""Test sets of a finished run: its own parts, the corpus's further ones, and files of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xsam.tasks.translation import bpe, testsets, text
from xsam.tasks.translation.corpora import CORPORA
from xsam.tasks.translation.pairs import ParallelData, References, dataset_of, encode


@dataclass(frozen=True)
class Evaluated:
    """Something to translate and what the translations are scored against.

    Attributes:
        name: under which its scores are stored.
        dataset: fairseq's data set.
        references: of every pair.
        checksum: of the content.
        note: how it was made, where it is no published text as it is.
    """

    name: str
    dataset: Any
    references: References
    checksum: str
    note: str = ""


def open_set(data: ParallelData, name: str, data_dir: Path) -> Evaluated:
    """The test set ``name``: ``test`` or ``valid`` of the run, a further set of its corpus, or files of one's own.

    Files are given as ``SOURCE,REFERENCE``, or by what they have in common: ``talks/mine`` for ``talks/mine.de`` and
    ``talks/mine.en``. What they are stored under has their content's digest in it, ``mine@0123abcd``.

    Raises ``DataMissing`` and ``ValueError`` (one line) where there is no such set, or its sides are not aligned.
    """
    if name in data.references:
        return Evaluated(name, data.parts[name], data.references[name], data.checksum)
    files = _own_files(data, name)
    if files is None:
        found, source, target = testsets.load(CORPORA[data.name], name, data.source, data.target, data_dir)
        return Evaluated(name, *preprocessed(data, source, target, name), found.checksum, found.note)
    lines = [text.read_lines(path) for path in files]
    text.check_aligned(files[0], files[1], lines[0], lines[1])
    for path, one in zip(files, lines, strict=True):
        text.check_filled(path, one)
    if not lines[0]:
        raise ValueError(f"{files[0]}: no sentences in it")
    stem = files[0].name.removesuffix(".gz").removesuffix(f".{data.source}")
    digests = [text.digest(one) for one in lines]
    checksum = "-".join(digests)
    name_of_content = f"{stem}@{text.digest(digests)[:8]}"  # no other file of this name passes for it
    return Evaluated(name_of_content, *preprocessed(data, lines[0], lines[1], str(files[0])), checksum)


def _own_files(data: ParallelData, name: str) -> tuple[Path, Path] | None:
    """Source and reference where ``name`` is one's own files; None where it is a name."""
    if "," in name:
        first, _, second = name.partition(",")
        return Path(first), Path(second)
    for suffix in ("", ".gz"):
        source, target = (Path(f"{name}.{language}{suffix}") for language in (data.source, data.target))
        if source.is_file() and target.is_file():
            return source, target
    if "/" in name:
        raise ValueError(f"{name}: no files {name}.{data.source} and {name}.{data.target}")
    return None


def subwords(data: ParallelData, lines: Sequence[str], language: str) -> tuple[list[str], list[str]]:
    """Raw lines as tokens in lower case, and as subwords: what preparing the corpus makes of them."""
    tokens = text.lowercase(text.tokenise(lines, language))
    return tokens, bpe.apply(tokens, data.codes)


def preprocessed(data: ParallelData, source: Sequence[str], target: Sequence[str], name: str) -> tuple[Any, References]:
    """fairseq's data set of raw pairs, and their references."""
    _, source_subwords = subwords(data, source, data.source)
    tokens, target_subwords = subwords(data, target, data.target)
    sides = [
        encode(Path(name), lines, dictionary, known=False)
        for lines, dictionary in (
            (source_subwords, data.source_dictionary),
            (target_subwords, data.target_dictionary),
        )
    ]
    dataset = dataset_of(sides[0], sides[1], data.source_dictionary, data.target_dictionary)
    return dataset, References(tokens, list(target))
