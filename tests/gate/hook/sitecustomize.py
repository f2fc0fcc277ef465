"""Lets processes wait where a test wants them, while there is the file ``closed`` in the folder XSAM_TEST_GATE.

See :class:`tests.gate.Gate`, which writes that file. A process that waits says so by a file in the folder ``held``.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import sys
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any

POLL_SECONDS = 0.02


def closed() -> dict[str, Any]:
    """Where processes are to wait; nothing while the gate is open, or once the test that closed it is gone."""
    try:
        found: dict[str, Any] = json.loads((gate / "closed").read_text())
    except FileNotFoundError:
        return {}
    return found if Path(f"/proc/{found['by']}").exists() else {}


def wait(name: str, shut: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait while ``shut``, with a file of this name and process in the folder ``held``."""
    if not shut():
        return
    mark = gate / "held" / f"{name}.{os.getpid()}"
    mark.touch()
    while shut():
        time.sleep(POLL_SECONDS)
        meanwhile()
    mark.unlink()


def at_a_step(step_done: Callable[..., None]) -> Callable[..., None]:
    """Wait after a step: the loop has not yet asked whether to stop or to save."""

    def patched(self: Any, position: Any, loss: Any) -> None:
        run_id = self.identity.run_id

        def shut() -> bool:
            where = closed()
            if "step" not in where or run_id in where["passing"]:
                return False
            return (position.epoch, position.step) >= (where["epoch"], where["step"]) and (
                where["deaf"] or not self.stop.requested
            )

        step_done(self, position, loss)
        wait(run_id, shut, lambda: step_done(self, position, loss))  # progress is told in it

    return patched


def at_an_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Wait before a file is renamed or removed."""
    if event in ("os.rename", "os.remove"):
        wait(event, lambda: closed().get("event") == event and fnmatch(str(arguments[0]), closed().get("path", "*")))


class Patched(importlib.abc.MetaPathFinder):
    """Patches what the training loop reports to once it is imported, so that nothing is imported sooner."""

    def find_spec(self, name: str, path: Any, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != "xsam.runner.callbacks":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for one in (module.Follower, module.Leader):
                one.step_done = at_a_step(one.step_done)

        spec.loader.exec_module = exec_module
        return spec


if "XSAM_TEST_GATE" in os.environ:
    gate = Path(os.environ["XSAM_TEST_GATE"])
    sys.meta_path.insert(0, Patched())
    sys.addaudithook(at_an_event)
