"""Follows a page from top to bottom in the working folder, as a reader would: python -m tests.docs.follow PAGE."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.docs.pages import blocks


def follow(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, block in enumerate(one for one in blocks(page) if one.does_something):
        print(f"--- {page.name}:{block.line}", flush=True)
        if block.title is not None:
            Path(block.title).write_text(block.code, encoding="utf-8")
        elif block.language == "sh":
            subprocess.run(["bash", "-euo", "pipefail", "-c", block.code], check=True)
        else:
            file = Path(f".block-{number}.py").resolve()  # where torch.compile and tracebacks look for the source
            file.write_text(block.code, encoding="utf-8")
            exec(compile(block.code, str(file), "exec"), namespace)


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
