"""Run the Python files in a folder, each in a process of its own, several at a time.

For ``x.py``, this writes ``x.out`` and ``x.err``, what the program printed, and ``x.status``, its exit status, which is
negative if a signal ended it. The processes are forks of this one, so each saves the time to import the library. ::

    python tests/support/run_programs.py FOLDER
"""

from __future__ import annotations

import gc
import os
import runpy
import signal
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

from trio_realtime import LocalServerWarning

PRELOADED = ("trio_realtime.local", "trio_realtime.testing")
# More than cores: some programs wait in real time.
PROCESSES = 6
SECONDS = 45
"""After this time, a program is ended by ``SIGALRM``."""


def main(folder: Path) -> None:
    """Run all programs. In each child, return when its program has ended."""
    running: dict[int, Path] = {}
    for module in PRELOADED:
        import_module(module)
    gc.freeze()  # garbage collection in a child must not copy the memory of this process
    for program in sorted(folder.glob("*.py")):
        if len(running) == PROCESSES:
            wait_for_one(running)
        pid = os.fork()
        if pid == 0:
            run(program)
            return
        running[pid] = program
    while running:
        wait_for_one(running)


def wait_for_one(running: dict[int, Path]) -> None:
    """Wait until one of the processes has ended, and write its exit status."""
    pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    running.pop(pid).with_suffix(".status").write_text(str(code))


def run(program: Path) -> None:
    """Run a program as Python would: as ``__main__``, in an empty folder, with its output in files."""
    for descriptor, suffix in ((1, ".out"), (2, ".err")):
        with program.with_suffix(suffix).open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    signal.alarm(SECONDS)
    warnings.simplefilter("error")
    warnings.simplefilter("default", LocalServerWarning)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path[0] = folder
        sys.argv = [str(program)]
        runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
