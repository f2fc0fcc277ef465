"""Where the command ``xsam-bench`` begins: one line where the library was installed without the harness."""

from __future__ import annotations

import gc
import signal
import sys

# What the extra ``bench`` installs, by the names that it is imported by.
HARNESS = frozenset(
    {
        "jinja2",
        "markupsafe",
        "matplotlib",
        "numpy",
        "pandas",
        "plotly",
        "pyarrow",
        "rich",
        "scipy",
        "sklearn",
        "submitit",
        "timm",
        "torchvision",
        "typer",
        "yaml",
    }
)


def main() -> None:
    """Run the command; exit status 2, and how to install it, where a library of the harness is missing."""
    try:
        gc.disable()  # modules are made to stay: looking through them for garbage is a twentieth of a short command
        try:
            from xsam.cli import main as command
        finally:
            gc.enable()
        command.main()
    except KeyboardInterrupt:  # while its modules load; later the command answers by itself
        sys.exit(128 + signal.SIGINT)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in HARNESS:
            raise
        print(
            f"xsam-bench: {missing} is not installed: the command needs the extra 'bench' "
            "(pip install 'xsam-bench[bench]'); the library 'xsam' works without it",
            file=sys.stderr,
        )
        sys.exit(2)
