"""MCP servers that are real programs: they are called, killed, started again, and gone at the end."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from mcp import Client

from support.events import taken_of
from support.mcp_servers import PROGRAM, HttpProgram, ServerLifetime, ServerObserver, witnessed
from support.sessions import talk
from support.wire import CREATE, ITEM, Frame
from trio_realtime import (
    McpServer,
    McpServerHttp,
    McpServerStdio,
    RealtimeAgent,
    errors,
    events,
    function_tool,
)
from trio_realtime.testing import ScriptedPeer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the program knows POSIX signals"),
    # The SDK leaves an answer as soon as it has read the one event, and its generator to trio.
    pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning"),
]

PATIENCE = 60
"""Real seconds."""


def stdio(witness: ServerObserver, *more: str, name: str = "local") -> McpServerStdio:
    return McpServerStdio(
        name=name, command=sys.executable, args=[PROGRAM, "stdio", *more], env=witness.env
    )


@function_tool
async def own() -> str:
    return "mine"


class Caller:
    """Plays a model that calls one tool after the other, each in a response of its own."""

    def __init__(self, peer: ScriptedPeer) -> None:
        self._peer = peer
        self._create: Frame | None = None
        self._count = 0

    def start(self, name: str, arguments: str = "{}") -> None:
        self._count += 1
        response = f"resp_{self._count}"
        self._peer.begin_response(response, self._create)
        self._peer.call(response, f"item_{self._count}", f"call_{self._count}", name, arguments)
        self._peer.end_response(response)

    async def answer(self) -> str:
        frame = await self._peer.expect(ITEM)
        self._create = await self._peer.expect(CREATE)
        output: str = frame["item"]["output"]
        return output

    async def call(self, name: str, arguments: str = "{}") -> str:
        self.start(name, arguments)
        return await self.answer()


@attrs.frozen
class Served:
    """A server as an agent has it, the life of its program, and how the next life comes about."""

    declaration: McpServer
    first: Callable[[], Awaitable[ServerLifetime]]
    next: Callable[[], Awaitable[ServerLifetime]]


@asynccontextmanager
async def served(kind: str, witness: ServerObserver) -> AsyncIterator[Served]:
    if kind == "stdio":
        yield Served(stdio(witness), witness.next_life, witness.next_life)
        return
    program = HttpProgram(witness)
    life = await program.start()

    async def first() -> ServerLifetime:
        return life

    try:
        yield Served(program.declare(), first, program.start)
    finally:
        with trio.move_on_after(5, shield=True):
            await program.end()


@pytest.mark.parametrize("kind", ["stdio", "http", "old http"])
async def test_a_server_that_is_killed_in_a_call_comes_back_and_the_session_goes_on(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "old http":
        old = functools.partial(Client, mode="legacy")
        monkeypatch.setattr("trio_realtime.session.mcp.sdk.Client", old)
    peer = ScriptedPeer()
    model = Caller(peer)
    with trio.fail_after(PATIENCE):
        async with witnessed() as witness, served(kind, witness) as server:
            agent = RealtimeAgent[None](name="A", tools=[own], mcp_servers=[server.declaration])
            async with talk(peer, agent=agent) as session:
                life = await server.first()
                offered = peer.received[0]["session"]["tools"]
                assert [tool["name"] for tool in offered] == ["own", "echo", "hang"]
                assert offered[1]["description"] == "Say it again."
                assert offered[1]["parameters"]["required"] == ["text"]
                assert await model.call("echo", '{"text": "one"}') == "one"

                model.start("hang")
                assert await life.next() == "hangs"
                life.kill()
                assert "was lost during the call" in await model.answer()
                assert await model.call("own") == "mine"  # while the server is not there

                await server.next()
                assert await model.call("echo", '{"text": "two"}') == "two"

                found = taken_of(session.events, events.Error)
                assert [type(event.error) for event in found] == [errors.McpServerFailed]


async def test_a_server_on_the_network_that_was_started_anew_meanwhile_is_not_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a client of the older protocol, which has sessions that a server may forget."""
    old = functools.partial(Client, mode="legacy")
    monkeypatch.setattr("trio_realtime.session.mcp.sdk.Client", old)
    peer = ScriptedPeer()
    model = Caller(peer)
    with trio.fail_after(PATIENCE):
        async with witnessed() as witness:
            program = HttpProgram(witness)
            life = await program.start()
            agent = RealtimeAgent[None](name="A", mcp_servers=[program.declare()])
            async with talk(peer, agent=agent):
                assert await model.call("echo", '{"text": "one"}') == "one"
                life.kill()
                await life.wait_gone()
                await program.start()
                assert await model.call("echo", '{"text": "two"}') == "two"
            await program.end()


