"""Work on many lines by several processes.

Each is an interpreter that is started for it. ``multiprocessing`` would not do: its processes import the program that
started them anew, so that a script without ``if __name__ == "__main__"`` would run itself again; and forked ones would
have threads of torch that stand still.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

CHUNK = 2_000  # lines that a process takes at a time
START = "import sys; sys.path[:] = sys.argv[1:]; from xsam.tasks.translation.parallel import serve; serve()"

Lines = Sequence[str]
Function = Callable[[Lines], list[str]]


def in_parallel(function: Function, lines: Lines) -> list[str]:
    """``function(lines)`` for a function that treats every line for itself, on all cores where that pays.

    ``function`` must be picklable, and not be of the script that runs. Raises what it raises, and ``RuntimeError``
    where a process dies, for lack of memory say.
    """
    chunks = [lines[start : start + CHUNK] for start in range(0, len(lines), CHUNK)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = min(cores, len(chunks))
    if count < 2:
        return list(chain.from_iterable(map(function, chunks)))
    processes: list[subprocess.Popen[bytes]] = []
    with ThreadPoolExecutor(count) as pool:
        try:
            for _ in range(count):
                command = [sys.executable, "-c", START, *sys.path]
                processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            shares = list(pool.map(_ask, processes, [(function, chunks[first::count]) for first in range(count)]))
        finally:
            for process in processes:  # those that are over take no notice
                process.kill()
    return list(chain.from_iterable(shares[each % count][each // count] for each in range(len(chunks))))


def _ask(process: subprocess.Popen[bytes], share: tuple[Function, list[Lines]]) -> list[list[str]]:
    answer, _ = process.communicate(pickle.dumps(share))
    if process.returncode:
        raise RuntimeError(f"a process that worked on lines of text died (exit status {process.returncode})")
    found: list[list[str]] | Exception = pickle.loads(answer)
    if isinstance(found, Exception):
        raise found
    return found


def serve() -> None:
    """In the process: do what standard input asks for, and write what came of it to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C asks every process of the terminal; one of them says so
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)  # what libraries print is no answer
        function, chunks = pickle.load(sys.stdin.buffer)
        found: list[list[str]] | Exception
        try:
            found = [function(lines) for lines in chunks]
        except Exception as error:
            found = error
        pickle.dump(found, output)
