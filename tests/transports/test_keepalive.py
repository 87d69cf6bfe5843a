"""Pings of both connectors in both directions, on a virtual clock and streams in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)

from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    Transport,
    TransportClosed,
)
from trio_realtime.transports._ping_timer import AFTER_MESSAGE, UnansweredPing

INTERVAL, TIMEOUT = 20.0, 10.0
OPTIONS = ConnectOptions("ws://peer.test", ping_interval=INTERVAL, ping_timeout=TIMEOUT)
LOST = "the peer did not answer a ping within 10 s"
KIBIBYTE = 1024
#: Virtual seconds after which a hanging test fails.
TEST_TIMEOUT = 10_000


@attrs.define(eq=False)
class Peer:
    """A server whose every read and write the test decides."""

    stream: trio.abc.Stream
    wire: WSConnection = attrs.field(factory=lambda: WSConnection(ConnectionType.SERVER))
    received: list[Event] = attrs.field(factory=list)
    send_lock: trio.Lock = attrs.field(factory=trio.Lock)

    async def accept(self) -> None:
        await self.read()
        assert isinstance(self.received.pop(), Request)
        await self.send(AcceptConnection())

    async def read(self, max_bytes: int | None = None) -> bool:
        """Return False if the other end has closed the stream."""
        data = bytes(await self.stream.receive_some(max_bytes))
        if data:
            self.wire.receive_data(data)
            self.received += self.wire.events()
        return bool(data)

    async def send(self, *events: Event) -> None:
        async with self.send_lock:
            with suppress(trio.BrokenResourceError):
                await self.stream.send_all(b"".join(map(self.wire.send, events)))

    async def answer_pings(self) -> None:
        """Read until the stream is closed, and answer each ping."""
        seen = 0
        while True:
            for event in self.received[seen:]:
                seen += 1
                if isinstance(event, Ping):
                    await self.send(event.response())
            if not await self.read():
                return

    def payloads(self, kind: type[Ping | Pong]) -> list[bytes]:
        return [bytes(event.payload) for event in self.received if isinstance(event, kind)]


StreamPair = Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]


@attrs.frozen
class Opened:
    near: Transport
    peer: Peer
    nursery: trio.Nursery


@asynccontextmanager
async def open_connection(
    connector: Connector,
    monkeypatch: pytest.MonkeyPatch,
    make_pair: StreamPair = trio.testing.memory_stream_pair,
    **options: Any,
) -> AsyncGenerator[Opened]:
    """Connect to a peer that has accepted the upgrade, and does nothing further.

    A lockstep pair buffers nothing: each write waits until the other end has read it.
    """
    near_stream, far_stream = make_pair()
    peer = Peer(far_stream)

    async def open_stream(_: ConnectOptions) -> trio.abc.Stream:
        return near_stream

    monkeypatch.setattr("trio_realtime.transports._connect.open_tunnel_stream", open_stream)
    async with trio.open_nursery() as accepting:
        accepting.cancel_scope.deadline = trio.current_time() + TEST_TIMEOUT
        accepting.start_soon(peer.accept)
        async with connector(attrs.evolve(OPTIONS, **options)) as near:
            await wait_all_tasks_blocked()
            async with trio.open_nursery() as nursery:
                yield Opened(near, peer, nursery)
                nursery.cancel_scope.cancel()
    assert not accepting.cancel_scope.cancelled_caught, "the test hangs"


async def end_of_receiving(near: Transport) -> tuple[int, str]:
    with pytest.raises(TransportClosed) as caught:
        await near.receive()
    return caught.value.code, caught.value.reason


# -- the peer's pings ------------------------------------------------------------------------------


async def test_a_ping_sender_that_never_reads_does_not_stop_the_reader(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch, trio.testing.lockstep_stream_pair) as opened:
        with trio.fail_after(2):
            for payload in (b"1", b"2", b"3"):
                await opened.peer.send(Ping(payload=payload))
            await opened.peer.send(TextMessage(data="a message"))
            assert await opened.near.receive() == "a message"


async def test_only_the_last_of_several_pings_is_answered(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch, trio.testing.lockstep_stream_pair) as opened:
        peer = opened.peer
        for n in range(1000):
            await peer.send(Ping(payload=str(n).encode()))
        with trio.move_on_after(2):
            await peer.answer_pings()
        # The answer to the first ping was blocked when the other pings arrived.
        assert peer.payloads(Pong) == [b"0", b"999"]


async def test_pings_are_answered_while_no_pings_are_sent(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch, ping_interval=None) as opened:
        await trio.sleep(1000)
        await opened.peer.send(Ping(payload=b"beat"))
        await opened.peer.read()
        assert opened.peer.payloads(Pong) == [b"beat"]


async def test_a_ping_with_the_response_to_the_upgrade_does_not_stop_the_reader(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async def accept_with_frames(peer: Peer) -> None:
        await peer.read()
        accept = peer.wire.send(AcceptConnection())
        frames = [Ping(payload=b"early"), TextMessage(data="hello")]
        await peer.stream.send_all(accept + b"".join(map(peer.wire.send, frames)))

    monkeypatch.setattr(Peer, "accept", accept_with_frames)
    async with open_connection(connector, monkeypatch, trio.testing.lockstep_stream_pair) as opened:
        with trio.fail_after(2):
            assert await opened.near.receive() == "hello"
        await opened.peer.read()
        assert opened.peer.payloads(Pong) == [b"early"]


# -- our pings -------------------------------------------------------------------------------------


async def test_a_quiet_peer_that_answers_pings_stays_connected(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch) as opened:
        opened.nursery.start_soon(opened.peer.answer_pings)
        await trio.sleep(3600.5)
        assert len(opened.peer.payloads(Ping)) == 180
        await opened.peer.send(TextMessage(data="still here"))
        assert await opened.near.receive() == "still here"


@pytest.mark.parametrize("options", [{"ping_interval": None}, {"ping_timeout": None}])
async def test_pings_can_be_disabled(
    options: Any, connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch, **options) as opened:
        await trio.sleep(3600)
        await opened.peer.send(TextMessage(data="still here"))
        assert await opened.near.receive() == "still here"


async def test_a_frozen_peer_ends_the_connection_after_interval_and_timeout(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch) as opened:
        await opened.peer.send(TextMessage(data="one"), TextMessage(data="two"))
        await trio.sleep(100)
        assert await opened.near.receive() == "one"
        assert await opened.near.receive() == "two"
        assert await end_of_receiving(opened.near) == (1006, LOST)
        with pytest.raises(TransportClosed, match=LOST):
            await opened.near.send("more")
    assert trio.current_time() == 100


async def test_a_ping_soon_follows_a_message(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """What was on its way when the message was sent does not show that the peer still lives."""
    async with open_connection(connector, monkeypatch) as opened:
        await trio.sleep(2)
        await opened.near.send("a request")
        await trio.sleep(1)
        await opened.peer.send(TextMessage(data="sent before"))
        assert await opened.near.receive() == "sent before"
        assert await end_of_receiving(opened.near) == (1006, LOST)
        assert trio.current_time() == 2 + AFTER_MESSAGE * INTERVAL + TIMEOUT


async def test_messages_do_not_postpone_pings(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch) as opened:
        opened.nursery.start_soon(opened.peer.answer_pings)
        for number in range(100):
            await opened.near.send(str(number))
            await trio.sleep(1)
        pings = len(opened.peer.payloads(Ping))
        assert 100 / (AFTER_MESSAGE * INTERVAL + 1) <= pings <= 100 / (AFTER_MESSAGE * INTERVAL)
        await trio.sleep(10 * INTERVAL)
        assert 10 <= len(opened.peer.payloads(Ping)) - pings <= 11


@pytest.mark.parametrize("answers", [Ping(payload=b"me too"), Pong(payload=b"unasked")])
async def test_control_frames_of_the_peer_are_no_answer(
    answers: Event, connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async def repeat(peer: Peer) -> None:
        while True:
            await trio.sleep(1)
            await peer.send(answers)

    async with open_connection(connector, monkeypatch) as opened:
        opened.nursery.start_soon(repeat, opened.peer)
        assert await end_of_receiving(opened.near) == (1006, LOST)
        assert trio.current_time() == INTERVAL + TIMEOUT


async def test_a_message_before_the_ping_is_no_answer(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async def ping(peer: Peer) -> None:
        await trio.sleep(0.5)
        while True:
            await trio.sleep(1)
            await peer.send(Ping(payload=b"me too"))

    async with open_connection(connector, monkeypatch) as opened:
        await opened.peer.send(TextMessage(data="before"))
        opened.nursery.start_soon(ping, opened.peer)
        assert await opened.near.receive() == "before"
        assert await end_of_receiving(opened.near) == (1006, LOST)
        assert trio.current_time() == INTERVAL + TIMEOUT


async def test_a_peer_that_is_sending_a_large_message_is_not_silent(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async def send_slowly(peer: Peer) -> None:
        await trio.sleep(INTERVAL - 1)
        frame = peer.wire.send(TextMessage(data="x" * 10 * KIBIBYTE))
        for start in range(0, len(frame), KIBIBYTE):
            await peer.stream.send_all(frame[start : start + KIBIBYTE])
            await trio.sleep(TIMEOUT - 1)

    async with open_connection(connector, monkeypatch) as opened:
        opened.nursery.start_soon(send_slowly, opened.peer)
        assert len(await opened.near.receive()) == 10 * KIBIBYTE
        arrived_at = trio.current_time()
        assert arrived_at > 2 * (INTERVAL + TIMEOUT)
        assert await end_of_receiving(opened.near) == (1006, LOST)
        assert trio.current_time() == pytest.approx(arrived_at + TIMEOUT)


async def test_a_connection_that_is_not_received_from_is_not_lost(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Pongs wait behind messages that the program has not received."""
    async with open_connection(connector, monkeypatch) as opened:
        opened.nursery.start_soon(opened.peer.answer_pings)
        await opened.peer.send(*[TextMessage(data=str(n)) for n in range(100)])
        await trio.sleep(1000)
        assert [await opened.near.receive() for _ in range(100)] == [str(n) for n in range(100)]
        await trio.sleep(1000)
        await opened.peer.send(TextMessage(data="still here"))
        assert await opened.near.receive() == "still here"


