"""Parameters sharded over two processes by ``fully_shard``, against one process that sees both halves of a batch."""

from __future__ import annotations

import pytest
import torch

from tests.optim import family, problems, two_shards
from tests.optim.ranks import results_of
from tests.optim.two_shards import METHODS, STEPS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return results_of(two_shards, tmp_path_factory.mktemp("shards"))


@pytest.mark.parametrize("method", METHODS)
def test_a_step_on_parts_is_the_step_on_the_whole(method, ranks):
    model = problems.plain_net()
    optimizer = family.build(method, "momentum", model, max_grad_norm=0.5)
    for batch in problems.batches(STEPS):
        optimizer.step(problems.closure_of(model, batch))
    for result in (results[method] for results in ranks):
        assert result["passes"] == (optimizer.forwards, optimizer.backwards)
        for part, weight in zip(result["weights"], model.parameters(), strict=True):
            torch.testing.assert_close(part, weight.detach(), rtol=1e-12, atol=1e-13)


def test_a_method_that_is_not_written_for_parts_says_so_and_moves_nothing(ranks):
    found = ranks[0]["refused"]
    assert [method for method, _, _ in found] == [*(name for name in family.METHODS if name not in METHODS), "sam"]
    assert all(unmoved for _, _, unmoved in found)
    assert all("is not written for sharded parameters" in message for _, message, _ in found[:-1])
    assert "need model=" in found[-1][1]
