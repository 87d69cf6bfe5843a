"""Servers in child processes that print a line when they are ready."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from benchmarks.processes import CommandFailed

_START_TIMEOUT = 120.0


@attrs.frozen
class RunningServer:
    """A server process.

    Attributes:
        ready: what the first group of the pattern matched.
        output: the lines that the process has printed so far.
    """

    ready: str
    output: Sequence[str]


@asynccontextmanager
async def run_server(
    command: Sequence[str], pattern: str, *, cwd: Path, env: Mapping[str, str] | None = None
) -> AsyncGenerator[RunningServer]:
    """Run a server for the duration of the block. It is ready when a line matches ``pattern``.

    Raises:
        ExceptionGroup: with :exc:`CommandFailed` if it ended or did not get ready, or with what the
            block raised.
    """
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            cwd=cwd,
            env=env,
        )
        process: trio.Process = await nursery.start(start)
        output: list[str] = []
        ready: str = await nursery.start(_read, process, re.compile(pattern), output)
        yield RunningServer(ready, output)
        nursery.cancel_scope.cancel(reason="the server is no longer needed")


async def _read(
    process: trio.Process,
    pattern: re.Pattern[str],
    output: list[str],
    task_status: trio.TaskStatus[str],
) -> None:
    """Collect the lines that the process prints. Started when one matches the pattern."""
    assert process.stdout is not None
    rest = b""
    is_ready = False
    with trio.CancelScope(deadline=trio.current_time() + _START_TIMEOUT) as scope:
        async for chunk in process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in map(bytes.decode, lines):
                output.append(line)
                if not is_ready and (match := pattern.search(line)):
                    is_ready = True
                    scope.deadline = float("inf")
                    task_status.started(match[1])
    if not is_ready:
        raise CommandFailed(next(filter(str.strip, reversed(output)), "printed nothing"))
