"""The YAML dialect: a grid means what it looks like."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.grid.conftest import LoadText
from xsam.grid import Grid, GridError
from xsam.grid.yaml_file import parse_yaml

PLAIN = {
    "1e-3": 0.001,
    "5.0e-4": 0.0005,
    "1E5": 100000.0,
    ".5": 0.5,
    "-2.": -2.0,
    "7": 7,
    "-7": -7,
    "+7": 7,
    "0": 0,
    "true": True,
    "False": False,
    "null": None,
    "~": None,
    "": None,
    "on": "on",
    "off": "off",
    "yes": "yes",
    "no": "no",
    "y": "y",
    "0x10": "0x10",
    "0o17": "0o17",
    "010": "010",
    "00.5": "00.5",
    "1_000": "1_000",
    "1:30": "1:30",
    "2024-01-01": "2024-01-01",
    ".inf": ".inf",
    ".nan": ".nan",
    "1e": "1e",
    ".": ".",
    "=": "=",
    "٣": "٣",
    "'7'": "7",
    '"true"': "true",
    "'null'": "null",
}


@pytest.mark.parametrize(("text", "value"), PLAIN.items())
def test_unquoted_values_have_the_type_that_they_look_like(text: str, value: object) -> None:
    read = parse_yaml(f"key: {text}\n", "grid.yaml").plain()["key"]
    assert read == value
    assert type(read) is type(value)


def test_a_block_of_text_is_text() -> None:
    assert parse_yaml("key: |\n  12\n", "grid.yaml").plain() == {"key": "12\n"}


def test_every_node_knows_the_line_of_its_key_or_item() -> None:
    root = parse_yaml("a:\n  b:\n  - 1\n  - {c: 2,\n     d: 3}\n", "grid.yaml")
    a = root.mapping("a")["a"]
    b = a.mapping("a")["b"]
    one, two = b.items("b")
    d = two.mapping("item")["d"]
    assert [node.place.line for node in (root, a, b, one, two, d)] == [1, 1, 2, 3, 4, 5]


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(load_text: LoadText) -> None:
    text = "name: g\ntask: fake\nmatrix: {model: [mlp], dataset: [digits], optimizer: [sgd]}\n"
    assert load_text("﻿" + text.replace("\n", "\r\n")) == load_text(text)


def test_an_expansion_bomb_is_refused_at_once(load_text: LoadText) -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(1000))
    with pytest.raises(GridError, match=r":1: the anchor &a is not allowed"):
        load_text(bomb)


FULL = """\
name: g
task: fake
matrix:
  model: [mlp, resnet8]
  dataset: [digits]
  optimizer: [sgd, {plus: {method: xsam, alpha: 0}}, xsam]
  ascent_steps: [1, 2]
  seed: {count: 2}
params: {lr: 0.05, hidden: [8, 8], max_grad_norm: null}
overrides:
  - when: {optimizer: [xsam]}
    params: {rho_per_step: 1e-1}
exclude: [{model: mlp, seed: 1}]
report: {rows: [model], columns: [optimizer, ascent_steps], rule: final}
"""


def grid_or_mistake(load_text: LoadText, text: str) -> Grid | GridError:
    try:
        return load_text(text)
    except GridError as error:
        return error


@settings(max_examples=300)
@given(
    start=st.integers(0, len(FULL) - 1),
    removed=st.integers(0, 12),
    inserted=st.text(st.sampled_from("abx{}[]:,-'\"#&*!|>?%@`~ \n\t0.\x00é"), max_size=3),
)
def test_a_damaged_file_is_a_grid_or_one_line(load_text: LoadText, start: int, removed: int, inserted: str) -> None:
    outcome = grid_or_mistake(load_text, FULL[:start] + inserted + FULL[start + removed :])
    if isinstance(outcome, GridError):
        assert outcome.line is not None
        assert "\n" not in str(outcome)
    else:
        assert len(outcome.runs) > 0
