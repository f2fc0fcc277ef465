"""A results folder that another person made, to see what it can do to the one who looks at it: nothing."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.conftest import Bench
from xsam.cli import main
from xsam.grid.grid import Grid, _digest

ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e[bold red]x[/]"


def forged(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a ``grid.json`` and give it the digest that fits."""
    data = json.loads(path.read_text())
    change(data)
    del data["digest"]
    path.write_text(json.dumps({**data, "digest": _digest(data)}))


def outside(data: dict[str, Any]) -> None:
    data["report"]["name"] = "../../../ESC"


def renamed(data: dict[str, Any]) -> None:
    data["name"] = "../elsewhere"


def relabelled(data: dict[str, Any]) -> None:
    data["axes"]["optimizer"][0] = data["runs"][0]["optimizer"] = f"=cmd{ESCAPES}"


def a_formula(data: dict[str, Any]) -> None:
    data["axes"]["optimizer"][0] = "=1+1"


def a_label_with_blanks(data: dict[str, Any]) -> None:
    data["runs"][0]["optimizer"] = "my sgd"


def a_number_for_a_label(data: dict[str, Any]) -> None:
    data["runs"][0]["optimizer"] = 3


def other_axis(data: dict[str, Any]) -> None:
    data["axes"]["model"] = [f"mlp{ESCAPES}"]


def half_a_character(data: dict[str, Any]) -> None:
    data["report"]["baseline"] = "\ud800"


def no_object(data: dict[str, Any]) -> None:
    data["axes"] = ["model"]


CHANGES = [outside, renamed, relabelled, a_formula, a_label_with_blanks, a_number_for_a_label, other_axis]


@pytest.mark.parametrize("change", [*CHANGES, half_a_character, no_object])
def test_a_grid_json_may_say_no_more_than_a_grid_file(stored: Bench, change: Callable[[dict[str, Any]], None]) -> None:
    path = stored.results / "small" / "grid.json"
    forged(path, change)
    with pytest.raises(ValueError, match="not a grid that this version can read") as found:
        Grid.load(path)
    assert str(found.value).isprintable()
    before = set(stored.folder.rglob("*"))
    shown = CliRunner().invoke(main.app, ["report", "--results", str(stored.results), "--out", f"{stored.folder}/a/b"])
    assert shown.exit_code != 0
    assert set(stored.folder.rglob("*")) == before, "nothing is written"


def test_what_every_grid_file_may_say_is_read_again(trained: Path) -> None:
    assert len(Grid.load(trained / "small" / "grid.json").runs) == 6


def test_a_log_is_shown_whatever_bytes_it_has_and_the_terminal_obeys_none(stored: Bench) -> None:
    (log, *_) = stored.results.glob("small/state/*/log.txt")
    log.write_bytes(b"\xff\xfe caf\xe9 " + ESCAPES.encode() + b"\nlast line\n")
    shown = CliRunner().invoke(main.app, ["logs", log.parent.name, "--results", str(stored.results)])
    assert shown.exit_code == 0, shown.output
    assert "last line" in shown.output
    assert "[bold red]x[/]" in shown.output
    assert "\\x1b" in shown.output
    assert not {"\x1b", "\x07", "\u202e"} & set(shown.output)


def test_what_launchers_write_is_for_its_owner_alone(trained: Path) -> None:
    launches = trained / "small" / "launch"
    for folder in (launches, *(path for path in launches.iterdir() if path.is_dir())):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
