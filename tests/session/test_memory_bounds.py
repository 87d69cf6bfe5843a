"""Each bound is pushed ten times over in a process of its own: memory grows by at most twice the bound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.bounds_program import PROGRAMS

pytestmark = pytest.mark.slow

SMALL = 1024 * 1024
"""What Python and its allocator need for anything."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_ten_times_a_bound_costs_at_most_twice_the_bound(name: str, repository: Path) -> None:
    path = os.pathsep.join([str(repository), str(repository / "tests")])
    done = subprocess.run(
        [sys.executable, str(repository / "tests" / "support" / "bounds_program.py"), name],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["outcome"] == PROGRAMS[name][1]
    assert report["grown"] <= 2 * report["bound"] + SMALL
