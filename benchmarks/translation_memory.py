"""The memory that training the published Transformer takes, next to fairseq's own trainer: one side a process.

``python -m benchmarks.translation_memory SIDE`` (``fairseq`` or ``ours``) prints the MiB of resident memory at the peak
of two steps of Adam, with everything that the process needs: ``transformer_iwslt_de_en`` with dictionaries as large as
IWSLT14's on 4,000 random tokens a side, 160 sentences of 25. ``benchmarks.translation`` compares the sides.
"""

from __future__ import annotations

import resource
import sys

import torch

from benchmarks.translation_sides import CPU, adam, fairseq_trainer, sample_of
from xsam.optim._step.alone import BaseAlone
from xsam.tasks.translation.corpora import CORPORA
from xsam.tasks.translation.library import fairseq
from xsam.tasks.translation.pairs import ParallelData, References, Sentences, dataset_of
from xsam.tasks.translation.problem import TranslationProblem
from xsam.tasks.translation.translation_run import TranslationRun

SENTENCES, LENGTH, STEPS = 160, 25, 2


def random_data() -> ParallelData:
    """One batch of random tokens."""
    draw = torch.Generator().manual_seed(0)
    dictionaries, sides = [], []
    for size in (CORPORA["iwslt14_de_en"].dictionary_sizes or {}).values():
        dictionary = fairseq().Dictionary()
        for word in range(size - len(dictionary)):
            dictionary.add_symbol(f"w{word}")
        numbers = torch.randint(dictionary.nspecial, size, (SENTENCES, LENGTH), generator=draw, dtype=torch.int32)
        numbers[:, -1] = dictionary.eos()
        dictionaries.append(dictionary)
        sides.append(Sentences(numbers.flatten().numpy(), torch.full((SENTENCES,), LENGTH).numpy()))
    source, target = dictionaries
    parts = {"train": dataset_of(sides[0], sides[1], source, target)}
    return ParallelData("de", "en", source, target, parts, {"valid": References([], [])}, "", "random", "")


def main() -> None:
    """Train two steps of the side and print its peak."""
    torch.set_num_threads(1)
    run = TranslationRun()
    problem = TranslationProblem(run, random_data(), CPU)
    batch = problem.batch(0, 0)
    trainer = fairseq_trainer(problem, run.model)  # both sides import and build the same
    if sys.argv[1] == "fairseq":
        del problem
        for _ in range(STEPS):
            trainer.train_step([sample_of(batch)])
    else:
        del trainer
        optimizer = BaseAlone(adam(problem.model), model=problem.model)
        for _ in range(STEPS):
            optimizer.step(lambda: problem.loss(batch))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
