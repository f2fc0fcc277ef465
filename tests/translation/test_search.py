"""Beam search by itself: next to fairseq's generator in this process, and at its limits."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.translation.conftest import CPU
from xsam.tasks.translation.decoding import Beam, length_batches, searched, translate
from xsam.tasks.translation.incremental import IncrementalDecoder
from xsam.tasks.translation.problem import TranslationProblem
from xsam.tasks.translation.search import Limits, best_candidates

pytestmark = pytest.mark.fairseq


def batches_of(problem: TranslationProblem, part: str, size: int) -> list[dict[str, torch.Tensor]]:
    dataset = problem.data.parts[part]
    samples = [dataset.collater([dataset[int(n)] for n in chosen]) for chosen in length_batches(dataset, size)]
    return [{name: one["net_input"][name] for name in ("src_tokens", "src_lengths")} for one in samples]


def both(problem: TranslationProblem, model: Any, part: str, beam: Beam, batches: int | None = None) -> list[Any]:
    """Tokens and score of each translation, ours and fairseq's, of so many batches."""
    from fairseq.sequence_generator import SequenceGenerator

    dictionary = problem.data.target_dictionary
    limits = {"max_len_a": 1.2, "max_len_b": 10, "len_penalty": beam.length_penalty}
    generator = SequenceGenerator([model], dictionary, beam_size=beam.size, **limits)
    decoder, found = IncrementalDecoder(model.decoder), []
    with torch.no_grad():
        for source in batches_of(problem, part, beam.batch_size)[:batches]:
            ours = searched(model, decoder, source, dictionary, beam)
            theirs = generator.generate([model], {"net_input": source})
            for one, (other, *_) in zip(ours, theirs, strict=True):
                found.append((one.tokens.tolist(), one.score, other["tokens"].tolist(), float(other["score"])))
    return found


@pytest.fixture
def models(opened, trained) -> dict[str, Any]:
    """One that translates, one that hardly ever ends a sentence, and one whose sentences end when they like."""
    untrained = opened(dropout=0.0, seed=3).model.eval()
    endless = copy.deepcopy(trained.model).eval()
    with torch.no_grad():
        endless.decoder.embed_tokens.weight[trained.data.target_dictionary.eos()] *= -2
    return {"trained": copy.deepcopy(trained.model).eval(), "untrained": untrained, "endless": endless}


@pytest.mark.parametrize(
    ("model", "part", "beam"),
    [
        ("trained", "test", Beam(5, 1.0, 200)),
        ("trained", "valid", Beam(1, 1.0, 15)),
        ("trained", "valid", Beam(12, 0.0, 33)),
        ("trained", "valid", Beam(4, 2.5, 40)),
        ("trained", "valid", Beam(3, -0.5, 40)),
        ("untrained", "valid", Beam(5, 1.0, 40)),
        ("endless", "valid", Beam(5, 1.0, 40)),
    ],
)
def test_hypotheses_and_scores_are_those_of_fairseqs_generator(model, part, beam, models, trained):
    found = both(trained, models[model], part, beam)
    assert len(found) == len(trained.data.parts[part])
    for _, score, _, expected in found:
        assert score == pytest.approx(expected, rel=2e-6, abs=2e-6)
    assert sum(ours == theirs for ours, _, theirs, _ in found) >= len(found) - 2  # other sums may tip a tie
    if model == "endless":
        assert max(len(ours) for ours, *_ in found) > 30


def test_a_beam_wider_than_the_dictionary_is_as_wide_as_that(models, trained):
    for ours, score, theirs, expected in both(trained, models["trained"], "valid", Beam(1000, 1.0, 3), batches=1):
        assert score == pytest.approx(expected, rel=2e-6)
        assert ours == theirs


def test_a_batch_does_not_depend_on_how_many_sources_are_searched_at_a_time(trained, monkeypatch):
    dataset, dictionary = trained.data.parts["valid"], trained.data.target_dictionary
    found = []
    for together in (40, 160, 10_000):
        monkeypatch.setattr("xsam.tasks.translation.decoding.IN_CACHE", together)
        found.append(translate(trained.model, dataset, dictionary, Beam(5, 1.0, 40), CPU))
    trained.model.train()
    for other in found[1:]:
        assert sum(a == b for a, b in zip(found[0], other, strict=True)) >= 39


def test_half_precision_translates_as_well(trained):
    dataset, dictionary = trained.data.parts["test"], trained.data.target_dictionary
    expected = translate(trained.model, dataset, dictionary, Beam(5, 1.0, 64), CPU)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = translate(trained.model, dataset, dictionary, Beam(5, 1.0, 64), CPU)
    trained.model.train()
    assert sum(a == b for a, b in zip(found, expected, strict=True)) > 150


def test_weights_that_are_not_finite_are_an_error(trained):
    broken = copy.deepcopy(trained.model)
    with torch.no_grad():
        broken.decoder.layers[1].fc1.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="no translation with a finite score"):
        translate(broken, trained.data.parts["test"], trained.data.target_dictionary, Beam(5, 1.0, 64), CPU)


@given(rows=st.integers(1, 5), columns=st.integers(1, 400), count=st.integers(1, 20), seed=st.integers(0, 2**31 - 1))
def test_the_best_candidates_are_those_of_topk(rows, columns, count, seed):
    count = min(count, columns)
    stream = torch.Generator().manual_seed(seed)
    scores = torch.stack([torch.randperm(columns, generator=stream) for _ in range(rows)]).float()
    scores[scores < columns / 4] = -math.inf
    found, places = best_candidates(scores, count)
    expected = torch.topk(scores, count)
    assert torch.equal(found, expected.values)
    assert torch.equal(scores.gather(1, places), found)
    assert all(len(set(row)) == count for row in places.tolist())


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 0.7, 1.0, 3.0])
def test_no_longer_hypothesis_scores_above_what_is_reachable(penalty):
    limits = Limits(5, penalty, 30)
    totals = torch.linspace(-40, 0, 50)
    for length in range(1, 30):
        bound = limits.reachable(totals, length)
        for later in range(length + 1, 32):
            assert bool((limits.scored(totals, later) <= bound).all())
