"""Installs packages into an environment of their own."""

from __future__ import annotations

import sys
from functools import partial
from typing import Final

from benchmarks.environment import PythonEnvironment
from benchmarks.processes import run

_TIMEOUT: Final = 900.0


async def install(environment: PythonEnvironment, *requirements: str) -> None:
    """Create the environment if there is none, and install or upgrade the packages in it.

    Raises:
        CommandFailed: they cannot be installed.
    """
    directory = environment.directory
    directory.mkdir(parents=True, exist_ok=True)
    run_there = partial(run, cwd=directory, timeout=_TIMEOUT)
    await run_there([sys.executable, "-m", "venv", "."])
    pip = (environment.python, "-m", "pip", "--disable-pip-version-check", "--quiet")
    await run_there([*pip, "install", "--upgrade", *requirements])
