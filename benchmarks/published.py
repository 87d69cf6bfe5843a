"""The runs whose figures the documentation shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RUNS: Final[Mapping[str, str]] = {
    "burst": "burst",
    "lock": "duplex",
    "lock-tls": "duplex --tls",
    "lock-100-ms": "duplex --frame-ms 100 --repeat 3",
    "paced": "duplex --mode paced --sessions 100 --frames 250 --repeat 3",
    "capacity": "capacity --sessions 50,75,100,125,150,175,200,225 --repeat 2",
    "interruption": "interruption",
    "tools": "tools",
    "lifecycle": "lifecycle",
    "memory": "memory",
    "growth": "growth",
    "consumers": "consumers --repeat 2",
    "imports": "imports",
}
"""The arguments of ``python -m benchmarks``, by the name of the file of results."""
