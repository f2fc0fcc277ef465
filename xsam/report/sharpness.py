"""What was measured of sharpness as numbers, panels and maps: eigenvalues, and whether directions point uphill.

matplotlib draws them for papers, plotly on the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from xsam.grid.diagnostics import PER_DIRECTION
from xsam.report.comparisons import answer_text
from xsam.report.formats import Sheet, Text
from xsam.report.panel import CURVES, Line, Numbers, Panel, file_names, places_of
from xsam.stats import Difference, decide_family, paired_difference

DIRECTIONS = {
    "local": "g₀",
    "sam": "SAM: g_k",
    "wide_sam": "SAM at α*ρ",
    "xsam": "XSAM: v(α*)",
    "best": "best found",
}
_LIKE = {"local": "sgd", "sam": "sam", "wide_sam": "sam_effective", "xsam": "xsam"}  # what it looks like in figures
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
    texts = joined.pop("details").tolist()
    known = {text: {} if pd.isna(text) else json.loads(text) for text in dict.fromkeys(texts)}  # many rows say the same
    details = pd.DataFrame([known[text] for text in texts], index=joined.index)
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


def direction_sheets(rows: pd.DataFrame) -> list[Sheet]:
    """The direction question as tables, and v(α*) against SAM at α*ρ paired by seed; none where it was not measured.

    Args:
        rows: of one grid, as :func:`labelled` gives them.
    """
    if not (rows["measure"] == "rise").any():
        return []
    return [_direction_sheet(rows), _direction_comparison_sheet(rows)]


def _direction_sheet(rows: pd.DataFrame) -> Sheet:
    """A row for each optimizer that trained and each k looked at."""
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


def direction_differences(rows: pd.DataFrame) -> Mapping[tuple[str, int], Difference]:
    """(optimizer that trained, k looked at) → the rise along v(α*) minus that of SAM at α*ρ, paired by seed.

    Both in percent of the best rise, at the end of training. Runs of one seed that trained with different numbers of
    ascent steps are no independent samples: a seed counts once, with their mean.

    Args:
        rows: as :func:`labelled` gives them.
    """
    shares = 100.0 * shares_of_best(rows)
    seeds = dict(zip(rows["run_id"], rows["seed"], strict=True))
    shares["seed"] = [seeds[run_id] for run_id in shares.index.get_level_values("run_id")]
    found: dict[tuple[str, int], Difference] = {}
    for place, group in shares.groupby(level=["optimizer", "ascent_steps"]):
        optimizer, k = cast(tuple[str, float], place)
        by_seed = group.dropna(subset=["xsam", "wide_sam"]).groupby("seed")[["xsam", "wide_sam"]].mean()
        ours, theirs = (
            {int(seed): float(value) for seed, value in zip(by_seed.index, by_seed[name], strict=True)}
            for name in ("xsam", "wide_sam")
        )
        found[optimizer, int(k)] = paired_difference(ours, theirs)
    return found


def _direction_comparison_sheet(rows: pd.DataFrame) -> Sheet:
    """Whether v(α*) points at a higher loss than SAM's direction at the same effective radius."""
    found = direction_differences(rows)
    answers = decide_family(list(found.values()), [None] * len(found), False)
    lines = []
    for ((optimizer, k), one), answer in zip(found.items(), answers, strict=True):
        mean = "" if one.mean is None else f"{one.mean:+.2f}"
        known = answer.low is not None and answer.high is not None
        interval = f"[{answer.low:+.2f}, {answer.high:+.2f}]" if known else ""
        verdict = answer_text(answer, one)
        lines.append(tuple(map(Text, (optimizer, str(k), str(one.n), mean, interval, verdict))))
    header = ("trained by", "k looked at", "seeds", "difference", "95% interval", "verdict")
    notes = (
        f"Rise along {DIRECTIONS['xsam']} minus that along {DIRECTIONS['wide_sam']}, in percentage points of the "
        "best rise, at the end of training; paired by seed. Runs of one seed with different numbers of ascent steps in "
        "training count once, with their mean.",
        f"Better: {DIRECTIONS['xsam']} rises higher. The lines are decided together (Holm), and the intervals agree.",
    )
    title = f"{DIRECTIONS['xsam']} against {DIRECTIONS['wide_sam']}"
    return Sheet("direction-differences", title, header, 2, tuple(lines), notes)


