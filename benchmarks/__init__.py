"""Benchmarks of the library, run as ``python -m benchmarks NAME``.

The benchmarks are not part of the package: ``trio_realtime`` must not import them. Each benchmark is a
subpackage whose docstring says what it measures and compares; ``commands`` lists them.
"""

from __future__ import annotations
