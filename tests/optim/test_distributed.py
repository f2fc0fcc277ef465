"""Two processes under DistributedDataParallel, against one process that sees both halves of every batch.

The processes run once, through all cases of ``two_processes``; the tests compare what they wrote.
"""

from __future__ import annotations

import pytest
import torch

from tests.optim import family, problems, reference, two_processes
from tests.optim.ranks import WORLD, results_of
from tests.optim.two_processes import (
    CASES,
    METHODS,
    PROBE_RADIUS,
    RHO,
    SEARCH_EVERY,
    STEPS,
    Branches,
    branch_closure,
    halves,
    result_of,
)
from xsam.optim import XSAM

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """For each rank its results, by case."""
    return results_of(two_processes, tmp_path_factory.mktemp("ranks"))


def one_process(method):
    model = problems.plain_net()
    optimizer = METHODS[method](problems.sgd(model))
    alphas = []
    for batch in problems.batches(STEPS):
        optimizer.step(problems.closure_of(model, batch))
        alphas.append(getattr(optimizer, "alpha", None))
    return result_of(model, optimizer, alphas)


def assert_close(actual, expected, rtol=1e-12, atol=1e-13):
    for name, weight in expected.items():
        torch.testing.assert_close(actual[name], weight, rtol=rtol, atol=atol)


TRAINED = [case for case in CASES if case[0] == "train"]


@pytest.mark.parametrize("case", TRAINED, ids=" ".join)
def test_all_ranks_hold_the_same_weights_bit_for_bit_and_one_alpha(case, ranks):
    first, second = (results[case] for results in ranks)
    problems.assert_bitwise(first["weights"], second["weights"])
    assert first["alphas"] == second["alphas"]
    assert first["passes"] == second["passes"]


@pytest.mark.parametrize("case", [case for case in TRAINED if case[2] == "global"], ids=" ".join)
def test_a_global_perturbation_is_one_process_on_the_joined_batch(case, ranks):
    expected = one_process(case[1])
    assert_close(ranks[0][case]["weights"], expected["weights"])
    assert ranks[0][case]["alphas"] == expected["alphas"]
    assert ranks[0][case]["passes"] == expected["passes"]
    if case[1].startswith("xsam"):
        assert len(set(expected["alphas"])) > 1


def local_by_hand(ascent_steps, searched):
    """m-sharpness in one process: each half forms its own update, and the mean of these is stepped with."""
    model = problems.plain_net()
    base = reference.SGD(lr=0.1, momentum=0.9, weight_decay=1e-3)
    alpha, alphas = 1.0, []

    def gradient(point, half):
        reference.write(model, point)
        return reference.flat(torch.autograd.grad(problems.loss_of(model, half), list(model.parameters())))

    def loss(point, half):
        reference.write(model, point)
        return problems.loss_of(model, half).item()

    for step, batch in enumerate(problems.batches(STEPS)):
        weights = reference.flat(model.parameters())
        planes = []
        for half in halves(batch):
            point = weights
            for _ in range(ascent_steps):
                point = point + RHO / ascent_steps * reference.unit(gradient(point, half))
            last = gradient(point, half)
            planes.append((half, reference.unit(point - weights), reference.unit(last), last.norm()))
        if searched and step % SEARCH_EVERY == 0:
            losses = [
                sum(
                    loss(weights + PROBE_RADIUS * reference.rotated(v0, v1, tenth / 10), half)
                    for half, v0, v1, _ in planes
                )
                for tenth in range(21)
            ]
            alpha = losses.index(max(losses)) / 10
        alphas.append(alpha)
        updates = [length * reference.rotated(v0, v1, alpha) for _, v0, v1, length in planes]
        reference.write(model, base.step(weights, sum(updates) / len(updates)))
    return problems.snapshot(model), alphas


LOCAL = [case for case in TRAINED if case[2] == "local" and case[1] != "alone"]


@pytest.mark.parametrize("case", LOCAL, ids=" ".join)
def test_a_local_perturbation_is_m_sharpness(case, ranks):
    searched = case[1].startswith("xsam")
    weights, alphas = local_by_hand(2 if case[1].endswith("2") else 1, searched)
    assert_close(ranks[0][case]["weights"], weights, rtol=1e-9)
    if searched:
        assert ranks[0][case]["alphas"] == alphas
        assert len(set(alphas)) > 1


