"""Records for TensorBoard: a folder a run, with one file of events.

tensorboard --logdir results-tracking/tensorboard
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from xsam.track import TrackedRun, file_name


class TensorBoard:
    """Writes the file of events anew at every start, with all epochs so far: no epoch stands in it twice.

    Events are written at once, in this thread: TensorBoard's own writer has one of its own, whose errors are lost.
    """

    libraries = ("tensorboard",)

    def __init__(self, place: Path, grid: str) -> None:
        self._folder = place / grid
        self._folder.mkdir(exist_ok=True)
        self._events: Any = import_module("tensorboard.compat.proto.event_pb2")
        self._summaries: Any = import_module("tensorboard.compat.proto.summary_pb2")
        self._tensors: Any = import_module("tensorboard.compat.proto.tensor_pb2")
        self._writer: Any = None
        self._last = 0

    def start(self, run: TrackedRun) -> None:
        folder = self._folder / file_name(run)
        folder.mkdir(exist_ok=True)
        former = list(folder.glob("events.out.tfevents.*"))
        file = (folder / f"events.out.tfevents.{int(time.time()):010d}.{uuid.uuid4().hex}").open("wb")
        self._writer = import_module("tensorboard.summary.writer.record_writer").RecordWriter(file)
        self._write(file_version="brain.Event:2")
        # A TensorBoard that has read the former file forgets its points at this.
        self._write(step=0, session_log=self._events.SessionLog(status=self._events.SessionLog.START))
        self._text("parameters", json.dumps(dict(run.params), indent=1, sort_keys=True, default=str))
        self._writer.flush()
        for path in former:
            path.unlink(missing_ok=True)

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._last = epoch
        self._scalars(metrics)
        self._writer.flush()

    def finish(self, status: str, metrics: Mapping[str, float]) -> None:
        self._text("status", status)
        self._scalars(metrics)
        self._writer.close()

    def _scalars(self, metrics: Mapping[str, float]) -> None:
        values = [self._summaries.Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        if values:
            self._write(step=self._last, summary=self._summaries.Summary(value=values))

    def _text(self, tag: str, text: str) -> None:
        kind = self._summaries.SummaryMetadata.PluginData(plugin_name="text")
        value = self._summaries.Summary.Value(
            tag=f"{tag}/text_summary",
            metadata=self._summaries.SummaryMetadata(plugin_data=kind),
            tensor=self._tensors.TensorProto(dtype="DT_STRING", string_val=[f"```\n{text}\n```".encode()]),
        )
        self._write(step=self._last, summary=self._summaries.Summary(value=[value]))

    def _write(self, **content: Any) -> None:
        self._writer.write(self._events.Event(wall_time=time.time(), **content).SerializeToString())
