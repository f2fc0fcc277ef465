"""Preparing corpora: WIT3's true layout, Multi30k's files, one's own texts, and everything that can be wrong."""

from __future__ import annotations

import dataclasses
import random
import tarfile
from pathlib import Path

import pytest

from tests.translation.conftest import SIZES, WORDS, sentence_pairs, write_pairs
from xsam.tasks import DataMissing
from xsam.tasks.data import available, prepare, require, verify
from xsam.tasks.translation import testsets
from xsam.tasks.translation.corpora import CORPORA
from xsam.tasks.translation.files import locate
from xsam.tasks.translation.pairs import load
from xsam.tasks.translation.sources import IWSLT_TEST

# Training lines of every kind, German and English: kept (what becomes of it) or dropped (None).
SPECIAL = [
    ("<url>http://a.org</url>", "<url>http://a.org</url>", None),
    ("<talkid>1</talkid>", "<talkid>1</talkid>", None),
    ("<keywords>talks, art</keywords>", "<keywords>talks, art</keywords>", None),
    ("<title>Ein Vortrag</title>", "<title>A talk</title>", ("ein vortrag", "a talk")),
    ("<description>Zur Kunst.</description>", "<description>On art.</description>", ("zur kunst .", "on art .")),
    (" Wie geht's?", " What's up?", ("wie geht &apos; s ?", "what &apos;s up ?")),
    ("Wir kamen um 5 Uhr v.a.", "We came at 5 p.m.", ("wir kamen um 5 uhr v.a .", "we came at 5 p.m .")),
    ("Eins\u2028zwei.", "One\u2028two.", ("eins zwei .", "one two .")),
    ("Ein langer Satz mit vielen Wörtern hier.", "Short one.", None),
    ("a " * 176, "b " * 176, None),
    ("", "", None),
]  # fmt: skip
PLAIN = [(f"Der Satz {n} ist gut.", f"The sentence {n} is good.") for n in range(41)]


def tagged() -> list[tuple[str, str]]:
    return [(german, english) for german, english, _ in SPECIAL] + PLAIN


def kept() -> list[tuple[str, str]]:
    """The training pairs before every 23rd goes to validation."""
    plain = [(f"der satz {n} ist gut .", f"the sentence {n} is good .") for n in range(41)]
    return [pair for _, _, pair in SPECIAL if pair is not None] + plain


def xml(*talks: list[str]) -> str:
    """Talks as WIT3 writes them in a test set."""
    head = '<?xml version="1.0"?>\n<mteval>\n<srcset setid="s" srclang="de">\n'
    content = ""
    for number, sentences in enumerate(talks, start=1):
        segments = "".join(f'<seg id="{n}"> {line} </seg>\n' for n, line in enumerate(sentences, start=1))
        title = f'<doc docid="{number}">\n<url>http://b</url>\n<title>Not a sentence.</title>\n'
        content += f"{title}{segments}</doc>\n"
    return f"{head}{content}</srcset>\n</mteval>\n"


@pytest.fixture
def wit3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder ``de-en`` of WIT3's archive, with ``iwslt14_de_en`` replaced by a corpus of its size."""
    folder = tmp_path / "de-en"
    folder.mkdir()
    for side, language in enumerate(("de", "en")):
        lines = "".join(f"{pair[side]}\n" for pair in tagged())
        (folder / f"train.tags.de-en.{language}").write_bytes(lines.encode())
    for number, name in enumerate(IWSLT_TEST):
        sides = ([f"Das ist’s, Nummer {number}.", "Gut."], [f"That’s it, number {number}.", "Good."])
        for language, lines in zip(("de", "en"), sides, strict=True):
            (folder / f"IWSLT14.{name}.de-en.{language}.xml").write_bytes(xml(lines).encode())
    counts = {"train": 44, "valid": 2, "test": 10}
    corpus = dataclasses.replace(CORPORA["iwslt14_de_en"], merges=30, counts=counts, dictionary_sizes=None)
    monkeypatch.setitem(CORPORA, "iwslt14_de_en", corpus)
    return folder


def archive(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, folder.name)
    return path


