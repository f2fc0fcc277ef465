"""``xsam-bench bundle``: results as one file, checked, merged and trained again elsewhere."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import Bench
from xsam.report.repetition import random_share
from xsam.store import GridFolder, bundle, read, write_run

FLAGS = ("--no-figures", "--no-page")
PLUGIN = Path(__file__).parents[1] / "plugins" / "my_sam.py"


def tables(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def forged(path: Path, folder: Path) -> dict[str, Any]:
    """Unpack a bundle into ``folder``, to be changed; returns what its manifest says beside the files."""
    with bundle.unpacked(path) as (place, manifest):
        shutil.copytree(place, folder)
        return {key: value for key, value in manifest.items() if key not in ("files", "format")}


@pytest.mark.slow
def test_a_bundle_goes_round_and_gives_the_same_report(stored: Bench) -> None:
    assert "6 of 6 runs" in stored("bundle", "grid.yaml", "--out", "small.zip")
    assert "small.zip: verified" in stored("bundle", "verify", "small.zip")
    assert "added 6 runs" in stored("merge", "small.zip", "elsewhere")
    stored("report", "small", "--out", "here", *FLAGS)
    stored("report", "small", "--results", "elsewhere", "--out", "there", *FLAGS)
    assert tables(stored.folder / "here") == tables(stored.folder / "there")
    stored("compact", "--results", "elsewhere")
    stored("bundle", "grid.yaml", "--results", "elsewhere", "--out", "again.zip")
    assert (stored.folder / "again.zip").read_bytes() == (stored.folder / "small.zip").read_bytes()
    with bundle.unpacked(stored.folder / "small.zip") as (place, _):
        assert (place / "grids" / "small.yaml").read_bytes() == (stored.folder / "grid.yaml").read_bytes()
        inside = {name: data for name, data in tables(place / "reports").items() if name.startswith("small/table")}
        assert inside
        assert all(tables(stored.folder / "here")[name] == data for name, data in inside.items())


@pytest.mark.slow
def test_a_sample_is_trained_again_and_a_changed_number_is_found(stored: Bench, tmp_path: Path) -> None:
    stored("bundle", "small", "--out", "small.zip")
    said = stored("reproduce", "small.zip", "--sample", "1%", "--keep", "kept")
    assert "1 of 1 runs identical" in said
    (run_id,) = random_share(read(stored.results), 0.01, seed=0)
    assert f"{run_id.replace('/', ' ')}: identical" in said
    about = forged(stored.folder / "small.zip", tmp_path / "forged")
    folder = GridFolder(tmp_path / "forged" / "results", "small")
    rows = pq.read_table(folder.compacted("runs")).to_pylist()
    (row,) = (one for one in rows if one["run_id"] == run_id.partition("/")[2])
    write_run(folder, {**row, "test_accuracy_final": row["test_accuracy_final"] + 1})
    bundle.pack(stored.folder / "forged.zip", tmp_path / "forged", about)
    said = stored("reproduce", "forged.zip", status=1)
    assert "test_accuracy_final" in said
    assert "0 of 1 runs identical" in said
    assert "such as 2%" in stored("reproduce", "small.zip", "--sample", "200%", status=2)
    assert "is no file" in stored("reproduce", "abc", "--sample", "2%", status=2)


@pytest.mark.slow
def test_checkpoints_come_along_when_asked_for_and_damage_is_one_line(stored: Bench) -> None:
    folder = GridFolder(stored.results, "small")
    checkpoint = folder.checkpoint(read(stored.results)["run_id"][0])
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_bytes(b"weights")
    path = stored.folder / "small.zip"
    name = checkpoint.relative_to(stored.folder).as_posix()
    stored("bundle", "small", "--out", path)
    with zipfile.ZipFile(path) as archive:
        assert name not in archive.namelist()
    stored("bundle", "--checkpoints", "small", "--out", path)
    with zipfile.ZipFile(path) as archive:
        assert archive.read(name) == b"weights"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for command in (["bundle", "verify", path], ["merge", path, "elsewhere"], ["reproduce", path]):
        said = stored(*command, status=2)
        assert "damaged" in said
        assert len(said.splitlines()) == 1
    assert not (stored.folder / "elsewhere").exists()


@pytest.mark.slow
def test_rows_that_disagree_are_found_behind_good_hashes(stored: Bench, tmp_path: Path) -> None:
    stored("bundle", "small", "--out", "small.zip")
    about = forged(stored.folder / "small.zip", tmp_path / "forged")
    GridFolder(tmp_path / "forged" / "results", "small").compacted("epochs").unlink()
    bundle.pack(stored.folder / "forged.zip", tmp_path / "forged", about)
    said = stored("bundle", "verify", "forged.zip", status=2)
    assert "0 epochs" in said
    assert "/tmp" not in said.replace(str(stored.folder), "")


@pytest.mark.slow
def test_plug_ins_come_along_and_run_only_when_they_may(bench: Bench) -> None:
    shutil.copyfile(PLUGIN, bench.folder / "my_sam.py")
    bench.write_grid(
        "name: mine\ntask: vision\nplugins: [./my_sam.py]\n"
        "matrix: {model: [my_net], dataset: [my_blobs], optimizer: [my_sam], seed: [0]}\n"
        "params: {epochs: 1, batch_size: 20, shrink: 0.5}\n"
    )
    bench("run", "grid.yaml", "--jobs", 1)
    bench("bundle", "grid.yaml", "--out", "mine.zip")
    assert "plug-in" in bench("bundle", "verify", "mine.zip")
    with (bench.folder / "my_sam.py").open("a") as file:
        file.write("# changed\n")
    assert "has changed since" in bench("bundle", "mine", status=2)
    (bench.folder / "my_sam.py").unlink()
    assert "no such file" in bench("bundle", "mine", status=2)
    assert not list(bench.folder.glob("*.bundle.zip"))
    assert "plug-in" in bench("bundle", "verify", "mine.zip")
    assert "--plugin" in bench("reproduce", "mine.zip", status=2)
    assert "1 of 1 runs identical" in bench("reproduce", "mine.zip", "--run-plugins")
    bench("merge", "mine.zip", "elsewhere")
    assert len(read(bench.folder / "elsewhere")) == 1
