"""Reading a corpus as its publishers ship it: archives, tagged texts, XML test sets, plain texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath

from xsam.tasks.archives import opened
from xsam.tasks.translation.align import DOUBT, align, joined
from xsam.tasks.translation.corpora import PARTS, Corpus
from xsam.tasks.translation.own import languages_in
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
    folder = _unpacked(corpus, source, temporary)
    if corpus.format == "iwslt":
        return replace(_iwslt_tests(corpus.languages, folder), parts={})
    return Raw(corpus.languages, {}, tests=_tests(corpus, folder))


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


def xml_talks(lines: Lines) -> list[list[str]]:
    """The sentences of an XML test set by its talks: its ``<seg id`` lines alone, without tags, ``’`` as ``'``.

    >>> xml_talks(["<doc>", '<seg id="1"> It’s late . </seg>', "</doc>", "<doc>", '<seg id="1">Good.</seg>', "</doc>"])
    [["It's late ."], ['Good.']]
    """
    talks: list[list[str]] = []
    for line in lines:
        if "<doc" in line:
            talks.append([])
        if "<seg id" in line:
            if not talks:
                talks.append([])
            talks[-1].append(_SEGMENT_END.sub("", _SEGMENT_START.sub("", line)).replace("’", "'"))
    return talks


def _iwslt_files(languages: tuple[str, str]) -> list[tuple[str, ...]]:
    pair = "-".join(languages)
    tests = [(f"IWSLT14.{name}.{pair}.{language}.xml",) for name in IWSLT_TEST for language in languages]
    return [*((f"train.tags.{pair}.{language}",) for language in languages), *tests]


def _iwslt(languages: tuple[str, str], folder: Path) -> Raw:
    train = [_find(folder, names) for names in _iwslt_files(languages)[:2]]
    pairs = _pair(dict(zip(languages, train, strict=True)), tagged_sentences)
    tests = _iwslt_tests(languages, folder)
    return replace(tests, parts={"train": pairs, **tests.parts}, split=True)


def _iwslt_tests(languages: tuple[str, str], folder: Path) -> Raw:
    """The published test set (the part ``test``), each of its five files, and all of it realigned where that is needed.

    Line n of one side is the translation of line n of the other in the published set, though in some talks it is not:
    see :func:`realigned`.
    """
    paths = [_find(folder, names) for names in _iwslt_files(languages)[2:]]
    whole: Sides = {language: [] for language in languages}
    repaired: Sides = {language: [] for language in languages}
    tests: dict[str, Sides] = {}
    changes: list[str] = []
    for name, files in zip(IWSLT_TEST, zip(paths[::2], paths[1::2], strict=True), strict=True):
        talks = [xml_talks(read_lines(path)) for path in files]
        sides = [list(chain.from_iterable(one)) for one in talks]
        check_aligned(files[0], files[1], sides[0], sides[1])
        *again, told = realigned(*(talks if len(talks[0]) == len(talks[1]) else [[side] for side in sides]))
        tests[name.replace(".", "_").lower()] = dict(zip(languages, sides, strict=True))
        changes += [f"{name} {one}" for one in told]
        for language, side, other in zip(languages, sides, again, strict=True):
            whole[language] += side
            repaired[language] += other
    note = "; ".join(changes) or "no talk was realigned: it is the published test set"
    return Raw(languages, {"test": whole}, tests={"test_realigned": repaired, **tests}, notes={"test_realigned": note})


def realigned(source: Sequence[Lines], target: Sequence[Lines]) -> tuple[list[str], list[str], list[str]]:
    """Both sides of a test set's talks, realigned where they are likely to be shifted, and what was done, in words.

    A talk keeps its pairs line by line unless another alignment is likelier by more than ``align.DOUBT`` nats, or its
    sides differ in number.
    """
    ours: list[str] = []
    theirs: list[str] = []
    told = []
    for number, (one, other) in enumerate(zip(source, target, strict=True), start=1):
        found = align(one, other)
        if found.gain <= DOUBT:
            ours += one
            theirs += other
            continue
        pairs = joined(one, other, found)
        ours += pairs[0]
        theirs += pairs[1]
        first, last = found.moved
        told.append(
            f"talk {number}: sentences {first + 1} to {last + 1} of {len(one)} realigned, {len(pairs[0])} pairs"
        )
    return ours, theirs, told


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


def read_own(folder: Path) -> Raw:
    """The texts of one's own in ``folder``, of the parts that are there; raises as :func:`read` does."""
    if len(found := languages_in(folder)) != 2:
        raise _no_pair(folder, found)
    first, second = found
    files = {part: [f"{part}.{language}{packed}" for language in found for packed in ("", ".gz")] for part in PARTS}
    there = [part for part, names in files.items() if any((folder / name).is_file() for name in names)]
    return _plain((first, second), folder, {part: (part,) for part in there})


def _no_pair(folder: Path, languages: Sequence[str]) -> ValueError:
    shown = ", ".join(f"train.{language}" for language in sorted(languages)) or "none"
    return ValueError(
        f"{folder}: two files train.<language> are needed, as train.de and train.en, and valid and test likewise;"
        f" found {shown}"
    )


def _parallel(folder: Path) -> Raw:
    found = {path.name.removesuffix(".gz").partition(".")[2] for path in folder.glob("train.*")}
    if len(found) != 2:
        raise _no_pair(folder, sorted(found))
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
