"""Numbers and columns as short JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

DIGITS = 5  # of a number in a figure: more cannot be seen

# What could end a script element or open a comment in it, and what older JavaScript takes for the end of a line.
_INERT = "<>&\u2028\u2029"


def script_json(content: Any) -> Markup:
    """``content`` as JSON that stands as it is in a ``<script type="application/json">``, whatever its strings hold.

    >>> print(script_json({"label": "</script>"}))
    {"label":"\\u003c/script\\u003e"}
    """
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for one in _INERT:  # translate takes seconds for a page of 10,000 runs
        text = text.replace(one, f"\\u{ord(one):04x}")
    return Markup(text)


def numbers(values: ArrayLike, digits: int = DIGITS) -> list[float | None]:
    """The values with ``digits`` significant digits; ``None`` for what is not finite.

    >>> numbers([1 / 3, 12345678.0, float("nan"), 0.0, 2.0])
    [0.33333, 12346000.0, None, 0.0, 2.0]
    """
    exact = np.asarray(values, dtype=np.float64)
    known = np.isfinite(exact)
    sizes = np.abs(np.where(known & (exact != 0), exact, 1.0))
    # Beyond 300 the power would overflow; such numbers, below 1e-295, are 0 in any figure.
    places = np.minimum(digits - 1 - np.floor(np.log10(sizes)).astype(np.int64), 300)
    up, down = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
    with np.errstate(over="ignore"):
        rounded = np.round(np.where(known, exact, 0.0) * up / down) / up * down
    found: list[float | None] = np.where(np.isfinite(rounded), rounded, exact).tolist()
    if not known.all():
        found = [value if kept else None for value, kept in zip(found, known.tolist(), strict=True)]
    return found


def column(values: Iterable[Hashable]) -> dict[str, Any]:
    """A column of a table, each value written once where that is shorter.

    ``{"words": [v]}`` is v everywhere; ``{"words": […], "places": […]}`` gives the place of each row's value in
    ``words``; ``{"values": […]}`` has them as they are.

    >>> column(["sam", "sgd", "sam", "sam"])
    {'words': ['sam', 'sgd'], 'places': [0, 1, 0, 0]}
    >>> column([1, 2, 3])
    {'values': [1, 2, 3]}
    """
    listed = [_finite(value) for value in values]
    words = {word: place for place, word in enumerate(dict.fromkeys(listed))}
    if len(words) == 1:
        return {"words": list(words)}
    if len(words) > len(listed) / 2:
        return {"values": listed}
    return {"words": list(words), "places": [words[value] for value in listed]}


def named_columns(columns: Mapping[str, Sequence[Hashable]], absent: Hashable = None) -> list[dict[str, Any]]:
    """Columns with their names; those that hold nothing but ``absent`` are left out."""
    return [
        {"name": name, **column(values)}
        for name, values in columns.items()
        if any(value != absent and value is not None for value in values)
    ]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
