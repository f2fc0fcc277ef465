"""The sides that the programs about translation compare: fairseq's trainer, and Adam as this project has it."""

from __future__ import annotations

from typing import Any

import torch

from xsam.tasks.translation.models import original
from xsam.tasks.translation.problem import Batch, TranslationProblem
from xsam.tasks.translation.translation_run import ModelConfig

CPU = torch.device("cpu")


def sample_of(batch: Batch) -> dict[str, Any]:
    """The batch as fairseq's trainer takes it."""
    inputs = {"src_tokens": batch.source, "src_lengths": batch.source_lengths, "prev_output_tokens": batch.previous}
    sample = {"net_input": inputs, "target": batch.target, "ntokens": batch.tokens}
    return {**sample, "nsentences": len(batch.target), "id": torch.arange(len(batch.target))}


def fairseq_trainer(problem: TranslationProblem, model_config: ModelConfig) -> Any:
    """fairseq's trainer on a model of its own (that of ``model_config``) with the problem's initial weights."""
    from fairseq import options as fairseq_options
    from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.tasks.translation import TranslationConfig, TranslationTask
    from fairseq.trainer import Trainer

    words = ["unused", "--task", "translation", "--arch", "transformer_iwslt_de_en", "--max-tokens", "2048", "--cpu"]
    words += ["--optimizer", "adam", "--adam-betas", "(0.9, 0.98)", "--lr", "0.0005", "--weight-decay", "0.0001"]
    words += ["--clip-norm", "0.0", "--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1"]
    config = convert_namespace_to_omegaconf(
        fairseq_options.parse_args_and_arch(fairseq_options.get_training_parser(), words)
    )
    dictionaries = problem.data.source_dictionary, problem.data.target_dictionary
    task = TranslationTask(TranslationConfig(), *dictionaries)
    model = original(model_config, *dictionaries)
    model.load_state_dict(problem.model.state_dict())
    criterion = LabelSmoothedCrossEntropyCriterion(task, sentence_avg=False, label_smoothing=0.1)
    return Trainer(config, task, model, criterion)


def adam(model: torch.nn.Module) -> torch.optim.Optimizer:
    """The base optimizer of this task's ``adam``."""
    return torch.optim.AdamW(model.parameters(), lr=5e-4, betas=(0.9, 0.98), eps=1e-8, weight_decay=1e-4)
