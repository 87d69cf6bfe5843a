"""The contract of transports, tested with the same tests for every transport.

There are five kinds of connection: the in-memory transport, and each connector over in-memory byte
streams (for virtual time) and over loopback sockets.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol, TypeAlias

import attrs
import pytest
import trio
import trio.testing
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    Transport,
    TransportClosed,
    connect_fast,
    connect_trio_websocket,
    memory_transport_pair,
)

# Larger than the buffers of two loopback sockets.
BIG = "x" * (24 * 1024 * 1024)


class FarEnd(Protocol):
    """The other end of the connection, which the test controls."""

    async def send(self, text: str) -> None: ...
    async def send_bytes(self, data: bytes) -> None: ...
    async def receive(self) -> str | bytes: ...
    async def aclose(self, code: int = 1000, reason: str = "") -> None: ...
    def drop(self) -> None: ...
    def ignore_close(self) -> None: ...


@attrs.define(eq=False)
class WebSocketFarEnd:
    """A server end based on wsproto, which can violate the protocol on purpose."""

    open_stream: Callable[[], Awaitable[trio.abc.Stream]]
    stalled: bool
    wire: WSConnection = attrs.field(factory=lambda: WSConnection(ConnectionType.SERVER))
    stream: trio.abc.Stream = attrs.field(init=False)
    ready: trio.Event = attrs.field(factory=trio.Event)
    closing: trio.Event = attrs.field(factory=trio.Event)
    serving: trio.CancelScope = attrs.field(factory=lambda: trio.CancelScope(shield=True))
    close_status: tuple[int, str] = (1006, "")
    answers_close: list[bool] = attrs.field(factory=lambda: [True])
    pongs: list[bytes] = attrs.field(factory=list)
    parts: list[str | bytes] = attrs.field(factory=list)
    put: trio.MemorySendChannel[str | bytes] = attrs.field(init=False)
    inbox: trio.MemoryReceiveChannel[str | bytes] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.put, self.inbox = trio.open_memory_channel[str | bytes](1000)

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        # Shielded, so that cancelling the near end does not stop the peer.
        with self.serving, self.put:
            task_status.started()
            self.stream = await self.open_stream()
            try:
                while await self._pump_once():
                    if self.stalled and self.ready.is_set():
                        await trio.sleep_forever()
            finally:
                self.closing.set()
                await trio.aclose_forcefully(self.stream)

    async def stop(self) -> None:
        """Wait until the near end, whose block was left, has closed the connection."""
        if not self.stalled:
            await self.closing.wait()
        self.serving.cancel()

    async def _pump_once(self) -> bool:
        try:
            data = await self.stream.receive_some(65536)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        if not data:
            return False
        self.wire.receive_data(bytes(data))
        for event in self.wire.events():
            await self._handle(event)
        return self.wire.state is not ConnectionState.CLOSED

    async def _handle(self, event: Event) -> None:
        match event:
            case Request():
                await self.emit(AcceptConnection())
                self.ready.set()
            case TextMessage() | BytesMessage():
                self._collect(event)
            case Ping():
                await self.emit(event.response())
            case Pong(payload=payload):
                self.pongs.append(bytes(payload))
            case CloseConnection(code=code, reason=reason):
                await self._finish(event, code, reason or "")
            case _:
                raise AssertionError(event)

    def _collect(self, event: TextMessage | BytesMessage) -> None:
        self.parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
        if event.message_finished:
            texts = [part for part in self.parts if isinstance(part, str)]
            chunks = [part for part in self.parts if isinstance(part, bytes)]
            self.put.send_nowait("".join(texts) or b"".join(chunks))
            self.parts = []

    async def _finish(self, event: CloseConnection, code: int, reason: str) -> None:
        self.close_status = int(code), reason
        self.closing.set()
        if self.answers_close[0] and self.wire.state is ConnectionState.REMOTE_CLOSING:
            await self.emit(event.response())

    async def emit(self, event: Event) -> None:
        await self.stream.send_all(self.wire.send(event))

    async def send(self, text: str) -> None:
        await self.emit(TextMessage(data=text))

    async def send_bytes(self, data: bytes) -> None:
        await self.emit(BytesMessage(data=data))

    async def receive(self) -> str | bytes:
        try:
            return await self.inbox.receive()
        except trio.EndOfChannel:
            raise TransportClosed(*self.close_status) from None

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self.emit(CloseConnection(code=code, reason=reason))
        await self.closing.wait()

    def drop(self) -> None:
        match self.stream:
            case trio.SocketStream():
                self.stream.socket.close()
            case trio.StapledStream(
                send_stream=trio.testing.MemorySendStream() as there,
                receive_stream=trio.testing.MemoryReceiveStream() as back,
            ):
                there.close()
                back.close()
            case _:
                raise AssertionError(self.stream)

    def ignore_close(self) -> None:
        self.answers_close[0] = False


Connection: TypeAlias = AbstractAsyncContextManager[tuple[Transport, FarEnd]]
#: ``open_connection(stalled=, close_timeout=, max_message_size=)``
OpenConnection: TypeAlias = Callable[..., Connection]


@asynccontextmanager
async def open_memory(
    *, stalled: bool = False, close_timeout: float = 1.0, max_message_size: int = 2**25
) -> AsyncGenerator[tuple[Transport, FarEnd], None]:
    near, far = memory_transport_pair(
        max_messages=0 if stalled else 1000,
        close_timeout=close_timeout,
        max_message_size=max_message_size,
    )
    if stalled:
        far.ignore_close()
    try:
        yield near, far
    finally:
        await near.aclose()


@asynccontextmanager
async def open_websocket(
    options: ConnectOptions, far: WebSocketFarEnd, connect: Connector
) -> AsyncGenerator[tuple[Transport, FarEnd], None]:
    async with open_bare_nursery(AssertionError) as nursery:
        await nursery.start(far.serve)
        try:
            async with connect(options) as near:
                await far.ready.wait()
                yield near, far
        finally:
            with trio.fail_after(5, shield=True):
                await far.stop()


@asynccontextmanager
async def open_over_streams(
    monkeypatch: pytest.MonkeyPatch,
    connect: Connector,
    *,
    stalled: bool = False,
    close_timeout: float = 1.0,
    max_message_size: int = 2**25,
) -> AsyncGenerator[tuple[Transport, FarEnd], None]:
    near_end, far_end = (trio.testing.lockstep_stream_pair if stalled else stream_pair)()

    async def open_near_stream(_: ConnectOptions) -> trio.abc.Stream:
        return near_end

    async def open_far_stream() -> trio.abc.Stream:
        return far_end

    monkeypatch.setattr("trio_realtime.transports._connect.open_tunnel_stream", open_near_stream)
    options = ConnectOptions(
        "ws://peer.test/v1/realtime",
        close_timeout=close_timeout,
        max_message_size=max_message_size,
    )
    async with open_websocket(
        options, WebSocketFarEnd(open_far_stream, stalled), connect
    ) as connection:
        yield connection


def stream_pair() -> tuple[trio.abc.Stream, trio.abc.Stream]:
    return trio.testing.memory_stream_pair()


@asynccontextmanager
async def open_over_sockets(
    connect: Connector,
    *,
    stalled: bool = False,
    close_timeout: float = 1.0,
    max_message_size: int = 2**25,
) -> AsyncGenerator[tuple[Transport, FarEnd], None]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        options = ConnectOptions(
            f"ws://127.0.0.1:{port}/v1/realtime",
            close_timeout=close_timeout,
            max_message_size=max_message_size,
        )
        async with open_websocket(
            options, WebSocketFarEnd(listener.accept, stalled), connect
        ) as connection:
            yield connection


CONNECTORS: dict[str, Connector] = {
    "trio-websocket": connect_trio_websocket,
    "fast": connect_fast,
}


@pytest.fixture(
    params=["memory", *(f"{n} over {k}" for n in CONNECTORS for k in ("streams", "sockets"))]
)
def open_connection(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> OpenConnection:
    return opener_named(request.param, monkeypatch)


@pytest.fixture(params=["memory", *(f"{name} over streams" for name in CONNECTORS)])
def open_virtual_connection(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> OpenConnection:
    """The connections that support virtual time."""
    return opener_named(request.param, monkeypatch)


def opener_named(name: str, monkeypatch: pytest.MonkeyPatch) -> OpenConnection:
    connector, _, kind = name.partition(" over ")
    if kind == "streams":
        return partial(open_over_streams, monkeypatch, CONNECTORS[connector])
    if kind == "sockets":
        return partial(open_over_sockets, CONNECTORS[connector])
    return open_memory


@pytest.fixture(params=CONNECTORS)
def open_over_memory_streams(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> OpenConnection:
    """Each connector over streams."""
    return partial(open_over_streams, monkeypatch, CONNECTORS[request.param])


async def close_status_from(attempt: Callable[[], Awaitable[object]]) -> tuple[int, str]:
    with pytest.raises(TransportClosed) as caught:
        await attempt()
    return caught.value.code, caught.value.reason


async def test_messages_keep_their_order_and_kind_both_ways(
    open_connection: OpenConnection,
) -> None:
    async with open_connection() as (near, far):
        for text in ("one", "zwei \u2713", "", '{"three": 3}'):
            await far.send(text or "-")
            await near.send(text or "-")
        await far.send_bytes(b"\x00\xff")
        assert [await near.receive() for _ in range(5)] == [
            *("one", "zwei \u2713", "-", '{"three": 3}'),
            b"\x00\xff",
        ]
        assert [await far.receive() for _ in range(4)] == [
            *("one", "zwei \u2713", "-", '{"three": 3}')
        ]


async def test_a_message_of_three_mebibytes_arrives_whole_both_ways(
    open_connection: OpenConnection,
) -> None:
    big = "0123456789abcdef" * (3 * 65536)
    async with open_connection() as (near, far), trio.open_nursery() as nursery:
        nursery.start_soon(near.send, big)
        nursery.start_soon(far.send, big)
        assert await far.receive() == big
        assert await near.receive() == big


async def test_the_peers_close_code_and_reason_arrive(open_connection: OpenConnection) -> None:
    async with open_connection() as (near, far):
        await far.aclose(4001, "enough of this")
        assert await close_status_from(near.receive) == (4001, "enough of this")
        assert await close_status_from(near.receive) == (4001, "enough of this")
        assert await close_status_from(partial(near.send, "x")) == (4001, "enough of this")


async def test_the_close_code_and_reason_reach_the_peer(open_connection: OpenConnection) -> None:
    async with open_connection() as (near, far):
        await near.aclose(4002, "so long")
        assert await close_status_from(far.receive) == (4002, "so long")
        assert await close_status_from(near.receive) == (4002, "so long")
        assert await close_status_from(partial(near.send, "x")) == (4002, "so long")


async def test_messages_before_a_close_are_delivered_first(open_connection: OpenConnection) -> None:
    async with open_connection() as (near, far):
        for n in range(30):
            await far.send(str(n))
        await far.aclose(4003)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert [await near.receive() for _ in range(30)] == [str(n) for n in range(30)]
        assert (await close_status_from(near.receive))[0] == 4003


async def test_messages_before_a_lost_connection_are_delivered_first(
    open_connection: OpenConnection,
) -> None:
    async with open_connection() as (near, far):
        await far.send("last words")
        await trio.testing.wait_all_tasks_blocked(0.01)
        far.drop()
        assert await near.receive() == "last words"
        assert await close_status_from(near.receive) == (1006, "")


async def test_sending_on_a_lost_connection_raises(open_connection: OpenConnection) -> None:
    async with open_connection() as (near, far):
        far.drop()
        assert await close_status_from(near.receive) == (1006, "")
        assert await close_status_from(partial(near.send, "x")) == (1006, "")


async def test_closing_wakes_a_waiting_receive(open_connection: OpenConnection) -> None:
    ends: list[tuple[int, str]] = []

    async def wait_for_more(near: Transport) -> None:
        ends.append(await close_status_from(near.receive))

    async with open_connection() as (near, _), trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_more, near)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await near.aclose(1001, "away")
    assert ends == [(1001, "away")]


async def test_closing_again_has_no_effect(open_connection: OpenConnection) -> None:
    async with open_connection() as (near, far):
        await near.aclose(4004, "first")
        await near.aclose(4005, "second")
        assert await close_status_from(far.receive) == (4004, "first")
        assert await close_status_from(near.receive) == (4004, "first")


async def test_two_tasks_may_close_at_once(open_connection: OpenConnection) -> None:
    async with open_connection() as (near, far):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.aclose, 4006)
            nursery.start_soon(near.aclose, 4006)
        assert (await close_status_from(far.receive))[0] == 4006


async def test_closing_after_the_peer_closed_raises_nothing(
    open_connection: OpenConnection,
) -> None:
    async with open_connection() as (near, far):
        await far.aclose(1000)
        assert (await close_status_from(near.receive))[0] == 1000
        await near.aclose()


async def test_closing_a_lost_connection_raises_nothing(open_connection: OpenConnection) -> None:
    async with open_connection() as (near, far):
        far.drop()
        await near.aclose()


async def test_a_cancelled_receive_loses_no_message(open_connection: OpenConnection) -> None:
    got: list[str | bytes] = []

    async def take(near: Transport) -> None:
        got.append(await near.receive())

    async with open_connection() as (near, far):
        for n in range(40):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(take, near)
                await far.send(str(n))
                for _ in range(n % 5):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        await far.aclose()
        while len(got) < 40:
            await take(near)
    assert got == [str(n) for n in range(40)]


async def test_a_send_cancelled_in_the_middle_of_a_frame_breaks_the_connection(
    open_connection: OpenConnection,
) -> None:
    async with open_connection(stalled=True, close_timeout=0.01) as (near, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.send, BIG)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        assert await close_status_from(partial(near.send, "more")) == (1006, "")
        assert await close_status_from(near.receive) == (1006, "")


async def test_a_send_cancelled_before_its_first_byte_sends_nothing(
    open_connection: OpenConnection,
) -> None:
    async with open_connection() as (near, far):
        with trio.CancelScope() as scope:
            scope.cancel()
            await near.send("never")
        assert scope.cancelled_caught
        await near.send("whole")
        assert await far.receive() == "whole"


@pytest.mark.parametrize(
    "opener",
    [open_memory, *(partial(open_over_sockets, connect) for connect in CONNECTORS.values())],
)
async def test_cancelling_a_small_send_at_any_step_does_not_break_the_connection(
    opener: OpenConnection,
) -> None:
    async with opener() as (near, far):
        for steps in range(12):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(near.send, str(steps))
                for _ in range(steps // 2):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        await near.send("end")
        got = [await far.receive()]
        while got[-1] != "end":
            got.append(await far.receive())
    assert got[:-1] == [str(n) for n in range(12) if str(n) in got]


async def test_closing_discards_unreceived_messages(open_connection: OpenConnection) -> None:
    async with open_connection() as (near, far):
        await far.send("unread")
        await trio.testing.wait_all_tasks_blocked(0.01)
        await near.aclose()
        assert (await close_status_from(near.receive))[0] == 1000


async def test_a_message_over_the_limit_ends_with_1009(open_connection: OpenConnection) -> None:
    async with open_connection(max_message_size=1000) as (near, far):
        await far.send("a" * 1000)
        assert await near.receive() == "a" * 1000
        if isinstance(far, WebSocketFarEnd):
            await far.send("b" * 1001)
        else:  # in memory, the sender raises at once
            assert (await close_status_from(partial(far.send, "b" * 1001)))[0] == 1009
        code, reason = await close_status_from(near.receive)
        assert code == 1009
        assert reason.endswith("message is longer than max_message_size (1000)")
        assert (await close_status_from(far.receive))[0] == 1009


async def test_the_peers_limit_of_messages_is_not_confused_with_the_own_limit(
    open_connection: OpenConnection,
) -> None:
    async with open_connection(max_message_size=1000) as (near, far):
        await far.aclose(1009, "too long for the server")
        assert await close_status_from(near.receive) == (1009, "too long for the server")


async def record_messages_and_close_code(far: FarEnd, seen: list[object]) -> None:
    try:
        while True:
            seen.append(await far.receive())
    except TransportClosed as exc:
        seen.append(exc.code)


async def test_leaving_the_block_closes_with_code_1000(open_connection: OpenConnection) -> None:
    seen: list[object] = []
    async with trio.open_nursery() as nursery, open_connection() as (near, far):
        nursery.start_soon(record_messages_and_close_code, far, seen)
        await near.send("hello")
    assert seen == ["hello", 1000]


async def raise_in_block(connection: Connection, nursery: trio.Nursery, seen: list[object]) -> None:
    async with connection as (_, far):
        nursery.start_soon(record_messages_and_close_code, far, seen)
        raise KeyError("from the block")


async def test_the_exception_of_the_block_is_raised_unchanged(
    open_connection: OpenConnection,
) -> None:
    seen: list[object] = []
    async with trio.open_nursery() as nursery:
        with pytest.raises(KeyError, match="from the block") as caught:
            await raise_in_block(open_connection(), nursery, seen)
    assert caught.value.__context__ is None
    assert seen == [1000]


async def test_an_outer_cancellation_closes_with_code_1000(
    open_connection: OpenConnection,
) -> None:
    seen: list[object] = []
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as outer:
            async with open_connection() as (near, far):
                nursery.start_soon(record_messages_and_close_code, far, seen)
                await trio.testing.wait_all_tasks_blocked(0.01)
                outer.cancel()
                await near.receive()
        assert outer.cancelled_caught
    assert seen == [1000]


async def test_closing_waits_close_timeout_for_a_peer_that_never_answers(
    open_virtual_connection: OpenConnection, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_virtual_connection(close_timeout=2.5) as (near, far):
        far.ignore_close()
        started = trio.current_time()
        await near.aclose()
        assert trio.current_time() - started == pytest.approx(2.5)
        assert (await close_status_from(near.receive))[0] == 1000


async def test_closing_waits_close_timeout_for_a_peer_that_reads_nothing(
    open_virtual_connection: OpenConnection, autojump_clock: trio.testing.MockClock
) -> None:
    ends: list[int] = []

    async def send_big(near: Transport) -> None:
        ends.append((await close_status_from(partial(near.send, "x" * 1000)))[0])

    async with trio.open_nursery() as nursery:
        async with open_virtual_connection(stalled=True, close_timeout=2.5) as (near, _):
            nursery.start_soon(send_big, near)
            await trio.testing.wait_all_tasks_blocked()
            started = trio.current_time()
        assert trio.current_time() - started == pytest.approx(2.5)
    assert ends == [1000]


async def test_a_cancellation_does_not_shorten_the_close(
    open_virtual_connection: OpenConnection, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_virtual_connection(close_timeout=2.5) as (near, far):
        far.ignore_close()
        started = trio.current_time()
        with trio.move_on_after(1):
            await near.aclose()
        assert trio.current_time() - started == pytest.approx(2.5)


async def test_a_ping_is_answered_while_no_task_receives(
    open_over_memory_streams: OpenConnection, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_over_memory_streams() as (near, far):
        assert isinstance(far, WebSocketFarEnd)
        await far.send("unread")
        await far.emit(Ping(payload=b"beat"))
        await trio.sleep(2)
        assert far.pongs == [b"beat"]
        assert await near.receive() == "unread"


async def test_a_ping_during_a_close_is_ignored(
    open_over_memory_streams: OpenConnection, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_over_memory_streams() as (near, far):
        assert isinstance(far, WebSocketFarEnd)
        far.ignore_close()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.aclose)
            await far.closing.wait()
            await far.stream.send_all(b"\x89\x01!")
        assert await close_status_from(near.receive) == (1000, "")


async def test_a_frame_that_breaks_the_protocol_ends_the_connection(
    open_connection: OpenConnection,
) -> None:
    async with open_connection() as (near, far):
        if isinstance(far, WebSocketFarEnd):
            await far.stream.send_all(b"\x83\x00")  # an opcode that does not exist
            assert (await close_status_from(near.receive))[0] == 1002
