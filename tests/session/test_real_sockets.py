"""Behaviour that needs real sockets: pings, a stalled consumer, Ctrl-C, and an unresponsive server."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import pybase64
import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from support.sessions import task_count
from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    SessionConfig,
    errors,
    events,
    open_realtime_session,
    serve_local,
)
from trio_realtime.testing.peer import DEFAULT_SESSION, response_object
from trio_realtime.transports import Connector

pytestmark = pytest.mark.slow


AGENT = RealtimeAgent[None](name="A")

INTERRUPTED_PROGRAM = """
    import sys, trio
    from trio_realtime import Endpoint, RealtimeAgent, function_tool, open_realtime_session

    @function_tool
    async def wait_long() -> str:
        try:
            print("tool runs", flush=True)
            await trio.sleep_forever()
        finally:
            print("tool ended", flush=True)

    async def main() -> None:
        agent = RealtimeAgent(name="A", tools=[wait_long])
        endpoint = Endpoint.compatible(sys.argv[1], model="gpt-realtime-2.1", api_key="k")
        async with open_realtime_session(agent, endpoint=endpoint) as session:
            await session.send_message("please wait long")
            async for event in session:
                pass

    try:
        trio.run(main)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


class RawServer:
    """A WebSocket server that a test controls frame by frame."""

    def __init__(self) -> None:
        self.websocket: WebSocketConnection | None = None
        self.received: list[dict[str, Any]] = []
        self.connected = trio.Event()
        self.arrived = trio.lowlevel.ParkingLot()

    async def handle(self, request: WebSocketRequest) -> None:
        self.websocket = await request.accept()
        await self.send({"type": "session.created", "session": DEFAULT_SESSION})
        self.connected.set()
        try:
            while True:
                frame = msgspec.json.decode(await self.websocket.get_message())
                self.received.append(frame)
                self.arrived.unpark_all()
                if frame["type"] == "session.update":
                    await self.send({"type": "session.updated", "session": DEFAULT_SESSION})
        except ConnectionClosed:
            pass

    async def send(self, frame: dict[str, Any]) -> None:
        assert self.websocket is not None
        whole = {"event_id": "event_x", **frame}
        await self.websocket.send_message(msgspec.json.encode(whole).decode())

    async def wait_for(self, event_type: str) -> dict[str, Any]:
        while True:
            for frame in self.received:
                if frame["type"] == event_type:
                    return frame
            await self.arrived.park()


@asynccontextmanager
async def raw_server() -> AsyncGenerator[tuple[RawServer, Endpoint]]:
    server = RawServer()
    async with trio.open_nursery() as nursery:
        listening = await nursery.start(serve_websocket, server.handle, "127.0.0.1", 0, None)
        yield server, Endpoint.compatible(f"ws://127.0.0.1:{listening.port}/v1/realtime")
        nursery.cancel_scope.cancel()


def audio_delta(size: int) -> dict[str, Any]:
    return {
        "type": "response.output_audio.delta",
        "response_id": "resp_1",
        "item_id": "item_1",
        "output_index": 0,
        "content_index": 0,
        "delta": pybase64.b64encode_as_string(bytes(size)),
    }


def encode_frame(wire: Any, event_type: str) -> bytes:
    from wsproto.events import TextMessage

    frame = {"type": event_type, "event_id": "event_x", "session": DEFAULT_SESSION}
    data: bytes = wire.send(TextMessage(data=msgspec.json.encode(frame).decode()))
    return data


async def ignore_all_after_settings(stream: trio.SocketStream) -> None:
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection, Request, TextMessage

    wire = WSConnection(ConnectionType.SERVER)
    while True:
        wire.receive_data(await stream.receive_some())
        for event in wire.events():
            if isinstance(event, Request):
                await stream.send_all(wire.send(AcceptConnection()))
                await stream.send_all(encode_frame(wire, "session.created"))
            elif isinstance(event, TextMessage) and "session.update" in event.data:
                await stream.send_all(encode_frame(wire, "session.updated"))
                while await stream.receive_some():
                    pass
                return


async def run_short_session(endpoint: Endpoint, number: int) -> None:
    async with open_realtime_session(AGENT, endpoint=endpoint) as session:
        answer = await session.ask(f"I am number {number}")
        assert str(number) in answer.text


