"""Options of an optimizer, declared once in its class body, and what follows from them.

    class ASAM(MultiStepMethod):
        eta: float = option(default=0.01, at_least=0, help="added to the weights' sizes")

gives the class a keyword ``eta`` with a default and a check, a line in its docstring and its ``repr``, and the
optimizer in grids a parameter ``eta``. Type checkers see the constructor too (``typing.dataclass_transform``).

A grid is planned without importing torch, and importing a class would import it; so :func:`parameters_of` reads the
declarations from the class's source text. They have to be literals for that.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.abc import InspectLoader
from importlib.util import find_spec
from typing import Any, ClassVar, dataclass_transform

from xsam.parameters import Parameter, nearest

_KINDS = ("float", "int", "bool", "str")
_REQUIRED: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Option:
    """A declared keyword, see :func:`option`; ``parameter`` is None where its values are neither numbers nor words."""

    default: Any
    kw_only: bool
    grid: bool
    help: str
    limits: Mapping[str, Any]
    parameter: Parameter | None = None

    def of_type(self, annotation: str) -> Option:
        """The option with the parameter that ``annotation``, the text beside its name, makes of it."""
        kind, choices, nullable = _type_of(annotation)
        if kind is None:
            return self
        parameter = Parameter(
            kind, self.default, choices=choices, nullable=nullable, help=_one_line(self.help), **self.limits
        )
        return replace(self, parameter=parameter)


def option(
    *, default: Any = _REQUIRED, kw_only: bool = True, grid: bool = True, help: str = "", **limits: float | bool
) -> Any:
    """Declare a keyword of the constructor, in the body of a class, as the default of an annotated name.

    Args:
        default: its value where none is given; without one the keyword is required.
        kw_only: whether it can be given by its name alone.
        grid: whether grids have a parameter of this name.
        help: for the docstring, and its first sentence for grids.
        limits: ``at_least``, ``above``, ``at_most``, ``below`` and ``omit_at_default`` of
            :class:`~xsam.parameters.Parameter`.
    """
    return Option(default, kw_only, grid, help, limits)


@dataclass_transform(kw_only_default=True, field_specifiers=(option,))
class Declared:
    """The constructor of classes that declare their options: takes, checks and sets those of the class and its bases.

    Then it calls ``_prepare``, for what the class does beyond that. A class may have a constructor of its own, too.
    """

    __signature__: ClassVar[inspect.Signature]
    _options: ClassVar[Mapping[str, Option]] = {}
    _shared: ClassVar[frozenset[str]] = frozenset()  # those of the root of the family, which are shown last

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Option)}
        for name in own:
            delattr(cls, name)
        typed = {name: value.of_type(_text(cls.__annotations__[name])) for name, value in own.items()}
        cls._options = {**cls._options, **typed}
        if Declared in cls.__bases__:
            cls._shared = frozenset(typed)
        if "__init__" not in vars(cls):
            shown = dict(
                sorted(cls._options.items(), key=lambda item: item[1].kw_only * (1 + (item[0] in cls._shared)))
            )
            cls.__signature__ = _signature(shown)  # what help() shows
            cls.__doc__ = _with_arguments(cls.__doc__ or "", shown)

    def __init__(self, *positional: Any, **named: Any) -> None:
        for name, value in self._bound(positional, named).items():
            parameter = self._options[name].parameter
            setattr(self, name, value if parameter is None else parameter.parse(name, value))
        self._prepare()

    def _prepare(self) -> None:
        """Check what options mean together, and set up what a step needs."""

    def _bound(self, positional: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        """Every option and its value, defaults included."""
        unknown = next((name for name in named if name not in self._options), None)
        kind = type(self).__name__
        if unknown is not None:
            raise TypeError(f"{kind} has no option {unknown!r}{nearest(unknown, self._options)}")
        try:
            bound = _signature(self._options).bind(*positional, **named)
        except TypeError as error:
            raise TypeError(f"{kind}: {error}") from None
        bound.apply_defaults()
        return bound.arguments


def parameters_of(target: str | type[Declared]) -> dict[str, Parameter]:
    """The parameters that grids have for the class ``"module:Class"``, by name, its bases' first; nothing is imported.

    Of a class that is there already, the same; its declarations need no literals.

    Raises:
        ValueError: a declaration that is not a literal, or whose type is no number, flag or word.

    Example:
        >>> list(parameters_of("xsam.optim.asam:ASAM"))
        ['rng', 'rho', 'ascent_steps', 'eta']
    """
    parameters = {}
    options = _declared(target) if isinstance(target, str) else target._options
    for name, declared in options.items():
        if declared.grid:
            if declared.parameter is None:
                raise ValueError(f"{target}: the option {name} is no number, flag or word: declare it with grid=False")
            parameters[name] = declared.parameter
    return parameters


@lru_cache
def _declared(target: str) -> Mapping[str, Option]:
    module, _, name = target.partition(":")
    tree = _parsed(module)
    origins = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise ValueError(f"{module} has no class {name}{nearest(name, classes)}")
    options: dict[str, Option] = {}
    for base in reversed(classes[name].bases):
        if isinstance(base, ast.Name):
            origin = f"{module}:{base.id}" if base.id in classes else origins.get(base.id, "")
            if origin.startswith(f"{__package__.partition('.')[0]}."):
                options |= _declared(origin)
    return options | dict(_own(classes[name], module))


@lru_cache
def _parsed(module: str) -> ast.Module:
    spec = find_spec(module)
    loader = None if spec is None else spec.loader
    source = loader.get_source(module) if isinstance(loader, InspectLoader) else None
    if source is None:
        raise ValueError(f"the source of {module} is not to be found: its options are read from there")
    return ast.parse(source)


def _own(node: ast.ClassDef, module: str) -> Iterator[tuple[str, Option]]:
    """The options that one class body declares."""
    for statement in node.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        call, name = statement.value, statement.target.id
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != option.__name__:
            continue
        try:
            given = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
        except ValueError:
            raise ValueError(
                f"{module}:{call.lineno}: the option {name} is read without running the module: use literals"
            ) from None
        yield name, option(**given).of_type(ast.unparse(statement.annotation))


def _type_of(annotation: str) -> tuple[str | None, tuple[str, ...], bool]:
    """Kind, choices and whether None is a value, as :class:`Parameter` has them; no kind for other types.

    >>> _type_of("float | None"), _type_of("Literal['a', 'b']"), _type_of("nn.Module")
    (('float', (), True), ('str', ('a', 'b'), False), (None, (), False))
    """
    parts = [part.strip().removeprefix("typing.") for part in annotation.split("|")]
    nullable = "None" in parts
    (kind, *others) = [part for part in parts if part != "None"] or [""]
    if kind in _KINDS and not others:
        return kind, (), nullable
    if kind.startswith("Literal[") and not others:
        words = ast.literal_eval(f"({kind.removeprefix('Literal[').removesuffix(']')},)")
        return "str", tuple(words), nullable
    return None, (), nullable


def _text(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _signature(options: Mapping[str, Option]) -> inspect.Signature:
    kinds = {True: inspect.Parameter.KEYWORD_ONLY, False: inspect.Parameter.POSITIONAL_OR_KEYWORD}
    parameters = [inspect.Parameter(name, kinds[each.kw_only], default=each.default) for name, each in options.items()]
    return inspect.Signature(sorted(parameters, key=lambda parameter: parameter.kind))


def _with_arguments(text: str, options: Mapping[str, Option]) -> str:
    """A docstring with a section of arguments, before the other sections."""
    text = inspect.cleandoc(text)
    lines = ["Args:"]
    for name, each in options.items():
        default = "" if each.default is _REQUIRED else f" Default: {each.default!r}."
        entry = f"{name}: {each.help.rstrip('.')}.{default}"
        lines += textwrap.wrap(entry, 112, initial_indent=" " * 4, subsequent_indent=" " * 8)
    section = "\n".join(lines)
    starts = [text.find(f"\n{title}:\n") for title in ("Attributes", "Raises", "Example")]
    start = min((start for start in starts if start >= 0), default=len(text))
    return f"{text[:start].rstrip()}\n\n{section}\n{text[start:]}"


def _one_line(help: str) -> str:
    return " ".join(help.split()).partition(". ")[0].rstrip(".")
