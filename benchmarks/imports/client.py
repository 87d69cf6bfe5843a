"""Imports one module: ``python -m benchmarks.imports.client MODULE``.

The program prints its figures as one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import sys

from benchmarks.memory_usage import resident_bytes
from benchmarks.stopwatch import Stopwatch


def main(module: str) -> None:
    """Import a module, and print what that took."""
    modules, memory = len(sys.modules), resident_bytes()
    watch = Stopwatch()
    importlib.import_module(module)
    figures = {
        "cpu": watch.cpu(),
        "wall": watch.wall(),
        "modules": len(sys.modules) - modules,
        "memory": resident_bytes() - memory,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
