"""Calls over real sockets, with trio-websocket and with Starlette on Hypercorn."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from trio_websocket import WebSocketRequest, WebSocketServer, serve_websocket

from trio_realtime import (
    PCMU,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    open_realtime_session,
)
from trio_realtime.local import LocalServer, Say, ScriptedResponder, serve_local
from trio_realtime.server.twilio import (
    CallEnd,
    StarletteWebSocket,
    StreamStart,
    run_media_stream,
)
from trio_realtime.testing.twilio import dial_media_stream

CONFIG = SessionConfig(input_format=PCMU, output_format=PCMU)
AGENT = RealtimeAgent[None](name="Shop")


async def greet(session: RealtimeSession[None]) -> None:
    await session.create_response()


class Calls:
    """Serves calls, and remembers how they ended."""

    def __init__(self, service: LocalServer) -> None:
        self.ends: list[CallEnd] = []
        self.two_ended = trio.Event()
        self.service = service

    @asynccontextmanager
    async def open_session(self, _start: StreamStart) -> AsyncGenerator[RealtimeSession[None]]:
        async with open_realtime_session(
            AGENT, endpoint=self.service.endpoint, config=CONFIG
        ) as session:
            yield session

    async def serve(self, websocket: Any) -> None:
        self.ends.append(await run_media_stream(websocket, self.open_session, on_session=greet))
        if len(self.ends) == 2:
            self.two_ended.set()

    async def serve_request(self, request: WebSocketRequest) -> None:
        await self.serve(await request.accept())

    async def serve_starlette(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await self.serve(websocket)


async def start_trio_websocket(nursery: trio.Nursery, calls: Calls) -> str:
    server: WebSocketServer = await nursery.start(
        partial(serve_websocket, calls.serve_request, "127.0.0.1", 0, None)
    )
    return f"ws://127.0.0.1:{server.port}/"


async def start_hypercorn(nursery: trio.Nursery, calls: Calls) -> str:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    app: Any = Starlette(routes=[WebSocketRoute("/", calls.serve_starlette)])
    addresses: list[str] = await nursery.start(partial(serve, app, config))
    return addresses[0].replace("http", "ws")


@pytest.mark.slow
@pytest.mark.parametrize("start", [start_trio_websocket, start_hypercorn])
async def test_calls_over_sockets(
    start: Callable[[trio.Nursery, Calls], Awaitable[str]],
) -> None:
    responder = ScriptedResponder([Say("Hello!", audio_ms=500), Say("Hello!", audio_ms=500)])
    async with serve_local(responder=responder) as service, trio.open_nursery() as nursery:
        calls = Calls(service)
        url = await start(nursery, calls)

        async def call(*, hang_up: bool) -> None:
            async with dial_media_stream(url) as phone:
                await phone.wait_heard(500)
                await phone.wait_quiet(0.3)
                assert phone.heard_ms == pytest.approx(500)
                await (phone.hang_up() if hang_up else phone.disconnect())

        with trio.fail_after(30):
            async with trio.open_nursery() as callers:
                callers.start_soon(partial(call, hang_up=True))
                callers.start_soon(partial(call, hang_up=False))
            await calls.two_ended.wait()
        nursery.cancel_scope.cancel()
    assert [end.reason for end in calls.ends] == ["hung_up"] * 2
    assert [end.statistics.heard_ms for end in calls.ends] == [500, 500]
    assert [end.error for end in calls.ends] == [None, None]


# --- the adapter of Starlette


class Socket:
    """A WebSocket of Starlette whose other end has gone away."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure
        self.messages: list[dict[str, Any]] = [
            {"type": "websocket.receive", "text": "a"},
            {"type": "websocket.receive", "text": None, "bytes": b"b"},
            {"type": "websocket.disconnect", "code": 1001},
        ]

    async def receive(self) -> dict[str, Any]:
        return self.messages.pop(0)

    async def send_text(self, data: str) -> None:
        raise self.failure

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        raise self.failure


@pytest.mark.parametrize(
    "failure", [WebSocketDisconnect(1006), RuntimeError("after close"), OSError("broken")]
)
async def test_a_closed_websocket_of_starlette_raises_the_exceptions_of_channels(
    failure: Exception,
) -> None:
    websocket = StarletteWebSocket(Socket(failure))
    with pytest.raises(trio.BrokenResourceError):
        await websocket.send("text")
    assert [await websocket.receive() for _ in range(2)] == ["a", b"b"]
    for _ in range(2):
        with pytest.raises(trio.EndOfChannel):
            await websocket.receive()
    with pytest.raises(trio.BrokenResourceError):
        await websocket.send("text")
    await websocket.close()
    await StarletteWebSocket(Socket(failure)).close()


async def test_a_bug_of_a_websocket_is_not_hidden() -> None:
    websocket = StarletteWebSocket(Socket(LookupError("a bug")))
    with pytest.raises(LookupError):
        await websocket.send("text")
    with pytest.raises(LookupError):
        await websocket.close()
