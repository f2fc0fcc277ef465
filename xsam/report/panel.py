"""What a figure is, as numbers, and what its sides look like in all of them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from xsam.report.table import Key
from xsam.report.text import key_label

BANDS, CURVES, POINTS = "bands", "curves", "points"

# Okabe and Ito's palette, which colour-blind readers tell apart; without its yellow, which white paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

Numbers = NDArray[np.float64]

# These labels look the same in the figures of every grid.
_PLACES = {"sgd": 0, "adam": 0, "adamw": 0, "sam": 1, "xsam": 2, "asam": 3, "gsam": 4, "wsam": 5, "looksam": 6}


def places_of(labels: Iterable[str]) -> dict[str, int]:
    """Label → its place, which says what it looks like, in every figure of a grid.

    A label that begins like one of ``_PLACES``, or like another label, has that one's colour and another line; every
    other one takes the colour that fewest have, the last of them, since SGD, SAM and XSAM come first.

    >>> places_of(["adam", "xsam", "xsam_alpha_1.3", "mine", "mine_too"])
    {'adam': 0, 'xsam': 2, 'xsam_alpha_1.3': 9, 'mine': 13, 'mine_too': 20}
    """
    listed = list(dict.fromkeys(labels))
    first = {_PLACES[label]: label for label in reversed(listed) if label in _PLACES}
    places = {label: place for place, label in first.items()}
    known = {label: {at for name, at in _PLACES.items() if f"{label}_".startswith(f"{name}_")} for label in listed}
    # Variants of what is known come first, and a label before its own variants.
    for label in sorted(listed, key=lambda one: (not known[one], any(_is_variant(one, other) for other in listed))):
        if label not in places:
            taken = Counter(place % len(COLOURS) for place in places.values())
            own = known[label] or {places[other] % len(COLOURS) for other in places if _is_variant(label, other)}
            colour = min(own or range(len(COLOURS)), key=lambda one: (taken[one], -one))
            further = count(colour + len(COLOURS), len(COLOURS))
            places[label] = next(place for place in further if place not in places.values())
    return {label: places[label] for label in listed}


def _is_variant(label: str, of: str) -> bool:
    return label.startswith(f"{of}_")


@dataclass(frozen=True)
class Line:
    """One side of a panel.

    Attributes:
        place: what it looks like: the same for a label in every figure (:func:`places_of`).
        label: what the legend calls it.
        x: where it is known; one NaN where it does not depend on x.
        mean, spread: mean and sample standard deviation over seeds at each x.
        ends: lower and upper ends of the band at each x, where it is none of ``spread`` on either side.
    """

    place: int
    label: str
    x: Sequence[float] | Numbers
    mean: Sequence[float] | Numbers
    spread: Sequence[float] | Numbers
    ends: tuple[Sequence[float] | Numbers, Sequence[float] | Numbers] | None = None

    @property
    def is_level(self) -> bool:
        """Whether it does not depend on x."""
        return all(math.isnan(at) for at in self.x)


@dataclass(frozen=True)
class Panel:
    """One figure.

    Attributes:
        name: its file's, of small letters, digits and hyphens.
        kind: ``BANDS`` around lines, ``CURVES`` with error bars, or ``POINTS`` with error bars.
        title, x, y: what stands above it and beside its axes.
        lines: its sides.
        log_x: whether x is best seen by factors.
        within: what the values can be at all; bands and bars end there.
    """

    name: str
    kind: str
    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    log_x: bool = False
    within: tuple[float, float] = (-math.inf, math.inf)

    @property
    def is_counted(self) -> bool:
        """Whether the sides only stand one after the other: each is one mark, at 1, 2, 3 and so on."""
        at = [list(line.x) for line in self.lines if not line.is_level]
        return self.kind == POINTS and bool(at) and at == [[place] for place in range(1, len(at) + 1)]


def thinned(length: int, longest: int) -> slice:
    """Every n-th of ``length`` points with the least n that leaves at most ``longest``; the last is one of them.

    >>> list(range(10))[thinned(10, 4)], list(range(3))[thinned(3, 4)]
    ([0, 3, 6, 9], [0, 1, 2])
    """
    step = max(1, -(-length // longest))
    return slice((length - 1) % step, None, step)


def file_names(prefix: str, keys: Iterable[Key]) -> dict[Key, str]:
    """Key → a file name of small letters, digits and hyphens, each its own."""
    names: dict[Key, str] = {}
    for place, key in enumerate(keys):
        plain = re.sub(r"[^a-z0-9]+", "-", key_label(key).lower()).strip("-")[:60]
        name = f"{prefix}-{plain}" if plain else prefix
        names[key] = name if name not in names.values() else f"{name}-{place}"
    return names
