"""A page of every optimizer, from its docstring and its declared options, and one that lists them."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping

from xsam.grid.reference import table_of
from xsam.optim.method import Method
from xsam.optim.pass_counts import passes_per_step
from xsam.optim.registry import METHODS
from xsam.parameters import Value

# The one thing that a docstring does not say: what somebody would choose it for. Nothing here claims an accuracy.
WHEN: Mapping[str, str] = {
    "sam": "The method that all others are compared with. Begin here; tune `rho` before anything else.",
    "asam": "Where layers differ much in scale, or the radius is not to depend on how weights are scaled.",
    "gsam": "Where SAM's radius is fine and the gap between the perturbed and the plain loss stays large.",
    "wsam": "To set how much the sharpness weighs against the loss, which in SAM only the radius does.",
    "looksam": "Where two passes a step are too many: most steps cost one.",
    "friendly_sam": "Small batches, whose noise is a large part of SAM's direction of ascent.",
    "fisher_sam": "To measure the neighbourhood in terms of the gradient's own size instead of the weights'.",
    "momentum_sam": "Where a step may not cost more than the base's. It needs a base with momentum.",
    "lookbehind_sam": "Several ascent steps, with a descent at each of them instead of the last one alone.",
    "stable_sam": "Where SAM with a large radius becomes unstable: its step is as long as the plain gradient's.",
    "sam_on": "Networks with normalisation layers, to perturb the few parameters of those alone.",
    "le_sam": "To give the perturbation a budget of loss instead of a radius.",
    "zsharp": "To perturb only the few weights whose gradients stand out in their layer.",
    "eigen_sam": "To press on the Hessian's largest eigenvalue itself, for some extra passes every hundred steps.",
    "gam": "To look for small gradients all around, not only a small loss; four passes a step.",
    "random_sam": "A control: whether it is the ascent that helps, or any perturbation of that length.",
    "xsam": "To have the direction searched instead of assumed, for a forward pass per probed alpha, once an epoch.",
}


_NOT_HERE = """
## Not among them

- X-SAM (arXiv 2601.10251) is not this XSAM. It takes the part along the Hessian's top eigenvector off the perturbed
  gradient. Its formula could be read second-hand alone, and in the form given there an update changes with the sign of
  the eigenvector, which nothing settles.
- ESAM (ICLR 2022) runs its second pass on the examples whose losses the perturbation raises most. That needs each
  example's loss and a pass over a part of the batch, where a closure here is the loss of a whole batch.
"""


def listed() -> Mapping[str, Method]:
    """The methods that have a page: those of this package that wrap a base."""
    return {name: one for name, one in METHODS.items() if one.alone is None and isinstance(one.target, str)}


def index() -> str:
    """The page that lists them.

    >>> "[`xsam`](xsam.md)" in index()
    True
    """
    rows = [
        f"| [`{name}`]({name}.md) | `{method.class_name}` | {cost(name)} | {_first_line(method)} |"
        for name, method in listed().items()
    ]
    head = (
        "# Optimizers\n\nEach wraps any base optimizer of torch. In grids they have the names of the first column; in "
        "Python, `from xsam import XSAM`. `sgd`, `adam` and `adamw` in a grid are the base alone.\n\n"
        "Cost: forward-backward passes of a step, at the default options.\n\n"
        "| in grids | class | passes | |\n| --- | --- | ---: | --- |\n"
    )
    return head + "\n".join(rows) + "\n" + _NOT_HERE


def page(name: str) -> str:
    """The page of one method.

    >>> "arXiv" in page("sam") and "rho" in page("sam")
    True
    """
    method = METHODS[name]
    source = f"`{_class(method).__module__}`"
    described, example = _docstring(method)
    title, _, text = described.partition("\n\n")
    parts = [
        f"# {method.class_name}\n",
        f"**{title}** In grids: `{name}`.\n",
        f"When to use it: {WHEN[name]}\n",
        f"## What it does\n\n{_markdown(text)}\n",
        f"## Cost\n\n{_costs(name)}\n",
        "## Parameters in grids\n",
        *table_of(method.parameters),
        "\nA base has parameters of its own: [all parameters](../../parameters.md).\n",
        f"## In Python\n\n```python\n{example}\n```\n",
        "## Source\n",
        f"{source}; the formula is checked against an independent float64 reference in `tests/optim`."
        if method.family
        else f"{source}.",
    ]
    return "\n".join(parts) + "\n"


def cost(name: str, **params: Value) -> str:
    """Forward-backward passes of a step.

    >>> cost("sam"), cost("sam", ascent_steps=3), cost("looksam")
    ('2', '4', '1.2')
    """
    defaults = {key: one.default for key, one in METHODS[name].parameters.items()}
    return f"{float(passes_per_step(name, {**defaults, **params})):g}"


def _costs(name: str) -> str:
    parameters = METHODS[name].parameters
    if "ascent_steps" not in parameters or cost(name, ascent_steps=1) == cost(name, ascent_steps=3):
        text = f"{cost(name)} forward-backward passes a step at the default options"
    else:
        counts = ", ".join(f"{cost(name, ascent_steps=k)} with {k}" for k in (1, 2, 3))
        text = f"Forward-backward passes a step, by ascent steps: {counts}"
    probes = "alpha" in parameters
    return f"{text}; a search of alpha adds a forward pass for each probed value." if probes else f"{text}."


def _class(method: Method) -> type:
    module, _, name = str(method.target).partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    return found


def _first_line(method: Method) -> str:
    return _docstring(method)[0].partition("\n")[0]


def _docstring(method: Method) -> tuple[str, str]:
    """What a class says of itself, without the sections that the tables repeat; and its example as a program."""
    text = inspect.getdoc(_class(method)) or ""
    described = re.split(r"^(?:Args|Attributes|Raises|Example):$", text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = re.findall(r"^ *(?:>>>|\.\.\.) ?(.*)$", text.partition("Example:\n")[2], flags=re.MULTILINE)
    return described.strip(), "\n".join(lines).replace(
        "import torch\n", f"import torch\nfrom xsam import {method.class_name}\n\n", 1
    )


def _markdown(text: str) -> str:
    """A docstring's text: its literals, references, formulas and papers."""
    text = re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", text)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    text = re.sub(r"^((?: {4}\S.*\n?)+)", lambda match: _fence(match[1]), text, flags=re.MULTILINE)
    return re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def _fence(block: str) -> str:
    return "```text\n" + inspect.cleandoc(block) + "\n```\n"
