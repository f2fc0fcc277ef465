"""Configuration as frozen dataclasses, in which everything about a parameter is said once, at its field.

    @dataclass(frozen=True, kw_only=True)
    class Cutout(Config):
        size: Annotated[int, Field("side of the square in pixels; 0: none", at_least=0, key="cutout")] = 0
        colour: Annotated[Literal["mean", "black"], Field("what fills it")] = "mean"

From a class's fields follow the checks of a grid and their messages (:meth:`Config.parameters`), the columns of stored
tables, the reference of the parameters in ``docs/``, and an object whose attributes have types (:meth:`Config.of`). A
field may be a configuration itself; all names in such a tree are different. Needs the standard library alone.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, Union, cast, get_args, get_origin, get_type_hints

from xsam.parameters import Parameter, Parameters, Value

_KINDS = {bool: "bool", int: "int", float: "float", str: "str"}
_LISTS = {int: "ints", str: "names"}


@dataclass(frozen=True)
class Field:
    """What a field's type does not say; stands in ``Annotated[type, Field(…)]``.

    Args:
        help: one line for documentation.
        at_least, above, at_most, below: limits of a number (of each, in a list).
        choices: the only texts allowed (for each, in a list), where ``Literal`` cannot list them.
        key: the parameter's name in grids, where that is not the field's.
        omit_at_default: see :class:`~xsam.parameters.Parameter`.
        unset: None means that another parameter decides, and is no value that a grid may give.
    """

    help: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    key: str = ""
    omit_at_default: bool = False
    unset: bool = False


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of configurations: every field has a default, and a value within its limits, in its own type.

    Raises:
        ParameterError: a value that is not valid.

    Example:
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Noise(Config):
        ...     level: Annotated[float, Field("share of the labels", at_least=0, at_most=1)] = 0
        >>> Noise(level=1), Noise.of({"level": 0.5, "lr": 3}), list(Noise.parameters())
        (Noise(level=1.0), Noise(level=0.5), ['level'])
        >>> Noise(level=2)
        Traceback (most recent call last):
        ...
        xsam.parameters.ParameterError: level must be at most 1, not 2
    """

    def __post_init__(self) -> None:
        for name, key, parameter in _declared(type(self)):
            value = getattr(self, name)
            if value is None and parameter.unset:
                continue
            typed = parameter.parse(key, value)
            if typed is not value:
                object.__setattr__(self, name, typed)

    @classmethod
    def parameters(cls) -> Mapping[str, Parameter]:
        """Every parameter by its name in grids, those of nested configurations among them, in the order of fields."""
        found: dict[str, Parameter] = {}
        own = {name: (key, parameter) for name, key, parameter in _declared(cls)}
        nested = dict(_nested(cls))
        for each in dataclasses.fields(cls):
            if each.name in own:
                key, parameter = own[each.name]
                found[key] = parameter
            elif each.name in nested:
                found |= nested[each.name].parameters()
        return found

    @classmethod
    def of(cls, params: Parameters, **others: Any) -> Self:
        """The configuration with the values that ``params`` has for its fields; other entries are ignored.

        Args:
            params: values by the parameters' names in grids; what is absent has its default.
            others: fields that are no parameters, by their own names.
        """
        own: dict[str, Any] = {name: params[key] for name, key, _ in _declared(cls) if key in params}
        nested: dict[str, Any] = {name: kind.of(params) for name, kind in _nested(cls) if name not in others}
        if nested or others:
            return cls(**own, **nested, **others)
        # Most of ten thousand runs have the same few parts. Types count, since 1, 1.0 and True are equal.
        key = (cls, tuple(own), tuple(map(repr, own.values())))
        if key not in _SHARED:
            if len(_SHARED) >= MOST_SHARED:
                _SHARED.clear()
            _SHARED[key] = cls(**own)
        return cast(Self, _SHARED[key])

    def values(self) -> dict[str, Value]:
        """Its values, and those of nested configurations, by the parameters' names; what is unset is left out."""
        found: dict[str, Value] = {}
        for name, key, parameter in _declared(type(self)):
            value = getattr(self, name)
            if value is not None or not parameter.unset:
                found[key] = value
        for name, _ in _nested(type(self)):
            found |= getattr(self, name).values()
        return found


MOST_SHARED = 4096
_SHARED: dict[tuple[object, ...], Config] = {}
_DECLARED: dict[type, tuple[tuple[str, str, Parameter], ...]] = {}
_NESTED: dict[type, tuple[tuple[str, type[Config]], ...]] = {}


def _declared(cls: type[Config]) -> tuple[tuple[str, str, Parameter], ...]:
    """Name, parameter's name and parameter of each field that is one."""
    if cls not in _DECLARED:
        _DECLARED[cls] = tuple(_parameters(cls))
    return _DECLARED[cls]


def _parameters(cls: type[Config]) -> Iterator[tuple[str, str, Parameter]]:
    hints = get_type_hints(cls, include_extras=True)
    for each in dataclasses.fields(cls):
        hint = hints[each.name]
        marked = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        known = next((mark for mark in marked if isinstance(mark, Field)), None)
        if known is not None:
            yield (
                each.name,
                known.key or each.name,
                _parameter(f"{cls.__name__}.{each.name}", hint, known, each.default),
            )


def _nested(cls: type[Config]) -> tuple[tuple[str, type[Config]], ...]:
    """Name and class of each field that is a configuration itself."""
    if cls not in _NESTED:
        hints = get_type_hints(cls)
        kinds = ((each.name, hints[each.name]) for each in dataclasses.fields(cls))
        _NESTED[cls] = tuple(
            (name, kind) for name, kind in kinds if isinstance(kind, type) and issubclass(kind, Config)
        )
    return _NESTED[cls]


def _parameter(where: str, hint: Any, known: Field, default: Any) -> Parameter:
    plain, nullable = _without_none(get_args(hint)[0])
    choices = known.choices
    if get_origin(plain) is Literal:
        kind, choices = "str", get_args(plain)
    elif get_origin(plain) is tuple and get_args(plain)[1:] == (...,) and get_args(plain)[0] in _LISTS:
        kind = _LISTS[get_args(plain)[0]]
    elif plain in _KINDS:
        kind = _KINDS[plain]
    else:
        raise TypeError(f"{where}: a parameter is a number, a flag, a text or a list of numbers or texts, not {plain}")
    if default is dataclasses.MISSING:
        raise TypeError(f"{where} needs a default")
    return Parameter(
        kind,
        float(default) if kind == "float" and default is not None else default,
        at_least=known.at_least,
        above=known.above,
        at_most=known.at_most,
        below=known.below,
        choices=choices,
        nullable=nullable and not known.unset,
        omit_at_default=known.omit_at_default,
        unset=known.unset,
        help=known.help,
    )


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    others = [each for each in get_args(hint) if each is not types.NoneType]
    return (others[0] if len(others) == 1 else hint), len(others) < len(get_args(hint))
