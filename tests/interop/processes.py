"""Child processes: commands that end, and servers that print a line when they are ready."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

_START_TIMEOUT = 120.0
#: The last line of npm. The reason is before it.
_LOG_FILE = "npm error A complete log of this run"
#: Variables that would send a client elsewhere begin with these.
_FOREIGN = ("OPENAI_", "AZURE_", "LIVEKIT_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class CommandFailed(Exception):
    """A command failed, did not end, or could not start. The message is one line."""


@attrs.frozen
class RunningServer:
    """A server process.

    Attributes:
        ready: what the first group of the pattern matched.
        output: the lines that the process has printed so far.
    """

    ready: str
    output: Sequence[str]


def client_environment(**variables: str) -> dict[str, str]:
    """Return environment variables for a client: those of this process, without its endpoints."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)
    }
    return {**inherited, **variables}


async def run(
    command: Sequence[str], *, cwd: Path, timeout: float, env: Mapping[str, str] | None = None
) -> str:
    """Run a command and return what it prints.

    Args:
        command: the program and its arguments.
        cwd: its working directory.
        timeout: seconds after which it is stopped.
        env: its environment variables; by default, those of this process.

    Raises:
        CommandFailed: it failed or took longer than ``timeout`` seconds.
    """
    try:
        with trio.fail_after(timeout):
            done = await trio.run_process(
                command,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                cwd=cwd,
                env=env,
            )
    except OSError as exc:
        raise CommandFailed(f"{command[0]}: {exc.strerror}") from exc
    except trio.TooSlowError as exc:
        raise CommandFailed(f"took longer than {timeout:g} s") from exc
    if done.returncode != 0:
        raise CommandFailed(_last_line(done.stderr) or f"exit status {done.returncode}")
    return done.stdout.decode()


def _last_line(output: bytes) -> str:
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    reasons = [line for line in lines if line and not line.startswith(_LOG_FILE)]
    return reasons[-1] if reasons else ""


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
