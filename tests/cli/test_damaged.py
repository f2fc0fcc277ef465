"""Every kind of file × every kind of damage × every verb that looks at results: one line that names it, no traceback.

The verbs run in this process. "Unreadable" is real: the verbs run under another user's id where this process is root's,
since root may read everything, and without the permission elsewhere.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Bench
from tests.stored import assert_same_numbers, numbers
from xsam.atomic import write_json
from xsam.cli import main
from xsam.grid.grid import Grid
from xsam.store import GridFolder, compact, finished_runs, read

NOBODY = 65534
KINDS: dict[str, Callable[[GridFolder, str], Path]] = {
    "grid.json": lambda folder, run_id: folder.grid_json,
    "row": lambda folder, run_id: folder.run_file(run_id),
    "epochs": lambda folder, run_id: folder.epochs_file(run_id),
    "compacted rows": lambda folder, run_id: folder.compacted("runs"),
    "compacted epochs": lambda folder, run_id: folder.compacted("epochs"),
    "index": lambda folder, run_id: folder.states / ".ends.json",
    "checkpoint": lambda folder, run_id: folder.checkpoint(run_id),
    "progress": lambda folder, run_id: folder.progress(run_id),
    "log": lambda folder, run_id: folder.log(run_id),
    "lease": lambda folder, run_id: folder.leases(run_id) / "000009.json",
    "ledger": lambda folder, run_id: folder.launches / "20260102T030405-abcdef.json",
}
TABLES = ("row", "epochs", "compacted rows", "compacted epochs")  # what readers of rows must name
READERS = {  # the verbs that look at what the kind holds
    "grid.json": ("status", "status --json", "failures", "logs", "report", "compare", "compact", "cancel", "reproduce"),
    "row": ("plan", "plan --json", "status", "status --json", "failures", "report", "compare", "compact", "reproduce"),
    "compacted rows": (
        *("plan", "plan --json", "status", "status --json", "failures", "report", "compare", "compact", "reproduce"),
    ),
    "epochs": ("report", "compare", "compact", "reproduce"),
    "compacted epochs": ("report", "compare", "reproduce"),
}
UNTRAINABLE = ("grid.json", "row", "compacted rows")  # what a run cannot be trained again without
VERBS = {
    "plan": ("plan", "{grid}"),
    "plan --json": ("plan", "{grid}", "--json"),
    "status": ("status",),
    "status --json": ("status", "--json"),
    "failures": ("failures",),
    "logs": ("logs", "{run_id}"),
    "report": ("report", "--out", "{out}", "--no-figures", "--no-page"),
    "cancel": ("cancel", "small"),
    "sharpness": ("sharpness", "{run_id}"),
    "compare": ("compare", "{results}-before", "{results}"),
    "compact": ("compact",),
    "reproduce": ("reproduce", "small/{run_id}"),  # trains, where that is possible
}


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(3000))


def foreign(path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"x": [1]}), path)
    else:
        path.write_text('{"another": ["program", 1e400]}')


def unreadable(path: Path) -> None:
    path.chmod(0)
    if not os.geteuid():
        os.chown(path, 0, 0)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").touch()


def pipe(path: Path) -> None:
    """What a reader would wait at for ever."""
    path.unlink()
    os.mkfifo(path)


def loop_of_links(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGES = [empty, truncated, garbage, foreign, unreadable, folder_instead, pipe, loop_of_links]


@dataclass
class Place:
    """A copy of stored results in a folder that any user may enter, and the verbs on it."""

    root: Path
    folder: GridFolder
    run_id: str
    grid: Path
    capture: pytest.CaptureFixture[str]
    as_nobody: bool = False

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Exit status and all that was said."""
        results = self.folder.results
        facts = {"grid": self.grid, "run_id": self.run_id, "results": results, "out": f"{results}-reports"}
        words = [word.format(**facts) for word in arguments]
        sys.argv = ["xsam-bench", *words, *(() if "compare" in words else ("--results", str(results)))]
        status = 0
        with another_user() if self.as_nobody else nullcontext():
            try:
                main.main()
            except SystemExit as end:
                status = int(end.code or 0)
        said = self.capture.readouterr()
        assert "Traceback" not in said.out + said.err
        assert status in (0, 1, 2)
        return status, said.out + said.err


