"""Training and decoding translations next to fairseq's own trainer and generator, on the same batches.

Trains fairseq's Transformer of 3 + 3 layers (128 dimensions, 4 heads, feed-forward 256) on a generated corpus of 3,000
pairs whose lengths are those of captions, one thread. Sides, in turns:

- fairseq: ``Trainer.train_step`` with fairseq's criterion and its Adam, and ``SequenceGenerator`` on fairseq's own
  batches of 128 sentences;
- this project: the training loop's step on the same batches with the same weights, plain Adam, and ``translate``;
- this project with XSAM, a step without a search;
- both of these again with ``dropout_masks: words``. fairseq has no such thing, so the like-for-like figure is
  ``train_over_fairseq``: there masks are the very ones that fairseq draws, and most of a step are products of matrices,
  which are the same on both sides.

Both generators decode with the same weights, trained until translations are about as long as the references (both
lengths are printed). Memory is that of the published model, in a process a side
(``benchmarks.translation_memory``). Needs the extra ``translation``.

Targets:
    train_over_fairseq        ≥ 1.15  (target tokens a second)
    words_train_over_fairseq  ≥ 1.15  (the same with masks from words)
    decode_over_fairseq       ≥ 1.3   (sentences a second)
    xsam_over_adam            ≤ 2.05  (time of a step; two passes instead of one: at best 2)
    memory_over_fairseq       ≤ 1     (resident memory at the peak of two steps)

Without a target: words_xsam_over_adam, the last one with masks from words.
"""

from __future__ import annotations

import copy
import itertools
import random
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Target, alternate, finish, options
from benchmarks.translation_sides import CPU, adam, fairseq_trainer, sample_of
from xsam import XSAM
from xsam.optim._step.alone import BaseAlone
from xsam.tasks.translation import TASK
from xsam.tasks.translation.decoding import Beam, translate
from xsam.tasks.translation.dropout import draw_words
from xsam.tasks.translation.prepare import prepare
from xsam.tasks.translation.problem import TranslationProblem
from xsam.tasks.translation.translation_run import DataConfig, ModelConfig, TranslationRun

TARGETS = {
    "train_over_fairseq": Target(1.15, at_most=False),
    "words_train_over_fairseq": Target(1.15, at_most=False),
    "decode_over_fairseq": Target(1.3, at_most=False),
    "xsam_over_adam": Target(2.05),
    "memory_over_fairseq": Target(1.0),
}
ROUNDS, BLOCK, DECODE_ROUNDS = 7, 4, 5
DECODED_AFTER = 10  # epochs
PAIRS = {"train": 3_000, "valid": 20, "test": 128}
SETTING = TranslationRun(
    model=ModelConfig(name="transformer", embed_dim=128, ffn_dim=256, heads=4, layers=3),
    data=DataConfig(name="parallel_text", bpe_merges=2_000, max_tokens=2_048),
)