async def test_stalled_consumer_blocks_neither_pings_nor_barge_in() -> None:
    config = SessionConfig(max_buffered_events=100, max_buffered_audio=200_000)
    async with raw_server() as (server, endpoint):
        with trio.fail_after(30):
            async with open_realtime_session(AGENT, endpoint=endpoint, config=config) as session:
                created = response_object("resp_1")
                await server.send({"type": "response.created", "response": created})
                for _ in range(500):
                    await server.send(audio_delta(4800))
                assert server.websocket is not None
                await server.websocket.ping(b"alive?")
                buffered = session.statistics().events
                assert buffered.buffered_events <= 100
                assert buffered.buffered_audio <= 200_000
                assert buffered.dropped_events > 0

                await server.send(
                    {
                        "type": "input_audio_buffer.speech_started",
                        "item_id": "item_u",
                        "audio_start_ms": 0,
                    }
                )
                truncate = await server.wait_for("conversation.item.truncate")
                assert truncate["item_id"] == "item_1"

                read = 0
                try:
                    async for _event in session:
                        read += 1
                except errors.ConsumerTooSlow as exc:
                    assert "max_buffered" in str(exc)
                else:
                    raise AssertionError("the consumer got no error")
                assert 0 < read <= 100


async def test_server_that_never_closes_does_not_delay_the_exit() -> None:
    """The socket accepts all data and answers nothing after the handshake."""
    config = SessionConfig(close_timeout=0.4)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, ignore_all_after_settings, listeners)
        endpoint = Endpoint.compatible(f"ws://127.0.0.1:{port}/v1/realtime")
        async with open_realtime_session(AGENT, endpoint=endpoint, config=config) as session:
            await session.send_message("anybody?")
            leaving = trio.current_time()
        took = trio.current_time() - leaving
        nursery.cancel_scope.cancel()
    # close_timeout bounds the exit; the additional time is for slow machines.
    assert took < 0.4 + 2


async def test_ctrl_c_ends_tools_and_closes_the_connection() -> None:
    program = textwrap.dedent(INTERRUPTED_PROGRAM)
    async with serve_local() as server:
        async with trio.open_nursery() as nursery:
            # A test that fails leaves no process: cancelling run_process kills it.
            process = await nursery.start(
                partial(
                    trio.run_process,
                    [sys.executable, "-c", program, server.url],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    check=False,
                )
            )
            assert process.stdout is not None
            assert process.stderr is not None
            printed = b""
            with trio.fail_after(30):
                while b"tool runs\n" not in printed:
                    printed += await process.stdout.receive_some()
                process.send_signal(signal.SIGINT)
                while chunk := await process.stdout.receive_some():
                    printed += chunk
                assert await process.wait() == 0
                complaints = await process.stderr.receive_some()
            nursery.cancel_scope.cancel()
        assert printed.split(b"\n")[:3] == [b"tool runs", b"tool ended", b"interrupted"]
        assert complaints == b""
        (connection,) = server.connections
        with trio.fail_after(5):
            await connection.ended.wait()
        assert connection.closed is not None
        assert connection.closed.code == 1000


async def test_many_sessions_leave_no_task_and_no_socket() -> None:
    before = task_count()
    async with serve_local() as server, trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(run_short_session, server.endpoint, number)
    assert task_count() == before
    assert len(server.connections) == 10
    assert all(connection.closed is not None for connection in server.connections)


async def test_speech_is_sent_again_on_the_next_connection_only(connector: Connector) -> None:
    async with (
        serve_local() as server,
        open_realtime_session(AGENT, endpoint=server.endpoint, transport=connector) as session,
    ):
        for _ in range(5):
            await session.send_audio(bytes(4800))
        for _ in range(5):
            await session.reconnect()
        await session.ask("Did you hear that?")  # the server has read everything before it
        received = [
            sum(
                len(pybase64.b64decode(event["audio"]))
                for event in connection.received
                if event["type"] == "input_audio_buffer.append"
            )
            for connection in server.connections
        ]
    assert received == [24_000] * 6


async def test_paced_audio_over_a_real_socket_arrives_in_real_time() -> None:
    begun = trio.current_time()
    async with (
        serve_local() as server,
        open_realtime_session(AGENT, endpoint=server.endpoint) as session,
        session.paced_audio(frame_ms=20) as frames,
    ):
        total = 0
        with session.subscribe(events.AgentEnd) as ends:
            await session.send_message("Hi")
            await ends.receive()
        while total < 48 * 100:
            total += len((await frames.receive()).data)
    assert total >= 48 * 100
    assert trio.current_time() - begun >= 0.08  # five frames take at least four intervals
