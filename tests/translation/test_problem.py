"""A run's problem on real fairseq: batches, loss, sizes, decoding, scores, kept weights."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sacrebleu import corpus_bleu

from tests.optim import reference
from tests.translation.conftest import CPU, train
from xsam.metrics import stored_columns
from xsam.optim import XSAM
from xsam.tasks.translation import TASK
from xsam.tasks.translation.decoding import Beam, translate
from xsam.tasks.translation.library import fairseq
from xsam.tasks.translation.models import build
from xsam.tasks.translation.pairs import encode
from xsam.tasks.translation.problem import Batch
from xsam.tasks.translation.scores import all_scores, tokenised_bleu
from xsam.tasks.translation.translation_run import ModelConfig
from xsam.tasks.translation.weights import Kept, mean

pytestmark = pytest.mark.fairseq


def same(first: Batch, second: Batch) -> bool:
    return all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(vars(first).values(), vars(second).values(), strict=True)
    )


def sample_of(batch: Batch) -> dict:
    """The batch as fairseq's criteria take it."""
    inputs = {
        "src_tokens": batch.source,
        "src_lengths": batch.source_lengths,
        "prev_output_tokens": batch.previous,
    }
    return {"net_input": inputs, "target": batch.target, "ntokens": batch.tokens}


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_the_loss_is_that_of_fairseqs_criterion(opened, smoothing):
    problem = opened(dropout=0.0, label_smoothing=smoothing)
    dictionary = problem.model.decoder.dictionary
    criterion = fairseq().Criterion(SimpleNamespace(target_dictionary=dictionary), False, smoothing)
    for step in range(4):
        batch = problem.batch(0, step)
        total, size, _ = criterion(problem.model, sample_of(batch))
        expected = total / size
        loss = problem.loss(batch)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
        ours = torch.autograd.grad(loss, list(problem.model.parameters()))
        theirs = torch.autograd.grad(expected, list(problem.model.parameters()))
        assert max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)) < 1e-6


def test_the_published_model_has_its_published_size():
    dictionaries = []
    for size in (8_848, 6_632):
        dictionary = fairseq().Dictionary()
        for number in range(size - 4):
            dictionary.add_symbol(f"w{number}")
        dictionaries.append(dictionary)
    model = build(ModelConfig(), *dictionaries)
    assert sum(parameter.numel() for parameter in model.parameters()) == 39_469_056


def test_models_of_other_sizes_do_not_change_the_published_one(opened):
    opened(embed_dim=16, ffn_dim=8, heads=2, layers=1)
    published = opened(model="transformer_iwslt_de_en", max_tokens=400)
    encoder = published.model.encoder.layers
    assert len(encoder) == 6
    assert encoder[0].fc1.weight.shape == (1024, 512)
    assert encoder[0].self_attn.num_heads == 4
    assert published.model.decoder.output_projection.weight is published.model.decoder.embed_tokens.weight


def test_the_same_seed_gives_the_same_run_and_another_seed_another(opened):
    first, again, other = opened(seed=3), opened(seed=3), opened(seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first.model.parameters(), other.model.parameters(), strict=True))
    for epoch, step in [(0, 0), (2, 1), (0, 1), (2, 1)]:
        assert same(first.batch(epoch, step), again.batch(epoch, step))
    assert not same(first.batch(0, 0), first.batch(1, 0))


def test_opening_leaves_the_global_random_states(opened):
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    opened()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


@pytest.mark.parametrize("max_tokens", [100, 333, 4096])
def test_an_epoch_sees_every_pair_once_within_the_limit(opened, max_tokens):
    problem = opened(max_tokens=max_tokens)
    seen = []
    for step in range(problem.steps_per_epoch):
        batch = problem.batch(1, step)
        assert batch.source.numel() <= max_tokens
        assert batch.target.numel() <= max_tokens
        assert batch.tokens == int((batch.target != 1).sum())
        for source, target in zip(batch.source.tolist(), batch.target.tolist(), strict=True):
            seen.append(([t for t in source if t != 1], [t for t in target if t != 1]))
    dataset = problem.data.parts["train"]
    assert sorted(seen) == sorted((dataset.src[n].tolist(), dataset.tgt[n].tolist()) for n in range(400))
    with pytest.raises(IndexError):
        problem.batch(0, problem.steps_per_epoch)