def write_corpus(folder: Path) -> None:
    """Pairs of 5 to 25 words out of 2,000, each word translated by one of the other language.

    The words of a sentence follow each other in the dictionary: what a small model soon learns, so that its
    translations go on as long as real ones before they end.
    """
    draw = random.Random(0)
    for part, count in PAIRS.items():
        sides: dict[str, list[str]] = {"de": [], "en": []}
        for _ in range(count):
            first = min(int(draw.expovariate(0.004)), 1_999)
            words = [(first + place) % 2_000 for place in range(draw.randint(5, 25))]
            for language in sides:
                sides[language].append(" ".join(f"{language}{word}" for word in words))
        for language, lines in sides.items():
            (folder / f"{part}.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def open_problem(folder: Path) -> TranslationProblem:
    """The corpus prepared as always, and a small run's problem on it."""
    write_corpus(folder)
    prepare("parallel_text", folder / "data", folder, bpe_merges=2_000)
    return TASK.open(SETTING, folder / "data", CPU)


def measure_training(problem: TranslationProblem) -> dict[str, float]:
    """Seconds of a step of each side."""
    trainer = fairseq_trainer(problem, SETTING.model)
    batches = [problem.batch(0, step) for step in range(problem.steps_per_epoch)]
    plain = BaseAlone(adam(problem.model), model=problem.model)
    xsam = XSAM(adam(problem.model), rho=0.05, probe_radius=0.1, alpha=1.3, model=problem.model)
    # The same weights, with the other masks.
    words = copy.deepcopy(problem)
    draw_words(words.model)
    words_plain = BaseAlone(adam(words.model), model=words.model)
    words_xsam = XSAM(adam(words.model), rho=0.05, probe_radius=0.1, alpha=1.3, model=words.model)
    turns = {name: itertools.cycle(batches) for name in ("fairseq", "adam", "xsam", "words_adam", "words_xsam")}

    def step(optimizer: Any, name: str, side: TranslationProblem = problem) -> None:
        batch = next(turns[name])
        optimizer.step(lambda: side.loss(batch))

    return alternate(
        {
            "fairseq": lambda: trainer.train_step([sample_of(next(turns["fairseq"]))]),
            "adam": lambda: step(plain, "adam"),
            "xsam": lambda: step(xsam, "xsam"),
            "words_adam": lambda: step(words_plain, "words_adam", words),
            "words_xsam": lambda: step(words_xsam, "words_xsam", words),
        },
        ROUNDS,
        BLOCK,
    )


def measure_decoding(problem: TranslationProblem) -> dict[str, float]:
    """Seconds that each side takes for the test sentences."""
    from fairseq.sequence_generator import SequenceGenerator

    optimizer = BaseAlone(adam(problem.model), model=problem.model)
    for group in optimizer.param_groups:
        group["lr"] = 3e-3
    for epoch in range(DECODED_AFTER):
        for number in range(problem.steps_per_epoch):
            optimizer.step(partial(problem.loss, problem.batch(epoch, number)))
    dataset, dictionary = problem.data.parts["test"], problem.data.target_dictionary
    problem.model.eval()

    def theirs() -> None:
        generator = SequenceGenerator(
            [problem.model], dictionary, beam_size=5, max_len_a=1.2, max_len_b=10, len_penalty=1.0
        )
        batches = dataset.batch_by_size(dataset.ordered_indices(), max_sentences=128)
        for indices in batches:
            sample = dataset.collater([dataset[int(index)] for index in indices])
            with torch.no_grad():
                for ranked in generator.generate([problem.model], sample):
                    dictionary.string(ranked[0]["tokens"].int().cpu(), "subword_nmt")

    beam = Beam(size=5, length_penalty=1.0, batch_size=128)

    def ours() -> list[str]:
        return translate(problem.model, dataset, dictionary, beam, CPU)

    references = [dictionary.string(dataset[index]["target"], "subword_nmt") for index in range(len(dataset))]
    lengths = (sum(len(text.split()) for text in texts) / len(dataset) for texts in (ours(), references))
    print("words of a translation {:.1f}, of a reference {:.1f}".format(*lengths))
    return alternate({"fairseq": theirs, "ours": ours}, DECODE_ROUNDS, 1)


def peak_memory() -> dict[str, float]:
    """MiB at the peak of each side's process."""
    command = [sys.executable, "-m", "benchmarks.translation_memory"]
    return {
        side: float(subprocess.run([*command, side], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])
        for side in ("fairseq", "ours")
    }


def main() -> None:
    """Measure, print, compare with the targets."""
    arguments = options(__doc__).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        problem = open_problem(Path(folder))
        training = measure_training(problem)
        decoding = measure_decoding(problem)
    print(*(f"{name} step {1000 * seconds:.1f} ms" for name, seconds in training.items()), sep=", ")
    print(*(f"{name} decode {PAIRS['test'] / seconds:.0f} sentences/s" for name, seconds in decoding.items()), sep=", ")
    memory = peak_memory()
    print(*(f"{name} peak {mib:,.0f} MiB" for name, mib in memory.items()), sep=", ")
    figures = {
        "train_over_fairseq": training["fairseq"] / training["adam"],
        "decode_over_fairseq": decoding["fairseq"] / decoding["ours"],
        "xsam_over_adam": training["xsam"] / training["adam"],
        "memory_over_fairseq": memory["ours"] / memory["fairseq"],
        "words_train_over_fairseq": training["fairseq"] / training["words_adam"],
        "words_xsam_over_adam": training["words_xsam"] / training["words_adam"],
    }
    finish(figures, TARGETS, arguments)


if __name__ == "__main__":
    main()