@contextmanager
def another_user() -> Iterator[None]:
    """Be nobody, where this process is root, whom no permission stops."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def place(trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    root = Path(tempfile.mkdtemp(prefix="xsam-damaged-"))
    try:
        root.chmod(0o755)
        folder = GridFolder(root / "results", "small")
        shutil.copytree(trained, folder.results)
        twin = GridFolder(folder.results, "twin")
        shutil.copytree(folder.root, twin.root)
        write_json(twin.grid_json, replace(Grid.load(folder.grid_json), name="twin").to_json())
        shutil.copytree(folder.results, f"{folder.results}-before")
        grid = root / "grid.yaml"
        shutil.copy(trained.parent / "grid.yaml", grid)
        run_id = Grid.load(folder.grid_json).runs[1].run_id
        if not os.geteuid():
            for path in (root, *root.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        monkeypatch.setattr(sys, "argv", [])
        yield Place(root, folder, run_id, grid, capsys)
    finally:
        shutil.rmtree(root)


def prepare(place: Place, kind: str) -> Path:
    """The file of this kind, which is made where a finished grid has none."""
    if kind.startswith("compacted"):
        compact(place.folder)
    path = KINDS[kind](place.folder, place.run_id)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"format": 1}')
    if not os.geteuid():
        for one in (place.folder.root, *place.folder.root.rglob("*")):
            os.chown(one, NOBODY, NOBODY)
    return path


def _rarely(damage: Callable[[Path], None]) -> pytest.MarkDecorator:
    """All damages to the two kinds that every verb reads; the others' further ones are for ``-m thorough``."""
    return pytest.mark.slow if damage in EACH_KIND_HAS else pytest.mark.thorough


EACH_KIND_HAS = (truncated, foreign, unreadable, pipe)  # one of each way to be wrong: cut, other, forbidden, no file
CASES = [
    pytest.param(kind, damage, marks=() if kind in ("grid.json", "row") else _rarely(damage))
    for kind in KINDS
    for damage in DAMAGES
]


@pytest.mark.parametrize(("kind", "damage"), CASES)
def test_every_verb_names_a_damaged_file_and_goes_on(place: Place, kind: str, damage: Callable[[Path], None]) -> None:
    if damage is unreadable:  # nobody may not import what lies in root's folders: import it before
        spare = replace(place, folder=GridFolder(place.root / "spare", "small"))
        shutil.copytree(place.folder.results, spare.folder.results)
        for words in VERBS.values():
            spare(*words)
    path = prepare(place, kind)
    damage(path)
    place.as_nobody = damage is unreadable
    for verb, words in VERBS.items():
        if verb == "reproduce" and verb not in READERS.get(kind, ()):
            continue  # training again takes seconds, and looks at no such file
        status, said = place(*words)
        if verb in READERS.get(kind, ()):
            untrainable = verb == "reproduce" and kind in UNTRAINABLE
            assert status == (2 if untrainable else 1), f"{verb}: {said}"
            lines = [line for line in said.splitlines() if str(path) in line and line.startswith("xsam-bench: ")]
            assert len(lines) == 1, f"{verb}: {said}"
        if verb in ("status", "report", "compact"):
            assert "twin" in said or kind == "grid.json", f"{verb} goes on with the rest"


@pytest.mark.slow
def test_run_sets_everything_aside_and_does_it_again(bench: Bench) -> None:
    """All kinds of damage to all kinds of a run's files at once, one run each; the numbers are those of before."""
    kinds = [kind for kind in KINDS if "{}" in str(KINDS[kind](GridFolder(Path("x"), "g"), "{}"))]
    cases = [(kind, damage) for kind in kinds for damage in DAMAGES if damage is not unreadable]
    text = (
        "name: many\ntask: vision\nmatrix: {optimizer: [sgd], seed: {count: COUNT}}\n"
        "params: {model: mlp, dataset: digits, hidden: [8], epochs: 2, batch_size: 512, lr: 0.05}\n"
        "keep_checkpoints: true\n"
    ).replace("COUNT", str(len(cases)))
    grid = bench.write_grid(text)
    bench("run", grid, "--jobs", 1)
    folder = GridFolder(bench.results, "many")
    before = numbers(bench.results)
    runs = Grid.load(folder.grid_json).runs
    again = set()
    for (kind, damage), run in zip(cases, runs, strict=True):
        if kind in ("checkpoint", "progress", "log", "lease"):  # of a run that was interrupted
            folder.run_file(run.run_id).unlink()
        damage(prepare_file(folder, kind, run.run_id))
        again.add(run.run_id)
    empty(folder.grid_json)
    said = bench("run", grid, "--jobs", 1)
    assert "Traceback" not in said
    assert f"{len(runs)} done" in said
    assert_same_numbers(bench.results, before)
    rows = read(bench.results).set_index("run_id")
    for (kind, damage), run in zip(cases, runs, strict=True):
        assert (rows.loc[run.run_id, "attempts"] > 1) or kind == "lease", (kind, damage.__name__)
        if kind == "checkpoint":
            assert "trained anew" in rows.loc[run.run_id, "note"], damage.__name__
    assert bench("status") == f"many: {len(runs)} done\n"
    assert set(finished_runs(folder)) == again


def prepare_file(folder: GridFolder, kind: str, run_id: str) -> Path:
    path = KINDS[kind](folder, run_id)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return path
