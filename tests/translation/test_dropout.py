"""Dropout masks from words: their rate, independence, and what is shared, saved and left as it was."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from xsam.optim import SAM
from xsam.tasks.translation import TASK
from xsam.tasks.translation.dropout import LEVELS, SameDropout, WordDropout, draws_words, threshold
from xsam.tasks.translation.library import fairseq
from xsam.tasks.translation.problem import TranslationProblem
from xsam.tasks.translation.translation_run import TranslationRun

pytestmark = pytest.mark.fairseq

N = 2**20
SIGMAS = 5  # with fixed seeds: what is drawn is always the same


def dropped(p: float, n: int = N, seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    return WordDropout(p)(torch.ones(n)) == 0


def near(share: float, p: float, n: int) -> bool:
    return abs(share - p) < SIGMAS * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.3, 0.5, 0.9])
def test_as_many_are_dropped_as_said_at_each_place_of_a_word(p):
    mask = dropped(p).double()
    exact = threshold(p) / LEVELS
    assert abs(exact - p) <= 0.5 / LEVELS
    assert near(mask.mean().item(), exact, N)
    for place in range(4):
        assert near(mask[place::4].mean().item(), exact, N // 4)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 5, 8, 128, 1_000])
def test_elements_are_dropped_independently(distance):
    mask = dropped(0.3)
    exact = threshold(0.3) / LEVELS
    both = (mask[distance:] & mask[:-distance]).double().mean().item()
    assert near(both, exact**2, 2 * N // 5)  # pairs overlap: less than N independent ones
    other = dropped(0.3, seed=2)
    assert near((mask & other).double().mean().item(), exact**2, N)


def test_masks_of_a_stream_follow_one_another():
    torch.manual_seed(0)
    dropout = WordDropout(0.5)
    first, second = dropout(torch.ones(N)) == 0, dropout(torch.ones(N)) == 0
    assert near((first & second).double().mean().item(), 0.25, N)


@pytest.mark.parametrize("number", [0, 19_660, 19_661, 32_768, 65_535])
def test_the_threshold_is_exact(number, monkeypatch):
    """A word of known numbers: those below the threshold are dropped, and it is not."""

    def known(words: torch.Tensor, *limits: object) -> torch.Tensor:
        words.view(torch.int16).fill_(number - LEVELS // 2)
        return words

    monkeypatch.setattr(torch.Tensor, "random_", known)
    kept = WordDropout(0.3)(torch.ones(4))
    assert kept.tolist() == pytest.approx([0.0 if number < 19_661 else LEVELS / (LEVELS - 19_661)] * 4)


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (2, 3, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_shape_and_type_and_the_gradient_has_the_mask(shape, dtype):
    torch.manual_seed(3)
    x = torch.ones(shape, dtype=dtype, requires_grad=True)
    found = WordDropout(0.5)(x)
    assert (found.shape, found.dtype) == (x.shape, dtype)
    found.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, found.detach())


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (70_001,), (2**16, 2), (7, 16, 128)])
@pytest.mark.parametrize("p", [0.0, 1e-9, 0.1, 0.3, 0.5, 0.999])
def test_the_same_dropout_is_torchs_to_the_bit_and_leaves_its_random_state(shape, p):
    torch.manual_seed(2)
    x, weights = torch.randn(shape, requires_grad=True), torch.randn(shape)
    found = []
    for dropout in (torch.nn.Dropout(p), SameDropout(p)):
        torch.manual_seed(9)
        torch.rand(3)  # an odd number of draws before
        y = dropout(x)
        (gradient,) = torch.autograd.grad((y * weights).sum(), x)
        found.append((y, gradient, torch.get_rng_state()))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("draws", [True, False])
def test_where_torch_draws_otherwise_the_same_dropout_is_torchs(draws, monkeypatch):
    monkeypatch.setattr("xsam.tasks.translation.dropout.draws_words", lambda: draws)
    for x in (torch.ones(8, 9).t(), torch.ones(8, 9, dtype=torch.bfloat16), torch.ones(8, 9, dtype=torch.float64)):
        torch.manual_seed(4)
        expected = torch.nn.functional.dropout(x, 0.3)
        torch.manual_seed(4)
        assert torch.equal(SameDropout(0.3)(x), expected)
    before = torch.get_rng_state()
    draws_words.cache_clear()
    draws_words()
    assert torch.equal(torch.get_rng_state(), before)


def test_only_words_change_the_masks_and_ids_tell_them_apart(opened):
    problem, words = opened(), opened(dropout_masks="words")
    kinds = [{type(module) for module in one.model.modules()} for one in (problem, words)]
    assert WordDropout not in kinds[0]
    assert WordDropout in kinds[1]
    for name, tensor in problem.model.state_dict().items():
        assert torch.equal(tensor, words.model.state_dict()[name])
    left = [name for name, module in words.model.named_modules() if type(module) is fairseq().Dropout]
    assert left, "attention's stay"
    assert all("attn.dropout_module" in name for name in left)
    assert "dropout_masks" in TASK.unused(TranslationRun.of({"dropout": 0.0}))
    assert "dropout_masks" not in TASK.unused(TranslationRun())
    batch = problem.batch(0, 0)
    problem.model.eval()
    words.model.eval()
    assert torch.equal(problem.loss(batch), words.loss(batch))


def test_the_default_draws_torchs_masks(opened):
    problem = opened()
    batch = problem.batch(0, 0)
    real = batch.target != problem.data.target_dictionary.pad()
    torch.manual_seed(5)
    found = problem.loss(batch)
    torch.manual_seed(5)
    scores, _ = problem.model(batch.source, batch.source_lengths, batch.previous)
    entries = scores.shape[-1]
    expected = torch.nn.functional.cross_entropy(
        scores[real], batch.target[real], label_smoothing=0.1 * entries / (entries - 1), reduction="sum"
    )
    assert found.item() == pytest.approx(expected.item() / batch.tokens, rel=1e-6)


def test_a_step_of_the_default_is_fairseqs_own_models_to_the_bit(opened):
    problem, twin = opened(), opened()
    twin.model.load_state_dict(problem.model.state_dict())
    for module in list(twin.model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SameDropout):
                setattr(module, name, fairseq().Dropout(child.p))
    found = []
    for one in (problem, twin):
        torch.manual_seed(5)
        loss = one.loss(one.batch(0, 0))
        loss.backward()
        found.append([loss, *(parameter.grad for parameter in one.model.parameters()), torch.get_rng_state()])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def losses_of(problem: TranslationProblem, rng: str) -> list[float]:
    """The losses of the passes of one step of SAM whose radius is too small to change them."""
    found: list[float] = []
    base = torch.optim.SGD(problem.model.parameters(), lr=0.0)
    optimizer = SAM(base, rho=1e-12, model=problem.model, rng=rng)
    batch = problem.batch(0, 0)

    def closure() -> torch.Tensor:
        loss = problem.loss(batch)
        found.append(loss.item())
        return loss

    torch.manual_seed(7)
    optimizer.step(closure)
    return found


def test_all_passes_of_a_step_share_their_masks(opened):
    first, second = losses_of(opened(dropout_masks="words"), "shared")
    assert first == second
    first, second = losses_of(opened(dropout_masks="words"), "fresh")
    assert first != second


def test_a_saved_random_state_gives_the_same_steps_again(opened):
    problem = opened(dropout_masks="words")
    optimizer = torch.optim.AdamW(problem.model.parameters(), lr=1e-3)

    def steps(first: int, count: int) -> list[float]:
        found = []
        for step in range(first, first + count):
            optimizer.zero_grad()
            loss = problem.loss(problem.batch(0, step))
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    torch.manual_seed(11)
    steps(0, 2)
    random_state = torch.get_rng_state()
    weights = copy.deepcopy(problem.model.state_dict())
    moments = copy.deepcopy(optimizer.state_dict())
    expected = steps(2, 3)
    problem.model.load_state_dict(weights)
    optimizer.load_state_dict(moments)
    torch.set_rng_state(random_state)
    assert steps(2, 3) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_its_own_words():
    torch.manual_seed(0)
    mask = WordDropout(0.3)(torch.ones(N, device="cuda")) == 0
    assert near(mask.double().mean().item(), threshold(0.3) / LEVELS, N)
