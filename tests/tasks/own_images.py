"""The same small images as folders, npz file and parquet files, for tests of data sets of one's own."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Parts = Mapping[str, tuple[np.ndarray, np.ndarray]]  # part → images N×S×S×C and labels N
CLASSES = ("crow", "finch", "owl")
COUNTS = {"train": 30, "val": 9, "test": 12}  # images of each part, for those who do not care how many


def made(counts: Mapping[str, int], size: int = 8, channels: int = 3, seed: int = 0) -> dict[str, tuple]:
    """Images that a network can learn: every class has its brightness."""
    draw = np.random.default_rng(seed)
    found = {}
    for part, count in counts.items():
        labels = np.arange(count) % len(CLASSES)
        noise = draw.integers(0, 60, (count, size, size, channels))
        found[part] = ((80 * labels[:, None, None, None] + noise).astype(np.uint8), labels)
    return found


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0]).save(stream, kind)
    return stream.getvalue()


def write_folders(target: Path, parts: Parts, flat: bool = False, prefix: str = "") -> Path:
    for part, (images, labels) in parts.items():
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = (target if flat else target / part) / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{prefix}{part}{number}.png").write_bytes(encoded(image))
    return target


def write_npz(target: Path, parts: Parts) -> Path:
    arrays = {f"x_{part}": images for part, (images, _) in parts.items()}
    np.savez(target, **arrays, **{f"y_{part}": labels for part, (_, labels) in parts.items()})
    return target


def write_parquet(target: Path, parts: Parts, struct: bool = True) -> Path:
    """Files as Hugging Face data sets have them, two for each part."""
    target.mkdir(parents=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())]) if struct else pa.binary()
    features = {"image": {"_type": "Image"}, "label": {"names": list(CLASSES), "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    for part, (images, labels) in parts.items():
        named = {"val": "validation"}.get(part, part)
        for number, own in enumerate(np.array_split(np.arange(len(labels)), 2)):
            cells = [encoded(images[one]) for one in own]
            column = pa.array([{"bytes": cell, "path": "a.png"} for cell in cells] if struct else cells, kind)
            table = pa.table({"image": column, "label": pa.array(labels[own])}).replace_schema_metadata(about)
            pq.write_table(table, target / f"{named}-{number:05}-of-00002.parquet")
    return target
