"""Whether a corpus is the published one: its counts, its dictionaries' sizes and the digests of its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from xsam.tasks.translation import text
from xsam.tasks.translation.corpora import Corpus
from xsam.tasks.translation.files import Prepared
from xsam.tasks.translation.sources import Raw


def checked(corpus: Corpus, raw: Raw, prepared: Prepared, origin: Path, allow_unverified: bool) -> Prepared:
    """``prepared``, marked where its counts or texts are not the published ones and ``allow_unverified`` takes that.

    Raises ``ValueError`` with everything that differs otherwise.
    """
    expected = {f"{part} pairs": count for part, count in (corpus.counts or {}).items()}
    found = {f"{part} pairs": count for part, count in prepared.counts.items()}
    if prepared.merges == corpus.merges:
        expected |= _entries(corpus.dictionary_sizes or {})
        found |= _entries(prepared.dictionary_sizes)
    wrong = [*unlike(found, expected), *differences(corpus, raw)]
    refuse(corpus, wrong, origin, allow_unverified)
    known = {name.rpartition(".")[0] for name in corpus.digests}
    unchecked = tuple(part for part in raw.parts if part not in known) if corpus.counts else ()
    return replace(prepared, published=not wrong, unchecked=unchecked)


def differences(corpus: Corpus, raw: Raw) -> list[str]:
    """Every raw text whose content is not the published one, and further test sets of other sizes, in words."""
    counts = {f"{name} pairs": len(next(iter(sides.values()))) for name, sides in raw.tests.items()}
    wrong = unlike(counts, {f"{name} pairs": count for name, count in corpus.tests.items() if name in raw.tests})
    for part, sides in (*raw.parts.items(), *raw.tests.items()):
        for language, lines in sides.items():
            name, found = f"{part}.{language}", text.digest(lines)
            if corpus.digests.get(name, found) != found:
                wrong.append(f"the {part} text in {language} has checksum {found} instead of {corpus.digests[name]}")
    return wrong


def unlike(found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """What is expected and was found in another number, in words."""
    return [f"{found[what]:,} {what} instead of {count:,}" for what, count in expected.items() if found[what] != count]


def refuse(corpus: Corpus, wrong: Sequence[str], origin: Path, allow_unverified: bool) -> None:
    """``ValueError`` with everything that is ``wrong``, in words, unless ``allow_unverified`` takes it."""
    if wrong and not allow_unverified:
        raise ValueError(
            f"{origin}: not the published {corpus.name}: {', '.join(wrong)}; --allow-unverified takes it all the same"
        )


def _entries(sizes: Mapping[str, int]) -> dict[str, int]:
    return {f"{language} dictionary entries": size for language, size in sizes.items()}
