"""The rules of the published preprocessing, on lines of every kind."""

from __future__ import annotations

import doctest
import gzip
import importlib
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from xsam.tasks.translation import bpe, text
from xsam.tasks.translation.parallel import CHUNK, in_parallel

MODULES = ("bpe", "corpora", "scores", "sources", "summary", "text", "weights")


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_hold(module):
    result = doctest.testmod(importlib.import_module(f"xsam.tasks.translation.{module}"))
    assert result.failed == 0


# What tokenizer.perl -l de / -l en prints.
@pytest.mark.parametrize(
    ("language", "line", "tokens"),
    [
        ("de", "Das ist gut, oder?", "Das ist gut , oder ?"),
        ("de", "Er sagte: \"Ja\" & ging.", "Er sagte : &quot; Ja &quot; &amp; ging ."),
        ("de", "Es kostet 3,50 Euro.", "Es kostet 3,50 Euro ."),
        ("de", "Am 3. Mai kam Dr. Mayer", "Am 3. Mai kam Dr. Mayer"),
        ("de", "So geht's.", "So geht &apos; s ."),
        ("en", "It's John's; don't [stop]!", "It &apos;s John &apos;s ; don &apos;t &#91; stop &#93; !"),
        ("en", "We met at 5 p.m.", "We met at 5 p.m ."),
        ("en", "He left in the U.S.", "He left in the U.S ."),
        ("en", "Wait...", "Wait ..."),
        ("en", "a|b <c>", "a &#124; b &lt; c &gt;"),
        ("en", "  two   blanks\tand a tab ", "two blanks and a tab"),
        ("en", "one\u2028line", "one line"),
        ("en", "", ""),
    ],
)  # fmt: skip
def test_tokens_are_those_of_moses(language, line, tokens):
    assert text.tokenise([line], language) == [tokens]


def test_detokenising_gives_readable_text_back():
    line = "she said : &quot; it &apos;s 5 &amp; a half , isn &apos;t it ? &quot;"
    assert text.detokenise([line], "en") == ["she said: \"it's 5 & a half, isn't it?\""]


@pytest.mark.needs("perl")
def test_lower_case_is_perls():
    lines = ["ÄÖÜß ẞ", "İstanbul Iı", "ΟΔΥΣΣΕΥΣ ΣΑΣ.", "ǅ Ǆ", "ДОМ", "ﬁ Ⅷ"]
    script = "use utf8; binmode(STDIN, ':utf8'); binmode(STDOUT, ':utf8'); while (<STDIN>) { print lc($_); }"
    done = subprocess.run(["perl", "-e", script], input="\n".join(lines).encode(), capture_output=True, check=True)
    assert text.lowercase(lines) == done.stdout.decode().split("\n")


@pytest.mark.parametrize(
    ("one", "other", "kept"),
    [
        ("a b c", "a b", True),
        ("a b c d", "a b", False),
        ("a", "a b", False),
        ("", "a", False),
        ("a", "   ", False),
        (" ".join("a" * 175), " ".join("b" * 175), True),
        (" ".join("a" * 176), " ".join("b" * 175), False),
    ],
)
def test_cleaning_keeps_pairs_of_like_length(one, other, kept):
    assert text.is_clean(one, other) is kept
    assert text.is_clean(other, one) is kept


def test_only_line_feeds_end_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("one\u2028two\u0085three\x0bfour\rfive\nsix\n\nseven".encode())
    assert text.read_lines(path) == ["one\u2028two\u0085three\x0bfour\rfive", "six", "", "seven"]
    text.write_lines(path, ["a\u2028b", ""])
    assert path.read_bytes() == "a\u2028b\n\n".encode()
    assert text.read_lines(path) == ["a\u2028b", ""]


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "train.de"
    path.write_bytes("gut\nschön\n".encode() + "schlecht für alle\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"train\.de:3: not UTF-8 \(.* at byte 10 of the line\)"):
        text.read_lines(path)


def test_a_gzip_file_that_breaks_off_is_named_with_its_line(tmp_path):
    path = tmp_path / "train.de.gz"
    content = gzip.compress("".join(f"Zeile {n}\n" for n in range(100_000)).encode())
    path.write_bytes(content)
    assert len(text.read_lines(path)) == 100_000
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"train\.de\.gz:\d{4,6}: the gzip file breaks off here"):
        text.read_lines(path)


@pytest.mark.slow
def test_several_processes_give_what_one_gives():
    lines = [f"Das ist Satz {n}." for n in range(2 * CHUNK + 1)]
    function = partial(text.tokenise, language="de")
    assert in_parallel(function, lines) == function(lines)


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once_and_gets_the_processes_lines_and_errors(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from functools import partial\n"
        "from xsam.tasks.translation import text\n"
        "from xsam.tasks.translation.parallel import CHUNK, in_parallel\n"
        "print('once')\n"
        "lines = [f'ein Satz {n}.' for n in range(CHUNK + 1)]\n"
        "print(in_parallel(partial(text.tokenise, language='de'), lines)[-1])\n"
        "try:\n"
        "    in_parallel(text.lowercase, [None] * (CHUNK + 1))\n"
        "except TypeError as error:\n"
        "    print(error)\n"
    )
    with pytest.raises(TypeError) as alone:
        text.lowercase([None])
    found = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == (f"once\nein Satz {CHUNK} .\n{alone.value}\n", "")


def test_subwords_are_those_of_the_command_line_tool(tmp_path):
    lines = ["low low lower newest newest widest", "the lowest wide new town"]
    corpus, codes = tmp_path / "corpus", tmp_path / "codes"
    tool = [Path(sys.executable).with_name("subword-nmt")]
    corpus.write_text("\n".join(lines) + "\n")
    subprocess.run([*tool, "learn-bpe", "-s", "10", "-i", corpus, "-o", codes], check=True, capture_output=True)
    applied = [*tool, "apply-bpe", "-c", codes, "-i", corpus]
    expected = subprocess.run(applied, check=True, capture_output=True, text=True).stdout.splitlines()
    learned = bpe.learn(lines, 10)
    assert learned == codes.read_text()
    assert bpe.apply(lines, learned) == expected
    assert any("@@ " in line for line in expected)
