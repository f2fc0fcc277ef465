"""The first moments of the command, before it answers by itself."""

from __future__ import annotations

import signal
import subprocess
import sys

PRESSED = """
import os, signal, sys

class Pressed:
    def find_spec(self, name, *rest):
        if name == "xsam.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Pressed())
from xsam.cli.entry import main
main()
"""


def test_ctrl_c_while_modules_load_ends_it_without_a_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", PRESSED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")
