"""The processes of a benchmark: a load server, and one client after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

ROOT = Path(__file__).resolve().parents[1]

# Without this, openai-agents uploads traces of its runs.
_ENVIRONMENT = {"OPENAI_AGENTS_DISABLE_TRACING": "1"}


@asynccontextmanager
async def load_server(module: str, *arguments: str) -> AsyncGenerator[str, None]:
    """Run a server in a child process during the block. Yields its URL.

    The server prints its port, and exits at the end of its standard input.
    """
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        process: trio.Process = await nursery.start(start)
        assert process.stdin is not None
        try:
            yield f"ws://127.0.0.1:{await _read_port(process)}/v1"
        finally:
            # A cancellation kills it.
            await trio.aclose_forcefully(process.stdin)


async def _read_port(process: trio.Process) -> int:
    assert process.stdout is not None
    output = b""
    async for chunk in process.stdout:
        output += chunk
        if output.endswith(b"\n"):
            return int(output)
    raise RuntimeError("the load server exited before it printed its port")


async def run_client(module: str, *arguments: str) -> bytes:
    """Run a client in a child process. Returns what it prints.

    Raises:
        subprocess.CalledProcessError: it failed; its messages are on stderr.
    """
    done = await trio.run_process(
        [sys.executable, "-m", module, *arguments],
        capture_stdout=True,
        cwd=ROOT,
        env={**os.environ, **_ENVIRONMENT},
    )
    output: bytes = done.stdout
    return output