async def test_an_answer_behind_messages_that_were_not_received_is_not_missed(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch) as opened:
        peer = opened.peer
        while not peer.payloads(Ping):
            await peer.read()
        await peer.send(*[TextMessage(data=str(n)) for n in range(100)])
        await wait_all_tasks_blocked()
        await peer.send(Pong(payload=peer.payloads(Ping)[-1]))
        await trio.sleep(1000)
        opened.nursery.start_soon(peer.answer_pings)
        assert [await opened.near.receive() for _ in range(100)] == [str(n) for n in range(100)]
        await trio.sleep(1000)
        await peer.send(TextMessage(data="still here"))
        assert await opened.near.receive() == "still here"


async def test_an_answer_that_arrived_while_the_program_was_blocked_counts(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch) as opened:
        peer = opened.peer
        for n in range(1, 11):
            while len(peer.payloads(Ping)) < n:
                assert await peer.read()
            await peer.send(Pong(payload=peer.payloads(Ping)[-1]))
            autojump_clock.jump(TIMEOUT + 1)  # before any other task can run
        await peer.send(TextMessage(data="still here"))
        assert await opened.near.receive() == "still here"


# -- our writes ------------------------------------------------------------------------------------


async def test_a_peer_that_stops_reading_releases_a_blocked_send(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch, trio.testing.lockstep_stream_pair) as opened:
        await trio.sleep(INTERVAL - 5)
        with pytest.raises(TransportClosed, match=LOST):
            await opened.near.send("x" * KIBIBYTE)
        assert trio.current_time() == INTERVAL + TIMEOUT
        assert await end_of_receiving(opened.near) == (1006, LOST)


