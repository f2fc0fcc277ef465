"""Figures of sharpness: the quality of directions, the spectrum's largest values, alpha's landscape, loss planes.

All but the first take labelled rows of the table ``sharpness`` (:func:`xsam.report.directions.labelled`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from xsam.report.directions import DIRECTIONS, labelled, last_epoch, shares_of_best
from xsam.report.figures.style import COLOURS, finish, look, new_figure

_LEVELS = 20


def sharpness_figures(sharpness: pd.DataFrame, runs: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Name and figure of everything that a grid's measurements can show as one."""
    if sharpness.empty:
        return
    rows = labelled(sharpness, runs)
    found = set(rows["measure"])
    if "rise" in found:
        yield "direction-quality", direction_quality_figure(rows)
    if "top_eigenvalue" in found:
        yield "eigenvalues", eigenvalue_figure(rows)
    for measure, prefix, draw in (
        ("alpha_profile", "alpha-landscape", alpha_landscape_figure),
        ("ascent_plane", "ascent-plane", plane_figure),
        ("random_plane", "random-plane", plane_figure),
    ):
        for label, group in rows[rows["measure"] == measure].groupby(["optimizer"], sort=True):
            yield f"{prefix}-{label[0]}", draw(group, str(label[0]))


def direction_quality_figure(rows: pd.DataFrame) -> Figure:
    """Share of the best direction's rise that each direction reaches, over the number of ascent steps looked at.

    Mean over training steps and runs, and standard deviation over runs, at the last measured epoch.
    """
    figure, axes = new_figure("rise of the loss at ρ_m", "ascent steps k", "share of the best rise")
    shares = shares_of_best(rows).groupby("ascent_steps")
    means, spreads = shares.mean(), shares.std().fillna(0.0)
    for place, name in enumerate(means.columns):
        axes.errorbar(means.index, means[name], spreads[name], label=DIRECTIONS[name], capsize=2, **look(place))
    axes.set_xticks(means.index)
    finish(axes)
    return figure


def eigenvalue_figure(rows: pd.DataFrame) -> Figure:
    """The largest eigenvalue of the Hessian of each optimizer's runs over the ascent steps that they trained with."""
    chosen = last_epoch(rows[rows["measure"] == "top_eigenvalue"])
    figure, axes = new_figure("largest Hessian eigenvalue", "ascent steps k in training", "λ₁")
    for place, (label, group) in enumerate(chosen.groupby("optimizer", sort=True)):
        if group["run_k"].isna().all():
            axes.axhline(group["value"].mean(), label=str(label), color=COLOURS[place], linestyle="--")
            continue
        by_k = group.groupby("run_k")["value"].agg(["mean", "std"]).fillna(0.0)
        axes.errorbar(by_k.index.astype(float), by_k["mean"], by_k["std"], label=str(label), capsize=2, **look(place))
    axes.set_ylim(bottom=0)
    finish(axes)
    return figure


def alpha_landscape_figure(rows: pd.DataFrame, title: str) -> Figure:
    """L(θ + ρ_m·v(α)) − L(θ) over α and the epochs as a heat map, with α* on it; of the first run and the least k."""
    one = rows[rows["run_id"] == rows["run_id"].iloc[0]]
    one = one[one["ascent_steps"] == one["ascent_steps"].min()].sort_values("epoch")
    alphas = np.array(one["alphas"].iloc[0])
    rises = np.array([np.subtract(losses, loss) for losses, loss in zip(one["losses"], one["loss"], strict=True)])
    figure, axes = new_figure(title, "epoch", "α")
    axes.grid(False)
    positions = np.arange(len(one))
    image = axes.pcolormesh(positions, alphas, rises.T, shading="nearest", cmap="viridis", rasterized=True)
    axes.plot(positions, one["value"], color="white", marker="o", linestyle="-", label="α*")
    axes.set_xticks(positions, [str(int(epoch) + 1) for epoch in one["epoch"]])
    figure.colorbar(image, label="rise of the loss")
    return figure


def plane_figure(rows: pd.DataFrame, title: str) -> Figure:
    """The loss on a plane, with the circles ρ and ρ_m and the directions; of the first run's first plane."""
    row: Mapping[Any, Any] = last_epoch(rows).sort_values(["run_id"], kind="stable").iloc[0].to_dict()
    figure, axes = new_figure(title, "", "")
    axes.grid(False)
    axes.set_aspect("equal")
    drawn = axes.contourf(row["x"], row["y"], row["losses"], levels=_LEVELS, cmap="viridis")
    axes.contour(row["x"], row["y"], row["losses"], levels=_LEVELS, colors="white", linewidths=0.3)
    figure.colorbar(drawn, label="loss")
    axes.plot(0, 0, color="white", marker="x")
    for name, radius in row["radii"].items():
        circle = Circle((0, 0), radius, fill=False, color="white", linestyle="--" if name == "rho" else "-")
        axes.add_patch(circle)
    for place, (name, (x, y)) in enumerate(row["marks"].items()):
        axes.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "->", "color": COLOURS[1 + place]})
        axes.plot(x, y, color=COLOURS[1 + place], marker="o", linestyle="", label=name)
    if row["marks"]:
        finish(axes)
    return figure
