"""Whether ascent directions point at the highest loss nearby, as numbers: what the direction figure and table show."""

from __future__ import annotations

import json
from typing import cast

import pandas as pd

from xsam.grid.diagnostics import PER_DIRECTION
from xsam.report.sheet import Sheet, Text

DIRECTIONS = {
    "local": "g₀",
    "sam": "SAM: g_k",
    "wide_sam": "SAM at α*ρ",
    "xsam": "XSAM: v(α*)",
    "best": "best found",
}
_TRIED = tuple(name for name in DIRECTIONS if name != "best")


def labelled(sharpness: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``sharpness`` with ``optimizer``, ``run_k`` and ``seed`` of their runs, and details as columns.

    ``run_k`` is the number of ascent steps that the run trained with (null for a base optimizer), ``ascent_steps`` the
    number that was looked at. Measures of directions lose what their names begin with.

    Args:
        sharpness, runs: the tables of one grid (``xsam.store.read``).
    """
    own = runs[["run_id", "optimizer", "ascent_steps", "seed"]].rename(columns={"ascent_steps": "run_k"})
    joined = sharpness.merge(own, on="run_id", how="inner")
    details = pd.DataFrame(
        [{} if pd.isna(text) else json.loads(text) for text in joined.pop("details")], index=joined.index
    )
    joined["measure"] = joined["measure"].str.removeprefix(PER_DIRECTION)
    return joined.join(details)


def last_epoch(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each run the rows of its last measured epoch."""
    return rows[rows["epoch"] == rows.groupby("run_id")["epoch"].transform("max")]


def shares_of_best(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each run and k, how much of the best direction's rise each direction reaches: a column for each.

    At the end of training, mean over the training steps; rows are labelled ones, the index is (optimizer, ascent_steps,
    run_id).
    """
    return _shares(last_epoch(rows[rows["measure"] == "rise"]), "ascent_steps")


def shares_over_training(rows: pd.DataFrame) -> pd.DataFrame:
    """As :func:`shares_of_best` for the least k alone and every measured epoch; the index is (…, epoch, run_id)."""
    rises = rows[rows["measure"] == "rise"]
    return _shares(rises[rises["ascent_steps"] == rises["ascent_steps"].min()], "epoch")


def _shares(rises: pd.DataFrame, over: str) -> pd.DataFrame:
    place = ["optimizer", over, "run_id"]
    wide = rises.pivot_table(index=[*place, "step"], columns="direction", values="value")
    return wide[list(_TRIED)].div(wide["best"], axis=0).groupby(place).mean()


def direction_sheet(sharpness: pd.DataFrame, runs: pd.DataFrame) -> Sheet | None:
    """The direction question as a table, a row for each optimizer that trained and each k looked at; None unmeasured.

    Args:
        sharpness, runs: the tables of one grid (``xsam.store.read``).
    """
    if not (sharpness["measure"] == f"{PER_DIRECTION}rise").any():
        return None
    rows = labelled(sharpness, runs)
    latest = last_epoch(rows)
    shares = shares_of_best(rows)
    cosines = _means(latest[latest["measure"] == "cosine_best"], "direction")
    others = _means(latest[latest["measure"].isin(["alpha", "in_plane"])], "measure")
    header = (
        "trained by",
        "k looked at",
        "runs",
        *(f"{DIRECTIONS[name]}, rise" for name in _TRIED),
        *(f"{DIRECTIONS[name]}, cosine" for name in _TRIED),
        "best in plane",
        "α*",
    )
    lines = []
    for place, group in shares.groupby(["optimizer", "ascent_steps"]):
        optimizer, k = cast(tuple[str, float], place)
        near, other = (frame.xs((optimizer, k)) for frame in (cosines, others))
        lines.append(
            (
                *(Text(text) for text in (optimizer, f"{k:g}", str(len(group)))),
                *(Text(_spread(group[name], 100.0)) for name in _TRIED),
                *(Text(_spread(near[name])) for name in _TRIED),
                *(Text(_spread(other[name])) for name in ("in_plane", "alpha")),
            )
        )
    notes = (
        "Rise: L(θ + ρ_m·d) − L(θ) on a training batch in percent of the rise in the best direction that projected "
        "gradient ascent found; cosine: to that direction. Best in plane: length of its projection on the plane of v₀ "
        "and v₁ (1: it lies in it).",
        "Mean ± sample standard deviation over runs, each the mean over its training steps, at the end of training; "
        "runs of one optimizer with different numbers of ascent steps in training are together.",
    )
    return Sheet("directions", "Quality of directions", header, 2, tuple(lines), notes)


def _means(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Means over training steps; the index is (optimizer, ascent_steps, run_id)."""
    return rows.pivot_table(index=["optimizer", "ascent_steps", "run_id"], columns=column, values="value")


def _spread(values: pd.Series[float], unit: float = 1.0) -> str:
    text = f"{unit * values.mean():.3g}"
    return f"{text} ± {unit * values.std():.2g}" if len(values) > 1 else text
