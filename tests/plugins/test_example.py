"""The example package, installed as its README says, beside this checkout, and its grid run from a plain folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xsam.store import read

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "my-method"


@pytest.mark.slow
def test_the_example_package_installs_runs_and_reports(tmp_path: Path) -> None:
    source, site = tmp_path / "my-method", tmp_path / "site"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join((str(site), str(ROOT))),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INDEX": "1",
    }

    def done(*command: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", *command], cwd=source, env=environment, capture_output=True, text=True, timeout=300
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    done("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), str(source))
    (source / "src").rename(tmp_path / "elsewhere")  # what runs is what was installed
    done("xsam.cli.main", "run", "compare.yaml", "--jobs", "1")
    done("xsam.cli.main", "report", "my-method")
    done("pytest", "-q", "-p", "no:cacheprovider", "tests")

    rows = read(source / "results")
    assert len(rows) == 18
    assert set(rows["status"]) == {"done"}
    assert set(rows["param_mix"].dropna()) == {0.7}
    assert set(rows["param_width"].dropna()) == {32}
    table = (source / "reports" / "my-method" / "table.md").read_text(encoding="utf-8")
    assert "blend_sam" in table
    assert "two_layers" in table

    done("xsam.cli.main", "bundle", "compare.yaml", "--out", str(tmp_path / "mine.zip"))
    shutil.rmtree(site)  # who receives the bundle has not installed the package
    assert "18 of 18 runs" in done("xsam.cli.main", "bundle", "verify", str(tmp_path / "mine.zip"))
    again = done("xsam.cli.main", "reproduce", str(tmp_path / "mine.zip"), "--sample", "10%", "--run-plugins")
    assert "2 of 2 runs identical" in again
