"""Train a random share of the committed runs again, and compare every metric and epoch with what is stored, bit by bit.

    python -m benchmarks.results_check --share 0.02

Only runs with ``numerics: portable`` are taken: they have the same bits on every x86-64 CPU with AVX2. Each is trained
by ``xsam-bench reproduce`` in a process of its own. Exit status 1 where one differs, with what differs of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from xsam.report import repetition
from xsam.store import read

PORTABLE = "portable"


def random_share(results: Path, share: float, seed: int, grids: list[str] | None = None) -> list[str]:
    """``GRID/RUN`` of a random share of the finished portable runs, at least one, in the order of their names."""
    rows = read(results, grids=grids or None)
    portable = rows[(rows["status"] == "done") & (rows["param_numerics"] == PORTABLE)]
    if portable.empty:
        raise SystemExit(f"{results}: no finished run with numerics: {PORTABLE}")
    return repetition.random_share(portable, share, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("grids", nargs="*", help="of these grids; by default of all")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--share", type=float, default=0.02, help="how many of the runs, as a share of all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    given = parser.parse_args()
    names = random_share(given.results, given.share, given.seed, given.grids)
    different = 0
    for place, name in enumerate(names, start=1):
        command = [sys.executable, "-m", "xsam.cli.main", "reproduce", name, "--results", str(given.results)]
        done = subprocess.run(command, capture_output=True, text=True)
        different += done.returncode != 0
        print(f"{place}/{len(names)} {done.stdout.strip() or done.stderr.strip()}", flush=True)
    print(f"{len(names) - different} of {len(names)} runs identical")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
