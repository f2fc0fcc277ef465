"""Images in parquet files, as Hugging Face data sets have them: a column of encoded images, and one of labels."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xsam.parameters import nearest
from xsam.tasks.data import Report
from xsam.tasks.vision.canonical import Array
from xsam.tasks.vision.own.pixels import Shapes, header, pixels
from xsam.tasks.vision.own.source import TRAIN, Label, part_called

_PATTERNS = ("*.parquet", "*/*.parquet", "*/*/*.parquet")
_IMAGE_NAMES, _LABEL_NAMES = ("image", "img"), ("label", "labels")
_ROWS = 64  # read at a time: of images, encoded


@dataclass
class Tables:
    """The images of parquet files; see :class:`~xsam.tasks.vision.own.source.Source`."""

    place: Path
    files: dict[str, list[Path]]
    image: str
    labels: dict[str, Sequence[Label]]
    class_names: Sequence[str] = ()
    notes: Sequence[str] = ()

    @classmethod
    def of(cls, place: Path, image: str | None, label: str | None) -> Tables:
        """The images of the file ``place``, or of the files below the folder.

        Args:
            image, label: names of the columns; None: found by their names and types.

        Raises ``ValueError`` (one line) for files without them, and for labels that are missing.
        """
        files = _parts(place)
        first = next(iter(files.values()))[0]
        with _reading(first):
            schema = pq.ParquetFile(first).schema_arrow
        image_column = _column(schema, image, _IMAGE_NAMES, _holds_images, "images", "--image", first)
        label_column = _column(schema, label, _LABEL_NAMES, _holds_labels, "labels", "--label", first)
        labels: dict[str, Sequence[Label]] = {}
        labels |= {
            part: [one for path in paths for one in _labels(path, label_column)] for part, paths in files.items()
        }
        return cls(place, files, image_column, labels, _class_names(schema, label_column))

    def shapes(self, report: Report) -> Shapes:
        """See :meth:`Source.shapes`."""
        found, total, count = Shapes(), sum(map(len, self.labels.values())), 0
        for part in self.files:
            for encoded, place in self._encoded(part):
                found.take(*header(io.BytesIO(encoded), place))
                count += 1
                report("looking at images", count, total)
        return found

    def images(self, part: str, channels: int) -> Iterator[Array]:
        """See :meth:`Source.images`."""
        for encoded, place in self._encoded(part):
            yield pixels(io.BytesIO(encoded), place, channels)

    def _encoded(self, part: str) -> Iterator[tuple[bytes, str]]:
        """The bytes of each image, and where they are, for messages. A path beside them is not followed."""
        for path in self.files[part]:
            for row, value in enumerate(_values(path, self.image)):
                encoded = value.get("bytes") if isinstance(value, dict) else value
                if not isinstance(encoded, bytes):
                    raise ValueError(f"{path}: row {row} has no bytes of an image in the column {self.image!r}")
                yield encoded, f"{path}: row {row}"


def parquet_files(folder: Path) -> list[Path]:
    """The parquet files in ``folder`` and in the two levels below it."""
    return sorted(path for pattern in _PATTERNS for path in folder.glob(pattern) if path.is_file())


def _parts(place: Path) -> dict[str, list[Path]]:
    paths = [place] if place.is_file() else parquet_files(place)
    found: dict[str, list[Path]] = {}
    unknown: list[Path] = []
    for path in paths:
        part = part_called(path.stem) or (None if path == place else part_called(path.parent.name))
        if part is None:
            unknown.append(path)
        else:
            found.setdefault(part, []).append(path)
    if unknown and found:
        other = next(iter(found.values()))[0].name
        raise ValueError(
            f"{unknown[0]}: its name says neither train, val nor test, and that of {other} does; take it out of the "
            "folder, or rename it"
        )
    return found or {TRAIN: unknown}


def _column(
    schema: pa.Schema,
    given: str | None,
    usual: Sequence[str],
    fits: Callable[[pa.DataType], bool],
    what: str,
    option: str,
    path: Path,
) -> str:
    if given is not None:
        if given not in schema.names:
            raise ValueError(f"{path}: no column {given!r}{nearest(given, schema.names)}")
        if not fits(schema.field(given).type):
            raise ValueError(f"{path}: the column {given!r} of {schema.field(given).type} holds no {what}")
        return given
    able = [one.name for one in schema if fits(one.type)]
    preferred = [name for name in able if name in usual] or able
    if len(preferred) == 1:
        return str(preferred[0])
    if not preferred:
        raise ValueError(f"{path}: no column of {what}; its columns are {', '.join(schema.names)}")
    raise ValueError(f"{path}: each of {', '.join(preferred)} may be the column of {what}: name it with {option}")


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_images(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_labels(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_labels(kind.value_type)
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """The names of the labels 0, 1, … that a Hugging Face data set tells in its schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
        return tuple(names) if all(isinstance(name, str) for name in names) else ()
    except (KeyError, TypeError, ValueError):
        return ()


def _labels(path: Path, column: str) -> list[Label]:
    labels: list[Label] = []
    for value in _values(path, column, 1 << 16):
        if value is None:
            raise ValueError(f"{path}: row {len(labels)} has no label in the column {column!r}")
        labels.append(value)
    return labels


def _values(path: Path, column: str, rows: int = _ROWS) -> Iterator[Any]:
    with _reading(path):
        file = pq.ParquetFile(path)
        if column not in file.schema_arrow.names:
            raise ValueError(f"no column {column!r}")
        for batch in file.iter_batches(batch_size=rows, columns=[column]):
            yield from batch.column(0).to_pylist()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: cannot be read as parquet ({words})") from None
