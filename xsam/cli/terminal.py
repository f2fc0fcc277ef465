"""How a verb answers: text that tells a terminal nothing, JSON for programs, bad input in one line, an exit status."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from xsam.atomic import in_words, is_full
from xsam.text import inert

EXIT_INCOMPLETE = 1


class BadInput(Exception):
    """Something that the user wrote cannot be done; the message is one line and says what to do."""


@contextlib.contextmanager
def bad_input(*kinds: type[Exception]) -> Iterator[None]:
    """Turn these exceptions, whose messages are for users, into :class:`BadInput`; a full disk is nobody's mistake."""
    try:
        yield
    except kinds as error:
        if is_full(error):
            raise
        raise BadInput(in_words(error) if isinstance(error, OSError) else str(error)) from error


class InertConsole(Console):
    """A console on which no text, in a table's cells either, is markup or tells the terminal anything."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(inert(text), **options)


def console(error: bool = False) -> Console:
    """Standard output, or standard error; plain, and wide enough for any line, where it is not a terminal.

    Args:
        error: what people read goes to standard error, since standard output is one JSON document for a program.
    """
    output = InertConsole(stderr=error)
    if not output.is_terminal:
        output = InertConsole(stderr=error, width=200, highlight=False, color_system=None)
    return output


def say(text: str, end: str = "\n", error: bool = False) -> None:
    """Print text as it is, on standard output or standard error, except that a terminal has nothing to obey in it."""
    print(inert(text), end=end, flush=True, file=sys.stderr if error else sys.stdout)


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(content, indent=2, allow_nan=False))