def words(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").replace("@@ ", "").split("\n")[:-1]


def test_iwslt_follows_every_published_rule(wit3, tmp_path):
    found = prepare("iwslt14_de_en", tmp_path / "data", archive(wit3, tmp_path / "de-en.tgz"))
    assert found.ok
    assert found.counts == {"train": 44, "valid": 2, "test": 10}
    prepared = locate(CORPORA["iwslt14_de_en"], 30, tmp_path / "data")
    clean = kept()
    assert len(clean) == 46
    valid = [clean[22], clean[45]]
    for side, language in enumerate(("de", "en")):
        assert words(prepared.text("train", language)) == [pair[side] for pair in clean if pair not in valid]
        assert words(prepared.text("valid", language)) == [pair[side] for pair in valid]
        assert words(prepared.tokens("valid", language)) == [pair[side] for pair in valid]
    # 5 special pairs are kept, so the 23rd kept pair is the plain pair 17, and the 46th the plain pair 40.
    assert words(prepared.raw("valid", "en")) == ["The sentence 17 is good.", "The sentence 40 is good."]
    assert words(prepared.raw("test", "en"))[:3] == ["That's it, number 0.", "Good.", "That's it, number 1."]
    assert words(prepared.tokens("test", "de"))[-2:] == ["das ist &apos; s , nummer 4 .", "gut ."]
    assert words(prepared.text("test", "en")) == words(prepared.tokens("test", "en"))


SENTENCES = 110


def talk(seed: int) -> list[tuple[str, str]]:
    """Sentences of 4 to 40 words, and translations whose lengths go with theirs about as those of real ones do."""
    draw = random.Random(seed)
    pairs = []
    for number in range(SENTENCES):
        words_of = [draw.choice(sorted(WORDS)) for _ in range(draw.choice([4, 6, 9, 14, 22, 40]))]
        english = [WORDS[word] for word in words_of if draw.random() > 0.08]
        pairs.append((f"S{number} {' '.join(words_of)}.", f"S{number} {' '.join(english)}."))
    return pairs


def split(sentences: list[str], place: int) -> list[str]:
    """``sentences`` with the one at ``place`` as two."""
    halves = sentences[place].split()
    middle = len(halves) // 2
    return [*sentences[:place], " ".join(halves[:middle]), " ".join(halves[middle:]), *sentences[place + 1 :]]


@pytest.mark.parametrize("seed", range(5))
def test_the_shifted_pairs_of_a_talk_are_realigned_beside_the_published_set(seed, wit3, tmp_path):
    # As in the published file: one sentence is two in German, and 72 pairs later one is two in English.
    talks = [talk(100 * seed + n) for n in range(3)]
    german, english = ([[pair[side] for pair in one] for one in talks] for side in (0, 1))
    long = [n for n, (line, _) in enumerate(talks[1]) if len(line.split()) > 8]
    first = next(n for n in long if n >= 20)
    last = next(n for n in long if n >= first + 72)
    faulty = [german[0], split(german[1], first), german[2]], [english[0], split(english[1], last), english[2]]
    for language, side in zip(("de", "en"), faulty, strict=True):
        (wit3 / f"IWSLT14.TEDX.dev2012.de-en.{language}.xml").write_text(xml(*side), encoding="utf-8")
    pairs = 8 + 3 * SENTENCES + 1
    prepare("iwslt14_de_en", tmp_path / "data", archive(wit3, tmp_path / "de-en.tgz"), allow_unverified=True)
    corpus = CORPORA["iwslt14_de_en"]
    prepared = locate(corpus, 30, tmp_path / "data")
    assert prepared.counts["test"] == pairs
    published = [words(prepared.raw("test", language)) for language in ("de", "en")]
    shifted = sum(one.split()[0] != other.split()[0] for one, other in zip(*published, strict=True) if one[0] == "S")
    assert shifted >= last - first

    found, *sides = testsets.load(corpus, "test_realigned", "de", "en", tmp_path / "data")
    assert found.pairs == pairs - 1
    expected = [
        [*side[:2], *[line for one in whole for line in one], *side[-6:]]
        for side, whole in zip(published, (german, english), strict=True)
    ]
    assert sides == expected
    assert f"TEDX.dev2012 talk 2: sentences {first + 1} to" in found.note
    assert "talk 1" not in found.note
    single, *_ = testsets.load(corpus, "tedx_dev2012", "de", "en", tmp_path / "data")
    assert single.pairs == 3 * SENTENCES + 1


def test_a_test_set_without_a_fault_stays_as_it_is(wit3, tmp_path):
    pairs = talk(7)
    for side, language in enumerate(("de", "en")):
        content = xml([pair[side] for pair in pairs])
        (wit3 / f"IWSLT14.TED.tst2012.de-en.{language}.xml").write_text(content, encoding="utf-8")
    prepare("iwslt14_de_en", tmp_path / "data", wit3, allow_unverified=True)
    prepared = locate(CORPORA["iwslt14_de_en"], 30, tmp_path / "data")
    found, *sides = testsets.load(CORPORA["iwslt14_de_en"], "test_realigned", "de", "en", tmp_path / "data")
    assert sides == [words(prepared.raw("test", language)) for language in ("de", "en")]
    assert found.note == "no talk was realigned: it is the published test set"


def test_an_archive_of_archives_is_the_same_corpus(wit3, tmp_path):
    inner = tmp_path / "2014-01" / "texts" / "de" / "en"
    inner.mkdir(parents=True)
    archive(wit3, inner / "de-en.tgz")
    outer = archive(tmp_path / "2014-01", tmp_path / "2014-01.tgz")
    plain = prepare("iwslt14_de_en", tmp_path / "one", wit3)
    assert prepare("iwslt14_de_en", tmp_path / "other", outer).checksum == plain.checksum


def test_other_counts_than_published_are_refused_and_told(wit3, tmp_path, monkeypatch):
    expected = dataclasses.replace(
        CORPORA["iwslt14_de_en"],
        counts={"train": 160_239, "valid": 2, "test": 6_750},
        dictionary_sizes={"de": 8_848, "en": 6_632},
    )
    monkeypatch.setitem(CORPORA, "iwslt14_de_en", expected)
    with pytest.raises(
        ValueError, match="not the published iwslt14_de_en: 44 train pairs instead of 160,239, 10 test"
    ) as caught:
        prepare("iwslt14_de_en", tmp_path / "data", wit3)
    assert "de dictionary entries instead of 8,848" in str(caught.value)
    assert not list((tmp_path / "data").rglob("*.de"))
    taken = prepare("iwslt14_de_en", tmp_path / "data", wit3, allow_unverified=True)
    assert taken.ok
    assert not taken.verified


def test_texts_of_which_only_counts_are_on_record_are_marked(wit3, tmp_path):
    found = prepare("iwslt14_de_en", tmp_path / "data", wit3)
    assert found.ok
    assert found.checksum.endswith("+unverified")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    assert prepare("iwslt14_de_en", tmp_path / "data", wit3) == found
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before


def test_kept_pairs_have_single_blanks_as_clean_corpus_writes_them(wit3, tmp_path):
    for language in ("de", "en"):
        path = wit3 / f"train.tags.de-en.{language}"
        path.write_text(path.read_text(encoding="utf-8").replace(" 17 ", " 17\u00a0 ").replace(" 40 ", "\u200940 "))
    prepare("iwslt14_de_en", tmp_path / "data", wit3)
    prepared = locate(CORPORA["iwslt14_de_en"], 30, tmp_path / "data")
    for part in ("train", "valid"):
        for language in ("de", "en"):
            lines = prepared.text(part, language).read_text(encoding="utf-8").split("\n")[:-1]
            assert [" ".join(line.split()) for line in lines] == lines


def test_merges_are_a_choice_and_have_their_own_folder(texts, tmp_path):
    for merges in (20, 40):
        prepare("parallel_text", tmp_path, texts, bpe_merges=merges)
    folders = [locate(CORPORA["parallel_text"], merges, tmp_path) for merges in (20, 40)]
    texts_of = [prepared.text("train", "de").read_text() for prepared in folders]
    assert texts_of[0] != texts_of[1]
    assert texts_of[0].replace("@@ ", "") == texts_of[1].replace("@@ ", "")
    require("parallel_text", tmp_path)


def test_dictionaries_are_those_of_fairseq_preprocess(data_dir, tmp_path):
    from fairseq.data import Dictionary

    prepared = locate(CORPORA["parallel_text"], 40, data_dir)
    expected = Dictionary()
    Dictionary.add_file_to_dictionary(str(prepared.text("train", "de")), expected, str.split, 1)
    expected.finalize(threshold=0, padding_factor=8)
    expected.save(str(tmp_path / "dict.txt"))
    assert prepared.dictionary("de").read_bytes() == (tmp_path / "dict.txt").read_bytes()
    assert prepared.dictionary_sizes["de"] == len(expected)
    assert len(expected) % 8 == 0


def test_a_second_time_nothing_is_done(data_dir):
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    prepare("parallel_text", data_dir, Path("anything"), bpe_merges=40)
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before


def test_listing_tells_what_is_there(wit3, tmp_path):
    assert not {row.name: row.prepared for row in available(tmp_path)}["iwslt14_de_en"]
    with pytest.raises(DataMissing, match="run `xsam-bench data prepare iwslt14_de_en"):
        require("iwslt14_de_en", tmp_path)
    prepare("iwslt14_de_en", tmp_path, wit3)
    assert {row.name: row.prepared for row in available(tmp_path)}["iwslt14_de_en"]
    assert verify("iwslt14_de_en", tmp_path).ok


def test_merges_mean_nothing_to_images(tmp_path):
    with pytest.raises(ValueError, match="digits holds images: leave out --bpe-merges"):
        prepare("digits", tmp_path, bpe_merges=10)


def own_texts(folder: Path) -> Path:
    for seed, part in enumerate(SIZES):
        write_pairs(folder, part, sentence_pairs(6, seed))
    return folder


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: append(f / "train.en", b"One more.\n"), r"train\.de ends after line 6 but .*train\.en has 7 lines"),
        (lambda f: append(f / "valid.de", b"\xff\xfe\n"), r"valid\.de:7: not UTF-8"),
        (lambda f: [append(f / f"test.{lang}", b"\n") for lang in ("de", "en")], r"test\.de:7: an empty line"),
        (lambda f: (f / "test.en").unlink(), r"no file test\.en here"),
        (lambda f: (f / "train.fr").write_bytes(b"a\n"), r"found train\.de, train\.en, train\.fr"),
    ],
)
def test_broken_texts_are_named_with_their_line_and_leave_nothing(damage, message, tmp_path):
    folder = own_texts(tmp_path / "texts")
    damage(folder)
    with pytest.raises(ValueError, match=message):
        prepare("parallel_text", tmp_path / "data", folder)
    assert not list((tmp_path / "data").rglob("*.*"))


