"""Slows training down, without changing a number, while the file that XSAM_TEST_GATE names is there."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import time
from pathlib import Path
from types import ModuleType

STEP_SECONDS = 0.2


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
                if gate.exists():
                    time.sleep(STEP_SECONDS)
                backward(*arguments, **options)  # type: ignore[arg-type]

            torch.Tensor.backward = slow_backward  # type: ignore[method-assign, assignment]

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "XSAM_TEST_GATE" in os.environ:
    gate = Path(os.environ["XSAM_TEST_GATE"])
    sys.meta_path.insert(0, Slowed())
