"""Each fault of a connection, between two ends of an in-memory transport."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_realtime.testing.faults import (
    AppliedFault,
    Close,
    Delay,
    Drop,
    Duplicate,
    Elapsed,
    FailDial,
    Fault,
    FaultyLink,
    Freeze,
    Garbage,
    Incoming,
    Inject,
    OneWay,
    Outgoing,
    Oversize,
    SlowReader,
    Trickle,
    Truncate,
    faulty_connector,
)
from trio_realtime.transports import (
    ConnectOptions,
    MemoryTransport,
    Transport,
    TransportClosed,
    memory_transport_pair,
)

A, B, C, D = (json.dumps({"type": name}) for name in "abcd")
SIZE = len(A)


@attrs.define(eq=False)
class Ends:
    """The ends of a connection with faults: `link` is that of the session."""

    link: FaultyLink
    far: MemoryTransport


@asynccontextmanager
async def open_ends(
    *faults: Fault,
    buffer: int = 1000,
    max_messages: int = 1000,
    max_message_size: int = 1000,
    close_timeout: float = 1.0,
    pings: tuple[float, float] | None = None,
) -> AsyncGenerator[Ends]:
    near, far = memory_transport_pair(
        max_messages=max_messages, max_message_size=max_message_size, close_timeout=close_timeout
    )

    @asynccontextmanager
    async def connect(_: ConnectOptions) -> AsyncGenerator[Transport]:
        yield near
        await near.aclose()

    interval, timeout = pings or (None, None)
    options = ConnectOptions(
        url="ws://test.invalid",
        max_message_size=max_message_size,
        close_timeout=close_timeout,
        ping_interval=interval,
        ping_timeout=timeout,
    )
    connector = faulty_connector(connect, faults, buffer=buffer)
    with trio.fail_after(1000):
        async with connector(options):
            yield Ends(connector.link, far)


async def send_all(transport: Transport, messages: Sequence[str]) -> None:
    for message in messages:
        await transport.send(message)


async def receive_all(transport: Transport) -> list[str | bytes]:
    """Return what arrives until the end, and then the close code."""
    received: list[str | bytes] = []
    try:
        while True:
            received.append(await transport.receive())
    except TransportClosed as closed:
        return [*received, str(closed.code)]


async def receive_now(transport: Transport) -> list[str | bytes]:
    """Return what has arrived."""
    received: list[str | bytes] = []

    async def collect() -> None:
        while True:
            received.append(await transport.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return received


# --- without faults -----------------------------------------------------------------------------


async def test_messages_pass_in_both_directions(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        await send_all(ends.link, [A, B])
        await send_all(ends.far, [C, D])
        assert await receive_now(ends.far) == [A, B]
        assert await receive_now(ends.link) == [C, D]
        assert ends.link.types("outgoing") == ["a", "b"]
        assert ends.link.types("incoming") == ["c", "d"]
        assert [record.fate for record in ends.link.frames] == ["delivered"] * 4
        assert ends.link.applied == []
        assert repr(ends.link) == "<FaultyLink 1: open>"


async def test_the_close_of_the_session_reaches_the_peer(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        await ends.link.send(A)
        await ends.link.aclose(1000, "done")
        assert await receive_all(ends.far) == [A, "1000"]
        for call in (ends.link.receive(), ends.link.send(B)):
            with pytest.raises(TransportClosed) as caught:
                await call
            assert (caught.value.code, caught.value.reason) == (1000, "done")
        assert (await ends.link.wait_closed()).code == 1000
    assert trio.current_time() == 0


async def test_the_close_of_the_peer_comes_after_its_messages(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        await ends.far.send(A)
        await ends.far.aclose(1001, "bye")
        assert await receive_all(ends.link) == [A, "1001"]
        with pytest.raises(TransportClosed, match="bye"):
            await ends.link.send(B)
        assert await ends.link.wait_closed() is ends.link.closed


async def test_the_end_of_the_block_closes_the_connection(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        await ends.link.send(A)
    assert await receive_all(ends.far) == [A, "1000"]


async def test_a_cancelled_block_still_closes_the_connection(autojump_clock: MockClock) -> None:
    with trio.CancelScope() as scope:
        async with open_ends() as ends:
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert await receive_all(ends.far) == ["1000"]


async def test_no_task_is_left(autojump_clock: MockClock) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with open_ends(Freeze(Elapsed(100)), Delay(3)):
        assert trio.lowlevel.current_statistics().tasks_living > before
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_a_peer_that_ignores_the_close_takes_the_close_timeout(
    autojump_clock: MockClock,
) -> None:
    async with open_ends() as ends:
        ends.far.ignore_close()
        await ends.link.aclose()
        assert trio.current_time() == 1
    assert trio.current_time() == 1


async def test_a_cancelled_receive_loses_no_message(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        assert await receive_now(ends.link) == []
        await ends.far.send(A)
        with trio.CancelScope() as scope:
            scope.cancel()
            await ends.link.receive()
        assert scope.cancelled_caught
        assert await ends.link.receive() == A


async def test_a_cancelled_send_that_waits_breaks_the_connection(autojump_clock: MockClock) -> None:
    async with open_ends(Freeze(), buffer=0) as ends:
        with trio.move_on_after(1) as scope:
            await ends.link.send(A)
        assert scope.cancelled_caught
        with pytest.raises(TransportClosed, match="1006"):
            await ends.link.send(B)
        assert await receive_all(ends.far) == ["1006"]


async def test_a_send_that_is_cancelled_before_it_begins_sends_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_ends() as ends:
        with trio.CancelScope() as scope:
            scope.cancel()
            await ends.link.send(A)
        await ends.link.send(B)
        assert await receive_now(ends.far) == [B]


async def test_a_session_that_does_not_read_stops_the_peer(autojump_clock: MockClock) -> None:
    """The link reads no more than its buffers."""
    async with open_ends(buffer=2 * SIZE) as ends:
        await send_all(ends.far, [A] * 100)
        await wait_all_tasks_blocked()
        assert len(ends.link.types("incoming")) <= 4
        assert await receive_now(ends.link) == [A] * 100


async def test_the_close_wakes_a_send_that_waits(autojump_clock: MockClock) -> None:
    async with open_ends(Freeze(direction="outgoing"), buffer=0) as ends, trio.open_nursery() as n:
        n.start_soon(expect_closed_send, ends.link, 1000)
        await wait_all_tasks_blocked()
        await ends.link.aclose()


async def expect_closed_send(link: FaultyLink, code: int) -> None:
    with pytest.raises(TransportClosed) as caught:
        await link.send(A)
    assert (caught.value.code, trio.current_time()) == (code, 0)


async def test_messages_that_were_not_received_before_the_close_are_discarded(
    autojump_clock: MockClock,
) -> None:
    async with open_ends() as ends:
        await ends.far.send(A)
        await wait_all_tasks_blocked()
        await ends.link.aclose()
        assert await receive_all(ends.link) == ["1000"]


# --- dropping and closing -----------------------------------------------------------------------

DROPS = [
    ("before", [A, "1006"], ["a"], ["b", "c"]),
    ("mid_frame", [A, "1006"], ["a"], ["b", "c"]),
    ("instead", [A, "1006"], ["a"], ["b", "c"]),
    ("after", [A, B, "1006"], ["a", "b"], ["c"]),
]


@pytest.mark.parametrize(("moment", "arrived", "delivered", "lost"), DROPS)
async def test_drop_at_an_incoming_frame(
    moment: str,
    arrived: list[str],
    delivered: list[str],
    lost: list[str],
    autojump_clock: MockClock,
) -> None:
    fault = Drop(Incoming(2, moment=moment))  # type: ignore[arg-type]
    async with open_ends(fault, Delay(1)) as ends:
        await send_all(ends.far, [A, B, C])
        assert await receive_all(ends.link) == arrived
        assert await receive_all(ends.far) == ["1006"]
        assert ends.link.types("incoming") == delivered
        assert sorted(ends.link.types("incoming", "lost")) == lost
        assert [applied.fault for applied in ends.link.applied] == [Delay(1), fault]
        assert repr(ends.link) == "<FaultyLink 1: 1006>"


@pytest.mark.parametrize(("moment", "arrived", "delivered", "lost"), DROPS)
async def test_drop_at_an_outgoing_frame(
    moment: str,
    arrived: list[str],
    delivered: list[str],
    lost: list[str],
    autojump_clock: MockClock,
) -> None:
    fault = Drop(Outgoing(2, moment=moment))  # type: ignore[arg-type]
    async with open_ends(fault, Delay(1)) as ends:
        await send_all(ends.link, [A, B, C])
        assert await receive_all(ends.far) == arrived
        with pytest.raises(TransportClosed, match="1006"):
            await ends.link.send(D)
        assert await receive_all(ends.link) == ["1006"]
        assert ends.link.types("outgoing") == delivered
        assert sorted(ends.link.types("outgoing", "lost")) == lost


async def test_drop_in_mid_frame_waits_for_half_of_it(autojump_clock: MockClock) -> None:
    async with open_ends(Trickle(SIZE), Drop(Outgoing(2, moment="mid_frame"))) as ends:
        await send_all(ends.link, [A, B])
        assert await receive_all(ends.far) == [A, "1006"]
        assert trio.current_time() == pytest.approx(1.5)


async def test_drop_at_a_late_frame(autojump_clock: MockClock) -> None:
    async with open_ends(Drop(Incoming(5))) as ends:
        await send_all(ends.far, [A, B, C, D, A])
        assert await receive_all(ends.link) == [A, B, C, D, A, "1006"]


async def test_frames_under_way_are_lost_with_the_connection(autojump_clock: MockClock) -> None:
    async with open_ends(Delay(100)) as ends:
        await send_all(ends.link, [A, B])
        await send_all(ends.far, [C, D])
        await wait_all_tasks_blocked()
        ends.link.drop()
        assert await receive_all(ends.far) == ["1006"]
        assert await receive_all(ends.link) == ["1006"]
        await wait_all_tasks_blocked()
        assert sorted(ends.link.types("outgoing", "lost")) == ["a", "b"]
        assert sorted(ends.link.types("incoming", "lost")) == ["c", "d"]


async def test_drop_counts_the_frames_of_one_type(autojump_clock: MockClock) -> None:
    async with open_ends(Drop(Incoming(2, "b", moment="before"))) as ends:
        await send_all(ends.far, [A, B, A, "x", "[1]", A, C, B])
        assert await receive_all(ends.link) == [A, B, A, "x", "[1]", A, C, "1006"]


async def test_drop_after_a_time(autojump_clock: MockClock) -> None:
    async with open_ends(Drop(Elapsed(5))) as ends:
        await ends.far.send(A)
        assert await receive_all(ends.link) == [A, "1006"]
        assert trio.current_time() == 5
        assert ends.link.applied == [AppliedFault(Drop(Elapsed(5)), 5)]


async def test_drop_at_once(autojump_clock: MockClock) -> None:
    async with open_ends(Drop()) as ends:
        assert await receive_all(ends.link) == ["1006"]
        assert await receive_all(ends.far) == ["1006"]


async def test_drop_by_hand_wakes_both_ends(autojump_clock: MockClock) -> None:
    async with open_ends() as ends, trio.open_nursery() as nursery:
        nursery.start_soon(expect_end, ends.link, "1006")
        nursery.start_soon(expect_end, ends.far, "1006")
        await wait_all_tasks_blocked()
        ends.link.drop()
        ends.link.drop()
        ends.link.close(1001)
        ends.link.freeze()
        assert [applied.fault for applied in ends.link.applied] == [Drop()]


async def expect_end(transport: Transport, code: str) -> None:
    assert await receive_all(transport) == [code]


async def test_what_arrived_before_a_drop_can_be_received(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        await send_all(ends.far, [A, B])
        await wait_all_tasks_blocked()
        ends.link.drop()
        assert await receive_all(ends.link) == [A, B, "1006"]


@pytest.mark.parametrize("direction", ["incoming", "outgoing"])
async def test_close_at_a_frame(direction: str, autojump_clock: MockClock) -> None:
    trigger = Incoming(1) if direction == "incoming" else Outgoing(1)
    async with open_ends(Close(4000, "enough", at=trigger)) as ends:
        near, far = ends.link, ends.far
        sender, receiver = (far, near) if direction == "incoming" else (near, far)
        await sender.send(A)
        assert await receive_all(receiver) == [A, "4000"]
        for end in (near, far):
            with pytest.raises(TransportClosed) as caught:
                await end.receive()
            assert (caught.value.code, caught.value.reason) == (4000, "enough")


async def test_close_by_hand_when_the_peer_does_not_answer(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        ends.far.ignore_close()
        ends.link.close(1001, "going away")
        assert await receive_all(ends.link) == ["1001"]
        assert trio.current_time() == 0
    assert trio.current_time() <= 1


# --- freezing and losing ------------------------------------------------------------------------


async def test_a_frozen_link_delivers_nothing_until_it_is_resumed(
    autojump_clock: MockClock,
) -> None:
    async with open_ends(Freeze(Incoming(1))) as ends:
        await send_all(ends.far, [A, B])
        await ends.link.send(C)
        assert await receive_now(ends.link) == [A]
        assert await receive_now(ends.far) == []
        ends.link.resume()
        assert await receive_now(ends.link) == [B]
        assert await receive_now(ends.far) == [C]


@pytest.mark.parametrize("moment", ["before", "mid_frame"])
async def test_a_frame_waits_for_the_end_of_a_freeze(
    moment: str, autojump_clock: MockClock
) -> None:
    fault = Freeze(Outgoing(2, moment=moment), duration=3)  # type: ignore[arg-type]
    async with open_ends(fault) as ends:
        await send_all(ends.link, [A, B])
        assert [await ends.far.receive(), trio.current_time()] == [A, 0]
        assert [await ends.far.receive(), trio.current_time()] == [B, 3]


async def test_a_link_can_freeze_in_one_direction(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        ends.link.freeze("outgoing")
        await ends.link.send(A)
        await ends.far.send(B)
        assert await receive_now(ends.link) == [B]
        assert await receive_now(ends.far) == []


async def test_sending_on_a_frozen_link_blocks_when_the_buffer_is_full(
    autojump_clock: MockClock,
) -> None:
    async with open_ends(Freeze(), buffer=2 * SIZE) as ends:
        await send_all(ends.link, [A, B])
        with trio.move_on_after(100) as scope:
            await ends.link.send(C)
        assert scope.cancelled_caught


async def test_the_peer_of_a_frozen_link_blocks_when_the_buffer_is_full(
    autojump_clock: MockClock,
) -> None:
    async with open_ends(Freeze(), buffer=2 * SIZE, max_messages=1) as ends:
        sent = 0
        with trio.move_on_after(100):
            for _ in range(100):
                await ends.far.send(A)
                sent += 1
        assert 2 <= sent <= 6


async def test_a_frozen_link_hides_the_close_of_the_peer(autojump_clock: MockClock) -> None:
    async with open_ends(Freeze()) as ends:
        await ends.far.aclose(1001)
        assert await receive_now(ends.link) == []
        assert ends.link.closed is None
        ends.link.resume()
        assert await receive_all(ends.link) == ["1001"]


async def test_closing_a_frozen_link_takes_the_close_timeout(autojump_clock: MockClock) -> None:
    async with open_ends(Freeze(), close_timeout=3) as ends:
        await ends.link.send(A)
        await ends.link.aclose()
        assert trio.current_time() == 3
        assert await receive_all(ends.far) == ["1006"]
    assert trio.current_time() == 3


async def test_outgoing_frames_are_lost(autojump_clock: MockClock) -> None:
    async with open_ends(OneWay("outgoing", at=Outgoing(1)), buffer=SIZE) as ends:
        await send_all(ends.link, [A, *[B] * 100])
        assert await receive_now(ends.far) == [A]
        await ends.far.send(C)
        assert await receive_now(ends.link) == [C]
        assert ends.link.types("outgoing", "lost") == ["b"] * 100


async def test_incoming_frames_are_lost(autojump_clock: MockClock) -> None:
    async with open_ends(OneWay("incoming", duration=5)) as ends:
        await ends.far.send(A)
        await ends.link.send(B)
        assert await receive_now(ends.far) == [B]
        await trio.sleep(6)
        await ends.far.send(C)
        assert await receive_now(ends.link) == [C]


async def test_the_close_of_the_peer_is_lost_too(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        ends.link.lose("incoming")
        await ends.far.aclose(1001)
        assert await receive_now(ends.link) == []
        ends.link.resume("incoming")
        assert await receive_all(ends.link) == ["1001"]


async def test_closing_a_one_way_link_takes_the_close_timeout(autojump_clock: MockClock) -> None:
    async with open_ends(OneWay("outgoing")) as ends:
        await ends.link.aclose()
        assert trio.current_time() == 1
        assert await receive_all(ends.far) == ["1006"]


# --- time ---------------------------------------------------------------------------------------


async def test_delays_of_frames_do_not_add_up(autojump_clock: MockClock) -> None:
    async with open_ends(Delay(2, direction="incoming")) as ends:
        await send_all(ends.far, [A, B])
        await ends.link.send(C)
        assert [await ends.far.receive(), trio.current_time()] == [C, 0]
        assert [await ends.link.receive(), trio.current_time()] == [A, 2]
        assert [await ends.link.receive(), trio.current_time()] == [B, 2]


async def test_the_end_is_delayed_like_a_frame(autojump_clock: MockClock) -> None:
    async with open_ends(Delay(2)) as ends:
        await ends.far.aclose(1001)
        assert await receive_all(ends.link) == ["1001"]
        assert trio.current_time() == 2


async def test_a_shorter_delay_applies_to_frames_under_way(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        ends.link.delay(100)
        await ends.far.send(A)
        await trio.sleep(1)
        ends.link.delay(3)
        assert [await ends.link.receive(), trio.current_time()] == [A, 3]


async def test_the_end_of_a_delay_restores_the_one_before(autojump_clock: MockClock) -> None:
    async with open_ends(Delay(1), Delay(10, at=Elapsed(5), duration=5)) as ends:
        for sent_at, arrives_at in [(0, 1), (6, 10), (12, 13)]:
            await trio.sleep_until(sent_at)
            await ends.far.send(A)
            assert [await ends.link.receive(), trio.current_time()] == [A, arrives_at]


async def test_frames_trickle(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        ends.link.trickle(SIZE / 2, "outgoing")
        await send_all(ends.link, [A, B])
        assert [await ends.far.receive(), trio.current_time()] == [A, 2]
        assert [await ends.far.receive(), trio.current_time()] == [B, 4]
        ends.link.resume()
        await ends.link.send(C)
        assert [await ends.far.receive(), trio.current_time()] == [C, 4]


async def test_a_frozen_link_does_not_transmit(autojump_clock: MockClock) -> None:
    async with open_ends(Trickle(SIZE)) as ends:
        await send_all(ends.far, [A, B, C])
        assert [await ends.link.receive(), trio.current_time()] == [A, 1]
        ends.link.freeze()
        await trio.sleep(99)
        ends.link.apply(Trickle(SIZE))
        ends.link.resume()
        ends.link.trickle(SIZE)
        assert [await ends.link.receive(), trio.current_time()] == [B, 100]
        assert [await ends.link.receive(), trio.current_time()] == [C, 101]


async def test_a_slow_reader_makes_sending_block(autojump_clock: MockClock) -> None:
    async with open_ends(SlowReader(SIZE / 2, buffer=SIZE)) as ends:
        times: list[float] = []
        for _ in range(4):
            await ends.link.send(A)
            times.append(trio.current_time())
        assert times == [0, 2, 4, 6]
        await ends.far.send(B)
        assert [await ends.link.receive(), trio.current_time()] == [B, 6]
        ends.link.resume()
        ends.link.freeze()
        await send_all(ends.link, [A] * 10)  # the usual buffer


# --- pings --------------------------------------------------------------------------------------


async def test_pings_of_a_link_without_faults_are_answered(autojump_clock: MockClock) -> None:
    async with open_ends(Delay(4), pings=(20, 10)) as ends:
        await trio.sleep(200)
        assert ends.link.closed is None
        assert ends.link.frames == []


@pytest.mark.parametrize(
    "fault",
    [
        Freeze(),
        Freeze(direction="incoming"),
        Freeze(direction="outgoing"),
        OneWay("incoming"),
        OneWay("outgoing"),
        Delay(6),
    ],
)
@pytest.mark.parametrize("sends_audio", [False, True])
async def test_a_peer_that_does_not_answer_a_ping_is_lost(
    fault: Fault, sends_audio: bool, autojump_clock: MockClock
) -> None:
    async with open_ends(fault, pings=(20, 10), buffer=100_000) as ends:
        async with trio.open_nursery() as nursery:
            if sends_audio:
                nursery.start_soon(send_forever, ends.link)
                nursery.start_soon(receive_all, ends.far)
            with pytest.raises(TransportClosed, match="did not answer a ping within 10 s"):
                await ends.link.receive()
            # A ping waits behind frames under way.
            assert 30 <= trio.current_time() <= 36
            nursery.cancel_scope.cancel()
        assert (await receive_all(ends.far))[-1] == "1006"


async def send_forever(transport: Transport) -> None:
    while True:
        try:
            await transport.send(A)
        except TransportClosed:
            return
        await trio.sleep(1)


async def test_a_peer_that_sends_is_not_lost(autojump_clock: MockClock) -> None:
    async with open_ends(Freeze(direction="outgoing"), pings=(20, 10)) as ends:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_forever, ends.far)
            with trio.move_on_after(100):
                while True:
                    await ends.link.receive()
            nursery.cancel_scope.cancel()
        assert ends.link.closed is None


async def test_a_ping_may_wait_behind_frames(autojump_clock: MockClock) -> None:
    async with open_ends(Trickle(SIZE / 6, direction="outgoing"), pings=(20, 10)) as ends:
        await trio.sleep(19)
        await send_all(ends.link, [A] * 4)
        await trio.sleep(200)
        assert ends.link.closed is None


async def test_a_ping_may_be_written_late(autojump_clock: MockClock) -> None:
    freeze = Freeze(Elapsed(19), direction="outgoing", duration=9)
    async with open_ends(freeze, Delay(5, direction="incoming"), pings=(20, 10)) as ends:
        await trio.sleep(200)
        assert ends.link.closed is None


@pytest.mark.parametrize("direction", ["incoming", "outgoing"])
async def test_a_peer_may_answer_pings_and_nothing_else(
    direction: str, autojump_clock: MockClock
) -> None:
    async with open_ends(pings=(20, 10)) as ends:
        ends.link.lose(direction, answers_pings=True)  # type: ignore[arg-type]
        await ends.link.send(A)
        await ends.far.send(B)
        await trio.sleep(200)
        assert ends.link.closed is None
        assert await receive_now(ends.link) == ([] if direction == "incoming" else [B])
        assert await receive_now(ends.far) == ([A] if direction == "incoming" else [])


@pytest.mark.parametrize("sent_at", [0, 21])
async def test_a_session_that_does_not_read_does_not_lose_its_peer(
    sent_at: float, autojump_clock: MockClock
) -> None:
    async with open_ends(Delay(2), pings=(20, 10), buffer=0) as ends:
        await trio.sleep(sent_at)
        await send_all(ends.far, [A] * 5)
        await trio.sleep(200)
        assert await ends.link.receive() == A
        await trio.sleep(200)
        assert ends.link.closed is None
        for _ in range(4):
            assert await ends.link.receive() == A


# --- frames -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "expected"),
    [("before", [A, "{", B]), ("instead", [A, "{"]), ("after", [A, B, "{"])],
)
@pytest.mark.parametrize("direction", ["incoming", "outgoing"])
async def test_a_frame_arrives_before_after_or_instead_of_another(
    moment: str, expected: list[str], direction: str, autojump_clock: MockClock
) -> None:
    kind = Incoming if direction == "incoming" else Outgoing
    async with open_ends(Inject("{", kind(2, moment=moment))) as ends:  # type: ignore[arg-type]
        sender, receiver = (
            (ends.far, ends.link) if direction == "incoming" else (ends.link, ends.far)
        )
        await send_all(sender, [A, B])
        assert await receive_now(receiver) == expected
        fates = [record.fate for record in ends.link.frames]
        assert fates.count("injected") == 1
        assert fates.count("lost") == (moment == "instead")


async def test_a_frame_arrives_more_than_once(autojump_clock: MockClock) -> None:
    async with open_ends(Duplicate(Incoming(1, "b"), copies=2)) as ends:
        await send_all(ends.far, [A, B, C, B])
        assert await receive_now(ends.link) == [A, B, B, B, C, B]


async def test_garbage_and_half_frames_are_not_json(autojump_clock: MockClock) -> None:
    faults = Garbage(Incoming(1)), Truncate(Incoming(2, moment="instead"))
    async with open_ends(*faults) as ends:
        await send_all(ends.far, [A, B])
        first, garbage, half = await receive_now(ends.link)
        assert (first, half) == (A, B[: SIZE // 2])
        for text in (garbage, half):
            with pytest.raises(json.JSONDecodeError):
                json.loads(text)


async def test_an_oversized_frame_closes_the_connection(autojump_clock: MockClock) -> None:
    async with open_ends(Oversize(Incoming(1)), max_message_size=100) as ends:
        await ends.far.send(A)
        assert await receive_all(ends.link) == [A, "1009"]
        assert await receive_all(ends.far) == ["1009"]


async def test_a_large_frame_within_the_limit_is_valid_json(autojump_clock: MockClock) -> None:
    async with open_ends(Oversize(Incoming(1), size=100), max_message_size=100) as ends:
        await ends.far.send(A)
        _, large = await receive_now(ends.link)
        assert (len(large), json.loads(large)["type"]) == (100, "oversize")


async def test_an_oversized_frame_of_the_session_closes_the_connection(
    autojump_clock: MockClock,
) -> None:
    async with open_ends(Oversize(Outgoing(1)), max_message_size=100) as ends:
        await ends.link.send(A)
        assert await receive_all(ends.far) == [A, "1009"]
        assert await receive_all(ends.link) == ["1009"]


async def test_frames_can_be_sent_by_hand(autojump_clock: MockClock) -> None:
    async with open_ends(Drop(Incoming(2))) as ends:
        ends.link.inject(A)
        ends.link.inject(b"\x00")
        ends.link.inject(B, "outgoing")
        await ends.far.send(C)
        assert await receive_now(ends.link) == [A, b"\x00", C]
        assert await receive_now(ends.far) == [B]
        assert ends.link.types("incoming", "injected") == ["a", ""]
        with pytest.raises(TypeError, match="text"):
            ends.link.inject(b"\x00", "outgoing")


# --- adding faults ------------------------------------------------------------------------------


async def test_a_fault_that_is_added_later_counts_from_then_on(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        await ends.far.send(A)
        assert await ends.link.receive() == A
        ends.link.apply(Drop(Incoming(2)))
        await send_all(ends.far, [B, C])
        assert await receive_all(ends.link) == [B, C, "1006"]


async def test_several_faults_of_one_frame_happen_in_order(autojump_clock: MockClock) -> None:
    faults = Garbage(Incoming(1)), Drop(Incoming(1)), Freeze(Incoming(1)), Truncate(Incoming(1))
    async with open_ends(*faults) as ends:
        await ends.far.send(A)
        assert len(await receive_all(ends.link)) == 3
        assert [applied.fault for applied in ends.link.applied] == [*faults[:2]]


async def test_wait_until_a_fault_has_happened(autojump_clock: MockClock) -> None:
    async with open_ends(Freeze(Elapsed(3)), Drop(Elapsed(7))) as ends:
        assert await ends.link.wait_applied(2) == AppliedFault(Drop(Elapsed(7)), 7)
        assert (await ends.link.wait_applied()).time == 3


async def test_a_fault_of_a_dial_cannot_happen_on_a_connection(autojump_clock: MockClock) -> None:
    async with open_ends() as ends:
        with pytest.raises(TypeError, match="FailDial is a fault of a dial"):
            ends.link.apply(FailDial())
