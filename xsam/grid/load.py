"""From a grid file to its runs: read, lay out, expand, check, and the same once more with what ``--set`` changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xsam.grid.expand import Plan, check_runs, expand, grid_of
from xsam.grid.grid import Grid
from xsam.grid.grid_document import GridDocument, document_of
from xsam.grid.options import apply_sets, assignments
from xsam.grid.source import GridError, Location
from xsam.grid.tuning import check_seeds
from xsam.grid.usage import check_usage, check_used
from xsam.grid.yaml_file import read_yaml
from xsam.plugins.installed import load_all


def load_grid(path: str | Path, sets: Sequence[str] = ()) -> Grid:
    """Read, check and expand the grid file at ``path``.

    Args:
        path: a YAML file (the format is in the README).
        sets: ``key=value`` texts that change the grid: the values of an axis, or a parameter of every run. They win
            over everything in the file, which must be valid without them; the grid's name becomes ``NAME@<hash>``.

    Raises:
        GridError: the first mistake, on one line, with file, line and the nearest valid name.

    Example:
        >>> grid = load_grid(Path("configs/quickstart.yaml"), ["seed=0,1"])
        >>> len(grid.runs)
        8
    """
    return grid_of(*load_document(Path(path), sets))


def load_document(path: Path, sets: Sequence[str] = ()) -> tuple[GridDocument, Plan]:
    """What :func:`load_grid` makes its grid of: the checked document of the file with what is set, and its cells."""
    document = _document(path)
    plan = expand(document)
    check_runs(document, plan)  # first: a model that does not exist uses no parameter and is in no condition
    check_usage(document, plan)
    _check_tuning(document, plan)
    if not sets:
        return document, plan
    grid_of(document, plan)  # the file must be valid without what is set, and its report is looked at here
    changed = apply_sets(document, sets)
    plan = expand(changed, Location(" ".join(f"--set {text}" for text in sets)))
    check_used(changed, plan, assignments("--set", sets))
    check_runs(changed, plan)
    _check_tuning(changed, plan)
    return changed, plan


def _document(path: Path) -> GridDocument:
    root = read_yaml(path)
    try:
        return document_of(root, path.parent)
    except GridError:
        if not load_all():
            raise
        return document_of(root, path.parent)  # the error, if it stays, knows the names of all plug-ins now


def _check_tuning(document: GridDocument, plan: Plan) -> None:
    if document.tune is not None:
        check_seeds(document.tune, (cell.spec.params["seed"] for cell in plan.kept))
