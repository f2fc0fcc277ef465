"""Injects a fault into workers: runs the Python file that XSAM_TEST_FAULT names, once ``xsam.runner.run`` is imported,
with that module as ``runner``. Without such a file, everything is as ever."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from pathlib import Path
from types import ModuleType


class Injected(importlib.abc.MetaPathFinder):
    """Runs the file after the module that trains runs, and so after torch."""

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != "xsam.runner.run":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if fault.exists():
                exec(compile(fault.read_text(), fault, "exec"), {"runner": module})

        spec.loader.exec_module = exec_module
        return spec


if "XSAM_TEST_FAULT" in os.environ:
    fault = Path(os.environ["XSAM_TEST_FAULT"])
    sys.meta_path.insert(0, Injected())
