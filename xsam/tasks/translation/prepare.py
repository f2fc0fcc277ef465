"""Bringing corpora to where training reads them: the published preprocessing, checked by its counts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, product
from pathlib import Path

from xsam.tasks.data import Available, OwnOptions, Report, Verified, silent
from xsam.tasks.download import fetch
from xsam.tasks.translation import bpe, library, testsets, text
from xsam.tasks.translation.as_published import checked, differences, refuse
from xsam.tasks.translation.corpora import CORPORA, PARTS, Corpus
from xsam.tasks.translation.files import MANIFEST, Prepared, describe, false_part, file_digest, folder_of, locate
from xsam.tasks.translation.own import MERGES, RECORD, write_record
from xsam.tasks.translation.own import looks_own as looks_own
from xsam.tasks.translation.parallel import in_parallel
from xsam.tasks.translation.sources import VALID_EVERY, Raw, Sides, read, read_own, read_tests
from xsam.tasks.workspace import workspace


def names() -> tuple[str, ...]:
    """The corpora's names, in the order of their table."""
    return tuple(CORPORA)


def available(data_dir: Path) -> list[Available]:
    """Where each corpus is; opens no file."""
    return [describe(corpus, data_dir) for corpus in CORPORA.values()]


def require(name: str, data_dir: Path) -> None:
    """Raise ``DataMissing`` where ``name`` is not prepared in any size; opens nothing."""
    corpus = CORPORA[name]
    if not any((data_dir / name).glob(f"bpe*/{MANIFEST}")):
        locate(corpus, corpus.merges, data_dir)


def recorded(name: str, data_dir: Path) -> str:
    """The checksum of ``name``, from the digests in its manifest: of the usual size where several are prepared."""
    corpus = CORPORA[name]
    sizes = [Prepared.load(path.parent) for path in sorted((data_dir / name).glob(f"bpe*/{MANIFEST}"))]
    if not sizes or any(one.merges == corpus.merges for one in sizes):
        return locate(corpus, corpus.merges, data_dir).checksum
    return sizes[0].checksum


def verify(name: str, data_dir: Path) -> Verified:
    """Read the prepared ``name`` from end to end; damage is told in ``problem``.

    Raises ``DataMissing`` where it is not on disk.
    """
    corpus = CORPORA[name]
    return _verified(locate(corpus, corpus.merges, data_dir), data_dir)


def _verified(prepared: Prepared, data_dir: Path) -> Verified:
    source, corpus = str(prepared.folder), CORPORA[prepared.name]
    problem = prepared.damage() or false_part(corpus, prepared) or testsets.damage(corpus.name, data_dir)
    if corpus.own and prepared.checksum != corpus.own:
        problem = problem or f"{source} is not what {corpus.name} was prepared as: prepare it again"
    if problem is not None:
        return Verified(prepared.name, {}, "", source, problem)
    return Verified(prepared.name, prepared.counts, prepared.checksum, source)


