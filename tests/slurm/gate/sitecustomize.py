"""Slows training down, without changing a number, while there is a file that XSAM_TEST_GATE names: it holds the seconds
that each step takes longer."""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import os
import sys
import time
from pathlib import Path
from types import ModuleType


class Slowed(importlib.abc.MetaPathFinder):
    """Patches torch once the training loop is imported, so that nothing imports it sooner than without the gate."""

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != "xsam.runner.loop":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            import torch

            backward = torch.Tensor.backward

            def slow_backward(*arguments: object, **options: object) -> None:
                with contextlib.suppress(FileNotFoundError):
                    time.sleep(float(gate.read_text()))
                backward(*arguments, **options)  # type: ignore[arg-type]

            torch.Tensor.backward = slow_backward  # type: ignore[method-assign, assignment]

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "XSAM_TEST_GATE" in os.environ:
    gate = Path(os.environ["XSAM_TEST_GATE"])
    sys.meta_path.insert(0, Slowed())
