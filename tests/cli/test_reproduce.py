"""``xsam-bench reproduce``: real runs trained again, beside what was stored and beside rows that somebody changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.conftest import Bench
from xsam.cli.devices import available_cores
from xsam.grid import Grid, RunSpec
from xsam.grid.spec import canonical_json
from xsam.report.repetition import Number, Repetition, circumstances, compare, spreads
from xsam.store import GridFolder, read, write_epochs, write_run


def rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def first_run(bench: Bench) -> tuple[GridFolder, dict[str, Any]]:
    folder = GridFolder(bench.results, "small")
    return folder, rows(sorted(folder.singles("runs").iterdir())[0])[0]


def with_provenance(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**row, "provenance": canonical_json({**json.loads(row["provenance"]), **changes})}


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_run_of_a_compacted_grid_is_identical_and_kept_where_asked(stored: Bench) -> None:
    stored("compact")
    before = files(stored.results)
    run_id = read(stored.results)["run_id"][0]
    said = stored("reproduce", run_id[:8], "--keep", "again", "--json")
    found = json.loads(said[: said.rindex("}") + 1])  # what is said of training goes to standard error, behind it
    assert found["identical"]
    assert (found["run_id"], found["numbers"], found["unstored"]) == (run_id, [], [])
    assert {one["part"] for one in found["circumstances"]} <= {"code"}, "uncommitted changes may be told of"
    assert files(stored.results) == before
    kept = read(stored.folder / "again", "epochs")
    old = read(stored.results, "epochs")
    assert list(kept["train_loss"]) == list(old[old["run_id"] == run_id]["train_loss"])
    assert "not an empty folder" in stored("reproduce", run_id, "--keep", "again", status=2)


def test_numbers_and_circumstances_that_somebody_changed_are_told(stored: Bench) -> None:
    folder, row = first_run(stored)
    packages = {**json.loads(row["provenance"])["packages"], "torch": "1.0.0", "left": "2"}
    changed = with_provenance(row, packages=packages, cpu="A [bold]slide rule", data_checksum="00")
    truth = row["test_accuracy_final"]
    for path in folder.singles("runs").iterdir():  # the cell's other seeds, so that its spread is known
        (other,) = rows(path)
        if other["optimizer"] == row["optimizer"] and other["run_id"] != row["run_id"]:
            write_run(folder, {**other, "test_accuracy_final": truth + 5.0 * (other["seed"] - row["seed"])})
    write_run(folder, {**changed, "test_accuracy_final": truth + 0.5, "backwards": row["backwards"] + 1})
    epochs = rows(folder.epochs_file(row["run_id"]))
    loss = epochs[1]["train_loss"]
    epochs[1]["train_loss"] = loss * (1 + 2**-50)
    write_epochs(folder, row["run_id"], epochs)
    lines = stored("reproduce", f"small/{row['run_id'][:6]}", status=1).splitlines()
    assert f"small {row['run_id']}: different" in lines
    assert f"  test_accuracy_final: {truth + 0.5} then, {truth} now (-0.5)" in lines
    assert f"  backwards: {row['backwards'] + 1} then, {row['backwards']} now (-1)" in lines
    assert any(line.startswith("  test_accuracy_final: -0.5 is inside the spread of its 3 seeds (st") for line in lines)
    size = f"{loss * (1 + 2**-50) - loss:.3g}"
    assert f"  train_loss: in 1 epoch from epoch 1 on, by up to {size}" in lines
    assert any(line.startswith("  versions: left 2 then, None now; torch 1.0.0 then, ") for line in lines)
    assert any(line.startswith("  hardware: cpu A [bold]slide rule then, ") for line in lines)
    assert any(line.startswith("  data: data checksum 00 then, ") for line in lines)
    assert not any(line.startswith("  test_loss") for line in lines), "what was not changed is the same"


def test_what_cannot_be_trained_again_is_one_line(stored: Bench) -> None:
    folder, row = first_run(stored)
    other = "f" * 16
    write_run(folder, {"run_id": "0" * 16, "status": "failed", "finished_at": row["finished_at"], "error": "x"})
    write_run(folder, {**row, "run_id": other})
    for name, message in {
        "": "fits 8 stored runs",
        "../small/runs/*": "no grid '../small/runs'",
        "[bold]": "no stored run '[bold]'",
        "small@x/" + row["run_id"]: "no grid 'small@x'",
        "0" * 16: "has no provenance",
        other: f"is that of run {row['run_id']}",
    }.items():
        process = stored.start("reproduce", name)
        output, error = process.communicate(timeout=120)
        assert (process.returncode, output) == (2, ""), error
        assert error.startswith("xsam-bench: ")
        assert error.count("\n") == 1
        assert message in error


def two_threads(row: dict[str, Any]) -> tuple[RunSpec, dict[str, Any]]:
    """The row as one of a run with two threads, whose numbers still come from one."""
    spec = RunSpec.from_json(json.loads(row["provenance"])["config"])
    other = replace(spec, params={**spec.params, "threads": 2})
    return other, {**with_provenance(row, config=other.to_json()), "run_id": other.run_id, "param_threads": 2}


@pytest.mark.slow
@pytest.mark.skipif(available_cores() < 2, reason="needs two cores")
def test_another_number_of_threads_is_told(stored: Bench) -> None:
    folder, row = first_run(stored)
    spec, changed = two_threads(row)
    grid = Grid.load(folder.grid_json)
    folder.grid_json.write_text(json.dumps(replace(grid, runs=(*grid.runs, spec)).to_json()))
    write_epochs(
        folder, spec.run_id, [{**one, "run_id": spec.run_id} for one in rows(folder.epochs_file(row["run_id"]))]
    )
    write_run(folder, changed)
    said = stored("reproduce", spec.run_id, status=None)
    assert "  hardware: threads 1 then, 2 now" in said


def repeated(row: dict[str, Any], epochs: list[dict[str, Any]], **changes: Any) -> Any:
    return compare((row, epochs), ({**row, **changes}, epochs))


def test_comparing_is_exact_and_leaves_out_times_and_memory(stored: Bench) -> None:
    folder, row = first_run(stored)
    epochs = rows(folder.epochs_file(row["run_id"]))
    assert repeated(row, epochs, wall_seconds=9e9, peak_memory_bytes=1, attempts=7, finished_at=None).identical
    name = "test_accuracy_final"
    value = row[name]
    assert [one.name for one in repeated(row, epochs, **{name: value * (1 + 2**-52)}).numbers] == [name]
    assert [one.name for one in repeated({**row, name: 0.0}, epochs, **{name: -0.0}).numbers] == [name]
    assert [one.now for one in repeated(row, epochs, status="diverged").numbers] == ["diverged"]
    missing = repeated({**row, name: None}, epochs, **{name: value})
    assert missing.identical
    assert missing.unstored == (name,)
    assert not repeated(row, epochs, **{name: float("nan")}).identical
    (number,) = compare((row, epochs), (row, epochs[:1])).numbers
    assert (number.name, number.then, number.now, number.difference) == ("epochs", 2, 1, -1.0)


def test_numbers_of_another_instruction_set_are_explained_by_it(stored: Bench) -> None:
    folder, row = first_run(stored)
    epochs = rows(folder.epochs_file(row["run_id"]))
    here = json.loads(row["provenance"])["arithmetic"]

    def explained(**arithmetic: Any) -> str | None:
        then = with_provenance(row, arithmetic={**here, **arithmetic}, code={"version": "0", "commit": "elsewhere"})
        return compare((then, epochs), ({**row, "test_accuracy_final": 1.0}, epochs)).explanation

    told = str(explained(capability="AVX9", flags=["avx9"], libc="musl"))
    assert f"capability: AVX9 then, {here['capability']} now" in told
    assert "numerics: portable" in told
    assert "libc: musl then" in str(explained(libc="musl"))
    assert explained() is None, "the commit alone explains nothing in one sentence"
    older = with_provenance(row, cpu="Zen", platform="Linux-1.0")
    provenance = {name: value for name, value in json.loads(older["provenance"]).items() if name != "arithmetic"}
    older["provenance"] = canonical_json(provenance)
    told = str(compare((older, epochs), ({**row, "test_accuracy_final": 1.0}, epochs)).explanation)
    assert f"capability: not stored then, {here['capability']} now" in told
    assert compare((older, epochs), (row, epochs)).explanation is None, "the same numbers need none"
    spec = RunSpec.from_json(json.loads(row["provenance"])["config"])
    portable = replace(spec, params={**spec.params, "numerics": "portable"})
    then = {**with_provenance(row, config=portable.to_json(), arithmetic={**here, "libc": "musl"})}
    then["run_id"] = portable.run_id
    assert "a fault" in str(compare((then, epochs), ({**row, "test_accuracy_final": 1.0}, epochs)).explanation)


def names(found: Iterable[Any]) -> list[tuple[str, str]]:
    return [(one.part, one.name) for one in found]


@pytest.mark.parametrize(("difference", "inside"), [(0.9, True), (-1.0, True), (1.1, False)])
def test_a_difference_is_held_against_the_spread_over_seeds(difference: float, inside: bool) -> None:
    found = Repetition((Number("test_accuracy_final", None, 80.0, 80.0 + difference),), (), ())
    cell = pd.DataFrame({"status": ["done"] * 3 + ["diverged"], "test_accuracy_final": [79.0, 80.0, 81.0, 10.0]})
    (told,) = spreads(found, cell)
    assert (told.std, told.seeds, told.inside) == (1.0, 3, inside)
    assert spreads(found, cell.head(1)) == (), "one seed has no spread"


def test_every_circumstance_has_its_part(stored: Bench) -> None:
    folder, row = first_run(stored)
    clean = {**json.loads(row["provenance"]), "code": {"version": "1", "commit": "a", "dirty": False}}
    assert names(circumstances(clean, clean)) == []
    for key, value, part in [
        ("python", "2.7", "versions"),
        ("gpu", "A100", "hardware"),
        ("device", "cuda", "hardware"),
        ("threads", 4, "hardware"),
    ]:
        assert names(circumstances(clean, {**clean, key: value})) == [(part, key)]
    for code in ({"version": "1", "commit": "b", "dirty": False}, {"version": "1", "commit": "a", "dirty": True}):
        assert names(circumstances(clean, {**clean, "code": code})) == [("code", "commit")]
    dirty = {**clean, "code": {"version": "1", "commit": "a", "dirty": True}}
    assert names(circumstances(dirty, dirty)) == [("code", "commit")], "two changed trees may differ"
    spec = RunSpec.from_json(clean["config"])
    older = replace(spec, numerics=0)
    then = {**with_provenance(row, config=older.to_json()), "run_id": older.run_id}
    epochs = rows(folder.epochs_file(row["run_id"]))
    assert ("code", "NUMERICS") in names(compare((then, epochs), (row, epochs)).circumstances)
