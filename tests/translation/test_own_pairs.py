"""Text pairs of one's own under their own names: prepared, trained on, and told apart by their content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Bench
from tests.stopping import StopAfter
from tests.translation.conftest import SIZES, sentence_pairs, write_pairs
from xsam.grid import load_grid
from xsam.runner.order import WorkOrder
from xsam.runner.worker import work
from xsam.store import read
from xsam.tasks import DataMissing, own
from xsam.tasks.data import OwnOptions, available, prepare, recorded, require, verify
from xsam.tasks.translation.corpora import CORPORA
from xsam.tasks.translation.pairs import load
from xsam.tasks.translation.prepare import held_out

pytestmark = pytest.mark.fairseq

GRID = """
name: toy
task: translation
matrix:
  dataset: [my_pairs]
  optimizer: [adam, sam]
params: {model: transformer, embed_dim: 16, ffn_dim: 32, heads: 2, layers: 1, max_tokens: 300,
         dropout: 0.1, epochs: 2, lr: 5.0e-3, warmup_updates: 30}
overrides:
  - when: {optimizer: sam}
    params: {rho: 0.05}
report: {rule: best_val}
"""


@pytest.fixture(autouse=True)
def forgotten(tmp_path: Path) -> Iterator[None]:
    yield
    own.enter(tmp_path / "nothing here")


def few(folder: Path, *parts: str, seed: int = 0, count: int = 80) -> Path:
    for number, part in enumerate(parts):
        write_pairs(folder, part, sentence_pairs(count if part == "train" else 12, seed + number))
    return folder


def test_several_pairs_have_their_own_names_and_the_fixed_one_stays(tmp_path: Path) -> None:
    data = tmp_path / "data"
    sources = {name: few(tmp_path / name, *SIZES, seed=10 * k) for k, name in enumerate(("one", "two"))}
    found = {name: prepare(name, data, source, bpe_merges=30) for name, source in sources.items()}
    assert found["one"].counts == {"train": 80, "valid": 12, "test": 12}
    assert found["one"].checksum != found["two"].checksum
    assert prepare("parallel_text", data, sources["one"], bpe_merges=30).ok
    rows = {row.name: row for row in available(data)}
    assert rows["one"].facts == "80 training, 12 validation and 12 test pairs, de and en, your own"
    assert rows["two"].prepared
    for name in sources:
        assert CORPORA[name].languages == ("de", "en")
        assert verify(name, data).checksum == recorded(name, data) == found[name].checksum
        require(name, data)
        assert load(name, 30, "en", "de", data, CORPORA[name].own).checksum == found[name].checksum
    own.enter(tmp_path)
    assert "one" not in CORPORA
    assert "parallel_text" in CORPORA


def test_parts_that_are_missing_are_made_by_content(tmp_path: Path) -> None:
    data = tmp_path / "data"
    found = prepare("solo", data, few(tmp_path / "solo", "train"), bpe_merges=30)
    assert found.counts == {"train": 72, "valid": 4, "test": 4}
    made = "part was given: 4 training pairs, chosen by the SHA-256 of their texts, became one"
    assert found.notes == (f"no valid {made}", f"no test {made}")
    with_valid = prepare("two", data, few(tmp_path / "two", "train", "valid"), bpe_merges=30)
    assert with_valid.counts == {"train": 76, "valid": 12, "test": 4}

    pairs = sentence_pairs(100, 0)
    pairs[50:60] = pairs[:10]
    sides = dict(zip(("de", "en"), map(list, zip(*pairs, strict=True)), strict=True))
    turned = {language: lines[::-1] for language, lines in sides.items()}
    parts, again = (held_out(one, ["valid", "test"], "texts") for one in (sides, turned))
    contents = {part: sorted(zip(*one.values(), strict=True)) for part, one in parts.items()}
    assert contents == {part: sorted(zip(*one.values(), strict=True)) for part, one in again.items()}
    assert not set(contents["train"]) & {*contents["valid"], *contents["test"]}
    assert sum(map(len, contents.values())) == 100
    with pytest.raises(ValueError, match="19 training pairs are too few to take a test part from"):
        held_out({language: lines[:19] for language, lines in sides.items()}, ["test"], "texts")


def test_a_joined_dictionary_numbers_the_subwords_of_both_languages_alike(tmp_path: Path) -> None:
    source, data = few(tmp_path / "texts", *SIZES), tmp_path / "data"
    apart = prepare("apart", data, source, bpe_merges=30)
    joined = prepare("joined", data, source, bpe_merges=30, options=OwnOptions(joined_dictionary=True))
    assert joined.checksum != apart.checksum
    assert verify("joined", data).ok
    one, two = (load(name, 30, "de", "en", data, CORPORA[name].own) for name in ("apart", "joined"))
    assert two.source_dictionary == two.target_dictionary
    assert one.source_dictionary != one.target_dictionary
    sides = (one.source_dictionary, one.target_dictionary)
    both = two.source_dictionary
    words = [{word for word in one.symbols if "madeupword" not in word} for one in (*sides, both)]  # it fills up
    assert words[2] == words[0] | words[1]
    for word in words[2]:
        counts = [one.count[one.indices[word]] for one in sides if word in one]
        assert word.startswith("<") or both.count[both.indices[word]] == sum(counts)
    for part in SIZES:
        assert sides[0].string(one.parts[part].src[0]) == both.string(two.parts[part].src[0])
        assert sides[1].string(one.parts[part].tgt[0]) == both.string(two.parts[part].tgt[0])
    with pytest.raises(ValueError, match="parallel_text is no data set of your own: leave out --joined-dictionary"):
        prepare("parallel_text", data, source, options=OwnOptions(joined_dictionary=True))


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: append(f / "train.en", b"One more.\n"),
            r"train\.de ends after line 80 but .*train\.en has 81 lines",
        ),
        (lambda f: append(f / "valid.de", b"\xff\xfe\n"), r"valid\.de:13: not UTF-8"),
        (lambda f: [append(f / f"test.{lang}", b"\n") for lang in ("de", "en")], r"test\.de:13: an empty line"),
        (lambda f: (f / "test.en").unlink(), r"no file test\.en here"),
        (lambda f: (f / "train.en").unlink(), r"two files train\.<language> are needed.* found train\.de"),
        (lambda f: (f / "train.fr").write_bytes(b"a\n"), r"found train\.de, train\.en, train\.fr"),
    ],
)
def test_broken_texts_are_one_line_and_leave_what_was_there(
    damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    before = prepare("pairs", data, few(tmp_path / "good", *SIZES), bpe_merges=30)
    folder = few(tmp_path / "bad", *SIZES)
    damage(folder)
    for name in ("pairs", "others"):
        with pytest.raises(ValueError, match=message) as told:
            prepare(name, data, folder, bpe_merges=30)
        assert "\n" not in str(told.value)
    assert [path.name for path in data.iterdir()] == ["pairs"]
    assert verify("pairs", data).checksum == before.checksum


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    data, source = tmp_path / "data", few(tmp_path / "texts", *SIZES)
    (data / "mine").mkdir(parents=True)
    with pytest.raises(ValueError, match="there already, and not made by 'data prepare'"):
        prepare("mine", data, source)
    with pytest.raises(ValueError, match="holds texts: leave out --size"):
        prepare("pairs", data, source, options=OwnOptions(size=8))
    with pytest.raises(ValueError, match="leave out --allow-unverified"):
        prepare("pairs", data, source, allow_unverified=True)
    prepare("pairs", data, source, bpe_merges=30)
    with pytest.raises(ValueError, match=r"pairs is a data set of translation in .* is one of vision: choose another"):
        prepare("pairs", data, tmp_path)
    path = tmp_path / "grid.yaml"
    for change, message in (
        (
            "source: en, target: fr, ",
            r"grid\.yaml:7: pairs has the languages de and en, not en and fr: give source: de",
        ),
        ("bpe_merges: 31, ", "pairs is prepared with 30 byte-pair merges, not 31: leave out bpe_merges"),
        ("test_subset: 13, ", "test_subset 13 is more than the 12 test pairs of pairs"),
    ):
        text = GRID.replace("my_pairs", "pairs").replace("params: {model", f"params: {{{change}model")
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            load_grid(path)
    former = CORPORA["pairs"].own
    prepare("pairs", data, few(tmp_path / "other", *SIZES, seed=5), bpe_merges=30)
    with pytest.raises(ValueError, match="prepared anew with other content meanwhile"):
        load("pairs", 30, "de", "en", data, former)
    record = data / "pairs" / "own.json"
    record.write_text(record.read_text(encoding="utf-8").replace("30", "31"), encoding="utf-8")
    own.enter(data)
    assert "own.json: damaged (changed by hand); prepare the data set again" in own.hint("pairs")
    with pytest.raises(DataMissing, match=r"own\.json: damaged"):
        own.check({"pairs": former}, data)
    assert prepare("pairs", data, source, bpe_merges=30).checksum == former


@pytest.mark.slow
def test_from_texts_to_a_report(bench: Bench) -> None:
    grid = bench.write_grid(GRID)
    assert "data prepare my_pairs --from FOLDER|FILE" in bench("run", grid, status=2)
    source = few(bench.folder / "texts", *SIZES)
    assert "my_pairs: 80 train, 12 valid, 12 test, checksum" in bench(
        "data", "prepare", "my_pairs", "--from", source, "--bpe-merges", 30
    )
    data = bench.folder / "data"
    own.enter(data)
    runs = load_grid(grid).runs
    order = WorkOrder(bench.results, "toy", tuple(run.run_id for run in runs), data, "launch", device="cpu")
    order.write_snapshot(runs)
    work(order, StopAfter(12))  # stopped in mid-epoch
    assert "toy: 2 done" in bench("run", grid, "--jobs", 1)
    bench("run", grid, "--jobs", 1, "--results", "others")
    rows, others = (read(place).sort_values("run_id") for place in (bench.results, bench.folder / "others"))
    assert (rows["resumed_from_step"] > 0).any()
    for name in ("run_id", "test_bleu_final", "test_chrf_final"):
        if name in rows:
            assert rows[name].tolist() == others[name].tolist()
    checksum = own.known()["my_pairs"].checksum
    for text in rows["provenance"]:
        stored = json.loads(text)
        assert stored["data_checksum"] == checksum
        assert stored["config"]["data"] == {"my_pairs": checksum}
    bench("report", "toy", "--out", "reports")
    page = (bench.folder / "reports" / "toy" / "table.md").read_text(encoding="utf-8")
    assert f"held against nothing published: my_pairs (content {checksum})" in page

    bench("data", "prepare", "my_pairs", "--from", few(bench.folder / "more", *SIZES, seed=3), "--bpe-merges", 30)
    assert "2 pending" in bench("plan", grid)
    refused = bench("reproduce", rows["run_id"].iloc[0], status=2)
    assert "my_pairs of your own has other content now" in refused
