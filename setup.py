"""What pyproject.toml cannot say: a distribution knows the commit that it was built from."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
NAME = "_build.json"  # xsam/runner/provenance.py reads it


def git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def write_commit(package: Path) -> None:
    """Write the commit beside the package's modules; without a checkout, the file of the sdist stays as it is."""
    if git("ls-files", "--error-unmatch", "setup.py") is None:
        return
    content = {
        "commit": git("rev-parse", "HEAD"),
        "dirty": git("status", "--porcelain", "--untracked-files=no", "--", "xsam") != "",
    }
    package.mkdir(parents=True, exist_ok=True)
    (package / NAME).unlink(missing_ok=True)  # never through a hard link into the sources
    (package / NAME).write_text(json.dumps(content) + "\n", encoding="utf-8")


class BuildWithCommit(build_py):
    """What is built knows its commit."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # a checkout asks git itself
            write_commit(Path(self.build_lib) / "xsam")


class SdistWithCommit(sdist):
    """So does what it may be built from elsewhere."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        write_commit(Path(base_dir) / "xsam")


setup(cmdclass={"build_py": BuildWithCommit, "sdist": SdistWithCommit})