async def test_a_peer_that_is_reading_a_large_message_is_not_silent(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """A ping cannot be written in the middle of a frame."""

    async def read_slowly(peer: Peer) -> None:
        while True:
            await peer.read(8 * KIBIBYTE)
            await trio.sleep(1)

    async with open_connection(connector, monkeypatch, trio.testing.lockstep_stream_pair) as opened:
        peer = opened.peer
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_slowly, peer)
            await opened.near.send("x" * 1000 * KIBIBYTE)
            assert trio.current_time() > 2 * (INTERVAL + TIMEOUT)
            nursery.cancel_scope.cancel()
        with trio.move_on_after(100):
            await peer.answer_pings()
        texts = [event.data for event in peer.received if isinstance(event, TextMessage)]
        assert "".join(texts) == "x" * 1000 * KIBIBYTE
        assert len(peer.payloads(Ping)) == 5


async def test_writes_after_the_ping_do_not_hide_that_it_is_unanswered(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """The buffers on the way accept them, even though nobody reads."""

    async def send_audio(near: Transport) -> None:
        with pytest.raises(TransportClosed, match=LOST):
            while True:
                await near.send("audio")
                await trio.sleep(0.5)

    async with open_connection(connector, monkeypatch) as opened:
        opened.nursery.start_soon(send_audio, opened.near)
        assert await end_of_receiving(opened.near) == (1006, LOST)
        assert trio.current_time() == AFTER_MESSAGE * INTERVAL + TIMEOUT


async def test_pings_pongs_and_messages_are_not_mixed(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async def ping_often(peer: Peer) -> None:
        while True:
            await trio.sleep(0.01)
            await peer.send(Ping(payload=b"you"))

    big = "y" * 300 * KIBIBYTE
    make_pair = trio.testing.lockstep_stream_pair
    async with open_connection(connector, monkeypatch, make_pair, ping_interval=0.01) as opened:
        peer = opened.peer
        opened.nursery.start_soon(peer.answer_pings)
        opened.nursery.start_soon(ping_often, peer)
        for _ in range(20):
            await opened.near.send(big)
            await trio.sleep(0.02)
        await wait_all_tasks_blocked()
        texts = [event.data for event in peer.received if isinstance(event, TextMessage)]
        assert "".join(texts) == big * 20
        assert peer.payloads(Ping)
        assert set(peer.payloads(Pong)) == {b"you"}


# -- the close -------------------------------------------------------------------------------------


async def test_leaving_the_block_of_a_lost_connection_takes_no_time(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch) as opened:
        await end_of_receiving(opened.near)
        lost_at = trio.current_time()
    assert trio.current_time() == lost_at


async def test_a_close_that_is_not_answered_still_takes_close_timeout(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with open_connection(connector, monkeypatch, close_timeout=60.0) as opened:
        await trio.sleep(INTERVAL + 1)
        await opened.near.aclose(4000, "enough")
        assert trio.current_time() == INTERVAL + 1 + 60
        assert await end_of_receiving(opened.near) == (4000, "enough")


async def test_a_peer_that_closes_and_does_not_read_ends_the_connection(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """The reader cannot write its part of the close handshake."""
    async with open_connection(connector, monkeypatch, trio.testing.lockstep_stream_pair) as opened:
        await opened.peer.send(CloseConnection(code=4001, reason="enough"))
        assert await end_of_receiving(opened.near) == (4001, "enough")
        assert trio.current_time() <= INTERVAL + TIMEOUT


async def test_no_task_is_left(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with open_connection(connector, monkeypatch) as opened:
        await trio.sleep(INTERVAL + 1)  # a ping is not answered yet
        await opened.peer.stream.aclose()
        await end_of_receiving(opened.near)
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before
    assert trio.lowlevel.current_statistics().tasks_living == before


# -- the silence -----------------------------------------------------------------------------------


def overdue_at(ping: UnansweredPing) -> float:
    """Return the first whole second at which the ping is overdue."""
    return next(now for now in range(1000) if ping.is_overdue(now))


make_ping = partial(UnansweredPing, b"0", 10.0)


def test_a_ping_is_overdue_after_its_timeout() -> None:
    ping = make_ping(20.0, paused_at=None)
    assert overdue_at(ping) == ping.next_check(20.0) == 30


def test_a_pause_does_not_count() -> None:
    ping = make_ping(20.0, paused_at=None)
    ping.pause(24.0)
    assert not ping.is_overdue(1000.0)
    assert ping.next_check(40.0) == 50.0
    ping.resume(54.0)
    assert overdue_at(ping) == 60


def test_a_ping_that_is_due_in_a_pause_counts_from_its_end() -> None:
    ping = make_ping(20.0, paused_at=20.0)
    ping.wrote(25.0, is_ping=True)
    ping.resume(28.0)
    ping.resume(29.0)
    assert overdue_at(ping) == 38


def test_writes_end_the_silence_up_to_the_ping() -> None:
    ping = make_ping(20.0, paused_at=None)
    ping.wrote(22.0, is_ping=False)
    assert overdue_at(ping) == 32
    ping.wrote(25.0, is_ping=True)
    ping.wrote(29.0, is_ping=False)
    assert overdue_at(ping) == 35
    ping.received_message(33.0)
    assert overdue_at(ping) == 43
