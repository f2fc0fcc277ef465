"""Files of the store that something has damaged: found, named, set aside, and their runs done again."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xsam.damage import DamagedFile
from xsam.store import (
    GridFolder,
    compact,
    finished,
    finished_runs,
    read,
    write_epochs,
    write_evaluations,
    write_run,
    write_sharpness,
)
from xsam.store.ends import stored_runs
from xsam.store.repair import examine, repair
from xsam.store.seal import BrokenSeal, seal, unseal

Row = Callable[..., dict[str, Any]]


def fill(folder: GridFolder, row: Row, runs: int = 3) -> list[str]:
    ids = [f"r{number}" for number in range(runs)]
    for run_id in ids:
        write_epochs(folder, run_id, [{"epoch": epoch, "train_loss": 1.0 + epoch} for epoch in range(4)])
        write_sharpness(folder, run_id, [{"measure": "trace", "value": 2.0}])
        write_run(folder, row(run_id, epoch_rows=4, sharpness_rows=1))
    return ids


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(3000))


def foreign(path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), path)


def other_types(path: Path) -> None:
    table = pq.read_table(path)
    numbers = pa.array(range(100, 100 + len(table)))
    pq.write_table(table.set_column(0, "run_id", numbers), path)


def other_run(path: Path) -> None:
    shutil.copy(path.with_name("r0.parquet"), path)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [empty, truncated, garbage, foreign, other_types, other_run, folder_instead]


def told(look: Callable[[Callable[[DamagedFile], None]], Any]) -> tuple[Any, list[Path]]:
    found: list[DamagedFile] = []
    result = look(found.append)
    assert all(str(one).startswith(f"{one.path}: ") and "\n" not in str(one) for one in found)
    return result, [one.path for one in found]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_row_is_named_and_the_others_are_read(
    folder: GridFolder, row: Row, damage: Callable[[Path], None]
) -> None:
    fill(folder, row)
    path = folder.run_file("r1")
    damage(path)
    for look in (read, lambda results: finished_runs(folder), lambda results: finished(folder, "r1")):
        with pytest.raises(ValueError, match=r"runs/r1\.parquet: "):
            look(folder.results)
    ends, named = told(lambda on_damage: finished_runs(folder, on_damage))
    assert (list(ends), named) == (["r0", "r2"], [path])
    assert told(lambda on_damage: finished(folder, "r1", on_damage)) == (None, [path])
    frame, named = told(lambda on_damage: read(folder.results, on_damage=on_damage))
    assert (list(frame["run_id"]), named) == (["r0", "r2"], [path])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("table", ["runs", "epochs", "sharpness"])
def test_what_is_damaged_is_set_aside_and_its_run_is_not_done(
    folder: GridFolder, row: Row, table: str, damage: Callable[[Path], None]
) -> None:
    fill(folder, row)
    path = folder.table_file(table, "r1")
    damage(path)
    assert [one.path for one in examine(folder).files] == [path]
    repair(folder)
    assert not path.exists()
    assert list(finished_runs(folder)) == ["r0", "r2"]
    assert any(name.startswith(f"{table}-r1.parquet") for name in os.listdir(folder.damaged))
    assert examine(folder).files == ()
    assert list(read(folder.results, table)["run_id"].unique()) == ["r0", "r2"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_evaluations_are_set_aside_and_cost_no_training(
    folder: GridFolder, row: Row, damage: Callable[[Path], None]
) -> None:
    ids = fill(folder, row)
    for run_id in ids:
        score = {"test_set": "test", "weights": "final", "metric": "bleu", "value": 30.0}
        write_evaluations(folder, run_id, [score])
    path = folder.table_file("evaluations", "r1")
    damage(path)
    assert [one.path for one in repair(folder).files] == [path]
    assert list(finished_runs(folder)) == ids
    assert list(read(folder.results, "evaluations")["run_id"]) == ["r0", "r2"]
    assert examine(folder).files == ()


@pytest.mark.parametrize("table", ["epochs", "sharpness"])
@pytest.mark.parametrize("compacted", [False, True])
def test_rows_that_are_lost_are_noticed(folder: GridFolder, row: Row, table: str, compacted: bool) -> None:
    ids = fill(folder, row)
    if compacted:
        compact(folder)
        folder.compacted(table).unlink()
    else:
        folder.table_file(table, "r1").unlink()
        ids = ["r1"]
    found = examine(folder)
    assert [one.path for one in found.files] == [folder.table_file(table, run_id) for run_id in ids]
    assert all("lost" in str(one) for one in found.files)
    repair(folder)
    assert not {*finished_runs(folder)} & {*ids}
    assert examine(folder).files == ()


@pytest.mark.parametrize("damage", [empty, truncated, garbage, foreign, folder_instead])
@pytest.mark.parametrize("table", ["runs", "epochs"])
def test_a_damaged_compacted_file_is_set_aside_and_compaction_leaves_it(
    folder: GridFolder, row: Row, table: str, damage: Callable[[Path], None]
) -> None:
    fill(folder, row)
    compact(folder)
    path = folder.compacted(table)
    damage(path)
    write_epochs(folder, "r9", [{"epoch": 0}])
    write_run(folder, row("r9", epoch_rows=1))
    _, named = told(lambda on_damage: compact(folder, on_damage))
    assert path in named
    assert folder.table_file(table, "r9").exists()
    repair(folder)
    assert list(finished_runs(folder)) == ["r9"]


def test_rows_of_before_that_say_nothing_of_other_tables_stay(folder: GridFolder, row: Row) -> None:
    write_run(folder, row("r1"))
    assert examine(folder).files == ()
    repair(folder)
    assert list(finished_runs(folder)) == ["r1"]


def test_no_flipped_byte_reaches_the_reader(folder: GridFolder, row: Row) -> None:
    fill(folder, row, 1)
    path = folder.epochs_file("r0")
    good = path.read_bytes()
    before = read(folder.results, "epochs")
    chance = random.Random(1)
    for place in [*range(len(good) - 60, len(good)), *(chance.randrange(len(good)) for _ in range(60))]:
        bad = bytearray(good)
        bad[place] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(DamagedFile, match=r"r0\.parquet: damaged"):
            read(folder.results, "epochs")
    path.write_bytes(good)
    pd.testing.assert_frame_equal(read(folder.results, "epochs"), before)


def test_a_seal_covers_every_byte_and_the_file_stays_parquet() -> None:
    file = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": list(range(50))}), file)
    sealed = seal(file.getvalue().to_pybytes(), {"rows": 50})
    assert unseal(sealed) == {"rows": 50}
    assert unseal(file.getvalue().to_pybytes()) is None
    assert pq.read_table(pa.BufferReader(sealed))["x"].to_pylist() == list(range(50))
    for place in range(len(sealed)):
        for bit in (0, 7):
            bad = bytearray(sealed)
            bad[place] ^= 1 << bit
            with pytest.raises(BrokenSeal):
                unseal(bytes(bad))


def test_the_index_is_never_trusted_over_the_files(folder: GridFolder, row: Row) -> None:
    for number in range(120):
        write_run(folder, row(f"r{number:03d}"))
    folder.states.mkdir()
    whole = finished_runs(folder)
    (index,) = folder.states.iterdir()
    assert folder.started() == set(), "the index is no run"
    assert finished_runs(folder) == whole
    write_run(folder, row("r007", status="failed", error="x"))
    folder.run_file("r008").unlink()
    stat = folder.run_file("r009").stat()
    bad = folder.run_file("r009").read_bytes()[::-1]
    folder.run_file("r009").write_bytes(bad)
    os.utime(folder.run_file("r009"), ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a failing disk would
    ends, named = told(lambda on_damage: finished_runs(folder, on_damage))
    assert ends["r007"].status == "failed"
    assert whole.keys() - ends.keys() == {"r008", "r009"}
    assert named == [folder.run_file("r009")]
    told_before = index.read_bytes()
    older = told_before.partition(b"\n")[2].replace(b'"epoch_rows", ', b"")
    signed = hashlib.sha256(older).hexdigest().encode() + b"\n" + older
    for spoiled in (b"", b"{", told_before[:-9], told_before.replace(b'"done"', b'"lost"', 1), signed):
        index.write_bytes(spoiled)
        assert told(lambda on_damage: finished_runs(folder, on_damage))[0] == ends
    shutil.rmtree(folder.states)
    assert told(lambda on_damage: finished_runs(folder, on_damage))[0] == ends


def test_the_index_says_what_the_files_say(folder: GridFolder, row: Row) -> None:
    folder.states.mkdir()
    for number in range(110):
        write_run(folder, row(f"r{number:03d}", epoch_rows=number, status="failed", error=f"e{number}", attempts=2))
    read_from_files = stored_runs(folder)
    assert stored_runs(folder) == read_from_files
    assert read_from_files["r005"].epochs == 5
    assert read_from_files["r005"].end.error == "e5"


def test_the_summary_of_a_row_says_what_its_parquet_says(folder: GridFolder, row: Row) -> None:
    strange = {"seed": 4, "param_hidden": [1, 2], "param_augment": False, "param_rho": 0.1, "note": 'a "ü"\n'}
    write_run(folder, row("r1", **strange, wall_seconds=float("inf"), test_accuracy_final=float("nan")))
    write_run(folder, row("r2", param_hidden=[], param_rho=1e-300, attempts=3, status="failed", error="x"))
    by_summary = read(folder.results)
    for run_id in ("r1", "r2"):
        path = folder.run_file(run_id)
        pq.write_table(pq.read_table(path), path)  # without a seal
    pd.testing.assert_frame_equal(read(folder.results), by_summary)
    assert by_summary["wall_seconds"][0] == float("inf")
