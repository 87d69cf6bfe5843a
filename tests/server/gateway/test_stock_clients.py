"""Stock clients of the OpenAI protocol hold conversations with an agent of the gateway."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from interop.peers import CLIENTS, ENVIRONMENTS, GATEWAY_CONFIG
from interop.processes import run_server
from interop.turns import TURNS, find_mistake
from support.gateway_process import gateway_process
from support.server_process import ROOT

pytestmark = pytest.mark.slow

UPSTREAM_KEY = "sk-upstream-secret-0123456789"
JAVASCRIPT = ENVIRONMENTS / "agents_realtime"


class Relay:
    """Passes connections on to a server, and keeps what the server sends.

    Attributes:
        sent: what the server has sent to its clients.
    """

    def __init__(self, port: int) -> None:
        self.sent = bytearray()
        self._port = port

    async def serve(self, client: trio.SocketStream) -> None:
        async with (
            await trio.open_tcp_stream("127.0.0.1", self._port) as server,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._pass_on, client, server, nursery.cancel_scope)
            await self._pass_back(server, client)
            nursery.cancel_scope.cancel()

    async def _pass_on(
        self, client: trio.SocketStream, server: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await client.receive_some()
        # Compressed messages could not be searched.
        await server.send_all(re.sub(rb"(?i)sec-websocket-extensions:[^\r]*\r\n", b"", head))
        try:
            async for data in client:
                await server.send_all(data)
        except trio.BrokenResourceError:
            pass
        scope.cancel()

    async def _pass_back(self, server: trio.SocketStream, client: trio.SocketStream) -> None:
        try:
            async for data in server:
                self.sent += data
                await client.send_all(data)
        except trio.BrokenResourceError:
            return


@asynccontextmanager
async def relayed_gateway(tmp_path: Path) -> AsyncGenerator[tuple[str, Relay]]:
    """Run a gateway on a local server with a key. Yield the URL of a relay to it, and the relay."""
    serve = [sys.executable, "-m", "trio_realtime.cli", "serve", "--port", "0"]
    serve += ["--api-key", UPSTREAM_KEY]
    shutil.copy(GATEWAY_CONFIG.with_name("gateway_agents.toml"), tmp_path)
    config = tmp_path / "gateway.toml"
    text = GATEWAY_CONFIG.read_text(encoding="utf-8")
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    async with run_server(
        serve, r"^(ws://\S+)$", cwd=ROOT, env={**os.environ, "PYTHONPATH": path}
    ) as upstream:
        config.write_text(f'{text}\n[service]\nrealtime_url = "{upstream.ready}"\n')
        env = {"OPENAI_API_KEY": UPSTREAM_KEY, "INTEROP_KEY": "local", "PYTHONPATH": path}
        async with gateway_process(config, env=env) as gateway, trio.open_nursery() as nursery:
            assert gateway.url, gateway.errors
            relay = Relay(gateway.port)
            [listener] = await nursery.start(
                partial(trio.serve_tcp, relay.serve, 0, host="127.0.0.1")
            )
            port = listener.socket.getsockname()[1]
            yield f"ws://127.0.0.1:{port}/v1/realtime?model=assistant", relay
            nursery.cancel_scope.cancel()
            assert "Traceback" not in gateway.errors


async def hold_turn(command: Sequence[str], url: str, turn: str, cwd: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    done = await trio.run_process(
        [*command, url, turn], capture_stdout=True, capture_stderr=True, check=False, cwd=cwd, env=env
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["errors"] == []
    assert find_mistake(turn, report["result"], tool_on_server=True) is None


async def hold_all_turns(command: Sequence[str], tmp_path: Path, cwd: Path) -> None:
    async with relayed_gateway(tmp_path) as (url, relay):
        async with trio.open_nursery() as nursery:
            for turn in TURNS:
                nursery.start_soon(partial(hold_turn, command, url, turn, cwd))
        received = bytes(relay.sent)
        assert received.count(b'"session.created"') == len(TURNS)
        assert b"Sunny in Oslo" in received
        for secret in (UPSTREAM_KEY.encode(), b"get_weather", b"function_call"):
            assert secret not in received


async def test_the_client_of_openai_agents(tmp_path: Path) -> None:
    program = str(CLIENTS / "openai_agents_python.py")
    await hold_all_turns([sys.executable, program], tmp_path, tmp_path)


@pytest.mark.skipif(
    not (JAVASCRIPT / "node_modules").is_dir() or shutil.which("node") is None,
    reason="needs Node.js, and the packages that `make interop` installs",
)
async def test_the_javascript_client_of_openai_agents(tmp_path: Path) -> None:
    program = str(CLIENTS / "agents_realtime.mjs")
    await hold_all_turns(["node", program], tmp_path, JAVASCRIPT)
