"""A translation run that is killed or stopped goes on bit for bit, the weights that wait for the test included."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import Bench
from tests.stored import assert_same_numbers, numbers
from tests.waiting import PATIENCE
from xsam.store import read

pytestmark = [pytest.mark.slow, pytest.mark.fairseq, pytest.mark.faults]

GRID = """
name: toy
task: translation
matrix:
  dataset: [parallel_text]
  optimizer: [adam, xsam]
params: {model: transformer, bpe_merges: 40, embed_dim: 32, ffn_dim: 64, heads: 2, layers: 1, max_tokens: 300,
         dropout: 0.1, epochs: 3, lr: 5.0e-3, warmup_updates: 30, average_last: 2}
overrides:
  - when: {optimizer: xsam}
    params: {rho: 0.05}
report: {rule: best_val}
"""


@pytest.fixture
def bench_with_data(bench: Bench, data_dir: Path) -> Bench:
    shutil.copytree(data_dir, bench.folder / "data")
    bench.write_grid(GRID)
    return bench


def written(results: Path) -> dict[str, bytes]:
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in results.glob("*/outputs/*/*")}


@pytest.mark.parametrize("masks", ["torch", "words"])
def test_kill_and_resume_is_bitwise(masks: str, bench_with_data: Bench):
    bench = bench_with_data
    bench.write_grid(GRID.replace("dropout: 0.1", f"dropout: 0.1, dropout_masks: {masks}"))
    bench("run", "grid.yaml", "--results", "undisturbed", "--jobs", 1)
    undisturbed = numbers(bench.folder / "undisturbed")
    runs, outputs = undisturbed[0], written(bench.folder / "undisturbed")
    assert list(runs["status"]) == ["done", "done"]
    assert runs["test_bleu"].equals(runs["test_bleu_best_val"].rename("test_bleu"))
    assert runs["test_sacrebleu"].notna().all()
    assert runs["test_bleu_signature"].str.contains("tok:none").all()
    assert len(outputs) == 8
    assert all(content.count(b"\n") == 200 for content in outputs.values())

    bench.gate.hold(epoch=1, step=3)
    process = bench.start("run", "grid.yaml", "--jobs", 1, "--checkpoint-seconds", 0)
    ((run_id, (pid,)),) = bench.gate.wait().items()
    os.kill(pid, signal.SIGKILL)
    bench.gate.open()
    output, error = process.communicate(timeout=PATIENCE)  # the front end starts another worker
    assert process.returncode == 0, output + error
    assert_same_numbers(bench.results, undisturbed)
    assert written(bench.results) == outputs
    resumed = read(bench.results).set_index("run_id")["resumed_from_step"]
    assert resumed[run_id] > 2, "in the second epoch"
    assert resumed.drop(run_id).eq(0).all()


def test_missing_data_is_said_with_the_command_that_prepares_them(bench: Bench):
    bench.write_grid(GRID)
    output = bench("run", "grid.yaml", status=2)
    assert "xsam-bench data prepare parallel_text" in output
