"""Every grid in ``configs/`` plans the runs that it always planned: results stored under their ids are found again.

``golden_ids.txt`` has a line for each label of each grid: the number of its runs and a digest of their ids in the
order of the plan. A grid whose text changes on purpose, or a new one, changes its lines and no others:

    python -m tests.grid.test_golden_ids > tests/grid/golden_ids.txt
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from xsam.grid import load_grid

CONFIGS = Path(__file__).parents[2] / "configs"
GOLDEN = Path(__file__).with_name("golden_ids.txt")


def planned() -> Iterator[str]:
    for path in sorted(CONFIGS.rglob("*.yaml")):
        if path.stem == "claims":
            continue  # no grid
        ids: dict[str, list[str]] = {}
        for run in load_grid(path).runs:
            ids.setdefault(run.optimizer, []).append(run.run_id)
        for label, own in ids.items():
            digest = hashlib.sha256(" ".join(own).encode()).hexdigest()[:16]
            yield f"{path.relative_to(CONFIGS).as_posix()} {label} {len(own)} {digest}"


def test_run_ids_of_every_grid_stay_what_they_were() -> None:
    assert list(planned()) == GOLDEN.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    print("\n".join(planned()))