def test_a_sentence_beyond_the_batch_is_refused(opened):
    with pytest.raises(ValueError, match="max_tokens 5 is less than the longest sentence"):
        opened(max_tokens=5)


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_parts_add_up_to_the_batch(opened, count):
    problem = opened(dropout=0.0)
    batch = problem.batch(0, 0)
    parts = problem.parts(batch, count)
    assert 1 <= len(parts) <= count
    assert sum(weight for _, weight in parts) == pytest.approx(1.0)
    total = sum(weight * problem.loss(part).item() for part, weight in parts)
    assert total == pytest.approx(float(problem.loss(batch)), rel=1e-5)


def test_xsam_on_a_transformer_follows_the_reference(opened):
    problem = opened(dropout=0.0, layers=1)
    model = problem.model.double()
    twin = copy.deepcopy(model)
    base = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    optimizer = XSAM(base, rho=0.2, probe_radius=0.4, model=model)
    expected = reference.XSAM(twin, reference.SGD(0.05, 0.9, 1e-3), rho=0.2, ascent_steps=1, probe_radius=0.4)

    def loss_of(net: torch.nn.Module, batch: Batch) -> torch.Tensor:
        problem.model = problem.network = net
        return problem.loss(batch)

    for step in range(6):
        batch = problem.batch(0, step)
        if step == 4:
            optimizer.request_alpha_search()
        expected.step(lambda net, batch=batch: loss_of(net, batch), search=step in (0, 4))
        optimizer.step(lambda batch=batch: loss_of(model, batch))
        assert optimizer.alpha == expected.alpha
    difference = reference.flat(model.parameters()) - reference.flat(twin.parameters())
    # fairseq's position vectors and softmax are float32 in any model.
    assert float(difference.abs().max()) < 1e-6


def test_every_source_gets_a_translation_in_its_place(trained):
    dataset, dictionary = trained.data.parts["test"], trained.data.target_dictionary
    together = translate(trained.model, dataset, dictionary, Beam(5, 1.0, 64), CPU)
    alone = translate(trained.model, dataset, dictionary, Beam(5, 1.0, 7), CPU)
    trained.model.train()
    assert len(together) == len(dataset) == 200
    assert sum(a == b for a, b in zip(together, alone, strict=True)) >= 198  # sums in another order may tip a tie
    references = trained.data.references["test"].tokenised
    assert tokenised_bleu(together, references).value > 60


def test_evaluation_measures_and_leaves_no_trace(opened):
    problem = opened()
    before, weights = torch.random.get_rng_state(), copy.deepcopy(problem.model.state_dict())
    found = problem.evaluate()
    assert set(found) == {metric.name for metric in TASK.epoch_metrics}
    assert problem.model.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(problem.model.state_dict().values(), weights.values(), strict=True))
    assert problem.evaluate() == found


def test_the_validation_loss_is_fairseqs_mean_over_tokens(trained):
    trained.model.eval()
    criterion = fairseq().Criterion(SimpleNamespace(target_dictionary=trained.data.target_dictionary), False, 0.0)
    dataset = trained.data.parts["valid"]
    with torch.no_grad():
        sample = dataset.collater([dataset[n] for n in range(len(dataset))])
        total, size, _ = criterion(trained.model, sample)
    trained.model.train()
    assert trained.evaluate()["val_loss"] == pytest.approx(float(total / size), rel=1e-5)


def test_the_test_set_is_translated_with_the_chosen_weights(opened, tmp_path):
    problem = opened(dropout=0.0, average_last=2)
    found, weights = [], []
    for epoch in range(3):
        train(problem, epochs=1, lr=5e-3 if epoch < 2 else 0.5)  # the last epoch spoils it
        found.append(problem.evaluate()["val_bleu"])
        weights.append(copy.deepcopy(problem.model.state_dict()))
    best = max(range(3), key=found.__getitem__)
    assert best < 2
    row = problem.finish(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(problem.model.state_dict().values(), weights[2].values(), strict=True))
    assert problem.model.training
    assert set(row) <= set(stored_columns(TASK.run_metrics))
    references = problem.data.references["test"]
    for rule, chosen in (("best_val", weights[best]), ("final", mean(weights[1:]))):
        problem.model.load_state_dict(chosen)
        hypotheses = problem.translate("test")
        lines = (tmp_path / f"{rule}.tok.en").read_text(encoding="utf-8").split("\n")[:-1]
        assert lines == hypotheses
        assert len(lines) == 200
        plain = (tmp_path / f"{rule}.en").read_text(encoding="utf-8").split("\n")[:-1]
        score = corpus_bleu(plain, [references.raw], lowercase=True).score
        assert row[f"test_sacrebleu_{rule}"] == pytest.approx(score)
        assert 0 <= row[f"test_bleu_{rule}"] <= 100
    assert "case:lc" in row["test_bleu_signature"]
    assert "tok:none" in row["test_bleu_signature"]
    assert "tok:13a" in row["test_sacrebleu_signature"]


