"""Damaged, empty and oddly named files of leases, progress and launches: nobody, nothing known, ignored."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.conftest import Bench
from xsam.atomic import write_json
from xsam.cli import main as command
from xsam.grid import load_grid
from xsam.launch.ledger import Array, Ledger, ledgers
from xsam.launch.status import status
from xsam.runner import lease as leases
from xsam.runner.lease import Lease, LinksImpossible, Record
from xsam.runner.order import WorkOrder
from xsam.runner.process import Process
from xsam.store.layout import GridFolder
from xsam.store.locks import OTHER_DISK

GRID = """
name: damaged
task: vision
matrix: {optimizer: [sgd], seed: [0]}
params: {model: mlp, dataset: digits, hidden: [8], epochs: 1, batch_size: 512}
"""


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def wrong_types(path: Path) -> None:
    """Every value is of another type than it should be."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps({name: [] if isinstance(value, str | dict) else "x" for name, value in content.items()}))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "zero bytes": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(512)),
    "truncated": truncated,
    "garbage": lambda path: path.write_bytes(os.urandom(300)),
    "no object": lambda path: path.write_text("[1, 2]"),
    "null": lambda path: path.write_text("null"),
    "a number": lambda path: path.write_text("1e999"),
    "nothing in it": lambda path: path.write_text("{}"),
    "wrong types": wrong_types,
    "folder": folder,
    "dangling link": dangling,
}
VERBS = (["status"], ["status", "--json"], ["failures"], ["plan", "grid.yaml"], ["cancel", "damaged"])


