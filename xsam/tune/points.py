"""The points that a search with a number of trials tries: a low-discrepancy sequence over the union of all parameters.

Every method takes its own coordinates of the same points. Each parameter's values are spread evenly over its range for
every method, however many it has, and two methods that share a parameter have tried the same values of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from xsam.grid.tuning import Tuning


def shares_of(tuning: Tuning) -> Mapping[str, Sequence[float]]:
    """Parameter → where each trial is in its range, from 0 to 1.

    A Sobol' sequence (1967), with the direction numbers of Joe & Kuo (2008), a dimension for each parameter in the
    order of the space; each is shifted modulo 1 by an amount that its name decides (Cranley & Patterson, 1976), so that
    no trial has all of its values on an edge. Nothing of it depends on a version of a library or on a machine.
    """
    from scipy.stats import qmc  # half a second that planning does without

    assert tuning.trials is not None
    names = tuning.names
    bits = max(1, (tuning.trials - 1).bit_length())
    points = qmc.Sobol(d=len(names), scramble=False).random_base2(bits)[: tuning.trials]
    return {name: [float((x + _shift(name)) % 1) for x in points[:, place]] for place, name in enumerate(names)}


def _shift(name: str) -> float:
    """A number in [0, 1) of 32 bits from ``name``: sums with the sequence's dyadic fractions are exact."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
