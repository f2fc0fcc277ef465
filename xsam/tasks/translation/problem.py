"""One translation run's model, data and measurements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from xsam.tasks import DIFFERENCE, Evaluation, Metrics
from xsam.tasks.seeding import derive, generator
from xsam.tasks.translation.decoding import Beam, length_batches, translate
from xsam.tasks.translation.evaluation import Evaluated, open_set, preprocessed
from xsam.tasks.translation.library import fairseq
from xsam.tasks.translation.models import build
from xsam.tasks.translation.pairs import ParallelData
from xsam.tasks.translation.scores import Score, all_scores, tokenised_bleu
from xsam.tasks.translation.significance import paired_bootstrap
from xsam.tasks.translation.smoothed_loss import smoothed_cross_entropy
from xsam.tasks.translation.summary import summarise
from xsam.tasks.translation.text import detokenise, digest, read_lines, write_lines
from xsam.tasks.translation.translation_run import ModelConfig, TranslationRun
from xsam.tasks.translation.weights import Kept


@dataclass(frozen=True)
class Batch:
    """Sentence pairs on the device.

    Attributes:
        source: token numbers B×S, padded on the left.
        source_lengths: B.
        previous: B×T, each target shifted right by one, as the decoder sees it.
        target: B×T, padded on the right.
        tokens: target tokens without padding.
    """

    source: torch.Tensor
    source_lengths: torch.Tensor
    previous: torch.Tensor
    target: torch.Tensor
    tokens: int


class TranslationProblem:
    """A Transformer on sentence pairs with label-smoothed cross entropy; see ``xsam.tasks.Problem``.

    Batches are fairseq's: pairs of like length, at most ``max_tokens`` tokens a side with padding; the batches stay the
    same over the epochs and come in a new order in each.

    Args:
        run: the run's configuration.
        data: the corpus.
        device: where the model is put, and every batch.

    Attributes:
        data: the corpus.

    Raises ``ValueError`` (one line) where a pair is longer than ``max_tokens``.
    """

    def __init__(self, run: TranslationRun, data: ParallelData, device: torch.device) -> None:
        self.data_checksum = data.checksum
        self.data = data
        self._device = device
        self._seed = run.seed
        self._beam = Beam(run.decoding.beam, run.decoding.length_penalty, run.decoding.eval_batch_size)
        self._batches = self._batched(run.data.max_tokens)
        self.steps_per_epoch = len(self._batches)
        self._order: tuple[int, list[int]] | None = None
        self._pad: int = data.target_dictionary.pad()
        # fairseq spreads the smoothing over the V - 1 wrong tokens, torch over all V.
        entries = len(data.target_dictionary)
        self._label_smoothing = run.training.label_smoothing * entries / (entries - 1)
        self._kept = Kept(run.training.average_last)
        self.model = self._initial_model(run.model).to(device).train()
        self.network: nn.Module = self.model

    def _initial_model(self, wanted: ModelConfig) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            # Only the CPU's generator: torch.manual_seed would also seed those of the accelerators.
            torch.default_generator.manual_seed(derive(self._seed, "init"))
            return build(wanted, self.data.source_dictionary, self.data.target_dictionary)

    def _batched(self, max_tokens: int) -> list[np.ndarray]:
        dataset = self.data.parts["train"]
        longest = int(dataset.sizes.max())
        if longest > max_tokens:
            raise ValueError(f"max_tokens {max_tokens:,} is less than the longest sentence, {longest:,} tokens")
        shuffled = torch.randperm(len(dataset), generator=generator(self._seed, "ties")).numpy()
        order = shuffled[np.lexsort((dataset.tgt_sizes[shuffled], dataset.src_sizes[shuffled]))]
        # A multiple above 1 would silently drop the last batch.
        return list(
            fairseq().batch_by_size(
                order,
                num_tokens_fn=None,
                num_tokens_vec=dataset.sizes.max(axis=1)[order],
                max_tokens=max_tokens,
                required_batch_size_multiple=1,
            )
        )

    def batch(self, epoch: int, step: int) -> Batch:
        """The pairs of 0-based ``step`` of ``epoch``: a pure function of (seed, epoch, step).

        Raises ``IndexError`` for a step that the epoch does not have.
        """
        if not 0 <= step < self.steps_per_epoch:
            raise IndexError(f"step {step} of an epoch of {self.steps_per_epoch}")
        if self._order is None or self._order[0] != epoch:
            stream = generator(self._seed, "order", epoch)
            self._order = (epoch, torch.randperm(self.steps_per_epoch, generator=stream).tolist())
        return self._collated("train", self._batches[self._order[1][step]])

    def _collated(self, part: str, indices: Sequence[int] | np.ndarray) -> Batch:
        dataset = self.data.parts[part]
        sample = dataset.collater([dataset[int(index)] for index in indices])
        inputs = sample["net_input"]
        return Batch(
            inputs["src_tokens"].to(self._device),
            inputs["src_lengths"].to(self._device),
            inputs["prev_output_tokens"].to(self._device),
            sample["target"].to(self._device),
            sample["ntokens"],
        )

    def parts(self, batch: Batch, count: int) -> list[tuple[Batch, float]]:
        """``batch`` in at most ``count`` parts of whole sentences, each with its share of the target tokens."""
        rows = torch.arange(len(batch.target), device=batch.target.device).chunk(count)
        pieces = [
            Batch(
                batch.source[chosen],
                batch.source_lengths[chosen],
                batch.previous[chosen],
                batch.target[chosen],
                int((batch.target[chosen] != self._pad).sum()),
            )
            for chosen in rows
        ]
        return [(piece, piece.tokens / batch.tokens) for piece in pieces]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross entropy a target token (in nats), with the run's label smoothing, at the current weights."""
        return self._cross_entropy(batch, self._label_smoothing) / batch.tokens

    def _cross_entropy(self, batch: Batch, label_smoothing: float) -> torch.Tensor:
        """Sum over the target tokens; the output layer, the widest of all, sees no padding."""
        # No layer is to make the mean of its heads' attention, which fairseq's last one would for word alignments.
        features, _ = self.network(
            batch.source, batch.source_lengths, batch.previous, features_only=True, alignment_layer=-1
        )
        real = batch.target != self._pad
        decoder: Any = self.model.decoder
        scores = decoder.output_layer(features[real])
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # from half precision, as fairseq does
        return smoothed_cross_entropy(scores, batch.target[real], label_smoothing)

    def evaluate(self) -> Metrics:
        """``val_bleu``, tokenised in lower case by beam search, and ``val_loss``, nats a token without smoothing.

        Remembers the weights for :meth:`finish`. Leaves the model in training mode and the random state as it was.
        """
        self.model.eval()
        try:
            loss = self._mean_loss("valid")
            hypotheses = self.translate("valid")
        finally:
            self.model.train()
        bleu = tokenised_bleu(hypotheses, self.data.references["valid"].tokenised).value
        self._kept.take(self.model, bleu)
        return {"val_bleu": bleu, "val_loss": loss}

    @torch.no_grad()
    def _mean_loss(self, part: str) -> float:
        total, tokens = 0.0, 0
        for indices in length_batches(self.data.parts[part], self._beam.batch_size):
            batch = self._collated(part, indices)
            total += float(self._cross_entropy(batch, label_smoothing=0.0))
            tokens += batch.tokens
        return total / tokens

    def translate(self, part: str) -> list[str]:
        """The best translation of each source of ``part`` at the current weights; the model must be in evaluation mode.

        A translation is words with blanks between them; see :func:`xsam.tasks.translation.decoding.translate`.
        """
        return translate(self.model, self.data.parts[part], self.data.target_dictionary, self._beam, self._device)

    def state(self) -> dict[str, Any]:
        """The weights that :meth:`finish` will test, for a checkpoint."""
        return self._kept.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        self._kept.load_state(state)

    def finish(self, folder: Path) -> dict[str, Any]:
        """Translate the test set once with the final and once with the best validated weights, and score both.

        Final weights are those of the last epoch, or the mean of the last ``average_last`` epochs'. Writes
        ``<rule>.tok.<language>`` (tokenised, as ``test_bleu`` is computed) and ``<rule>.<language>`` (detokenised, as
        the other scores are) into ``folder``, a translation a line. The model has its current weights afterwards.

        Returns each score under each rule, and each score's signature.
        """
        found: dict[str, Any] = {}
        for rule in self._kept.choices():
            with self._weights(rule):
                for name, score in self._scores(rule, open_set(self.data, "test", folder), folder).items():
                    found |= {f"{name}_{rule}": score.value, f"{name}_signature": score.signature}
        return found

    def evaluate_on(self, test_set: str, data_dir: Path, folder: Path) -> list[Evaluation]:
        """BLEU, sacreBLEU and chrF of each kept weights on ``test_set``.

        See :func:`xsam.tasks.translation.evaluation.open_set` for what that may be. Translations go into ``folder`` as
        in :meth:`finish`, those of other sets than ``test`` in a folder of their name.
        """
        chosen = open_set(self.data, test_set, data_dir)
        place = folder if chosen.name == "test" else folder / chosen.name
        details: dict[str, Any] = {"beam": self._beam.size, "length_penalty": self._beam.length_penalty}
        details |= {"note": chosen.note} if chosen.note else {}
        found = []
        place.mkdir(parents=True, exist_ok=True)
        write_lines(place / f"reference.tok.{self.data.target}", chosen.references.tokenised)
        for rule in self._kept.choices():
            with self._weights(rule):
                for name, score in self._scores(rule, chosen, place).items():
                    metric = name.removeprefix("test_")
                    counted = (len(chosen.references.raw), chosen.checksum)
                    found.append(Evaluation(chosen.name, rule, metric, score.value, *counted, score.signature, details))
        return found

    def compare_on(self, test_set: str, mine: Path, other: Path) -> list[Evaluation]:
        """The paired bootstrap of BLEU of what two evaluated runs wrote for ``test_set``, for each kept weights.

        None where one of them has no translations of it, or of another content.
        """
        language = self.data.target
        paths = [folder if test_set == "test" else folder / test_set for folder in (mine, other)]
        references = [path / f"reference.tok.{language}" for path in paths]
        if not all(path.is_file() for path in references) or len({path.read_bytes() for path in references}) > 1:
            return []
        expected = read_lines(references[0])
        checksum = digest(expected)
        found = []
        for rule in self._kept.choices():
            sides = [read_lines(path / f"{rule}.tok.{language}") for path in paths]
            one = paired_bootstrap(sides[0], sides[1], expected)
            details = {"p": one.p, "interval": list(one.interval), "with_interval": list(one.other_interval)}
            counted = (len(expected), checksum)
            found.append(Evaluation(test_set, rule, DIFFERENCE, one.difference, *counted, one.signature, details))
        return found

    @contextmanager
    def _weights(self, rule: str) -> Iterator[None]:
        """Inside, the model has the weights of ``rule`` and is in evaluation mode."""
        current = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.eval()
        try:
            self.model.load_state_dict(self._kept.choices()[rule])
            yield
        finally:
            self.model.load_state_dict(current)
            self.model.train()

    def _scores(self, rule: str, chosen: Evaluated, folder: Path) -> dict[str, Score]:
        """Every score of the current weights; writes their translations."""
        language, references = self.data.target, chosen.references
        folder.mkdir(parents=True, exist_ok=True)
        hypotheses = translate(self.model, chosen.dataset, self.data.target_dictionary, self._beam, self._device)
        write_lines(folder / f"{rule}.tok.{language}", hypotheses)
        write_lines(folder / f"{rule}.{language}", detokenise(hypotheses, language))
        return all_scores(hypotheses, references.tokenised, references.raw, language)

    def translations(
        self, batches: Iterable[Sequence[str]], weights: str, beam: int | None, length_penalty: float | None
    ) -> Iterator[list[str]]:
        """Plain translations of raw sentences, batch by batch, by the weights of this selection rule.

        Tokens, lower case and subwords are made as for training, and undone afterwards; what comes out is in lower
        case, as the model learned it. An empty line stays one.
        """
        penalty = self._beam.length_penalty if length_penalty is None else length_penalty
        search = Beam(beam or self._beam.size, penalty, self._beam.batch_size)
        with self._weights(weights):
            for lines in batches:
                filled = [line for line in lines if line.strip()]
                yield self._translated(list(lines), filled, search)

    def _translated(self, lines: list[str], filled: list[str], search: Beam) -> list[str]:
        if not filled:
            return [""] * len(lines)
        dataset, _ = preprocessed(self.data, filled, [""] * len(filled), "input")
        hypotheses = translate(self.model, dataset, self.data.target_dictionary, search, self._device)
        found = iter(detokenise(hypotheses, self.data.target))
        return [next(found) if line.strip() else "" for line in lines]

    def summarise(self, history: Sequence[Mapping[str, float]]) -> Metrics:
        """The best validation score and its epoch; see :func:`xsam.tasks.translation.summary.summarise`."""
        return summarise(history)