@pytest.mark.parametrize("method", family.METHODS)
def test_every_method_keeps_ranks_together_and_is_one_process_under_a_global_perturbation(method, ranks):
    for perturbation in ("global", "local"):
        first, second = (results[("family", method, perturbation)]["weights"] for results in ranks)
        problems.assert_bitwise(first, second)
    model = problems.plain_net()
    optimizer = family.build(method, "momentum", model, max_grad_norm=1.0)
    for batch in problems.batches(5):
        optimizer.step(problems.closure_of(model, batch))
    # Ranks sum in another order than one process. EigenSAM's Hessian-vector products divide differences of gradients by
    # a small distance, about 1e-5 in float64, which magnifies that rounding.
    rtol = 1e-9 if method == "eigen_sam" else 1e-12
    assert_close(ranks[0][("family", method, "global")]["weights"], model.state_dict(), rtol, rtol / 10)


def test_local_and_global_perturbations_differ(ranks):
    for method in ("sam", "xsam2"):
        first, second = (ranks[0][("train", method, p, "plain")]["weights"].values() for p in ("global", "local"))
        assert problems.largest_difference(first, second) > 1e-4


def test_without_a_perturbation_local_is_global(ranks):
    assert_close(*(ranks[0][("train", "alone", p, "plain")]["weights"] for p in ("local", "global")))


@pytest.mark.parametrize("rank", range(WORLD))
@pytest.mark.parametrize("perturbation", ["global", "local"])
@pytest.mark.parametrize("wrapped", ["buffers", "buffers apart"])
def test_buffers_are_those_of_a_plain_loop(wrapped, perturbation, rank, ranks):
    for actual, expected in zip(ranks[rank][(wrapped, perturbation)], ranks[rank][(wrapped, None)], strict=True):
        problems.assert_bitwise(actual, expected)


def test_gradients_are_averaged_once_a_pass_whatever_is_accumulated(ranks):
    assert ranks[0][("messages", "global", 1)] == ranks[0][("messages", "global", 2)]
    assert min(ranks[0][("messages", "global", 1)]) == 3


def test_no_pass_of_a_local_perturbation_is_synchronised(ranks):
    assert ranks[0][("messages", "local", 1)] == ranks[0][("messages", "local", 2)] == [0, 0, 0]


def test_parameters_that_only_some_ranks_use(ranks):
    model = Branches()
    optimizer = XSAM(problems.sgd(model), rho=RHO)
    for batch in problems.batches(4):
        optimizer.step([branch_closure(model, half, rank) for rank, half in enumerate(halves(batch))])
    assert_close(ranks[0][("branches", "global")]["weights"], model.state_dict())
    for perturbation in ("global", "local"):
        first, second = (results[("branches", perturbation)] for results in ranks)
        problems.assert_bitwise(first["weights"], second["weights"])
        used = [gradient is not None for gradient in first["gradients"]]
        assert used == [gradient is not None for gradient in second["gradients"]] == [True] * 6 + [False] * 2


@pytest.mark.parametrize("failing_call", [1, 2, 3])
@pytest.mark.parametrize("perturbation", ["global", "local"])
def test_an_overflow_on_one_rank_skips_the_step_on_all(perturbation, failing_call, ranks):
    first, second = (results[("overflow", perturbation, failing_call)] for results in ranks)
    assert first["scales"] == second["scales"] == [1024.0, 512.0, 512.0, 512.0]
    assert first["passes"] == second["passes"] == (3 * 3 + 21 + failing_call, 3 * 3 + failing_call, 1)
    problems.assert_bitwise(first["weights"], second["weights"])
    assert all(weight.isfinite().all() for weight in first["weights"].values())


def test_a_local_perturbation_without_its_wrapper_is_one_error(ranks):
    without, bare, static = ranks[0][("refused",)]
    assert without.endswith(
        "needs model= with the DistributedDataParallel module whose passes are not to be synchronised, not None"
    )
    assert bare.endswith("not Sequential")
    assert static.endswith("which DistributedDataParallel cannot do with static_graph=True")


@pytest.mark.parametrize("rank", range(WORLD))
def test_processes_in_groups_of_their_own_have_nothing_in_common(rank, ranks):
    model = problems.plain_net()
    optimizer = METHODS["xsam"](problems.sgd(model))
    for batch in problems.batches(STEPS):
        optimizer.step(problems.closure_of(model, halves(batch)[rank]))
    assert_close(ranks[rank][("own group",)]["weights"], model.state_dict())
    assert ranks[rank][("own group",)]["alphas"] == [optimizer.alpha]


def test_one_process_needs_no_wrapper_for_either_perturbation():
    model = problems.plain_net()
    METHODS["sam"](problems.sgd(model), perturbation="local").step(problems.closure_of(model, problems.batches(1)[0]))
    twin = problems.plain_net()
    METHODS["sam"](problems.sgd(twin)).step(problems.closure_of(twin, problems.batches(1)[0]))
    problems.assert_bitwise(model.state_dict(), twin.state_dict())