def prepare(
    name: str,
    data_dir: Path,
    source: Path | None = None,
    *,
    bpe_merges: int | None = None,
    allow_unverified: bool = False,
    report: Report = silent,
) -> Verified:
    """Preprocess ``name`` as published, and put it below ``data_dir``; does nothing where it is and is right.

    Args:
        source: the published archive, or a folder with its files or with one's own (``train.de``, ``train.en``,
            ``valid.de`` …); ``None`` downloads.
        bpe_merges: byte-pair merges; ``None``: the corpus's usual number.
        allow_unverified: take texts with other counts than the published ones; the checksum then says so.
        report: told of downloading and of the steps of preprocessing.

    Raises ``ValueError`` (one line) for a source without the texts, broken or misaligned texts (with file and line),
    counts other than the published ones, and a failed download; nothing half-written is left then.
    """
    try:
        library.require()
    except library.TranslationUnavailable as error:
        raise ValueError(str(error)) from None
    corpus = CORPORA[name]
    merges = corpus.merges if bpe_merges is None else bpe_merges
    target = folder_of(corpus, merges, data_dir)
    if (target / MANIFEST).is_file():
        prepared = Prepared.load(target)
        found = _verified(prepared, data_dir)
        if found.ok and (allow_unverified or prepared.published):
            if source is not None and not {*corpus.tests, *corpus.derived} <= {*testsets.names(name, data_dir)}:
                _add_tests(corpus, _existing(source), data_dir, allow_unverified)
            return found
    if source is not None:
        _existing(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with workspace(target.parent) as temporary:
        origin = source or _download(corpus, target.parent / "downloads", report)
        staged = temporary / "staged"
        staged.mkdir()
        raw = read(corpus, origin, temporary)
        prepared = _write(corpus, raw, merges, staged, report)
        prepared = checked(corpus, raw, prepared, origin, allow_unverified)
        prepared.save()
        if target.exists():
            target.rename(temporary / "replaced")
        staged.rename(target)
        testsets.save(corpus, data_dir, raw.tests, raw.notes)
    return _verified(Prepared.load(target), data_dir)


def prepare_own(name: str, data_dir: Path, source: Path, options: OwnOptions, report: Report) -> Verified:
    """Preprocess the texts in the folder ``source``, and put them below ``data_dir`` as the data set ``name``.

    Where there is no ``valid`` or no ``test`` part, pairs of the training part become it (:func:`held_out`). Raises
    ``ValueError`` as :func:`prepare` does; nothing is left then, and an earlier set of this name stays.
    """
    try:
        library.require()
    except library.TranslationUnavailable as error:
        raise ValueError(str(error)) from None
    if given := OwnOptions(options.size, options.image, options.label).given():
        raise ValueError(f"{name} holds texts: leave out {' and '.join(given)}")
    target, merges = data_dir / name, options.bpe_merges or MERGES
    if target.exists() and not (target / RECORD).is_file():
        raise ValueError(
            f"{target}: there already, and not made by 'data prepare'; choose another name, or another --data"
        )
    raw = read_own(source)
    missing = [part for part in PARTS if part not in raw.parts]
    raw = replace(raw, parts={**raw.parts, **held_out(raw.parts["train"], missing, str(source))})
    counts = {part: len(raw.parts[part][raw.languages[0]]) for part in PARTS}
    corpus = Corpus(name, "parallel", raw.languages, merges, counts=counts)
    data_dir.mkdir(parents=True, exist_ok=True)
    with workspace(data_dir) as temporary:
        staged = temporary / "staged"
        folder = staged / folder_of(corpus, merges, data_dir).name
        folder.mkdir(parents=True)
        prepared = _write(corpus, raw, merges, folder, report, joined=bool(options.joined_dictionary))
        prepared.save()
        write_record(staged, replace(corpus, own=prepared.checksum))
        if target.exists():
            target.rename(temporary / "replaced")
        staged.rename(target)
    made = [
        f"no {part} part was given: {counts[part]:,} training pairs, chosen by the SHA-256 of their texts, became one"
        for part in missing
    ]
    return Verified(name, prepared.counts, prepared.checksum, str(target), notes=tuple(made))


def held_out(train: Sides, parts: Sequence[str], place: str) -> dict[str, Sides]:
    """The training pairs without some that become ``parts``, and these: a twentieth for each, by their content alone.

    Pairs are gone through by the SHA-256 of both sides, whatever order they came in; those of one source sentence or
    of one target sentence may be on both sides, the same pair never is.

    Raises ``ValueError`` (one line that begins with ``place``) where the training pairs are too few.

    >>> sides = {"de": [str(i) for i in range(40)], "en": [str(i) for i in range(40)]}
    >>> {part: len(one["de"]) for part, one in held_out(sides, ["valid", "test"], "texts").items()}
    {'train': 36, 'valid': 2, 'test': 2}
    """
    pairs = list(zip(*train.values(), strict=True))
    share = len(pairs) // 20
    if parts and not share:
        raise ValueError(f"{place}: {len(pairs)} training pairs are too few to take a {parts[0]} part from; give one")
    same: dict[bytes, list[int]] = {}
    for place_of, pair in enumerate(pairs):
        same.setdefault(hashlib.sha256("\n".join(pair).encode()).digest(), []).append(place_of)
    chosen: dict[str, list[int]] = {part: [] for part in parts}
    waiting = iter(sorted(same))
    for part in parts:
        while len(chosen[part]) < share and (key := next(waiting, None)) is not None:
            chosen[part] += same[key] if len(chosen[part]) + len(same[key]) <= share else []
        if not chosen[part]:
            raise ValueError(f"{place}: the training pairs are too few different ones to take a {part} part from")
    taken = {index for own in chosen.values() for index in own}
    chosen["train"] = [index for index in range(len(pairs)) if index not in taken]
    return {
        part: {language: [lines[index] for index in sorted(chosen[part])] for language, lines in train.items()}
        for part in ("train", *parts)
    }


def _existing(source: Path) -> Path:
    if not source.exists():
        raise ValueError(f"{source}: no such file or folder")
    return source


def _add_tests(corpus: Corpus, source: Path, data_dir: Path, allow_unverified: bool) -> None:
    """Put the further test sets in ``source`` beside a corpus that is prepared."""
    with workspace(data_dir / corpus.name) as temporary:
        raw = read_tests(corpus, source, temporary)
        refuse(corpus, differences(corpus, raw), source, allow_unverified)
        testsets.save(corpus, data_dir, raw.tests, raw.notes)


def _download(corpus: Corpus, into: Path, report: Report) -> Path:
    """The corpus's one archive, or the folder with its files; what arrived before is not fetched again."""
    if not corpus.downloads:
        raise ValueError(f"{corpus.name} is your own data: give its folder with --from FOLDER")
    into.mkdir(exist_ok=True)
    for name in corpus.downloads:
        try:
            if not (into / name).exists():
                fetch(corpus.url + name, into / name, None, report)
        except ValueError as error:
            raise ValueError(
                f"cannot download {corpus.url}{name} ({error}); fetch {', '.join(corpus.downloads)} elsewhere, then run"
                " the same command with --from"
            ) from None
    return into / corpus.downloads[0] if len(corpus.downloads) == 1 else into


def _write(corpus: Corpus, raw: Raw, merges: int, folder: Path, report: Report, *, joined: bool = False) -> Prepared:
    """Write every file of the corpus but the manifest into ``folder``; ``joined``: one dictionary for both."""
    steps = Steps(report, 2 * len(raw.parts) + 1 + 2 * len(PARTS))
    parts: dict[str, Selected] = {}
    for part, sides in raw.parts.items():
        parts[part] = _preprocessed(sides, raw.split and part == "train", steps)
    originals = dict(raw.parts)
    if raw.split:
        together = parts["train"]
        parts["train"], parts["valid"] = _every(together, chosen=False), _every(together, chosen=True)
        originals["valid"] = raw.parts["train"]

    codes = bpe.learn(chain.from_iterable(parts["train"].sides[language] for language in raw.languages), merges)
    steps.done()
    text.write_lines(folder / "codes", codes.removesuffix("\n").split("\n"))
    training: Sides = {}
    draft = Prepared(corpus.name, folder, raw.languages, merges, {}, {}, {})
    for language, part in product(raw.languages, PARTS):
        tokenised, places = parts[part].sides[language], parts[part].places
        lines = in_parallel(partial(bpe.apply, codes=codes), tokenised)
        steps.done()
        text.write_lines(draft.text(part, language), lines)
        if part == "train":
            training[language] = lines
        else:
            text.write_lines(draft.tokens(part, language), tokenised)
            text.write_lines(draft.raw(part, language), [originals[part][language][place] for place in places])
    of_all = list(chain.from_iterable(training.values())) if joined else []
    sizes = {
        language: _write_dictionary(of_all if joined else lines, draft.dictionary(language))
        for language, lines in training.items()
    }
    digests = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    counts = {part: len(parts[part].places) for part in PARTS}
    return replace(draft, counts=counts, dictionary_sizes=sizes, digests=digests)


class Steps:
    """Counts the steps of preprocessing for whoever is told of them."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total, self._finished = report, total, 0

    def done(self) -> None:
        """One more step is done."""
        self._finished += 1
        self._report("preprocessing", self._finished, self._total)


@dataclass(frozen=True)
class Selected:
    """Tokenised, lower-cased lines of both sides, and the places that they had among the raw lines."""

    sides: Sides
    places: list[int]


def _preprocessed(sides: Sides, clean: bool, steps: Steps) -> Selected:
    """Both sides tokenised, cleaned where asked, then in lower case."""
    tokenised: Sides = {}
    for language, lines in sides.items():
        tokenised[language] = in_parallel(partial(text.tokenise, language=language), lines)
        steps.done()
    pairs = enumerate(zip(*tokenised.values(), strict=True))
    kept = [place for place, (one, other) in pairs if not clean or text.is_clean(one, other)]
    if clean:
        tokenised = {language: [text.squeezed(line) for line in lines] for language, lines in tokenised.items()}
    return Selected({lang: text.lowercase([lines[k] for k in kept]) for lang, lines in tokenised.items()}, kept)


def _every(pairs: Selected, chosen: bool) -> Selected:
    """Every 23rd pair (``chosen``), or all the others."""
    taken = [k for k in range(len(pairs.places)) if (k % VALID_EVERY == VALID_EVERY - 1) == chosen]
    sides = {language: [lines[k] for k in taken] for language, lines in pairs.sides.items()}
    return Selected(sides, [pairs.places[k] for k in taken])


def _write_dictionary(lines: Iterable[str], path: Path) -> int:
    """Write fairseq's dictionary of all subwords of ``lines``; returns its size."""
    dictionary = library.fairseq().Dictionary()
    for symbol, count in Counter(symbol for line in lines for symbol in line.split()).items():
        dictionary.add_symbol(symbol, count)
    dictionary.finalize(threshold=0)
    dictionary.save(str(path))
    return len(dictionary)
