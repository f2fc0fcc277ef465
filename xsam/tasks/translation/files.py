"""Where a prepared corpus is on disk, and what its manifest says. Needs the standard library alone."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from xsam.atomic import write_json
from xsam.tasks import DataMissing
from xsam.tasks.data import UNVERIFIED, Available
from xsam.tasks.translation.corpora import Corpus
from xsam.tasks.translation.text import digest, read_lines

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus's folder and its manifest.

    Attributes:
        name: of the corpus.
        languages: its two languages.
        merges: byte-pair merges that were asked for.
        counts: part → sentence pairs.
        dictionary_sizes: language → entries of its dictionary.
        digests: file name → SHA-256 of its content.
        published: whether its counts and texts are those on record for the corpus, where there are any.
        unchecked: parts of a published corpus whose texts nothing is on record of but their counts.
    """

    name: str
    folder: Path
    languages: tuple[str, str]
    merges: int
    counts: Mapping[str, int]
    dictionary_sizes: Mapping[str, int]
    digests: Mapping[str, str]
    published: bool = True
    unchecked: tuple[str, ...] = ()

    @property
    def checksum(self) -> str:
        """Hex digest of all files, names and contents; ``UNVERIFIED`` behind it unless all is known to be published."""
        listing = "".join(f"{name} {digest}\n" for name, digest in sorted(self.digests.items()))
        return hashlib.sha256(listing.encode()).hexdigest()[:16] + (
            "" if self.published and not self.unchecked else UNVERIFIED
        )

    def text(self, part: str, language: str) -> Path:
        """The subwords of ``part``, a sentence a line."""
        return self.folder / f"{part}.bpe.{language}"

    def tokens(self, part: str, language: str) -> Path:
        """The tokenised, lower-cased sentences of ``part`` (``valid`` or ``test``)."""
        return self.folder / f"{part}.tok.{language}"

    def raw(self, part: str, language: str) -> Path:
        """The sentences of ``part`` (``valid`` or ``test``) before tokenisation."""
        return self.folder / f"{part}.raw.{language}"

    def dictionary(self, language: str) -> Path:
        """The dictionary in fairseq's format."""
        return self.folder / f"dict.{language}.txt"

    def save(self) -> None:
        """Write the manifest into the folder."""
        content = asdict(self) | {"format": FORMAT}
        del content["folder"]
        write_json(self.folder / MANIFEST, content)

    @classmethod
    def load(cls, folder: Path) -> Prepared:
        """The corpus in ``folder``; raises ``FileNotFoundError``, or ``ValueError`` for another format's manifest."""
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError(f"{folder / MANIFEST}: prepared by another version; delete {folder} and prepare it again")
        first, second = content.pop("languages")
        unchecked = tuple(content.pop("unchecked", ()))  # which older versions did not write
        return cls(folder=folder, languages=(first, second), unchecked=unchecked, **content)

    def damage(self) -> str | None:
        """One line about the first file that is not as it was written, ``None`` where all are; reads everything."""
        for name, expected in self.digests.items():
            path = self.folder / name
            if not path.is_file():
                return f"{path} is missing: delete {self.folder} and prepare it again"
            if file_digest(path) != expected:
                return f"{path} was changed or cut off: delete {self.folder} and prepare it again"
        return None


def false_part(corpus: Corpus, prepared: Prepared) -> str | None:
    """One line about a part that passes for the published one and is not, though its counts are; None where all are.

    The texts of training are told by the check when they are prepared: only those of the other parts are kept raw.
    """
    if not prepared.published:
        return None
    for name, expected in corpus.digests.items():
        part, _, language = name.rpartition(".")
        if part in ("valid", "test") and digest(read_lines(prepared.raw(part, language))) != expected:
            return (
                f"{prepared.raw(part, language)} is not the {part} text of the published {corpus.name}: delete"
                f" {prepared.folder} and prepare it again"
            )
    return None


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_of(corpus: Corpus, merges: int, data_dir: Path) -> Path:
    """Where the corpus with that many merges belongs."""
    return data_dir / corpus.name / f"bpe{merges}"


def locate(corpus: Corpus, merges: int, data_dir: Path) -> Prepared:
    """The prepared corpus; raises ``DataMissing`` with the command that prepares it."""
    folder = folder_of(corpus, merges, data_dir)
    if not (folder / MANIFEST).is_file():
        command = f"xsam-bench data prepare {corpus.name} --data {shlex.quote(str(data_dir))}"
        command += f" --bpe-merges {merges}" if merges != corpus.merges else ""
        command += " --from FOLDER" if not corpus.downloads else ""
        raise DataMissing(f"data set {corpus.name} is missing (no {folder / MANIFEST}): run `{command}`")
    return Prepared.load(folder)


def describe(corpus: Corpus, data_dir: Path) -> Available:
    """Whether the corpus is there with its usual merges, and where; opens no file."""
    folder = folder_of(corpus, corpus.merges, data_dir)
    return Available(corpus.name, str(folder), (folder / MANIFEST).is_file(), corpus.facts)