def test_subsets_are_the_same_for_every_seed_and_grow(opened):
    whole, small, other, larger = (
        opened(seed=seed, valid_subset=valid, test_subset=test)
        for seed, valid, test in ((0, None, None), (1, 5, 7), (2, 5, 7), (1, None, 50))
    )
    assert [len(small.data.parts[part]) for part in ("train", "valid", "test")] == [400, 5, 7]
    assert small.data.references["test"] == other.data.references["test"]
    assert set(small.data.references["test"].raw) <= set(larger.data.references["test"].raw)
    references = whole.data.references["test"]
    places = [references.raw.index(line) for line in small.data.references["test"].raw]
    assert [whole.data.parts["test"].src[place].tolist() for place in places] == [
        small.data.parts["test"].src[n].tolist() for n in range(7)
    ]
    assert small.data_checksum == whole.data_checksum
    assert set(small.evaluate()) == {"val_bleu", "val_loss"}
    with pytest.raises(ValueError, match="test_subset 201 is more than the 200 test pairs"):
        opened(test_subset=201)


def test_kept_weights_survive_a_checkpoint(opened, tmp_path):
    problem = opened(dropout=0.0)
    train(problem, epochs=1)
    problem.evaluate()
    torch.save(problem.state(), tmp_path / "state.pt")
    again = opened(dropout=0.0)
    again.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert again.finish(tmp_path / "a") == problem.finish(tmp_path / "b")


def test_the_mean_of_weights_is_their_mean():
    sets = [
        {"w": torch.tensor([value, 1.0]), "n": torch.tensor(number)} for number, value in enumerate((1.0, 2.0, 6.0))
    ]
    averaged = mean(sets)
    assert averaged["w"].tolist() == [3.0, 1.0]
    assert averaged["n"].item() == 2
    kept, layer = Kept(1), torch.nn.Linear(1, 1)
    kept.take(layer, math.nan)
    kept.take(layer, 2.0)
    assert set(kept.choices()) == {"final", "best_val"}


def test_scores_know_perfect_wrong_empty_and_missing_translations():
    tokenised = ["the dog &apos;s here .", "a cat runs away ."]
    raw = ["The dog's here.", "A cat runs away."]
    perfect = all_scores(tokenised, tokenised, raw, "en")
    assert {name: score.value for name, score in perfect.items()} == pytest.approx(
        {"test_bleu": 100.0, "test_sacrebleu": 100.0, "test_chrf": 100.0}
    )
    half = all_scores([tokenised[0], ""], tokenised, raw, "en")
    assert all(0 < score.value < 100 for score in half.values())
    with pytest.raises(ValueError, match="1 hypotheses for 2 references"):
        all_scores(tokenised[:1], tokenised, raw, "en")


def test_unknown_tokens_are_unknown_in_tests_and_an_error_in_training(opened):
    dictionary = opened().data.source_dictionary
    path = Path("train.bpe.de")
    known = encode(path, ["der", "der xyzzy"], dictionary, known=False)
    assert known[1].tolist() == [dictionary.index("der"), dictionary.unk(), dictionary.eos()]
    with pytest.raises(ValueError, match=r"train\.bpe\.de:2: token 'xyzzy' is not in the dictionary"):
        encode(path, ["der", "der xyzzy"], dictionary, known=True)
    with pytest.raises(ValueError, match=r"train\.bpe\.de:1: a sentence of 1,024 tokens"):
        encode(path, ["der " * 1024], dictionary, known=True)
