"""What a shell offers, asked as bash does; in bash itself where it is there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.cli.conftest import LABEL
from tests.conftest import Bench
from xsam.cli.main import app
from xsam.store import read


def offered(bench: Bench, *words: str) -> list[str]:
    """What may stand in place of the last word."""
    done = subprocess.run(
        [sys.executable, "-c", "from xsam.cli.main import app; app(prog_name='xsam-bench')"],
        cwd=bench.folder,
        env={
            **os.environ,
            "_XSAM_BENCH_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(map(shlex.quote, ("xsam-bench", *words))),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_verbs_options_grids_runs_and_axes_are_offered(stored: Bench) -> None:
    run_ids = list(read(stored.results)["run_id"])
    assert offered(stored, "comp") == ["compare", "compact"]
    assert offered(stored, "run", "--ret") == ["--retry-failed"]
    assert offered(stored, "run", "gr") == ["grid.yaml", "grid"]
    assert offered(stored, "plan", "quick") == ["quickstart"]
    assert offered(stored, "status", "sm") == ["small"]
    assert set(offered(stored, "show", run_ids[0][:4])) == {one for one in run_ids if one.startswith(run_ids[0][:4])}
    assert set(offered(stored, "evaluate", "")) == set(run_ids)
    assert offered(stored, "data", "verify", "fashion") == ["fashion_mnist"]
    assert set(offered(stored, "rm", "")) == {"small", *run_ids}
    for verb in (("run", "grid.yaml"), ("runs", "small")):
        assert offered(stored, *verb, "--only", "optim") == ["optimizer=sgd", f"optimizer={LABEL}"]
    assert offered(stored, "run", "grid.yaml", "--only", "seed=") == ["seed=0", "seed=1", "seed=2"]


def test_what_cannot_be_read_is_not_offered_and_says_nothing(stored: Bench) -> None:
    (stored.results / "small" / "grid.json").write_text("{")
    stored.write_grid("matrix: [", "wrong.yaml")
    assert offered(stored, "show", "") == []
    assert offered(stored, "run", "wrong.yaml", "--only", "") == []
    assert offered(stored, "show", "--results", "nowhere", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_every_shell_and_the_shell_takes_it(shell: str) -> None:
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    script = get_completion_script(prog_name=str(app.info.name), complete_var="_XSAM_BENCH_COMPLETE", shell=shell)
    assert "xsam-bench" in script
    if (program := shutil.which(shell)) is not None:
        done = subprocess.run([program, "-n"], input=script, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
