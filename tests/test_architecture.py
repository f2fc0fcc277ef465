"""The arrows between the parts of the package: one direction, no circle. ``docs/architecture.md`` has the picture."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import xsam

ROOT = Path(xsam.__file__).parent

# From the bottom up: a part may import those in rows below its own, and itself. Parts of one row know nothing of each
# other.
LAYERS = (
    ("parameters", "text", "atomic", "damage", "templates"),
    ("config", "metrics", "registries"),
    ("optim", "stats"),
    ("sharpness", "tasks", "testing"),
    ("plugins",),
    ("grid", "track"),
    ("store",),
    ("runner",),
    ("launch",),
    ("tune", "report", "doctor"),
    ("cli",),
)
ROW = {part: row for row, parts in enumerate(LAYERS) for part in parts}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("xsam", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(path: Path, lazily: bool) -> Iterator[str]:
    """The modules of this package that ``path`` imports when it is imported, or also later, by functions."""

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.FunctionDef | ast.Lambda) and not lazily:
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    yield full if full in MODULES else str(child.module)
            yield from visit(child)

    yield from (name for name in visit(ast.parse(path.read_text(encoding="utf-8"))) if name in MODULES)


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_part_has_its_row() -> None:
    assert {part_of(module) for module in MODULES} - {""} == set(ROW)


@pytest.mark.parametrize("part", ROW)
def test_arrows_point_down(part: str) -> None:
    wrong = {
        f"{module} imports {other}"
        for module, path in MODULES.items()
        if part_of(module) == part
        for other in imported(path, lazily=True)
        if part_of(other) not in ("", part) and ROW[part_of(other)] >= ROW[part]
    }
    assert not wrong


def test_no_module_imports_itself_by_way_of_others() -> None:
    arrows = {module: set(imported(path, lazily=False)) - {module} for module, path in MODULES.items()}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_tasks_do_not_know_each_other() -> None:
    tasks = {"vision", "translation"}
    wrong = {
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in imported(path, lazily=True)
        for task in tasks
        if module.startswith(f"xsam.tasks.{task}") and any(other.startswith(f"xsam.tasks.{t}") for t in tasks - {task})
    }
    assert not wrong
