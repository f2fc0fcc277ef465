"""Two processes that train as one, over gloo on this machine.

    python -m tests.optim.ranks MODULE RANK FOLDER

is one of them: what ``results(rank)`` of the module returns goes to a file of the folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist

WORLD = 2


def results_of(module: ModuleType, folder: Path) -> list[Any]:
    """What ``module.results(rank)`` is in a process for each rank."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.optim.ranks", module.__name__, str(rank), str(folder)],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in range(WORLD)
    ]
    try:
        assert [process.wait(timeout=300) for process in processes] == [0] * WORLD
    finally:
        for process in processes:
            process.kill()
    return [torch.load(folder / f"rank{rank}", weights_only=True) for rank in range(WORLD)]


def main(module: str, rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    torch.save(import_module(module).results(rank), folder / f"rank{rank}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