@pytest.mark.parametrize("kind", ["stdio", "http"])
async def test_an_interrupt_cancels_the_call_in_the_server_and_nothing_else(kind: str) -> None:
    peer = ScriptedPeer()
    model = Caller(peer)
    with trio.fail_after(PATIENCE):
        async with witnessed() as witness, served(kind, witness) as server:
            agent = RealtimeAgent[None](name="A", mcp_servers=[server.declaration])
            async with talk(peer, agent=agent) as session:
                life = await server.first()
                peer.begin_response("resp_x")
                peer.call("resp_x", "item_x", "call_x", "hang")
                assert await life.next() == "hangs"
                await session.interrupt()
                assert await life.next() == "cancelled"
                await peer.expect("response.cancel")
                answer = await peer.expect(ITEM)
                assert "cancelled" in answer["item"]["output"]
                peer.end_response("resp_x", "cancelled")
                assert await model.call("echo", '{"text": "on"}') == "on"
                assert taken_of(session.events, events.Error) == []


async def test_leaving_kills_a_program_that_will_not_end_and_all_that_it_has_started() -> None:
    peer = ScriptedPeer()
    with trio.fail_after(PATIENCE):
        async with witnessed() as witness:
            agent = RealtimeAgent[None](name="A", mcp_servers=[stdio(witness, "stubborn")])
            async with talk(peer, agent=agent, close_timeout=0.4):
                life = await witness.next_life()
                peer.begin_response("resp_1")
                peer.call("resp_1", "item_1", "call_1", "hang")
                assert await life.next() == "hangs"
                left = trio.current_time()
            assert trio.current_time() - left < 2, "the SDK itself would wait for four seconds"
            await life.wait_gone()


async def test_a_program_that_is_not_there_is_a_plain_error() -> None:
    server = McpServerStdio(name="local", command="no-such-program-anywhere")
    with pytest.raises(errors.McpServerFailed, match=r"'local' did not start: .*no-such") as caught:
        async with talk(ScriptedPeer(), agent=RealtimeAgent(name="A", mcp_servers=[server])):
            pytest.fail("the session opened")
    assert caught.value.server == "local"


async def test_a_program_that_ends_at_once_is_told_with_its_status() -> None:
    server = McpServerStdio(
        name="local", command=sys.executable, args=["-c", "raise SystemExit(7)"]
    )
    with pytest.raises(errors.McpServerFailed, match="it ended with status 7"):
        async with talk(ScriptedPeer(), agent=RealtimeAgent(name="A", mcp_servers=[server])):
            pytest.fail("the session opened")


async def test_a_server_that_refuses_the_headers_is_told_without_them() -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        head = b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        await stream.send_all(head)
        async for _ in stream:
            pass

    async with trio.open_nursery() as nursery:
        serve = functools.partial(trio.serve_tcp, refuse, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        port = listener.socket.getsockname()[1]
        server = McpServerHttp(
            name="net",
            url=f"http://127.0.0.1:{port}/mcp",
            headers={"Authorization": "Bearer hush-hush"},
        )
        with pytest.raises(errors.McpServerFailed, match="HTTP 401") as caught:
            async with talk(ScriptedPeer(), agent=RealtimeAgent(name="A", mcp_servers=[server])):
                pytest.fail("the session opened")
        assert "hush" not in str(caught.value)
        nursery.cancel_scope.cancel()
