"""Portable numerics: the same bits on other CPUs, refused where they cannot be had, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bench
from xsam.runner import numerics
from xsam.runner.numerics import NotPortable
from xsam.store import read

GRID = """
name: small
task: vision
matrix: {optimizer: [sgd, sam], numerics: [native, portable]}
params: {model: mlp, dataset: digits, hidden: [16], epochs: 2, lr: 0.05}
keep_checkpoints: true
"""
# From two makers; neither has AVX-512. The slowest to emulate are looked at on the one that is further from this CPU.
SMALL, DEEP = ("mlp", "resnet8", "densenet121"), ("resnet18", "timm/vit_tiny_patch16_224")
CPUS = {"EPYC": (("vgg11_bn",), (*SMALL, *DEEP)), "Haswell-v4": (SMALL,)}


def plain_environment() -> dict[str, str]:
    unset = (*numerics.SETTINGS, "MKL_ENABLE_INSTRUCTIONS", "DNNL_MAX_CPU_ISA")
    return {name: value for name, value in os.environ.items() if name not in unset} | {"OMP_NUM_THREADS": "1"}


def digests(cpu: str | None, *arguments: object) -> dict[str, str]:
    """What ``tests.runner.portable_steps`` prints on this CPU, or on an emulated one."""
    emulator = [] if cpu is None else ["qemu-x86_64", "-cpu", cpu]
    command = [*emulator, sys.executable, "-m", "tests.runner.portable_steps", *map(str, arguments)]
    done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.thorough
@pytest.mark.alone
@pytest.mark.timeout(3600)
@pytest.mark.needs("qemu-x86_64")
def test_every_model_has_the_same_bits_on_cpus_of_two_makers(tmp_path: Path) -> None:
    jobs: list[tuple[object, ...]] = [(cpu, "vision", *models) for cpu in CPUS for models in CPUS[cpu]]
    if find_spec("fairseq") is not None:
        from tests.translation.conftest import sentence_pairs, write_pairs
        from xsam.tasks.translation.prepare import prepare

        for seed, (part, count) in enumerate({"train": 40, "valid": 4, "test": 4}.items()):
            write_pairs(tmp_path / "texts", part, sentence_pairs(count, seed))
        prepare("parallel_text", tmp_path / "data", tmp_path / "texts", bpe_merges=40)
        jobs += [(cpu, "translation", tmp_path / "data") for cpu in CPUS]
    here: dict[str, str] = {}
    for arguments in dict.fromkeys(job[1:] for job in jobs):
        here |= digests(None, *arguments)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        there = list(pool.map(lambda job: digests(*job), jobs))
    for (cpu, *_), found in zip(jobs, there, strict=True):
        assert found == {model: here[model] for model in found}, cpu


def test_workers_have_one_setting_each_and_rows_tell_it(bench: Bench) -> None:
    grid = bench.write_grid(GRID)
    assert "4 done" in bench("run", grid, "--jobs", "1")
    rows = read(bench.results)
    for numerics_of_run, text in zip(rows["param_numerics"], rows["provenance"], strict=True):
        arithmetic = json.loads(text)["arithmetic"]
        portable = numerics_of_run == "portable"
        assert (numerics.SETTINGS.items() <= arithmetic["environment"].items()) == portable
        if portable:
            assert arithmetic["capability"] == "AVX2"
        assert arithmetic["intra_op_threads"] == 1
        assert set(arithmetic["flags"]) == set(numerics.cpu_flags())
        assert arithmetic["blas"]
        assert arithmetic["onednn"]
    assert "start them one after the other" in bench("run", grid, "--detach", "--results", "other", status=2)
    assert "one process" in bench("plan", grid, "--calibrate", status=2)
    portable_run = rows[rows["param_numerics"] == "portable"]["run_id"].iloc[0]
    assert ": identical" in bench("reproduce", portable_run)
    assert portable_run in bench("sharpness", portable_run, "--measure", "hessian", "--batches", "1")


def test_a_cpu_or_a_device_that_cannot_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Nehalem\nflags\t\t: fpu sse4_2 popcnt\n")
    monkeypatch.setattr(numerics, "_CPUINFO", cpuinfo)
    numerics.check("native")
    with pytest.raises(NotPortable, match="lacks avx2, fma; --set numerics=native"):
        numerics.check("portable", machine="x86_64")
    with pytest.raises(NotPortable, match=r"needs an x86-64 CPU .*\(aarch64\)"):
        numerics.check("portable", machine="aarch64", flags=[])
    with pytest.raises(NotPortable, match="train on cpu, not on cuda"):
        numerics.check("portable", "cuda", machine="x86_64", flags=numerics.NEEDED)
    cpuinfo.unlink()
    assert numerics.cpu_flags() == []


def test_the_square_root_of_a_portable_process_is_the_one_right_answer() -> None:
    code = """
from xsam.runner import numerics
numerics.enter("portable")
import numpy as np, torch
from xsam.runner.run import set_up_torch
set_up_torch(1, 0)
for dtype in (torch.float32, torch.float64):
    own = torch.rand(5000, dtype=dtype, requires_grad=True)
    root = own.sqrt()
    assert (root.detach().numpy() == np.sqrt(own.detach().numpy())).all()
    root.sum().backward()
    assert torch.allclose(own.grad, 0.5 / root)
    plain = own.detach().clone()
    assert torch.equal(torch._foreach_sqrt([plain, plain[:7]])[1], root[:7])
    assert torch.equal(torch.sqrt(plain, out=torch.empty(0, dtype=dtype)), root)
    assert torch.equal(plain.sqrt_(), root) and torch.equal(plain, root)
assert torch.tensor(4).sqrt().item() == 2.0 and torch.tensor(4.0).sqrt().shape == ()
assert torch.tensor(2.0, dtype=torch.bfloat16).sqrt().dtype == torch.bfloat16
assert torch.tensor(-1.0).sqrt().isnan()
"""
    done = subprocess.run([sys.executable, "-c", code], env=plain_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("prelude", "message"),
    [
        ("import torch", "comes too late"),
        ("numerics.enter('native')", "this process computes with numerics native"),
    ],
)
def test_a_process_does_not_change_its_setting(prelude: str, message: str) -> None:
    code = f"from xsam.runner import numerics\n{prelude}\nnumerics.enter('portable')"
    done = subprocess.run([sys.executable, "-c", code], env=plain_environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("params", "message"),
    [({"precision": "bf16"}, "needs fp32"), ({"compile": True}, "code for the CPU"), ({"numerics": "fast"}, "unknown")],
)
def test_what_is_never_portable_is_refused_in_the_grid(params: dict[str, Any], message: str, bench: Bench) -> None:
    text = ", ".join(f"{name}: {str(value).lower()}" for name, value in {"numerics": "portable", **params}.items())
    grid = bench.write_grid(GRID.replace(", numerics: [native, portable]", "").replace("lr:", f"{text}, lr:"))
    assert message in bench("plan", grid, status=2)
