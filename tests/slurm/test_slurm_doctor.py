"""What ``xsam-bench doctor`` says where there is a cluster."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Bench
from tests.slurm.conftest import MAX_ARRAY_SIZE


@pytest.mark.usefixtures("cluster")
def test_a_cluster_that_answers_is_shown_with_its_limits(bench: Bench) -> None:
    found = {item["name"]: item for item in json.loads(bench("doctor", "--json"))["items"]}
    assert found["slurm"]["state"] == "works"
    assert f"MaxArraySize {MAX_ARRAY_SIZE};" in found["slurm"]["facts"]
    assert "debug* up, " in found["slurm"]["facts"]
    assert found["munge"]["state"] == "works"
