"""Fixtures that every part uses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.gate import Gate

# The same examples on every machine, however long one takes there; --hypothesis-profile=explore draws others each time.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("suite")

# torch's cache of compiled graphs takes graphs that were made for other instructions for its own: garbage, silently.
os.environ.setdefault(
    "TORCHINDUCTOR_CACHE_DIR",
    f"{tempfile.gettempdir()}/torchinductor-{os.getuid()}-{os.environ.get('ATEN_CPU_CAPABILITY', 'native')}",
)
REQUIRE_ALL = os.environ.get("XSAM_REQUIRE_ALL") == "1"  # what is missing fails; elsewhere its tests are skipped


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Look for examples to run in the package, not in what tests are made of."""
    return True if collection_path.suffix == ".py" and not collection_path.name.startswith("test_") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests marked ``thorough`` where they are not asked for, and examples whose libraries are missing."""
    if "thorough" not in str(config.getoption("markexpr")):
        left_out = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if not REQUIRE_ALL and any(find_spec(library) is None for library in ("sacrebleu", "sacremoses", "subword_nmt")):
        for item in items:
            if isinstance(item, pytest.DoctestItem) and item.nodeid.startswith("xsam/tasks/translation/"):
                item.add_marker(pytest.mark.skip(reason="needs the extra translation"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test, or let it fail, where something is missing that its mark ``needs`` names."""
    missing = [name for mark in item.iter_markers("needs") for name in mark.args if not _is_there(name)]
    if missing:
        (pytest.fail if REQUIRE_ALL else pytest.skip)(f"missing: {', '.join(missing)}; see tests/system-deps.sh")


def _is_there(name: str) -> bool:
    """Whether there is a program of this name, or a file or folder where it is a path."""
    if "/" in name:
        return Path(name).exists()
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is not None  # daemons are in no user's PATH


def as_in_a_terminal() -> None:
    """For ``preexec_fn``: tests that run in a shell's background inherit that Ctrl-C and a hang-up are ignored."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)


class Bench:
    """The command ``xsam-bench``, run for real in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.gate = Gate(folder.parent / f"{folder.name} gate")  # what the command starts can be held there

    def write_grid(self, text: str, name: str = "grid.yaml") -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """Start the command in a process group of its own, as a terminal does."""
        return subprocess.Popen(
            [sys.executable, "-m", "xsam.cli.main", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **self.gate.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=as_in_a_terminal,
            **options,
        )

    def __call__(self, *arguments: object, status: int | None = 0) -> str:
        """Run the command to its end; returns its standard output, with its standard error behind it."""
        process = self.start(*arguments)
        output, error = process.communicate(timeout=300)
        assert status is None or process.returncode == status, f"exit status {process.returncode}\n{output}\n{error}"
        return output + error


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The command in an empty folder whose name has blanks and quotes."""
    folder = tmp_path / 'it\'s a "folder"'
    folder.mkdir()
    return Bench(folder)