def _means(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Means over training steps; the index is (optimizer, ascent_steps, run_id)."""
    return rows.pivot_table(index=["optimizer", "ascent_steps", "run_id"], columns=column, values="value")


def _spread(values: pd.Series[float], unit: float = 1.0) -> str:
    text = f"{unit * values.mean():.3g}"
    return f"{text} ± {unit * values.std():.2g}" if len(values) > 1 else text


HEAT, PLANE = "heat", "plane"
_SYMBOLS = {"rho": "ρ", "rho_m": "ρ_m", "v0": "ρ·v₀", "v1": "ρ_m·v₁", "v(alpha*)": "ρ_m·v(α*)"}


@dataclass(frozen=True)
class Map:
    """A quantity over two axes.

    Attributes:
        name: its figure's file, of small letters, digits and hyphens.
        kind: ``HEAT``, values at points of their own, or ``PLANE``, a loss on a plane through the weights at (0, 0).
        title, x, y, unit: what stands above it, beside its axes, and beside its colours.
        at: where the values are, on x and on y.
        values: a row for each y.
        limits: of the colours, for maps that compare; None: the map's own.
        path: of a ``HEAT`` the y at each x of a line on it.
        radii, marks: of a ``PLANE``, name → radius of a circle, name → x and y of a point.
    """

    name: str
    kind: str
    title: str
    x: str
    y: str
    unit: str
    at: tuple[Numbers, Numbers]
    values: Numbers
    limits: tuple[float, float] | None = None
    path: Sequence[float] = ()
    radii: Mapping[str, float] = field(default_factory=dict)
    marks: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def measured_panels(rows: pd.DataFrame, labels: Sequence[str] = ()) -> Iterator[Panel]:
    """How well directions point, and the largest eigenvalues.

    Directions are panels for each optimizer: at the end of training over the ascent steps looked at, and with the
    fewest of them over the epochs; means over training steps and runs, and sample standard deviations over runs.
    """
    rises = rows[rows["measure"] == "rise"]
    if not rises.empty:
        yield from _share_panels("direction-quality", "", "ascent steps k", shares_of_best(rows))
    if rises["epoch"].nunique() > 1:
        k = f", k = {int(rises['ascent_steps'].min())}"
        over = shares_over_training(rows).rename(index=lambda epoch: epoch + 1, level="epoch")
        yield from _share_panels("direction-quality-training", k, "epoch", over)
    eigenvalues = rows[rows["measure"] == "top_eigenvalue"]
    if not eigenvalues.empty:
        yield _eigenvalues(last_epoch(eigenvalues), places_of((*labels, *map(str, rows["optimizer"].unique()))))


def _share_panels(prefix: str, addition: str, x: str, shares: pd.DataFrame) -> Iterator[Panel]:
    """A panel for each optimizer, over the second level of the index."""
    groups = {str(label): group for label, group in shares.groupby(level="optimizer")}
    names = file_names(prefix, [(label,) for label in groups])
    looks = places_of(_LIKE.values())
    for label, group in groups.items():
        lines = (
            _line(looks[_LIKE[str(direction)]], DIRECTIONS[str(direction)], group[direction].groupby(level=1))
            for direction in group.columns
        )
        title = f"directions at ρ_m, trained by {label}{addition}"
        yield Panel(names[(label,)], CURVES, title, x, "share of the best rise", tuple(lines))


def _eigenvalues(rows: pd.DataFrame, places: Mapping[str, int]) -> Panel:
    # A base optimizer has no k, and is a level line.
    sides = dict(iter(rows.assign(run_k=rows["run_k"].astype(float)).groupby("optimizer", sort=True)))
    # Base optimizers first, as tables have them, so that a side looks the same in every figure.
    order = sorted(sides, key=lambda label: bool(sides[label]["run_k"].notna().any()))
    lines = (
        _line(places[str(label)], str(label), sides[label].groupby("run_k", dropna=False)["value"]) for label in order
    )
    title, x = "largest Hessian eigenvalue, end of training", "ascent steps k in training"
    return Panel("eigenvalues", CURVES, title, x, "λ₁", tuple(lines))


def _line(place: int, label: str, groups: Any) -> Line:
    means, spreads = groups.mean(), groups.std().fillna(0.0)
    return Line(place, label, means.index.to_numpy(dtype=float), means.to_numpy(), spreads.to_numpy())


def measured_maps(rows: pd.DataFrame) -> Iterator[Map]:
    """Alpha's landscape over training, and at its end the plane of v₀ and v₁ and a random one.

    Each of one run of every optimizer, that with the fewest ascent steps and the first seed, and for the fewest steps
    that were looked at. Random planes of one grid share their colours.
    """
    for label, name, one in _shown(rows, "alpha_profile", "alpha-landscape"):
        yield _landscape(label, name, one)
    for label, name, one in _shown(rows, "ascent_plane", "ascent-plane"):
        yield _plane(label, name, one, ("along v₀", "across v₀, on v₁'s side"))
    random = list(_shown(rows, "random_plane", "random-plane"))
    losses = np.array([one["losses"].iloc[-1] for _, _, one in random], dtype=float)
    for label, name, one in random:
        axes = ("first random direction", "second random direction")
        yield _plane(label, name, one, axes, (float(np.nanmin(losses)), float(np.nanmax(losses))))


def _shown(rows: pd.DataFrame, measure: str, prefix: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Title, file name, and rows by epoch of each optimizer's map."""
    groups = {str(label): group for label, group in rows[rows["measure"] == measure].groupby("optimizer", sort=True)}
    names = file_names(prefix, [(label,) for label in groups])
    for label, group in groups.items():
        order = group.sort_values(["run_k", "ascent_steps", "seed", "run_id", "epoch"], kind="stable")
        first = order.iloc[0]
        one = order[order["run_id"] == first["run_id"]]
        trained = "" if pd.isna(first["run_k"]) else f" with k = {first['run_k']}"
        of_k = one["ascent_steps"].isna() | (one["ascent_steps"] == first["ascent_steps"])
        yield f"trained by {label}{trained}", names[(label,)], one[of_k]


def _landscape(title: str, name: str, rows: pd.DataFrame) -> Map:
    """The loss on the arc of v(α) over α and the epochs: its rise, in shares of the highest of each epoch."""
    losses = np.array(rows["losses"].tolist(), dtype=float)
    rises = losses - rows["loss"].to_numpy(dtype=float)[:, None]
    highest = np.nanmax(rises, axis=1, keepdims=True).clip(min=1e-30)  # a flat place has no rise
    return Map(
        name=name,
        kind=HEAT,
        title=title,
        x="epoch",
        y="α",
        unit="share of the epoch's highest rise",
        at=(rows["epoch"].to_numpy(dtype=float) + 1, np.array(rows["alphas"].iloc[0], dtype=float)),
        values=(rises / highest).T,
        path=tuple(rows["value"]),
    )


def _plane(
    title: str, name: str, rows: pd.DataFrame, axes: tuple[str, str], limits: tuple[float, float] | None = None
) -> Map:
    row: Mapping[Any, Any] = rows.iloc[-1].to_dict()
    return Map(
        name=name,
        kind=PLANE,
        title=title,
        x=axes[0],
        y=axes[1],
        unit="loss",
        at=(np.array(row["x"], dtype=float), np.array(row["y"], dtype=float)),
        values=np.array(row["losses"], dtype=float),
        limits=limits,
        radii={_SYMBOLS[each]: radius for each, radius in row["radii"].items()},
        marks={_SYMBOLS[each]: place for each, place in row["marks"].items()},
    )
