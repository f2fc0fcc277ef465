"""A prepared corpus in memory: token numbers, fairseq's dictionaries, and what translations are scored against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xsam.tasks.seeding import generator
from xsam.tasks.translation.corpora import CORPORA
from xsam.tasks.translation.files import Prepared, false_part, locate
from xsam.tasks.translation.library import fairseq
from xsam.tasks.translation.text import check_aligned, read_lines

MAX_POSITIONS = 1024  # of fairseq's architectures


class Sentences:
    """Sentences of token numbers, each ended by the end-of-sentence token, in one flat array."""

    def __init__(self, numbers: np.ndarray, sizes: np.ndarray) -> None:
        self.sizes = sizes
        self._numbers = torch.from_numpy(numbers)
        self._ends = np.cumsum(sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> torch.Tensor:
        """The sentence's token numbers, int64."""
        end = int(self._ends[index])
        return self._numbers[end - int(self.sizes[index]) : end].long()

    def chosen(self, places: Sequence[int]) -> Sentences:
        """The sentences at these places alone."""
        numbers = torch.cat([self[place] for place in places]).to(self._numbers.dtype)
        return Sentences(numbers.numpy(), self.sizes[list(places)])


@dataclass(frozen=True)
class References:
    """What a part's translations are scored against: tokenised in lower case, and before any preprocessing."""

    tokenised: list[str]
    raw: list[str]

    def chosen(self, places: Sequence[int]) -> References:
        """The references at these places alone."""
        return References([self.tokenised[place] for place in places], [self.raw[place] for place in places])


@dataclass(frozen=True)
class ParallelData:
    """A prepared corpus in one direction.

    Attributes:
        source, target: codes of the languages.
        source_dictionary, target_dictionary: fairseq's dictionaries.
        parts: part → fairseq's ``LanguagePairDataset``.
        references: ``"valid"`` and ``"test"`` → their references.
        checksum: hex digest of the prepared files.
        name: of the corpus.
        codes: the byte-pair codes that its subwords were made with.
    """

    source: str
    target: str
    source_dictionary: Any
    target_dictionary: Any
    parts: dict[str, Any]
    references: dict[str, References]
    checksum: str
    name: str
    codes: str

    def limited(self, sizes: Mapping[str, int | None]) -> ParallelData:
        """With the same few pairs of a part for every seed where ``sizes`` (part → pairs) has a number for it.

        A larger number takes the same pairs and more. Raises ``ValueError`` (one line) where a part has fewer.
        """
        parts, references = dict(self.parts), dict(self.references)
        for part, size in sizes.items():
            if size is None:
                continue
            pairs = len(self.parts[part])
            if size > pairs:
                raise ValueError(f"{part}_subset {size:,} is more than the {pairs:,} {part} pairs there are")
            order = torch.randperm(pairs, generator=generator(0, f"{part}_subset"))
            places = order[:size].sort().values.tolist()
            sides = [side.chosen(places) for side in (self.parts[part].src, self.parts[part].tgt)]
            parts[part] = dataset_of(sides[0], sides[1], self.source_dictionary, self.target_dictionary)
            references[part] = self.references[part].chosen(places)
        return replace(self, parts=parts, references=references)


@lru_cache(maxsize=1)
def load(name: str, merges: int, source: str, target: str, data_dir: Path, content: str = "") -> ParallelData:
    """The prepared corpus ``name`` from ``source`` to ``target``; kept in memory for the worker's next runs.

    Args:
        content: of a text pair of one's own: the checksum that it must have.

    Raises ``DataMissing`` where it is not prepared, and ``ValueError`` (one line) for a language that it does not have,
    files that were changed or cut off, and sentences that are too long, empty or of unknown tokens.
    """
    prepared = locate(CORPORA[name], merges, data_dir)
    if {source, target} != set(prepared.languages):
        raise ValueError(f"{name} has the languages {' and '.join(prepared.languages)}, not {source} and {target}")
    if content and prepared.checksum != content:
        raise ValueError(f"{data_dir / name}: prepared anew with other content meanwhile; give the command again")
    damage = prepared.damage() or false_part(CORPORA[name], prepared)
    if damage is not None:
        raise ValueError(damage)
    dictionaries = {lang: fairseq().Dictionary.load(str(prepared.dictionary(lang))) for lang in (source, target)}
    return ParallelData(
        source,
        target,
        dictionaries[source],
        dictionaries[target],
        {part: _pairs(prepared, part, source, target, dictionaries) for part in prepared.counts},
        {part: _references(prepared, part, target) for part in ("valid", "test")},
        prepared.checksum,
        name,
        "\n".join(read_lines(prepared.folder / "codes")) + "\n",
    )


def _references(prepared: Prepared, part: str, language: str) -> References:
    return References(read_lines(prepared.tokens(part, language)), read_lines(prepared.raw(part, language)))


def _pairs(prepared: Prepared, part: str, source: str, target: str, dictionaries: dict[str, Any]) -> Any:
    paths = [prepared.text(part, language) for language in (source, target)]
    lines = [read_lines(path) for path in paths]
    check_aligned(paths[0], paths[1], lines[0], lines[1])
    sides = [
        encode(path, side, dictionaries[language], known=part == "train")
        for path, side, language in zip(paths, lines, (source, target), strict=True)
    ]
    return dataset_of(sides[0], sides[1], dictionaries[source], dictionaries[target])


def dataset_of(source: Sentences, target: Sentences, source_dictionary: Any, target_dictionary: Any) -> Any:
    """fairseq's data set of these pairs."""
    return fairseq().LanguagePairDataset(
        source, source.sizes, source_dictionary, target, target.sizes, target_dictionary, shuffle=False
    )


def encode(path: Path, lines: list[str], dictionary: Any, known: bool) -> Sentences:
    """Token numbers of ``lines`` of subwords; other tokens than the dictionary's are its unknown token.

    Args:
        path: where the lines are from, for messages.
        known: refuse unknown tokens (the training text is what the dictionary was made from).

    Raises ``ValueError`` that names file and line for a sentence of more than 1,023 tokens, and for an unknown token.
    """
    numbers: list[int] = []
    sizes = []
    indices, unknown, end = dictionary.indices, dictionary.unk(), dictionary.eos()
    for number, line in enumerate(lines, start=1):
        tokens = line.split()
        if len(tokens) >= MAX_POSITIONS:
            raise ValueError(f"{path}:{number}: a sentence of {len(tokens):,} tokens; the model takes 1,023")
        encoded = [indices.get(token, unknown) for token in tokens]
        if known and unknown in encoded:
            token = tokens[encoded.index(unknown)]
            raise ValueError(f"{path}:{number}: token {token!r} is not in the dictionary; prepare the data again")
        numbers += [*encoded, end]
        sizes.append(len(encoded) + 1)
    return Sentences(np.array(numbers, dtype=np.int32), np.array(sizes, dtype=np.int64))
