"""Names and what they stand for: the entries of this package, and those that plug-ins add while they are loaded.

Needs the standard library alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar

Entry = TypeVar("Entry")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_changes = 0


def changes() -> int:
    """How often any registry has changed in this process: what is derived from registries is kept by it."""
    return _changes


class Registry(MutableMapping[str, Entry], Generic[Entry]):
    """A mapping from names in grids to entries, each with its owner: a plug-in, or this package.

    Args:
        kind: what its entries are, for messages (``"optimizer"``).
        entries: those of this package.

    Example:
        >>> models = Registry("model", {"mlp": 1})
        >>> models.add("my_net", 2, owner="mine")
        >>> list(models), models.owner("my_net"), models.owner("mlp")
        (['mlp', 'my_net'], 'mine', None)
        >>> models.drop("mine")
        >>> list(models)
        ['mlp']
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._owners: dict[str, str] = {}
        self._lent: set[str] = set()

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __setitem__(self, name: str, entry: Entry) -> None:
        self._entries[name] = entry
        _changed()

    def __delitem__(self, name: str) -> None:
        del self._entries[name]
        self._owners.pop(name, None)
        _changed()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def owner(self, name: str) -> str | None:
        """The plug-in that added ``name``; None for an entry of this package, and for a name that is not there."""
        return self._owners.get(name)

    def add(self, name: str, entry: Entry, owner: str) -> None:
        """Add an entry of the plug-in ``owner``; raises ``ValueError`` where the name is taken."""
        if name in self._entries:
            taken = self.owner(name)
            whose = f"the plug-in {taken!r}'s" if taken else "xsam-bench itself's"
            if name in self._lent:
                whose = "in the data folder"
            raise ValueError(f"the {self.kind} {name!r} is {whose} already: choose another name")
        self[name] = entry
        self._owners[name] = owner

    def lend(self, name: str, entry: Entry) -> None:
        """Add an entry that this process found on its machine, until :meth:`take_back`; it has no owner.

        Raises ``ValueError`` where the name is taken.

        >>> data = Registry("data set", {"digits": 1})
        >>> data.lend("my_birds", 2)
        >>> list(data), data.owner("my_birds")
        (['digits', 'my_birds'], None)
        >>> data.take_back("my_birds")
        >>> list(data)
        ['digits']
        """
        if name in self._entries:
            taken = self.owner(name)
            whose = f"the plug-in {taken!r} has" if taken else "xsam-bench has"
            raise ValueError(f"{whose} a {self.kind} of the name {name!r} too: choose another one")
        self[name] = entry
        self._lent.add(name)

    def take_back(self, name: str) -> None:
        """Remove what was lent as ``name``; does nothing where it is not there."""
        if name in self._lent:
            self._lent.discard(name)
            del self[name]

    def drop(self, owner: str) -> None:
        """Remove the entries of the plug-in ``owner``."""
        for name in [name for name, whose in self._owners.items() if whose == owner]:
            del self[name]


class Over(Mapping[str, Entry], Generic[Entry]):
    """A registry in which some entries are others; what is added to the registry is seen here too.

    >>> list(Over({"b": 3}, Registry("base", {"a": 1, "b": 2})).items())
    [('a', 1), ('b', 3)]
    """

    def __init__(self, changed: Mapping[str, Entry], below: Mapping[str, Entry]) -> None:
        self._changed = changed
        self._below = below

    def __getitem__(self, name: str) -> Entry:
        return self._changed[name] if name in self._changed else self._below[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._below, *self._changed)))

    def __len__(self) -> int:
        return len({*self._below, *self._changed})


def _changed() -> None:
    global _changes
    _changes += 1


class Recorded:
    """What stored grids say of plug-ins that this process may not have loaded: enough to read their results.

    Attributes:
        methods: method → its tags, and whether it is a base alone.
        classes: data set → number of classes.
        parameters: parameter → its kind.
    """

    def __init__(self) -> None:
        self.methods: dict[str, tuple[tuple[str, ...], bool]] = {}
        self.classes: dict[str, int] = {}
        self.parameters: dict[str, str] = {}

    def take(self, record: Mapping[str, Any], kinds: Collection[str]) -> None:
        """Remember what ``grid.json`` keeps of a plug-in; raises ``ValueError`` where that is not as it was written.

        Args:
            record: of one plug-in.
            kinds: the kinds that a parameter may have.
        """
        before = (dict(self.methods), dict(self.classes), dict(self.parameters))
        for name, kind in record["parameters"].items():
            if not _NAME.fullmatch(name) or kind not in kinds:
                raise ValueError(f"no parameter {name!r} of the kind {kind!r}")
            self.parameters.setdefault(name, kind)
        for name, one in record["methods"].items():
            self.methods[str(name)] = (tuple(map(str, one["tags"])), one["alone"] is True)
        for name, count in record["classes"].items():
            self.classes[str(name)] = int(count)
        if before != (self.methods, self.classes, self.parameters):
            _changed()

    def clear(self) -> None:
        """Forget all of it."""
        for table in (self.methods, self.classes, self.parameters):
            table.clear()
        _changed()


recorded = Recorded()