def test_a_source_that_is_not_there_or_not_given_is_said(tmp_path):
    with pytest.raises(ValueError, match="no such file or folder"):
        prepare("parallel_text", tmp_path, tmp_path / "nowhere")
    with pytest.raises(ValueError, match="your own data: give its folder with --from"):
        prepare("parallel_text", tmp_path)


def test_a_cut_archive_is_refused(wit3, tmp_path):
    path = archive(wit3, tmp_path / "de-en.tgz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"de-en\.tgz: broken archive"):
        prepare("iwslt14_de_en", tmp_path / "data", path)


def test_a_prepared_file_that_was_cut_is_found_by_verify_and_by_training(tmp_path):
    prepare("parallel_text", tmp_path / "data", own_texts(tmp_path / "texts"))
    prepared = locate(CORPORA["parallel_text"], 10_000, tmp_path / "data")
    path = prepared.text("train", "en")
    path.write_bytes(path.read_bytes()[:-20])
    assert "train.bpe.en was changed or cut off" in str(verify("parallel_text", tmp_path / "data").problem)
    with pytest.raises(ValueError, match=r"train\.bpe\.en was changed or cut off"):
        load("parallel_text", 10_000, "de", "en", tmp_path / "data")
    assert prepare("parallel_text", tmp_path / "data", tmp_path / "texts").ok
    assert load("parallel_text", 10_000, "de", "en", tmp_path / "data").parts["train"]


def test_a_pair_of_languages_that_the_corpus_lacks_is_refused(data_dir):
    with pytest.raises(ValueError, match="has the languages de and en, not de and fr"):
        load("parallel_text", 40, "de", "fr", data_dir)
