"""The reference of everything that a grid may name, as Markdown made from the parameters' own declarations.

python -m xsam.grid.reference > docs/parameters.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from xsam.grid.diagnostics import Diagnostics
from xsam.grid.vocabulary import PARTNER, show
from xsam.optim.registry import METHODS
from xsam.parameters import KINDS, Parameter
from xsam.tasks import TASKS, Task, get_task
from xsam.tasks.run_config import TrainingConfig

_HEAD = """# Parameters of a grid

Made from the declarations in the code by `python -m xsam.grid.reference`; a test keeps it up to date. A parameter may
stand under `params`, be an axis of `matrix`, or be overridden. All are in a run's id; those that came later are left
out of it while they have their default, so that older ids stay.
"""


def reference() -> str:
    """The whole page.

    >>> "| `rho` |" in reference()
    True
    """
    return "\n".join(_page())


def _page() -> Iterator[str]:
    yield _HEAD
    shared = TrainingConfig.parameters()
    for name in TASKS:
        task = get_task(name)
        known = task.config.parameters()
        yield from _section(f"Task `{name}`", {key: each for key, each in known.items() if shared.get(key) != each})
    yield from _section("Training, in every task", shared)
    yield from _bases([get_task(name) for name in TASKS])
    for name, method in METHODS.items():
        if method.alone is None:
            yield from _section(f"Optimizer `{name}`", method.parameters)
    yield from _section("`diagnostics`", Diagnostics.parameters())


def _bases(tasks: Iterable[Task[Any]]) -> Iterator[str]:
    seen: list[Mapping[str, Parameter]] = []
    for task in tasks:
        for name, base in task.bases.items():
            if base.parameters not in seen:
                seen.append(base.parameters)
                yield from _section(f"Base optimizer `{name}` ({task.name})", base.parameters)


def _section(title: str, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    yield f"## {title}\n"
    yield from table_of(parameters)
    yield ""


def table_of(parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """The lines of a Markdown table of ``parameters``: what each may be, its default and its meaning."""
    yield "| name | is | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, parameter in parameters.items():
        default = "–" if parameter.unset else f"`{show(parameter.default)}`"
        notes = [parameter.help]
        if name in PARTNER:
            notes.append(f"instead of `{PARTNER[name]}`")
        if parameter.omit_at_default:
            notes.append("in the id unless it has its default")
        meaning = "; ".join(notes).replace("|", "\\|")
        yield f"| `{name}` | {_kind(parameter)} | {default} | {meaning} |"


def _kind(parameter: Parameter) -> str:
    limits = [
        f"{words} {limit:g}"
        for limit, words in (
            (parameter.at_least, "at least"),
            (parameter.above, "above"),
            (parameter.at_most, "at most"),
            (parameter.below, "below"),
        )
        if limit is not None
    ]
    words = ", ".join(f"`{choice}`" for choice in parameter.choices)
    several = {"names": "a list of ", "str": ""}.get(parameter.kind, "")
    kind = f"{several}{words}" if words else ", ".join([KINDS[parameter.kind], *limits])
    return f"{kind}, or null" if parameter.nullable else kind


if __name__ == "__main__":
    print(reference(), end="")
