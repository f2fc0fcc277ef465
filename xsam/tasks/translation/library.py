"""fairseq, imported only where it is used, and without what its import does to the process's logging."""

from __future__ import annotations

import logging
import warnings
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

INSTALL = (
    "on Linux x86_64 with CPython 3.11 or 3.12 run `pip install --no-deps --require-hashes -r"
    " requirements-fairseq.txt` and `pip install 'xsam-bench[translation]'`; elsewhere `pip install --no-deps"
    " fairseq-fixed==0.12.3.1` builds the first of them with a C++ compiler"
)
_NEEDED = "translation needs fairseq, sacrebleu, sacremoses and subword-nmt ({error}): " + INSTALL


class TranslationUnavailable(ImportError):
    """A library of the extra ``translation`` is missing; the message says how to install it."""


def require() -> None:
    """Raise :class:`TranslationUnavailable` unless everything that translation needs can be imported."""
    fairseq()
    for name in ("sacrebleu", "sacremoses", "subword_nmt"):
        _import(name)


@cache
def fairseq() -> SimpleNamespace:
    """The parts of fairseq that this package uses, by their names there.

    Importing fairseq takes seconds, sets the root logger to DEBUG and gives it a handler; logging is put back.
    """
    root = logging.getLogger()
    level, handlers, disabled = root.level, list(root.handlers), root.manager.disable
    try:
        logging.disable(logging.INFO)  # it greets and advises
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # FutureWarnings of torch about fairseq's own code
            return SimpleNamespace(
                Dictionary=_import("fairseq.data").Dictionary,
                LanguagePairDataset=_import("fairseq.data").LanguagePairDataset,
                batch_by_size=_import("fairseq.data.data_utils").batch_by_size,
                architectures=_import("fairseq.models").ARCH_CONFIG_REGISTRY,
                Dropout=_import("fairseq.modules.fairseq_dropout").FairseqDropout,
                MultiheadAttention=_import("fairseq.modules").MultiheadAttention,
                TransformerModel=_import("fairseq.models.transformer").TransformerModel,
                Criterion=_import("fairseq.criterions.label_smoothed_cross_entropy").LabelSmoothedCrossEntropyCriterion,
            )
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
        logging.disable(disabled)


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise TranslationUnavailable(_NEEDED.format(error=error)) from None
