"""Reading a corpus as its publishers ship it: archives, tagged texts, XML test sets, plain texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath

from xsam.tasks.archives import opened
from xsam.tasks.translation.corpora import PARTS, Corpus
from xsam.tasks.translation.text import Lines, check_aligned, check_filled, read_lines

VALID_EVERY = 23  # in IWSLT2014 every 23rd clean training pair is a validation pair
IWSLT_TEST = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
MULTI30K_FILES = {"train": ("train",), "valid": ("valid", "val"), "test": ("test_2016_flickr",)}

_DROPPED = ("<url>", "<talkid>", "<keywords>")
_TAG = re.compile(r"</?(?:title|description)>")
_SEGMENT_START = re.compile(r'<seg id="[0-9]*">\s*')
_SEGMENT_END = re.compile(r"\s*</seg>\s*")
Sides = dict[str, list[str]]


@dataclass(frozen=True)
class Raw:
    """A corpus's raw texts: part (one of ``PARTS``) → language → lines.

    Attributes:
        split: whether the validation pairs are still among the training pairs, to be split off after cleaning.
        tests: further test sets, name → language → lines.
        notes: test set → how it was made, where it is not a file's sentences as they are.
    """

    languages: tuple[str, str]
    parts: Mapping[str, Sides]
    split: bool = False
    tests: Mapping[str, Sides] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def read(corpus: Corpus, source: Path, temporary: Path) -> Raw:
    """The raw texts of ``corpus`` from ``source``, a folder or an archive; archives are unpacked to ``temporary``.

    Raises ``ValueError`` (one line, with file and line where there is one) for a source without the texts, sides that
    are not aligned, text that is not UTF-8, and a file that breaks off.
    """
    if corpus.format == "parallel":
        return _parallel(source)
    assert corpus.languages is not None
    folder = _unpacked(corpus, source, temporary)
    return _iwslt(corpus.languages, folder) if corpus.format == "iwslt" else _multi30k(corpus, folder)


def read_tests(corpus: Corpus, source: Path, temporary: Path) -> Raw:
    """The further test sets of ``corpus`` alone, as far as ``source`` has them; raises as :func:`read` does."""
    assert corpus.languages is not None
    return Raw(corpus.languages, {}, tests=_tests(corpus, _unpacked(corpus, source, temporary)))


def _unpacked(corpus: Corpus, source: Path, temporary: Path) -> Path:
    """A folder with the corpus's files."""
    assert corpus.languages is not None
    names = _iwslt_files(corpus.languages) if corpus.format == "iwslt" else _multi30k_files(corpus)
    files = {*chain.from_iterable(names), *corpus.downloads}
    files |= {f"{name}.gz" for name in files}

    def wanted(path: str) -> bool:
        return PurePosixPath(path).name in files

    with opened(source, temporary / "outer", wanted) as tree:
        folder = tree.place
    # WIT3 ships one archive of archives.
    inner = [path for name in corpus.downloads if corpus.format == "iwslt" for path in sorted(folder.rglob(name))]
    if inner and not any(folder.rglob(names[0][0])):
        with opened(inner[0], temporary / "inner", wanted) as tree:
            folder = tree.place
    return folder


def _find(folder: Path, names: Sequence[str]) -> Path:
    """The file below ``folder`` with one of ``names``, plain or gzipped; the earlier name first."""
    for variant in (f"{name}{suffix}" for name in names for suffix in ("", ".gz")):
        found = sorted(path for path in folder.rglob(variant) if path.is_file())
        if found:
            return found[0]
    raise ValueError(f"{folder}: no file {' or '.join(names)} here")


def _pair(files: Mapping[str, Path], keep: Callable[[Lines], list[str]] = list) -> Sides:
    """The lines of both files, as ``keep`` takes them from each, aligned."""
    sides = {language: keep(read_lines(path)) for language, path in files.items()}
    (first, one), (second, other) = files.items()
    check_aligned(one, other, sides[first], sides[second])
    return sides


def tagged_sentences(lines: Lines) -> list[str]:
    """The sentences of a tagged training text: metadata lines go, titles and descriptions stay without their tags.

    >>> tagged_sentences(["<url>http://a</url>", "<title>A talk</title>", "Hello ."])
    ['A talk', 'Hello .']
    """
    return [_TAG.sub("", line) for line in lines if not any(tag in line for tag in _DROPPED)]


def xml_sentences(lines: Lines) -> list[str]:
    """The sentences of an XML test set: its ``<seg id`` lines alone, without tags, ``’`` as ``'``.

    >>> xml_sentences(["<doc>", '<seg id="1"> It’s late . </seg>', "</doc>"])
    ["It's late ."]
    """
    segments = [line for line in lines if "<seg id" in line]
    return [_SEGMENT_END.sub("", _SEGMENT_START.sub("", line)).replace("’", "'") for line in segments]


def _iwslt_files(languages: tuple[str, str]) -> list[tuple[str, ...]]:
    pair = "-".join(languages)
    tests = [(f"IWSLT14.{name}.{pair}.{language}.xml",) for name in IWSLT_TEST for language in languages]
    return [*((f"train.tags.{pair}.{language}",) for language in languages), *tests]


def _iwslt(languages: tuple[str, str], folder: Path) -> Raw:
    paths = [_find(folder, names) for names in _iwslt_files(languages)]
    train, *tests = zip(paths[::2], paths[1::2], strict=True)
    test: Sides = {language: [] for language in languages}
    for files in tests:
        for language, lines in _pair(dict(zip(languages, files, strict=True)), xml_sentences).items():
            test[language] += lines
    pairs = _pair(dict(zip(languages, train, strict=True)), tagged_sentences)
    return Raw(languages, {"train": pairs, "test": test}, split=True)


def _multi30k_files(corpus: Corpus) -> list[tuple[str, ...]]:
    stems = (*MULTI30K_FILES.values(), *((name,) for name in corpus.tests))
    return [tuple(f"{stem}.{language}" for stem in names) for names in stems for language in corpus.languages or ()]


def _multi30k(corpus: Corpus, folder: Path) -> Raw:
    assert corpus.languages is not None
    return replace(_plain(corpus.languages, folder, MULTI30K_FILES), tests=_tests(corpus, folder))


def _tests(corpus: Corpus, folder: Path) -> dict[str, Sides]:
    """The further test sets whose files are in ``folder``; raises ``ValueError`` where one side alone is."""
    languages = corpus.languages or ("", "")
    found: dict[str, Sides] = {}
    for name in corpus.tests:
        files = (f"{name}.{language}{suffix}" for language in languages for suffix in ("", ".gz"))
        if any(any(folder.rglob(file)) for file in files):
            found[name] = _plain(languages, folder, {name: (name,)}).parts[name]
    return found


def _parallel(folder: Path) -> Raw:
    found = {path.name.removesuffix(".gz").partition(".")[2] for path in folder.glob("train.*")}
    if len(found) != 2:
        shown = ", ".join(f"train.{language}" for language in sorted(found)) or "none"
        raise ValueError(
            f"{folder}: two files train.<language> are needed, as train.de and train.en, and valid and test likewise;"
            f" found {shown}"
        )
    first, second = sorted(found)
    return _plain((first, second), folder, {part: (part,) for part in PARTS})


def _plain(languages: tuple[str, str], folder: Path, stems: Mapping[str, Sequence[str]]) -> Raw:
    parts = {}
    for part, names in stems.items():
        files = {language: _find(folder, [f"{name}.{language}" for name in names]) for language in languages}
        parts[part] = _pair(files)
        for language, path in files.items():
            check_filled(path, parts[part][language])
    return Raw(languages, parts)
