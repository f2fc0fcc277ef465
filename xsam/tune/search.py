"""The search: try every point, look where the best one is, go on beyond the edge that it sits on."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xsam.grid.expand import Plan
from xsam.grid.grid import Grid
from xsam.grid.grid_document import GridDocument
from xsam.grid.spec import RunSpec
from xsam.grid.tuning import ALPHA, DIGITS, Tuning
from xsam.launch.status import RunStatus
from xsam.parameters import Value
from xsam.store.layout import GridFolder
from xsam.tune.scores import Score, mean_alphas, scores
from xsam.tune.space import Group, Point, Trials, grid_of, groups_of, trials_of

Train = Callable[[Grid, Sequence[RunSpec]], list[RunStatus]]


class TuningFailed(Exception):
    """There is no choice yet, or none at all; the message says what to do."""


@dataclass(frozen=True)
class Trial:
    """One point of a group: a value for each of its parameters, and seed → what became of the run."""

    point: Point
    scores: Mapping[int, Score]

    @property
    def values(self) -> list[float]:
        """The metric of the runs that have one."""
        return [score.value for score in self.scores.values() if score.value is not None]

    @property
    def mean(self) -> float | None:
        """Mean over the seeds; None, which is worse than any number, where a run diverged or failed."""
        return statistics.fmean(self.values) if len(self.values) == len(self.scores) else None


@dataclass(frozen=True)
class Choice:
    """What was chosen for one group: its trials in the order of their values or of being drawn, and the winner."""

    group: Group
    trials: tuple[Trial, ...]
    winner: Trial

    @property
    def params(self) -> dict[str, float]:
        """The chosen values by their parameters."""
        return dict(zip(self.group.values, self.winner.point, strict=True))

    @property
    def edges(self) -> list[str]:
        """Parameters whose chosen value is the smallest or the largest that was tried."""
        return self.group.edges(self.winner.point)


@dataclass(frozen=True)
class Followed:
    """What follows from a choice for a label that was not tuned itself: where, and the values."""

    axes: Mapping[str, Value]
    leader: str
    params: Mapping[str, float]


@dataclass(frozen=True)
class Tuned:
    """The outcome of a search: its grid, how it was done, a choice for every group, and what follows from them."""

    grid: Grid
    tuning: Tuning
    choices: tuple[Choice, ...]
    followed: tuple[Followed, ...] = ()


def tune(document: GridDocument, plan: Plan, runs: Sequence[RunSpec], folder: GridFolder, train: Train) -> Tuned:
    """Search the space of ``document.tune`` for every group of ``runs``.

    Every group tries all combinations of its values, or its drawn points, on all tuning seeds. Of these the best mean
    over the seeds wins; where it is as good as another one, the nearest to the middle of the first values in
    logarithms, and then the one with the smaller values. Where values are listed, and while the winner has the smallest
    or the largest value tried of a parameter, and fewer than ``max_extensions`` were added to it, the next one of the
    geometric sequence is tried too.

    Nothing depends on what was done before but finished runs, which are not trained again: a search that was
    interrupted goes on, and a finished one gives the same answer at once.

    Args:
        document, plan: a grid file's, as :func:`xsam.grid.load.load_document` gives them.
        runs: those of the grid whose groups are tuned.
        folder: of the grid ``NAME@tune``.
        train: trains what is missing of the runs of a grid, and returns how they stand.

    Raises:
        GridError: the grid says nothing of tuning, or has no validation part.
        TuningFailed: runs are still missing, or all of a group's failed.
    """
    tuning = document.tune
    if tuning is None:
        raise document.matrix.error("the grid has no block 'tune': give it a space of values and seeds")
    wanted = {run.run_id for run in runs}
    groups = groups_of(document, tuning, (cell for cell in plan.kept if cell.spec.run_id in wanted))
    if not groups:
        raise tuning.place.error("nothing to tune: no chosen run uses a parameter of the space")
    while True:
        trials = [trials_of(document, tuning, group) for group in groups]
        grid = grid_of(document, tuning, groups, trials)
        _check_validation(grid, tuning)
        _check_settled(grid, train(grid, grid.runs))
        found = scores(folder, tuning)
        choices = [_choose(tuning, group, own, found) for group, own in zip(groups, trials, strict=True)]
        extensions = [_extensions(document, tuning, choice) for choice in choices]
        if not any(extensions):
            _check_any(choices, grid)
            followed = _followed(tuning, choices, trials, folder)
            return Tuned(grid, tuning, tuple(choices), tuple(followed))
        groups = [group.extended(more) for group, more in zip(groups, extensions, strict=True)]


def _choose(tuning: Tuning, group: Group, trials: Trials, found: Mapping[str, Score]) -> Choice:
    seen = tuple(
        Trial(point, {seed: found[run.run_id] for seed, run in by_seed.items()}) for point, by_seed in trials.items()
    )

    def rank(trial: Trial) -> tuple[float, float, Point]:
        mean = math.inf if trial.mean is None else trial.mean if tuning.metric.lower_is_better else -trial.mean
        return mean, round(group.distance(trial.point), 9), trial.point

    return Choice(group, seen, min(seen, key=rank))


def _followed(
    tuning: Tuning, choices: Sequence[Choice], trials: Sequence[Trials], folder: GridFolder
) -> Iterator[Followed]:
    """What the grid's followers have, of every place where their leaders were tuned."""
    alphas = mean_alphas(folder) if tuning.follow else {}
    for follower in tuning.follow:
        for choice, own in zip(choices, trials, strict=True):
            if choice.group.axes["optimizer"] != follower.leader:
                continue
            known = dict(choice.params)
            runs = own[choice.winner.point].values()
            if all(run.run_id in alphas for run in runs):
                known[ALPHA] = statistics.fmean(alphas[run.run_id] for run in runs)
            for name in {factor for factors in follower.params.values() for factor in factors}:
                if name not in known:
                    raise follower.place.error(f"{follower.label} takes {name} of {follower.leader}, which has none")
            params = {
                name: float(f"{math.prod(known[factor] for factor in factors):.{DIGITS}g}")
                for name, factors in follower.params.items()
            }
            yield Followed({**choice.group.axes, "optimizer": follower.label}, follower.leader, params)


def _extensions(document: GridDocument, tuning: Tuning, choice: Choice) -> dict[str, float]:
    """Parameter → the next value to try, for each edge that the winner sits on and that may be moved."""
    if choice.winner.mean is None or tuning.trials is not None:
        return {}
    found = {}
    for name in choice.edges:
        value = choice.group.beyond(name, choice.winner.point)
        if choice.group.added(name) < tuning.max_extensions and document.vocabulary.takes(name, value):
            found[name] = value
    return found


def _check_validation(grid: Grid, tuning: Tuning) -> None:
    if any(run.params.get("val_fraction") == 0 for run in grid.runs):
        raise tuning.place.error("tuning needs a validation part: give val_fraction above 0 in params of tune")


def _check_settled(grid: Grid, states: Sequence[RunStatus]) -> None:
    open_runs = sum(state.state not in ("done", "diverged", "failed") for state in states)
    if open_runs:
        raise TuningFailed(f"{grid.name}: {open_runs} runs are not finished; give the same command again")


def _check_any(choices: Sequence[Choice], grid: Grid) -> None:
    for choice in choices:
        if choice.winner.mean is None:
            raise TuningFailed(
                f"{grid.name}: no point of {choice.group.name} was trained on every seed without diverging or failing; "
                "see 'xsam-bench failures', or give other values in tune"
            )
