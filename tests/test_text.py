import csv
import io

import pytest

from xsam.text import csv_cells, inert, is_below


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\x9b", "\r", "\x00", "\u202e", "\u2066", "\ud800"])
def test_what_a_terminal_obeys_is_written_out(character: str) -> None:
    shown = inert(f"a{character}b\tc\nd")
    assert character not in shown
    assert shown.startswith("a\\")
    assert shown.endswith("b\tc\nd")
    shown.encode("utf-8")


def test_ordinary_text_is_what_it_was() -> None:
    text = "größe 98.28 ± 0.23 [bold] :smile: – 漢字 👩‍🔬\n\ttwo"
    assert inert(text) == text


def test_no_cell_of_a_csv_file_is_a_formula_and_no_number_changes() -> None:
    cells = ["=1+1", "+x", "-x", "@x", "\t=1", "\r=1", "-1.5e-3", "+3", "-inf", "sam", "", None, -2]
    line = io.StringIO()
    csv.writer(line).writerow(csv_cells(cells))
    (read,) = csv.reader(io.StringIO(line.getvalue()))
    assert read[:6] == ["'=1+1", "'+x", "'-x", "'@x", "'\t=1", "'\r=1"]
    assert read[6:] == ["-1.5e-3", "+3", "-inf", "sam", "", "", "-2"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "", "a/\x1b", "a\nb"])
def test_only_what_is_below_is_below(name: str) -> None:
    assert not is_below(name)
