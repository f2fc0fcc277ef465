"""Data of one's own from ``data prepare`` to a report: grids name them, and runs are of the content that they had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Bench
from tests.stopping import StopAfter
from tests.tasks.own_images import made, write_folders, write_npz, write_parquet
from xsam.grid import load_grid
from xsam.runner.order import WorkOrder
from xsam.runner.worker import work
from xsam.store import read
from xsam.tasks import DataMissing, own
from xsam.tasks.data import prepare

GRID = """\
name: mine
task: vision
matrix:
  model: [mlp, resnet8]
  dataset: [my_birds, my_owls]
  optimizer: [sgd, sam]
  seed: [0, 1]
params: {hidden: [8], epochs: 2, batch_size: 10, lr: 0.05}
report: {rows: [model, dataset], columns: [optimizer], metric: test_accuracy, rule: best_val}
"""
ONE = GRID.replace("mlp, resnet8", "mlp").replace("my_birds, my_owls", "my_birds").replace("mine", "one")
COUNTS = {"train": 30, "val": 9, "test": 12}


@pytest.mark.slow
def test_from_a_folder_to_a_report(bench: Bench) -> None:
    grid = bench.write_grid(GRID)
    missing = bench("plan", grid, status=2)
    assert missing.count("\n") == 1
    assert f"{grid.name}:5: unknown dataset 'my_birds'" in missing
    assert "data of your own are prepared first: xsam-bench data prepare my_birds --from FOLDER|FILE" in missing
    tree = write_folders(bench.folder / "tree", made(COUNTS))
    assert "my_birds: 30 train, 9 val, 12 test, checksum" in bench("data", "prepare", "my_birds", "--from", tree)
    flat = write_parquet(bench.folder / "flat", made({"train": 50}, size=9, channels=1))
    assert "no test part was given: 10 of 50 images" in bench("data", "prepare", "my_owls", "--from", flat)
    listed = {row["name"]: row for row in json.loads(bench("data", "list", "--json"))}
    assert listed["my_owls"]["facts"] == "40 training and 10 test images, 1×9×9, 3 classes, your own"
    assert "did you mean 'my_owls'" in bench("plan", grid, "--set", "dataset=my_owl", status=2)
    assert "nothing is missing" in bench("doctor", "--grid", grid)

    bench("plan", grid)
    assert "mine: 16 done" in bench("run", grid, "--jobs", 1)
    assert "nothing to do, 16 done" in bench("run", grid)
    rows = read(bench.results)
    checksums = {name: own_set["checksum"] for name, own_set in _kept(bench).items()}
    for name, text in zip(rows["dataset"], rows["provenance"], strict=True):
        stored = json.loads(text)
        assert stored["data_checksum"] == checksums[name]
        assert stored["config"]["data"] == {name: checksums[name]}

    run_id = str(rows["run_id"][0])
    assert "identical" in bench("reproduce", run_id)
    bench("data", "prepare", "my_birds", "--from", write_npz(bench.folder / "b.npz", made(COUNTS, seed=1)))
    for arguments in (("reproduce", run_id), ("sharpness", run_id)):
        refused = bench(*arguments, status=2)
        assert refused.count("\n") == 1
        assert "my_birds of your own has other content now" in refused
    (bench.folder / "data").rename(bench.folder / "elsewhere")
    assert "data set my_birds of your own is missing" in bench("reproduce", run_id, status=2)
    bench("status", "mine")  # whoever reads results needs no data
    bench("report", "mine", "--out", "reports")
    page = (bench.folder / "reports" / "mine" / "table.md").read_text(encoding="utf-8")
    assert f"held against nothing published: my_birds (content {checksums['my_birds']})" in page
    assert "unverified" not in page
    assert "identical" in bench(
        "reproduce", str(rows["run_id"][rows["dataset"] == "my_owls"].iloc[0]), "--data", "elsewhere"
    )


@pytest.mark.slow
def test_runs_on_other_content_are_other_runs_and_those_before_are_kept(bench: Bench) -> None:
    grid = bench.write_grid(ONE)
    parts = made(COUNTS)
    bench("data", "prepare", "my_birds", "--from", write_npz(bench.folder / "a.npz", parts))
    assert "one: 4 done" in bench("run", grid)
    before = {path.name for path in (bench.results / "one" / "runs").iterdir()}
    parts["train"][0][0, 0, 0, 0] ^= 1
    told = bench("data", "prepare", "my_birds", "--from", write_npz(bench.folder / "b.npz", parts))
    assert "runs on that are kept, and are others than runs on this" in told
    assert "4 pending" in bench("plan", grid)
    assert "one: 4 done" in bench("run", grid)
    after = {path.name for path in (bench.results / "one" / "runs").iterdir()}
    assert before < after
    assert len(after) == 8
    bench("data", "prepare", "my_birds", "--from", bench.folder / "a.npz")
    assert "nothing to do, 4 done" in bench("run", grid)


@pytest.mark.slow
def test_a_run_on_data_of_ones_own_goes_on_from_its_checkpoint(bench: Bench) -> None:
    grid = bench.write_grid(ONE.replace("sgd, sam", "sam").replace("seed: [0, 1]", "seed: [0]"))
    data, source = bench.folder / "data", write_npz(bench.folder / "a.npz", made({**COUNTS, "train": 90}))
    prepare("my_birds", data, source)
    (run,) = load_grid(grid).runs
    order = WorkOrder(bench.results, "one", (run.run_id,), data, "launch", device="cpu")
    order.write_snapshot([run])
    assert work(order, StopAfter(12)) == 0
    assert order.folder.checkpoint(run.run_id).exists()
    bench("data", "prepare", "my_birds", "--from", source)  # the same content
    bench("run", grid)
    bench("run", grid, "--results", "others")
    rows, others = read(bench.results), read(bench.folder / "others")
    assert (rows["resumed_from_step"] > 0).all()
    for name in ("run_id", "status", "test_loss_final", "test_accuracy_final", "val_accuracy_best"):
        assert rows[name].tolist() == others[name].tolist()


def test_a_worker_trains_on_nothing_but_what_was_planned(tmp_path: Path) -> None:
    data = tmp_path / "data"
    prepare("my_birds", data, write_npz(tmp_path / "a.npz", made(COUNTS)))
    path = tmp_path / "one.yaml"
    path.write_text(ONE, encoding="utf-8")
    grid = load_grid(path)
    order = WorkOrder(tmp_path / "results", grid.name, tuple(run.run_id for run in grid.runs), data, "launch")
    order.write_snapshot(grid.runs)
    order.enter_data(order.snapshot().values())
    prepare("my_birds", data, write_npz(tmp_path / "b.npz", made(COUNTS, seed=1)))
    with pytest.raises(own.OwnDataChanged, match="other content now"):
        order.enter_data(order.snapshot().values())
    with pytest.raises(SystemExit, match="xsam-bench: data set my_birds of your own has other content now"):
        work(order)
    own.enter(tmp_path)
    with pytest.raises(DataMissing):
        own.check(grid.runs[0].data, tmp_path)


def test_messages_of_grids_on_data_of_ones_own(bench: Bench) -> None:
    data = bench.folder / "data"
    bench("data", "prepare", "my_birds", "--from", write_npz(bench.folder / "a.npz", made(COUNTS)))
    grid = bench.write_grid(ONE)
    told = bench("plan", grid, "--set", "val_fraction=0.1", status=2)
    assert "my_birds has 9 validation images of its own, the same for every run; leave it out" in told
    (data / "my_birds" / "manifest.json").write_text("{", encoding="utf-8")
    told = bench("plan", grid, status=2)
    assert told.count("\n") == 1
    assert "my_birds/manifest.json: damaged" in told
    assert "prepare the data set again" in told
    elsewhere = bench("plan", grid, "--data", "there is none", status=2)
    assert "data prepare my_birds --from FOLDER|FILE --data 'there is none'" in elsewhere


def test_a_plug_in_and_data_of_ones_own_cannot_have_one_name(bench: Bench) -> None:
    bench("data", "prepare", "blobs", "--from", write_npz(bench.folder / "a.npz", made(COUNTS)))
    (bench.folder / "blobs.py").write_text(
        "from xsam.plugins import Plugin\n"
        "plugin = Plugin('blobs', version='1')\n"
        "@plugin.dataset('blobs', channels=1, size=2, classes=2, train=4, test=2, mean=[0.5], std=[0.5])\n"
        "def read(): ...\n",
        encoding="utf-8",
    )
    grid = bench.write_grid(ONE.replace("my_birds", "blobs").replace("matrix", "plugins: [./blobs.py]\nmatrix"))
    told = bench("plan", grid, status=2)
    assert "the data set 'blobs' is in the data folder already: choose another name" in told


def _kept(bench: Bench) -> dict[str, dict[str, str]]:
    """What ``grid.json`` keeps of the sets."""
    content = json.loads((bench.results / "mine" / "grid.json").read_text(encoding="utf-8"))
    return {one["name"]: one for one in content["data"]}


def test_programs_see_the_content_in_the_plan(bench: Bench) -> None:
    bench("data", "prepare", "my_birds", "--from", write_npz(bench.folder / "a.npz", made(COUNTS)))
    process = bench.start("plan", bench.write_grid(ONE), "--json")
    output, _ = process.communicate(timeout=120)
    plan = json.loads(output)
    assert {run["data"]["my_birds"] for run in plan["runs"]} == {plan["data"][0]["checksum"]}
