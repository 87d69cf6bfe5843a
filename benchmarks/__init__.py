"""Benchmarks of the library, run as ``python -m benchmarks NAME``.

No part of the package: nothing in ``trio_realtime`` may import from here. Each benchmark is a folder
that says in its docstring what it measures and against what; ``commands`` lists them.
"""

from __future__ import annotations
