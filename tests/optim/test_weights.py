"""Weights that are moved for a pass and put back, out of place where nobody else looks at their memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.optim import family, problems
from xsam import SAM, XSAM
from xsam.optim._step import foreach
from xsam.optim._step import weights as weights_module
from xsam.optim._step.weights import Weights

HALF = torch.tensor(0.5)


@pytest.fixture(autouse=True)
def _without_graphs(monkeypatch):
    monkeypatch.setattr(weights_module, "SMALL", 0)  # so that the small ones here are moved as large ones are
    with torch.no_grad():
        yield


def moved(parameters, weights=None):
    weights = weights or Weights()
    weights.save(parameters)
    weights.move(parameters, [torch.ones_like(parameter) for parameter in parameters], HALF)
    return weights


def test_memory_of_its_own_is_left_alone_while_the_parameter_is_away():
    parameter = nn.Parameter(torch.zeros(3))
    address = parameter.data_ptr()
    weights = moved([parameter])
    assert parameter.data_ptr() != address
    assert parameter.tolist() == [0.5, 0.5, 0.5]
    weights.restore()
    assert parameter.data_ptr() == address
    assert parameter.tolist() == [0.0, 0.0, 0.0]


def test_a_small_one_is_copied_and_written_in_place(monkeypatch):
    monkeypatch.setattr(weights_module, "SMALL", 3)
    parameter = nn.Parameter(torch.zeros(3))
    address = parameter.data_ptr()
    weights = moved([parameter])
    assert (parameter.data_ptr(), parameter.tolist()) == (address, [0.5, 0.5, 0.5])
    weights.restore()
    assert (parameter.data_ptr(), parameter.tolist()) == (address, [0.0, 0.0, 0.0])


@pytest.mark.parametrize("method", family.METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_and_large_tensors_take_other_ways_to_the_same_bits(method, dtype, monkeypatch):
    def trained(small, in_cache):
        monkeypatch.setattr(weights_module, "SMALL", small)
        monkeypatch.setattr(foreach, "_IN_CACHE", in_cache)
        model = problems.batch_norm_net().to(dtype)
        optimizer = family.build(method, "momentum", model)
        for images, labels in problems.batches(6):
            optimizer.step(problems.closure_of(model, (images.to(dtype), labels)))
        return model.state_dict(), optimizer.state_dict()

    assert family.same(trained(0, 0), trained(1 << 14, 1 << 17))


def views(base):
    return [nn.Parameter(base[:2]), nn.Parameter(base[2:])]


@pytest.mark.parametrize(
    "share",
    [
        lambda: (lambda p: ([p], p.data))(nn.Parameter(torch.zeros(3))),
        lambda: (lambda p: ([p], p.detach().numpy()))(nn.Parameter(torch.zeros(3))),
        lambda: (lambda base: (views(base), base))(torch.zeros(4)),
        lambda: (lambda p: ([p], p.data.view(3, 1)))(nn.Parameter(torch.zeros(3).share_memory_())),
    ],
    ids=["alias", "numpy", "views of one buffer", "shared between processes"],
)
def test_whoever_shares_the_memory_sees_the_move_and_the_return(share):
    parameters, other = share()
    weights = moved(parameters)
    assert float(other.sum()) == 0.5 * sum(parameter.numel() for parameter in parameters)
    weights.restore()
    assert float(other.sum()) == 0.0


def test_one_that_moves_in_a_later_step_only_comes_back_too():
    first, second = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    weights = Weights()
    weights.save([first, second])
    weights.move([first], [torch.ones(2)], HALF)
    weights.move([first, second], [torch.ones(2), torch.ones(2)], HALF)
    assert (first.tolist(), second.tolist()) == ([1.0, 1.0], [0.5, 0.5])
    weights.restore()
    assert (first.tolist(), second.tolist()) == ([0.0, 0.0], [0.0, 0.0])


def test_memory_is_taken_once():
    parameter, weights = nn.Parameter(torch.zeros(3)), Weights()
    addresses = set()
    for _ in range(3):
        moved([parameter], weights)
        addresses.add(parameter.data_ptr())
        weights.restore()
        weights.release()
    assert len(addresses) == 1


def test_a_graph_of_the_old_values_cannot_run_backward_on_the_new_ones():
    parameter = nn.Parameter(torch.ones(3))
    with torch.enable_grad():
        loss = (parameter * parameter).sum()
    moved([parameter])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("method", [SAM, XSAM])
def test_weights_tied_by_their_memory_train_as_one(method):
    def train(tie):
        torch.manual_seed(0)
        first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        second = tie(first, second)
        parameters = {id(p): p for p in [*first.parameters(), *second.parameters()]}.values()
        optimizer = method(torch.optim.SGD(list(parameters)[:1], lr=0.1), rho=0.5)
        x = torch.randn(8, 4)
        for _ in range(3):
            optimizer.step(lambda: second(first(x).tanh()).square().mean())
        return copy.deepcopy(first.weight.data)

    def by_alias(first, second):
        second.weight.data = first.weight.data
        second.weight.requires_grad_(False)  # the gradient flows through one of the two alone
        return second

    def by_hand(first, second):
        class Alias(nn.Module):
            def forward(self, x):
                return x @ first.weight.detach().T

        return Alias()

    assert torch.equal(train(by_alias), train(by_hand))
