"""A plug-in beside the grid on a real SLURM: jobs train with what it was when they were submitted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from shlex import quote

import pandas as pd
import pytest

from tests.conftest import Bench
from tests.plugins.conftest import GRID
from tests.slurm.conftest import Launch
from tests.stored import numbers
from xsam.store import read

PLUGIN = Path(__file__).parents[1] / "plugins" / "my_sam.py"


def test_jobs_train_with_the_plug_in_of_their_launch_whatever_becomes_of_the_file(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = Bench(tmp_path_factory.mktemp("plain"))
    shutil.copyfile(PLUGIN, plain.folder / "my_sam.py")
    plain("run", plain.write_grid(GRID), "--jobs", 1)

    mine, go = bench.folder / "my_sam.py", bench.folder / "go"
    shutil.copyfile(PLUGIN, mine)
    launch = Launch(bench, "mine", GRID, setup=[f"while [ ! -e {quote(str(go))} ]; do sleep 0.2; done"])
    launch.submit()
    mine.write_text("raise SystemExit('not what was submitted')")
    go.touch()
    launch.settle()
    assert [state["status"] for state in launch.states()] == ["done"] * 4
    launch.check(numbers(plain.results))
    pd.testing.assert_frame_equal(
        read(bench.results, "sharpness", columns=["measure", "value"]),
        read(plain.results, "sharpness", columns=["measure", "value"]),
    )
    facts = [json.loads(text)["plugins"]["my_sam"] for text in read(bench.results)["provenance"]]
    expected = json.loads(read(plain.results)["provenance"][0])["plugins"]["my_sam"]
    assert [one["sha256"] for one in facts] == [expected["sha256"]] * 4
