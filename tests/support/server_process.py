"""The local server in a process of its own, which tests stop, kill and start again on the same port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import final

import trio

from trio_realtime import Endpoint

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@final
class ServerProcess:
    """A process with a local server.

    Args:
        nursery: watches the process; cancelling it kills the process.
        pace: speed of generation relative to real time.
    """

    def __init__(self, nursery: trio.Nursery, pace: str) -> None:
        self.port = free_port()
        self._nursery = nursery
        self._pace = pace
        self._process: trio.Process | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where the server listens."""
        return self.endpoint_at(self.port)

    def endpoint_at(self, port: int) -> Endpoint:
        """Return the endpoint of a proxy in front of the server."""
        url = f"ws://127.0.0.1:{port}/v1/realtime"
        return Endpoint.compatible(url, api_key="local", model="gpt-realtime", proxy="")

    async def start(self) -> None:
        """Start the process. Returns when it listens."""
        arguments = ["serve", "--port", str(self.port), "--pace", self._pace]
        self._process = await self._nursery.start(
            partial(
                trio.run_process,
                [sys.executable, "-m", "trio_realtime.cli", *arguments],
                stdout=subprocess.PIPE,
                check=False,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        )
        assert self._process is not None
        assert self._process.stdout is not None
        with trio.fail_after(60):
            assert await self._process.stdout.receive_some()

    async def kill(self) -> None:
        """Kill the process. Returns when it is gone."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        await self._process.wait()

    async def restart(self) -> None:
        """Kill the process, and start another one on the same port."""
        await self.kill()
        await self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)


@asynccontextmanager
async def server_process(*, pace: str = "unlimited") -> AsyncGenerator[ServerProcess]:
    """Run a local server in a process of its own for the duration of the block."""
    async with trio.open_nursery() as nursery:
        server = ServerProcess(nursery, pace)
        await server.start()
        try:
            yield server
        finally:
            # A stopped process does not end before it goes on.
            server.signal(signal.SIGCONT)
            nursery.cancel_scope.cancel()
