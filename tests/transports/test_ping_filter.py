"""Pings are taken out of any stream of frames, however it is cut, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from trio_realtime.transports._ping_filter import PingFilter, Received

_CONTROL = st.binary(max_size=125)
_EVENTS = st.one_of(
    st.builds(Ping, payload=_CONTROL),
    st.builds(Pong, payload=_CONTROL),
    st.builds(TextMessage, data=st.text(max_size=200)),
    st.builds(BytesMessage, data=st.sampled_from([0, 125, 126, 65_535, 65_536]).map(bytes)),
)


def wire_of(events: Iterable[Event], *, masked: bool) -> bytes:
    end = Connection(ConnectionType.CLIENT if masked else ConnectionType.SERVER)
    return b"".join(end.send(event) for event in events)


def events_of(data: bytes, *, masked: bool) -> list[Event]:
    end = Connection(ConnectionType.SERVER if masked else ConnectionType.CLIENT)
    end.receive_data(data)
    return list(end.events())


def feed(pings: PingFilter, data: bytes, cuts: Iterable[int]) -> Iterator[Received]:
    start = 0
    for cut in [*sorted(cuts), len(data)]:
        yield pings.feed(data[start:cut])
        start = cut


@given(st.lists(_EVENTS, max_size=12), st.booleans(), st.data())
def test_only_pings_are_taken_out(events: list[Event], masked: bool, data: st.DataObject) -> None:
    wire = wire_of(events, masked=masked)
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=6))
    received = list(feed(PingFilter(masked), wire, cuts))
    rest = b"".join(part.rest for part in received)
    without_pings = [event for event in events if not isinstance(event, Ping)]
    assert events_of(rest, masked=masked) == events_of(
        wire_of(without_pings, masked=masked), masked=masked
    )
    last_pings = [part.ping for part in received if part.ping is not None]
    pings = [bytes(event.payload) for event in events if isinstance(event, Ping)]
    assert last_pings[-1:] == pings[-1:]
    assert set(last_pings) <= set(pings)
    assert [pong for part in received for pong in part.pongs] == [
        bytes(event.payload) for event in events if isinstance(event, Pong)
    ]


def test_each_byte_of_a_large_message_is_a_part_of_it() -> None:
    wire = wire_of([TextMessage(data="x" * 1000)], masked=False)
    parts = list(feed(PingFilter(masked=False), wire, range(4, len(wire))))
    assert all(part.has_message for part in parts)
    assert b"".join(part.rest for part in parts) == wire


def test_control_frames_are_no_part_of_a_message() -> None:
    control = [Ping(payload=b"1"), Pong(payload=b"2"), CloseConnection(code=1000, reason="bye")]
    received = PingFilter(masked=False).feed(wire_of(control, masked=False))
    assert not received.has_message


def test_a_ping_between_the_fragments_of_a_message_is_taken_out() -> None:
    first, ping, last = b"\x01\x02ab", b"\x89\x01!", b"\x80\x02cd"
    received = PingFilter(masked=False).feed(first + ping + last)
    assert (received.rest, received.ping) == (first + last, b"!")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\x09\x01!", id="a fragment"),
        pytest.param(b"\xc9\x01!", id="a reserved bit"),
        pytest.param(b"\x89\x81\x00\x00\x00\x00!", id="masked"),
        pytest.param(b"\x89\x7e\x00\x7e" + bytes(126), id="too long"),
    ],
)
def test_an_invalid_ping_remains(frame: bytes) -> None:
    received = PingFilter(masked=False).feed(frame)
    assert (received.rest, received.ping) == (frame, None)


def test_an_incomplete_ping_comes_with_the_next_bytes() -> None:
    pings = PingFilter(masked=False)
    assert pings.feed(b"\x89") == Received(b"")
    assert pings.feed(b"\x02a") == Received(b"")
    assert pings.feed(b"b\x8a\x00") == Received(b"\x8a\x00", b"ab", (b"",))