@pytest.fixture
def damaged_grid(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> GridFolder:
    """A grid with a lease of a process that is gone, progress, a checkpoint, and a ledger."""
    grid = load_grid(bench.write_grid(GRID))
    order = WorkOrder(bench.results, grid.name, (grid.runs[0].run_id,), bench.folder / "data", "a")
    write_json(order.folder.grid_json, grid.to_json())
    order.write_snapshot(grid.runs)
    me = Process.current()
    state = order.folder.state(order.run_ids[0])
    write_json(state / "lease" / "000001.json", asdict(Record(replace(me, started=me.started - 1), "a")))
    write_json(state / "progress.json", {"epoch": 1, "epochs": 3, "done": 0.1, "loss": 1.0, "eta_seconds": 3.0})
    (state / "checkpoint.pt").write_bytes(b"")
    Ledger(order, "profile", (Array("xsam-a-0", None, (order.run_ids,)),)).write()
    monkeypatch.chdir(bench.folder)
    return order.folder


def say(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The command's exit status, in this process."""
    monkeypatch.setattr("sys.argv", ["xsam-bench", *words])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return int(ended.value.code or 0)


def files_of(grid: GridFolder) -> dict[str, Path]:
    (state,) = (grid.root / "state").iterdir()
    (ledger,) = grid.launches.glob("*.json")
    return {"lease": state / "lease" / "000001.json", "progress": state / "progress.json", "ledger": ledger}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["lease", "progress", "ledger"])
def test_every_verb_takes_a_damaged_file_for_none(
    damaged_grid: GridFolder,
    kind: str,
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    DAMAGES[damage](files_of(damaged_grid)[kind])
    for words in VERBS:
        code = say(monkeypatch, *words)
        shown = "".join(capsys.readouterr())
        assert "Traceback" not in shown
        assert code == 0 or (words[0] == "failures" and code == 1) or "SLURM" in shown, (words, shown)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_lease_is_nobodys_and_its_number_stays_taken(tmp_path: Path, damage: str) -> None:
    first = Lease.acquire(tmp_path, "a")
    assert first is not None
    DAMAGES[damage](tmp_path / "000001.json")
    second = Lease.acquire(tmp_path, "a")
    assert second is not None
    assert (second.number, second.record.deaths) == (2, 0)
    with pytest.raises(leases.LeaseLost):
        first.check()
    second.release()
    third = Lease.acquire(tmp_path, "a")
    assert third is not None
    third.release()


@pytest.mark.parametrize(
    "name", ["000001 (1).json", "1.json", "0000001.json", "000009.json.bak", "x.json", "000_7.json"]
)
def test_files_of_other_names_are_ignored(tmp_path: Path, name: str) -> None:
    lease = Lease.acquire(tmp_path, "a")
    assert lease is not None
    (tmp_path / name).write_bytes((tmp_path / "000001.json").read_bytes())
    assert leases.current(tmp_path)[0] == 1
    lease.check()
    lease.release()
    again = Lease.acquire(tmp_path, "a")
    assert again is not None
    assert again.number == 2
    again.release()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_is_one_line_that_names_it(tmp_path: Path, damage: str) -> None:
    run = load_grid(Path("configs/quickstart.yaml")).runs[0]
    order = WorkOrder(tmp_path, "grid", (run.run_id,), tmp_path, "a")
    order.write_snapshot([run])
    assert order.snapshot() == {run.run_id: run}
    DAMAGES[damage](order.place / "runs.json")
    with pytest.raises(ValueError, match="not the runs of this launch") as caught:
        order.snapshot()
    assert str(caught.value).startswith(str(order.place / "runs.json"))
    assert "\n" not in str(caught.value)


def test_a_link_that_was_made_though_the_answer_says_that_it_exists_is_no_lost_race(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def answer_lost(*paths: object) -> None:  # as on NFS: the request is sent again, and finds its own work
        real(*paths)
        real(*paths)

    monkeypatch.setattr(os, "link", answer_lost)
    lease = Lease.acquire(tmp_path, "a")
    assert lease is not None
    assert Lease.acquire(tmp_path, "b") is None
    lease.release()


def test_a_lost_race_is_still_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def behind(source: Path, target: Path) -> None:
        target.write_text(source.read_text())  # another was faster
        real(source, target)

    monkeypatch.setattr(os, "link", behind)
    assert Lease.acquire(tmp_path, "a") is None


def test_a_disk_without_hard_links_is_one_line(
    tmp_path: Path, damaged_grid: GridFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def impossible(*paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", impossible)
    with pytest.raises(LinksImpossible, match=r"no hard links \(Operation not permitted\); choose another folder"):
        Lease.acquire(tmp_path, "a")
    said = "no hard links (Operation not permitted)"
    assert say(monkeypatch, "run", "grid.yaml") == 2
    assert capsys.readouterr().err == f"xsam-bench: {damaged_grid.root}: {said}; {OTHER_DISK}\n"
    say(monkeypatch, "doctor")
    assert f"{said}: {OTHER_DISK}" in capsys.readouterr().out


def test_the_states_files_are_on_the_disk_before_they_count(
    damaged_grid: GridFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both the file and its name: an fsync of each."""
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), real(file))[1])
    folder = damaged_grid.leases("another")
    lease = Lease.acquire(folder, "a")
    assert lease is not None
    assert synced[-1] == str(folder)
    assert Path(synced[0]).parent == folder
    synced.clear()
    lease.release()
    assert synced[-1] == str(folder)
    assert len(synced) == 2
    assert ledgers(damaged_grid)


def test_progress_is_shown_as_far_as_it_can_be_read(damaged_grid: GridFolder) -> None:
    run = load_grid(Path("grid.yaml")).runs[0]
    assert status(damaged_grid, run).progress["epochs"] == 3
    path = damaged_grid.progress(run.run_id)
    path.write_text('{"epoch": 1, "epochs": 3, "done": 0.5, "loss": "x", "eta_seconds": NaN}')
    assert status(damaged_grid, run).progress == {"epoch": 1, "epochs": 3, "done": 0.5}


def test_progress_that_an_earlier_version_told_shows_no_test_data(damaged_grid: GridFolder) -> None:
    run = load_grid(Path("grid.yaml")).runs[0]
    path = damaged_grid.progress(run.run_id)
    path.write_text('{"epoch": 1, "epochs": 3, "done": 0.5, "test_accuracy": 90.0, "val_accuracy": 80.0}')
    assert status(damaged_grid, run).progress == {"epoch": 1, "epochs": 3, "done": 0.5, "val_accuracy": 80.0}
