"""``trio-realtime gateway`` in a process of its own, and clients on real sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, final

import httpx2
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from support.gateway import GatewayClient
from support.server_process import ROOT

AGENTS = """
[agents.assistant]
realtime_mode = true
instructions = "Be brief."
[agents.assistant.realtime]
turn_detection = { type = "server_vad" }
"""


def write_config(directory: Path, text: str = "", *, agents: str = AGENTS) -> Path:
    """Write the configuration of a gateway and its agents. Return the file."""
    (directory / "agents.toml").write_text(agents, encoding="utf-8")
    file = directory / "gateway.toml"
    file.write_text(f'agents = "agents.toml"\n{text}', encoding="utf-8")
    return file


@final
class GatewayProcess:
    """A gateway process.

    Attributes:
        url: where it listens.
        errors: what it has written to stderr.
    """

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self.url = ""
        self.errors = ""
        self._errors_ended = trio.Event()

    async def read_errors(self) -> None:
        assert self._process.stderr is not None
        async for chunk in self._process.stderr:
            self.errors += chunk.decode()
        self._errors_ended.set()

    async def wait_ready(self) -> None:
        """Wait until the gateway listens. Its output may also end before that."""
        assert self._process.stdout is not None
        output = b""
        while b"\n" not in output and (chunk := await self._process.stdout.receive_some()):
            output += chunk
        self.url = output.decode().strip()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait until the process has exited. Return its status."""
        status: int = await self._process.wait()
        await self._errors_ended.wait()
        return status

    @asynccontextmanager
    async def http(self, **options: Any) -> AsyncGenerator[httpx2.AsyncClient]:
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, **options) as client:
            yield client

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].strip("/"))


@asynccontextmanager
async def gateway_process(
    config: Path | None = None,
    *options: str,
    port: int = 0,
    env: Mapping[str, str] | None = None,
) -> AsyncGenerator[GatewayProcess]:
    """Run a gateway for the duration of the block."""
    arguments = ["gateway", "--port", str(port), *options]
    if config is not None:
        arguments += ["--config", str(config)]
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            process = await nursery.start(
                partial(
                    trio.run_process,
                    [sys.executable, "-m", "trio_realtime.cli", *arguments],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    check=False,
                    env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
                )
            )
            gateway = GatewayProcess(process)
            nursery.start_soon(gateway.read_errors)
            await gateway.wait_ready()
            try:
                yield gateway
            finally:
                if process.returncode is None:
                    process.kill()


class _ToServer:
    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket

    async def send(self, message: str | bytes) -> None:
        await self._socket.send_message(message)


class _AtClient:
    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        try:
            message: str | bytes = await self._socket.get_message()
        except ConnectionClosed:
            raise trio.EndOfChannel from None
        return message


class RealSocket:
    """A WebSocket with the attributes that :class:`GatewayClient` uses."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.to_server = _ToServer(socket)
        self.at_client = _AtClient(socket)


@asynccontextmanager
async def dial(
    gateway: GatewayProcess, path: str, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[WebSocketConnection]:
    """Open a WebSocket for the duration of the block.

    Raises:
        ConnectionRejected: the gateway refuses it.
    """
    host = gateway.url.partition("//")[2].strip("/")
    address, _, port = host.rpartition(":")
    async with (
        await trio.open_tcp_stream(address, int(port)) as stream,
        trio.open_nursery() as nursery,
    ):
        yield await wrap_client_stream(
            nursery,
            stream,
            host,
            path,
            extra_headers=[
                (name.encode(), value.encode()) for name, value in (headers or {}).items()
            ],
            max_message_size=10_000_000,
        )
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def call(
    gateway: GatewayProcess, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[GatewayClient]:
    """Create a session, and attach its owner for the duration of the block."""
    async with gateway.http(headers=headers) as http:
        response = await http.post("/v1/sessions", json={})
        assert response.status_code == 201, response.text
        created = json.loads(response.content)
    async with dial(gateway, created["url"]) as socket:
        client = GatewayClient(RealSocket(socket))  # type: ignore[arg-type]
        await client.send("hello", protocol=1, token=created["token"])
        client.welcome = await client.receive_until("welcome")
        await client.receive_until("run_connected")
        yield client
