"""The configuration of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.{before})
runpy.run_path(sys.argv[1])["pytest_configure"]()
print(signal.getsignal(signal.SIGINT) is signal.{after})
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [("SIG_IGN", "default_int_handler"), ("SIG_DFL", "SIG_DFL")],
)
def test_sigint_is_not_ignored_in_tests(before: str, after: str) -> None:
    """A shell without job control starts its background processes with SIGINT ignored."""
    program = PROGRAM.format(before=before, after=after)
    conftest = Path(__file__).with_name("conftest.py")
    done = subprocess.run(
        [sys.executable, "-c", program, str(conftest)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "True\n"
