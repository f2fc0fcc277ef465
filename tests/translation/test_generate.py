"""The same translations as fairseq-generate, its real command line, on a binarised copy."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from tests.translation.conftest import CPU, SMALL
from xsam.tasks.translation.corpora import CORPORA
from xsam.tasks.translation.decoding import Beam, translate
from xsam.tasks.translation.files import locate
from xsam.tasks.translation.models import arguments
from xsam.tasks.translation.scores import tokenised_bleu
from xsam.tasks.translation.translation_run import ModelConfig

pytestmark = [pytest.mark.slow, pytest.mark.fairseq]


def command(module: str, *arguments: object) -> str:
    # torch refuses the Namespace in fairseq's checkpoints otherwise.
    environment = {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_translations_and_bleu_are_those_of_fairseq_generate(trained, data_dir, tmp_path: Path):
    prepared = locate(CORPORA["parallel_text"], 40, data_dir)
    for language in ("de", "en"):
        (tmp_path / f"test.{language}").write_bytes(prepared.text("test", language).read_bytes())
    dictionaries = ("--srcdict", prepared.dictionary("de"), "--tgtdict", prepared.dictionary("en"))
    binarised = ("--testpref", tmp_path / "test", "--destdir", tmp_path / "bin", "--workers", 1)
    command("fairseq_cli.preprocess", "-s", "de", "-t", "en", *dictionaries, *binarised)
    sizes = arguments(ModelConfig.of({**SMALL, "dropout": 0.0}))
    given = Namespace(**vars(sizes), arch="transformer_iwslt_de_en", task="translation")
    history = {"optimizer_name": "FairseqAdam", "lr_scheduler_state": {}, "num_updates": 0}
    about = {"optimizer_history": [history], "extra_state": {"train_iterator": {"epoch": 1}}}
    torch.save({"args": given, "model": trained.model.state_dict(), **about}, tmp_path / "model.pt")
    search = ("--beam", 5, "--lenpen", 1, "--max-len-a", 1.2, "--max-len-b", 10, "--batch-size", 64)
    model = ("--path", tmp_path / "model.pt", "--remove-bpe", "--cpu")
    printed = command("fairseq_cli.generate", tmp_path / "bin", "-s", "de", "-t", "en", *model, *search)

    lines = [line.split("\t") for line in printed.splitlines() if line.startswith("H-")]
    expected = {int(label[2:]): hypothesis for label, _, hypothesis in lines}
    found = translate(trained.model, trained.data.parts["test"], trained.data.target_dictionary, Beam(5, 1.0, 64), CPU)
    trained.model.train()
    assert len(expected) == 200
    assert found == [expected[n] for n in range(200)]
    (bleu,) = [line for line in printed.splitlines() if "BLEU4 = " in line]
    score = tokenised_bleu(found, trained.data.references["test"].tokenised).value
    assert f"{score:.2f}" == bleu.partition("BLEU4 = ")[2].partition(",")[0]
