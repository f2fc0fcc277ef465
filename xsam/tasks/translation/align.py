"""Sentence alignment by length (Gale & Church, Computational Linguistics 19(1), 1993), for shifted test sets.

A sentence that is split on one side alone shifts every pair after it. The lengths of translations go together, so the
alignment that makes them most likely finds the split again; it needs no dictionary and nothing that was trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# The paper's: how likely one sentence becomes one, two become one, one has no translation, two become two.
PRIORS = {(1, 1): 0.89, (1, 2): 0.0445, (2, 1): 0.0445, (1, 0): 0.00495, (0, 1): 0.00495, (2, 2): 0.011}
VARIANCE = 6.8  # of the difference of lengths, in characters, for each character
BAND = 30  # how far, in sentences, an alignment may stray from the straight one
DOUBT = 40.0  # nats by which the best alignment of a talk must be likelier than the published one to be taken

Groups = list[tuple[list[int], list[int]]]


@dataclass(frozen=True)
class Alignment:
    """Groups of source and of target sentences that are each other's translation, in order.

    Attributes:
        groups: indices of the source sentences, and of the target sentences; one side of a group may be empty.
        gain: by how many nats it is likelier than pairing line by line; infinite where the sides differ in number.
    """

    groups: Groups
    gain: float

    @property
    def moved(self) -> tuple[int, int]:
        """From which to which source sentence (0-based, the last included) pairs are other than line by line.

        (0, -1) where none is.
        """
        other = [k for source, target in self.groups if source != target for k in (*source, *target)]
        return (min(other), max(other)) if other else (0, -1)


def align(source: Sequence[str], target: Sequence[str]) -> Alignment:
    """The likeliest alignment of two texts by the lengths of their sentences in characters.

    >>> german = ["Erstens.", "Dann kam der Winter über das ganze Land,", "und er blieb.", "Ende."]
    >>> english = ["First.", "Then winter came over all of the country, and it stayed.", "The end."]
    >>> align(german, english).groups
    [([0], [0]), ([1, 2], [1]), ([3], [2])]
    """
    sizes = [len(line.strip()) for line in source], [len(line.strip()) for line in target]
    ratio = max(1, sum(sizes[1])) / max(1, sum(sizes[0]))
    rows, columns = len(source), len(target)
    band = BAND + abs(rows - columns)
    best: dict[tuple[int, int], tuple[float, tuple[int, int]]] = {(0, 0): (0.0, (0, 0))}
    for i in range(rows + 1):
        for j in range(max(0, i - band), min(columns, i + band) + 1):
            steps = [
                (best[i - a, j - b][0] + _cost(sizes[0][i - a : i], sizes[1][j - b : j], ratio), (a, b))
                for a, b in PRIORS
                if (i - a, j - b) in best
            ]
            if steps:
                best[i, j] = min(steps)
    groups: Groups = []
    i, j = rows, columns
    while i or j:
        a, b = best[i, j][1]
        groups.insert(0, (list(range(i - a, i)), list(range(j - b, j))))
        i, j = i - a, j - b
    straight = math.inf
    if rows == columns:
        straight = math.fsum(_cost([one], [other], ratio) for one, other in zip(*sizes, strict=True))
    return Alignment(groups, straight - best[rows, columns][0])


def _cost(source: Sequence[int], target: Sequence[int], ratio: float) -> float:
    """Negative log-likelihood, in nats, that sentences of these lengths are each other's translation."""
    ours, theirs = sum(source), sum(target)
    mean = (ours + theirs / ratio) / 2
    deviation = (theirs - ours * ratio) / math.sqrt(VARIANCE * mean) if mean else 0.0
    tail = max(math.erfc(abs(deviation) / math.sqrt(2)), 1e-300)
    return -math.log(tail) - math.log(PRIORS[len(source), len(target)])


def joined(source: Sequence[str], target: Sequence[str], alignment: Alignment) -> tuple[list[str], list[str]]:
    """The pairs of an alignment, sentences of a group joined by blanks; sentences without a partner are left out.

    >>> joined(["a", "b"], ["A B"], Alignment([([0, 1], [0])], 0.0))
    (['a b'], ['A B'])
    """
    groups = [(ours, theirs) for ours, theirs in alignment.groups if ours and theirs]
    return (
        [" ".join(source[k] for k in ours) for ours, _ in groups],
        [" ".join(target[k] for k in theirs) for _, theirs in groups],
    )
