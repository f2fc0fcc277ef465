"""Every verb explains itself, with an example of its use, and is imported when it is called."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from xsam.cli.main import app
from xsam.cli.verbs import VERBS, Verb


def test_the_verbs_are_those_of_the_contract() -> None:
    contract = "plan run status failures logs cancel tune report compare reproduce sharpness data compact doctor"
    assert VERBS.keys() >= set(contract.split())


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"data", "bundle"}))
def test_help_ends_with_an_example_of_this_verb(verb: str) -> None:
    done = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert f"xsam-bench {verb}" in done.output.partition("Example:")[2]


@pytest.mark.parametrize("verb", VERBS)
def test_the_summary_is_the_first_sentence_of_the_help(verb: str) -> None:
    whole = inspect.cleandoc(Verb(verb, *VERBS[verb]).load().help)
    assert " ".join(whole.partition("\n\n")[0].split()) == VERBS[verb][1]


def test_help_imports_no_verb() -> None:
    program = (
        "import sys; from xsam.cli.main import app; app(['--help'], standalone_mode=False); "
        "sys.exit(any(name.startswith(('xsam.cli.run', 'xsam.grid', 'pandas', 'torch')) for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in VERBS)
