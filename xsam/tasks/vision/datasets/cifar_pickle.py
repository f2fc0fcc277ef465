"""CIFAR's pickled batches, read without trusting them: nothing in a file chooses code, memory or depth.

The unpickler is Python's own, written in Python, with the few opcodes that a dictionary of arrays, lists and texts
needs. NumPy's objects are stood in for by objects of this module, which check what they are told before an array is
made: NumPy itself would follow a crafted state of a dtype out of bounds.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from xsam.tasks.vision.canonical import Array

KINDS = {"u1": np.uint8, "i1": np.int8, "i2": np.int16, "i4": np.int32, "i8": np.int64}
_BYTE_ORDERS = ("|", "<", "=")
_MOST_TUPLES = 1000  # a batch has ten; each may hold the one before, and Python follows nested ones without a limit
_OPCODES = (
    *("PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG1"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
)
_TUPLES = ("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")


def read_batch(stream: IO[bytes], label_key: str, most_bytes: int) -> tuple[Array, Array]:
    """The images and labels of a batch, as they are in the file: uint8 of any shape, and integers.

    Args:
        label_key: key of the labels.
        most_bytes: a longer file is refused before it is read.

    Raises ``ValueError`` (one line) for whatever is no such batch.

    >>> batch = pickle.dumps({"data": np.zeros((2, 3), np.uint8), "labels": [0, 1]}, protocol=2)
    >>> [array.shape for array in read_batch(io.BytesIO(batch), "labels", 1000)]
    [(2, 3), (2,)]
    """
    content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"more than {most_bytes:,} bytes")
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        if not isinstance(batch, dict):
            raise ValueError(f"a {type(batch).__name__}, not a dictionary")
        data, labels = batch["data"], batch[label_key]
        if not isinstance(data, _Pickled):
            raise ValueError("no array of images")
        return data.array(), labels.array() if isinstance(labels, _Pickled) else _integers(labels)
    except (
        *(pickle.UnpicklingError, LookupError, TypeError, ValueError, AttributeError),
        *(EOFError, OverflowError, MemoryError, RecursionError, struct.error),
    ) as error:
        raise ValueError(_brief(error)) from None


def _integers(labels: object) -> Array:
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise ValueError("labels are not a list of integers")
    return np.array(labels, np.int64)


def _brief(error: Exception) -> str:
    """What is said of ``error``, on one line and without much of what the file chose."""
    words = " ".join((str(error) or type(error).__name__).split())
    return words if len(words) <= 200 else words[:200] + "…"


class _Dtype:
    """Stands for a ``numpy.dtype``: a kind out of ``KINDS``."""

    __slots__ = ("kind",)

    def __init__(self, code: str | bytes, align: int = 0, copy: int = 0) -> None:
        name = (code.decode("latin1") if isinstance(code, bytes) else str(code)).lstrip("".join(_BYTE_ORDERS))
        if name not in KINDS:
            raise ValueError(f"an array of {name[:20]!r}, not of bytes or integers")
        self.kind = np.dtype(KINDS[name])

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """NumPy's own has more than this to say only of kinds that are not taken here."""
        version, order, *rest = state
        if version not in (3, 4) or order not in _BYTE_ORDERS or rest[:3] != [None, None, None]:
            raise ValueError("a type of array that NumPy does not write")


class _Pickled:
    """Stands for a ``numpy.ndarray``."""

    __slots__ = ("_array",)

    def __init__(self, kind: object, shape: object, code: object) -> None:
        self._array: Array | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, by_columns, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
            raise ValueError("no array that NumPy writes")
        content = content.encode("latin1") if isinstance(content, str) else content
        size = math.prod(shape) * dtype.kind.itemsize
        if min(shape, default=0) < 0 or not isinstance(content, bytes) or len(content) != size:
            raise ValueError(f"an array of shape {_brief(ValueError(shape))} that has not its bytes")
        self._array = np.frombuffer(content, dtype.kind).reshape(shape, order="F" if by_columns else "C")

    def array(self) -> Array:
        if self._array is None:
            raise ValueError("an array without content")
        return self._array


class _Callable:
    """What a file may call; without attributes that it could set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call

    def __call__(self, *given: Any) -> object:
        return self._call(*given)

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, "_call"):
            raise AttributeError(name)
        super().__setattr__(name, value)


_ALLOWED = {
    ("numpy", "ndarray"): _Callable(lambda: None),
    ("numpy", "dtype"): _Callable(_Dtype),
    ("numpy.core.multiarray", "_reconstruct"): _Callable(_Pickled),
    ("numpy._core.multiarray", "_reconstruct"): _Callable(_Pickled),
    ("_codecs", "encode"): _Callable(lambda text, encoding: text.encode("latin1")),  # bytes in the protocol of Python 2
}


class _Unpickler(pickle._Unpickler):
    """Knows the opcodes of ``_OPCODES`` and calls what is ``_ALLOWED``."""

    tuples = 0

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]

    def _count_tuple(self) -> None:
        self.tuples += 1
        if self.tuples > _MOST_TUPLES:
            raise pickle.UnpicklingError(f"it has more than {_MOST_TUPLES:,} tuples")


def _counted(load: Callable[[Any], None]) -> Callable[[Any], None]:
    def counting(unpickler: _Unpickler) -> None:
        unpickler._count_tuple()
        load(unpickler)

    return counting


class _Opcodes(dict[int, Callable[[Any], None]]):
    def __missing__(self, code: int) -> Callable[[Any], None]:
        raise pickle.UnpicklingError(f"opcode {code:#04x}, which no batch needs")


def _dispatch() -> _Opcodes:
    known = pickle._Unpickler.dispatch
    codes = {name: getattr(pickle, name)[0] for name in (*_OPCODES, *_TUPLES)}
    return _Opcodes({code: _counted(known[code]) if name in _TUPLES else known[code] for name, code in codes.items()})


_Unpickler.dispatch = _dispatch()
