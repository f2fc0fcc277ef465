"""Every verb explains itself, with an example of its use."""

from __future__ import annotations

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from xsam.cli.main import app

VERBS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_the_verbs_are_those_of_the_contract() -> None:
    contract = "plan run status failures logs cancel tune report compare reproduce sharpness data compact doctor"
    assert set(VERBS) >= set(contract.split())


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"data", "bundle"}))
def test_help_ends_with_an_example_of_this_verb(verb: str) -> None:
    done = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert f"xsam-bench {verb}" in done.output.partition("Example:")[2]
