"""A page of every verb of the command: what ``--help`` says, as Markdown."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any

from typer.main import get_command

from xsam.cli.main import app
from xsam.cli.verbs import Verb

_HEAD = """# Verbs

What `xsam-bench VERB --help` says. The exit status is 0 when all runs are done or diverged, 1 when some failed or are
missing, 2 for bad input.
"""


def page() -> str:
    """The whole page.

    >>> "## xsam-bench plan" in page()
    True
    """
    return "\n".join([_HEAD, *_verbs(get_command(app), "xsam-bench")])


def _verbs(group: Any, name: str) -> Iterator[str]:
    for verb, named in sorted(group.commands.items()):
        command = named.load() if isinstance(named, Verb) else named
        if hasattr(command, "commands"):
            yield from _verbs(command, f"{name} {verb}")
        elif not command.hidden:
            implied = verb == getattr(group, "implied", None)  # a word that may be left out
            yield from _verb(command, name if implied else f"{name} {verb}")


def _verb(command: Any, name: str) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    yield f"## {name}\n"
    text, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
    yield f"{text.strip()}\n"
    yield f"```text\n{example.strip()}\n```\n"
    rows = [(_called(one), one.help) for one in arguments] + [(_spelt(one), _meaning(one)) for one in options]
    if rows:
        yield "| option | meaning |\n| --- | --- |"
        yield from (f"| `{left}` | {' '.join((right or '').split()).replace('|', '/')} |" for left, right in rows)
        yield ""


def _called(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _spelt(option: Any) -> str:
    if option.is_flag or option.name == "help":
        value = ""
    elif isinstance(option.default, Enum):
        value = " " + "/".join(str(one.value) for one in type(option.default))
    else:
        value = f" {option.metavar or ('VALUE' if isinstance(option.default, str) else 'N')}"
    return ", ".join((*option.opts, *option.secondary_opts)) + value


def _meaning(option: Any) -> str:
    default = option.default
    if option.is_flag or callable(default) or default in (None, "", [], ()) or not option.show_default:
        return str(option.help)
    return f"{option.help} Default: `{getattr(default, 'value', default)}`."
