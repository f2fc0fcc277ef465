"""Text pairs of one's own, prepared under a name of one's own: what is kept of each, and the corpus that it is.

Needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from xsam.atomic import write_json
from xsam.tasks.own import Found, OwnSet, known
from xsam.tasks.translation.corpora import CORPORA, PARTS, Corpus

TASK = "translation"
RECORD = "own.json"
MERGES = 10_000  # byte-pair merges where none are asked for
_LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,19}")
_SEAL = "seal"


def reserved() -> set[str]:
    """Names that no text pair of one's own can have."""
    return {name for name in CORPORA if name not in known()}


def looks_own(source: Path) -> bool:
    """Whether ``source`` is a folder with texts ``train.LANGUAGE``, and not one of images."""
    return source.is_dir() and bool(languages_in(source)) and not (source / "train").is_dir()


def languages_in(folder: Path) -> list[str]:
    """The languages that the files ``train.LANGUAGE`` in ``folder`` are in, packed or not, in alphabetical order."""
    names = {path.name.removesuffix(".gz").partition(".")[2] for path in folder.glob("train.*") if path.is_file()}
    return sorted(name for name in names if _LANGUAGE.fullmatch(name) and name not in ("parquet", "npz"))


def write_record(folder: Path, corpus: Corpus) -> None:
    """Keep in ``folder`` what is known of a prepared corpus."""
    assert corpus.languages is not None
    assert corpus.counts is not None
    facts = {
        "name": corpus.name,
        "languages": list(corpus.languages),
        "merges": corpus.merges,
        "counts": dict(corpus.counts),
        "checksum": corpus.own,
    }
    write_json(folder / RECORD, {**facts, _SEAL: _seal(facts)})


def find_own(data_dir: Path) -> Iterator[Found]:
    """The prepared text pairs of one's own below ``data_dir``, in alphabetical order; reads their records alone."""
    for path in sorted(data_dir.glob(f"*/{RECORD}")):
        name = path.parent.name
        try:
            corpus = recorded_in(path.parent)
            if corpus.name != name:
                raise ValueError(f"this is the folder of {corpus.name}: give it its name back")
        except (ValueError, TypeError, LookupError, AttributeError, OSError) as error:
            yield Found(name, problem=f"{path}: damaged ({error}); prepare the data set again")
            continue
        yield Found(name, partial(_add, corpus, data_dir), partial(CORPORA.take_back, name))


def recorded_in(folder: Path) -> Corpus:
    """The corpus whose record is in ``folder``; raises ``ValueError`` and the like where that is not as written."""
    facts: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    kept = {key: value for key, value in facts.items() if key != _SEAL}
    if facts.get(_SEAL) != _seal(kept):
        raise ValueError("changed by hand")
    first, second = map(str, kept["languages"])
    counts = {part: int(kept["counts"][part]) for part in PARTS}
    return Corpus(
        str(kept["name"]), "parallel", (first, second), int(kept["merges"]), counts=counts, own=str(kept["checksum"])
    )


def _add(corpus: Corpus, data_dir: Path) -> OwnSet:
    CORPORA.lend(corpus.name, corpus)
    return OwnSet(corpus.name, TASK, corpus.own, corpus.facts, place=str(data_dir / corpus.name))


def _seal(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
