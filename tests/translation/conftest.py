"""Small corpora in the published layouts, prepared by the real preprocessing; tests train on real fairseq models."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.conftest import REQUIRE_ALL
from xsam.tasks.translation import TASK
from xsam.tasks.translation.prepare import prepare
from xsam.tasks.translation.problem import TranslationProblem
from xsam.tasks.translation.translation_run import TranslationRun

if find_spec("fairseq") is None and not REQUIRE_ALL:  # there are no wheels for this system
    collect_ignore_glob = ["test_*.py"]

CPU = torch.device("cpu")
WORDS = {
    "hund": "dog", "katze": "cat", "vogel": "bird", "pferd": "horse", "bauer": "farmer", "lehrer": "teacher",
    "läuft": "runs", "schläft": "sleeps", "singt": "sings", "springt": "jumps",
    "schnell": "quickly", "heute": "today", "dort": "there", "wieder": "again",
    "kleine": "small", "große": "big", "alte": "old", "müde": "tired",
}  # fmt: skip
GERMAN = list(WORDS)
SMALL = {
    "dataset": "parallel_text",
    "bpe_merges": 40,
    "eval_batch_size": 64,
    "max_tokens": 400,
    "model": "transformer",
    "embed_dim": 32,
    "ffn_dim": 64,
    "heads": 2,
    "layers": 2,
}
SIZES = {"train": 400, "valid": 40, "test": 200}


def sentence_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """German sentences of one to three clauses, and their word-by-word translations."""
    draw = random.Random(seed)
    pairs = []
    for _ in range(count):
        clauses = [
            ["der", draw.choice(GERMAN[14:]), draw.choice(GERMAN[:6]), draw.choice(GERMAN[6:10])]
            + ([draw.choice(GERMAN[10:14])] if draw.random() < 0.5 else [])
            for _ in range(draw.choice([1, 1, 2, 3]))
        ]
        german = " und ".join(" ".join(clause) for clause in clauses).capitalize() + "."
        table = {**WORDS, "der": "the", "und": "and"}
        english = " and ".join(" ".join(table[word] for word in clause) for clause in clauses).capitalize() + "."
        pairs.append((german, english))
    return pairs


def write_pairs(folder: Path, part: str, pairs: list[tuple[str, str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for language, side in zip(("de", "en"), zip(*pairs, strict=True), strict=True):
        (folder / f"{part}.{language}").write_bytes("".join(f"{line}\n" for line in side).encode())


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one's own train, valid and test pairs."""
    folder = tmp_path_factory.mktemp("texts")
    for seed, (part, count) in enumerate(SIZES.items()):
        write_pairs(folder, part, sentence_pairs(count, seed))
    return folder


@pytest.fixture(scope="session")
def data_dir(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder with these texts prepared in 40 merges."""
    folder = tmp_path_factory.mktemp("data")
    prepare("parallel_text", folder, texts, bpe_merges=40)
    return folder


@pytest.fixture
def params() -> Callable[..., TranslationRun]:
    """A small run's configuration, and what the test gives."""
    return lambda **given: TranslationRun.of(SMALL | given)


@pytest.fixture
def opened(params: Callable[..., TranslationRun], data_dir: Path) -> Callable[..., TranslationProblem]:
    """Open a small run's problem."""
    return lambda **given: TASK.open(params(**given), data_dir, CPU)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(problem: TranslationProblem, epochs: int, lr: float = 5e-3) -> None:
    """Train with Adam, a little."""
    optimizer = torch.optim.AdamW(problem.model.parameters(), lr=lr, betas=(0.9, 0.98))
    for epoch in range(epochs):
        for step in range(problem.steps_per_epoch):
            optimizer.zero_grad()
            problem.loss(problem.batch(epoch, step)).backward()
            optimizer.step()


@pytest.fixture(scope="session")
def trained(data_dir: Path) -> TranslationProblem:
    """A problem whose model translates most words, without dropout."""
    problem = TASK.open(TranslationRun.of({**SMALL, "dropout": 0.0}), data_dir, CPU)
    train(problem, epochs=8)
    return problem
