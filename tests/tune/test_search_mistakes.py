"""Grids that cannot be tuned: each mistake is one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tune.test_search import Results, grid_file, hill, search
from xsam.grid import GridError, load_grid


def test_a_grid_without_a_block_tune_is_an_error(tmp_path: Path) -> None:
    path = grid_file(tmp_path, "{lr: [0.1]}")
    path.write_text(path.read_text().partition("tune:")[0])
    with pytest.raises(GridError, match=r"g.yaml:3: the grid has no block 'tune'"):
        search(path, Results(tmp_path, hill()))


def test_no_validation_part_is_an_error(tmp_path: Path) -> None:
    path = grid_file(tmp_path, "{lr: [0.1]}")
    path.write_text(path.read_text().replace("val_fraction: 0.2", "val_fraction: 0"))
    with pytest.raises(GridError, match=r"g.yaml:13: tuning needs a validation part: give val_fraction above 0"):
        search(path, Results(tmp_path, hill()))


def test_nothing_to_tune_is_an_error(tmp_path: Path) -> None:
    path = grid_file(tmp_path, "{rho: [0.1, 0.2]}", "[sgd, sam]")
    with pytest.raises(GridError, match=r"g.yaml:13: nothing to tune"):
        search(path, Results(tmp_path, hill()), ["optimizer=sgd"])


def test_a_seed_of_the_grid_is_refused(tmp_path: Path) -> None:
    path = grid_file(tmp_path, "{lr: [0.1]}", seeds="[1, 1000]")
    with pytest.raises(GridError, match=r"g.yaml:13: seed 1 of tune is one of the grid's own"):
        load_grid(path)
    path = grid_file(tmp_path, "{lr: [0.1]}")
    with pytest.raises(GridError, match=r"g.yaml:13: seed 1000 of tune is one of the grid's own"):
        load_grid(path, ["seed=1000"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  space: {lr: [0.1]}\n", "", "13: tune needs 'space'"),
        ("space: {lr: [0.1]}", "space: {}", "14: the space is empty: give at least one parameter with its values"),
        ("{lr: [0.1]}", "{lr: [0.2, 0.1]}", "14: the values of lr must be numbers above 0 that rise, not [0.2, 0.1]"),
        ("{lr: [0.1]}", "{rho: [0, 0.1]}", "14: the values of rho must be numbers above 0 that rise, not [0, 0.1]"),
        ("{lr: [0.1]}", "{nesterov: [true]}",
         "14: the values of nesterov must be numbers above 0 that rise, not [True]"),
        ("{lr: [0.1]}", "{momentun: [0.1]}", "14: unknown parameter 'momentun'; did you mean 'momentum'?"),
        ("{lr: [0.1]}", "{batch_size: [1, 2]}", "14: batch_size cannot be tuned, batch_size is an axis of the matrix"),
        ("{lr: [0.1]}", "{epochs: [1, 2]}", "16: epochs is in the space and in params of tune: leave out one of them"),
        ("{lr: [0.1]}", "{rho: [1], rho_per_step: [1]}",
         "14: rho and rho_per_step are two ways to say the same thing: leave out one of them"),
        ("[1000]", "{first: 1000}", "15: the count of seeds must be a whole number from 1 to 100000, not None"),
        ("[1000]", "{frist: 1000}", "15: unknown key of seed 'frist'; did you mean 'first'?"),
        ("max_extensions: 3", "max_extensions: many",
         "17: max_extensions must be a whole number from 0 to 20, not 'many'"),
        ("max_extensions: 3", "metric: test_accuracy",
         "17: unknown metric 'test_accuracy'; did you mean 'val_accuracy'?"),
        ("max_extensions: 3", "rule: best_test", "17: unknown rule 'best_test'; did you mean 'best'?"),
        ("max_extensions: 3", "extensions: 3", "17: unknown key of tune 'extensions'; did you mean 'max_extensions'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = grid_file(tmp_path, "{lr: [0.1]}")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(GridError) as caught:
        load_grid(path)
    assert str(caught.value) == f"{path}:{message}"
