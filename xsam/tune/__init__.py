"""Choosing learning rate, radius and probe ratio on validation accuracy: the same rule and budget for every method.

:func:`tune` runs the search of a grid file's block ``tune:`` as ordinary runs of a grid of its own, ``NAME@tune``;
:func:`write` makes a grid file of what it chose.
"""

from xsam.tune.search import Choice, Tuned, TuningFailed, tune
from xsam.tune.write import record_of, write

__all__ = ["Choice", "Tuned", "TuningFailed", "record_of", "tune", "write"]
