"""The parallel corpora as data: languages, counts and where they come from. Needs the standard library alone.

A new corpus in one of the known formats is one entry in ``CORPORA``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xsam.registries import Registry

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Corpus:
    """What is known of a parallel corpus before it is read.

    Attributes:
        format: who reads it: ``"iwslt"`` (WIT3's tagged training texts and XML test sets), ``"multi30k"`` or
            ``"parallel"`` (plain texts of a sentence a line).
        languages: codes of its two languages, the published source first; ``None``: as the files' names say.
        merges: byte-pair merges where none are asked for.
        counts: sentence pairs of each part after preparation, where they are on record.
        dictionary_sizes: language → entries of its dictionary with ``merges`` merges, where on record.
        digests: ``part.language`` → :func:`xsam.tasks.translation.text.digest` of the published raw sentences, as this
            project computed it from the published files. A part without one is checked by its count alone, and what is
            prepared says so (``+unverified``).
        tests: further published test sets, name → sentence pairs; prepared where their files are there.
        derived: further test sets that are made of the published files; see :mod:`xsam.tasks.translation.sources`.
        url, downloads: where to fetch it, and the files there.
        own: of a text pair of one's own under its own name: the checksum of its prepared files.
    """

    name: str
    format: str
    languages: tuple[str, str] | None
    merges: int
    counts: Mapping[str, int] | None = None
    dictionary_sizes: Mapping[str, int] | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[str, int] = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    url: str = ""
    downloads: tuple[str, ...] = ()
    own: str = ""

    @property
    def facts(self) -> str:
        """Counts and languages in a few words.

        >>> CORPORA["multi30k_de_en"].facts
        '29,000 training, 1,014 validation and 1,000 test pairs, de and en'
        """
        if self.counts is None or self.languages is None:
            return "your own train, valid and test texts in two languages"
        train, valid, test = (self.counts[part] for part in PARTS)
        first, second = self.languages
        mine = ", your own" if self.own else ""
        return f"{train:,} training, {valid:,} validation and {test:,} test pairs, {first} and {second}{mine}"


_IWSLT14 = Corpus(
    name="iwslt14_de_en",
    format="iwslt",
    languages=("de", "en"),
    merges=10_000,
    counts={"train": 160_239, "valid": 7_283, "test": 6_750},
    dictionary_sizes={"de": 8_848, "en": 6_632},
    derived=("test_realigned", "ted_dev2010", "tedx_dev2012", "ted_tst2010", "ted_tst2011", "ted_tst2012"),
    url="https://dl.fbaipublicfiles.com/fairseq/data/iwslt14/",
    downloads=("de-en.tgz",),
)

_MULTI30K_TESTS = {"test_2017_flickr": 1_000, "test_2017_mscoco": 461, "test_2018_flickr": 1_071}
_MULTI30K = Corpus(
    name="multi30k_de_en",
    format="multi30k",
    languages=("de", "en"),
    merges=4_000,
    counts={"train": 29_000, "valid": 1_014, "test": 1_000},
    digests={
        "train.de": "2c2b73fd2b548fbc",
        "train.en": "460a15fbd157e34a",
        "valid.de": "660e09eb7e1da2f8",
        "valid.en": "1f2a23d992769b5b",
        "test.de": "4be6b5b3236b79c2",
        "test.en": "399a4382932c1aad",
    },
    tests=_MULTI30K_TESTS,
    url="https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/",
    downloads=tuple(
        f"{part}.{language}.gz"
        for part in ("train", "val", "test_2016_flickr", *_MULTI30K_TESTS)
        for language in ("de", "en")
    ),
)

_PARALLEL_TEXT = Corpus(name="parallel_text", format="parallel", languages=None, merges=10_000)

CORPORA: Registry[Corpus] = Registry(
    "corpus", {corpus.name: corpus for corpus in (_IWSLT14, _MULTI30K, _PARALLEL_TEXT)}
)
