"""Further test sets of a corpus: raw sentences beside the prepared texts, whatever those were made with.

A test set that no run is trained with needs no subwords on disk: they are made when it is translated. Needs the
standard library alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from xsam.atomic import write_json
from xsam.parameters import nearest
from xsam.tasks import DataMissing
from xsam.tasks.data import UNVERIFIED
from xsam.tasks.translation.corpora import PARTS, Corpus
from xsam.tasks.translation.text import check_aligned, digest, read_lines, write_lines

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class TestSet:
    """A further test set: its pairs, and the digest of each side's text.

    Attributes:
        pairs: sentence pairs.
        digests: language → :func:`xsam.tasks.translation.text.digest` of its sentences.
        published: whether it is known to be the published text (the corpus has its digests), or needs none on record.
        note: how it was made, where it is not a published file's sentences as they are.
    """

    __test__ = False  # no class of tests

    name: str
    pairs: int
    digests: Mapping[str, str]
    published: bool = False
    note: str = ""

    @property
    def checksum(self) -> str:
        """Both sides' digests, with ``UNVERIFIED`` behind them where the text is not known to be the published one."""
        both = "-".join(self.digests[language] for language in sorted(self.digests))
        return both + ("" if self.published else UNVERIFIED)


def folder_of(corpus: str, data_dir: Path) -> Path:
    """Where the further test sets of the corpus are."""
    return data_dir / corpus / "tests"


def names(corpus: str, data_dir: Path) -> tuple[str, ...]:
    """The further test sets of the corpus that are on disk."""
    return tuple(_manifest(corpus, data_dir))


def _manifest(corpus: str, data_dir: Path) -> dict[str, TestSet]:
    path = folder_of(corpus, data_dir) / MANIFEST
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: TestSet(name=name, **entry) for name, entry in content.items()}


def save(
    corpus: Corpus, data_dir: Path, sides: Mapping[str, Mapping[str, list[str]]], notes: Mapping[str, str]
) -> None:
    """Write test sets (name → language → sentences) beside those that are there; the manifest comes last."""
    if not sides:
        return
    folder = folder_of(corpus.name, data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    known = _manifest(corpus.name, data_dir)
    for name, texts in sides.items():
        for language, lines in texts.items():
            write_lines(folder / f"{name}.{language}", lines)
        digests = {language: digest(lines) for language, lines in texts.items()}
        published = all(corpus.digests.get(f"{name}.{language}") == one for language, one in digests.items())
        known[name] = TestSet(name, len(next(iter(texts.values()))), digests, published, notes.get(name, ""))
    content = {name: asdict(one) for name, one in known.items()}
    for entry in content.values():
        del entry["name"]
    write_json(folder / MANIFEST, content)


def load(corpus: Corpus, name: str, source: str, target: str, data_dir: Path) -> tuple[TestSet, list[str], list[str]]:
    """The test set ``name`` with the sentences of both sides.

    Raises ``DataMissing`` where it is not on disk, and ``ValueError`` (one line) for files that were changed.
    """
    known = _manifest(corpus.name, data_dir)
    if name not in known:
        have = (*PARTS[1:], *known)
        where = (
            f"data set {corpus.name} has no test set {name!r} on disk{nearest(name, have)}; there: {', '.join(have)}"
        )
        hint = f"; prepare it from a folder with {name}.{source} and {name}.{target}" if name in corpus.tests else ""
        raise DataMissing(where + hint)
    paths = [folder_of(corpus.name, data_dir) / f"{name}.{language}" for language in (source, target)]
    lines = []
    for path, language in zip(paths, (source, target), strict=True):
        if not path.is_file() or digest(read_lines(path)) != known[name].digests[language]:
            raise ValueError(f"{path} is missing or was changed: prepare {corpus.name} again from its files")
        lines.append(read_lines(path))
    check_aligned(paths[0], paths[1], lines[0], lines[1])
    return known[name], lines[0], lines[1]


def damage(corpus: str, data_dir: Path) -> str | None:
    """One line about the first further test set that is not as it was written; None where all are."""
    for name, one in _manifest(corpus, data_dir).items():
        for language, expected in one.digests.items():
            path = folder_of(corpus, data_dir) / f"{name}.{language}"
            if not path.is_file() or digest(read_lines(path)) != expected:
                return f"{path} is missing or was changed: prepare {corpus} again from its files"
    return None
