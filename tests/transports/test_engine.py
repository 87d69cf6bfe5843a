"""The engine gives the same events as wsproto, whatever frames arrive and however they are cut."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings, strategies as st
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
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from trio_realtime.transports._engine import ClientEngine, FrameSplitter, masked_frame

MAX_SIZE = 70_000


def opened(client: ClientEngine | WSConnection) -> None:
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(client.send(Request(host="localhost", target="/")))
    list(server.events())
    client.receive_data(server.send(AcceptConnection()))
    assert any(isinstance(event, AcceptConnection) for event in client.events())


def server_frame(opcode: int, payload: bytes, *, final: bool = True, first: int = 0) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes((size,))
    elif size < 65536:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes(((0x80 if final else 0) | opcode | first,)) + length + payload


texts = st.text(max_size=200).map(str.encode) | st.sampled_from(
    (b"", b"x" * 125, b"y" * 126, b"z" * 65_535, b"w" * 65_536, b"v" * (MAX_SIZE + 1))
)
whole = texts.map(lambda payload: [server_frame(1, payload)])
fragments = st.lists(texts, min_size=2, max_size=3).map(
    lambda parts: [
        server_frame(0 if number else 1, part, final=number == len(parts) - 1)
        for number, part in enumerate(parts)
    ]
)
control = st.sampled_from((9, 10)).flatmap(
    lambda opcode: st.binary(max_size=125).map(lambda payload: [server_frame(opcode, payload)])
)
binary = st.binary(max_size=300).map(lambda payload: [server_frame(2, payload)])
closing = st.just([server_frame(8, (1000).to_bytes(2, "big") + b"bye")])
broken = st.sampled_from(
    (
        [server_frame(1, b"\xff\xfe")],  # no UTF-8
        [server_frame(1, b"rsv", first=0x40)],
        [server_frame(3, b"reserved")],
        [b"\x81\x7e\x00\x05hello"],  # not the shortest size
        [b"\x81\x7f" + (5).to_bytes(8, "big") + b"hello"],
        [masked_frame(b"masked")],
        [server_frame(0, b"continues nothing")],
        [server_frame(1, b"begun", final=False), server_frame(1, b"another")],
    )
)
traffic = st.lists(whole | whole | fragments | control | binary | broken | closing, max_size=8)


def joined(events: Iterable[Event]) -> list[object]:
    """Return comparable events, with the parts of a message joined."""
    result: list[object] = []
    parts: list[str | bytes] = []
    for event in events:
        match event:
            case TextMessage() | BytesMessage():
                parts.append(event.data if isinstance(event, TextMessage) else bytes(event.data))
                if event.message_finished:
                    empty = "" if isinstance(event, TextMessage) else b""
                    result.append(empty.join(parts))  # type: ignore[arg-type]
                    parts = []
            case Ping(payload=payload) | Pong(payload=payload):
                result.append((type(event).__name__, bytes(payload)))
            case CloseConnection():
                result.append(("close", event.code))
            case _:
                result.append(event)
    return result


def is_closed(client: ClientEngine | WSConnection) -> bool:
    return client.state is ConnectionState.CLOSED


def run(client: ClientEngine | WSConnection, pieces: list[bytes]) -> list[object]:
    opened(client)
    events: list[Event] = []
    for piece in pieces:
        if is_closed(client):
            break
        try:
            client.receive_data(piece)
        except RemoteProtocolError:
            events.extend(client.events())
            return [*joined(events), "protocol error"]
        for event in client.events():
            events.append(event)
            if isinstance(event, CloseConnection) and not is_closed(client):
                client.send(event.response())
    return joined(events)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in (*pieces, data) if piece]


@settings(deadline=None)
@given(traffic, st.lists(st.integers(1, 400) | st.integers(1, 60_000), max_size=30))
def test_the_events_are_those_of_wsproto(frames: list[list[bytes]], sizes: list[int]) -> None:
    data = b"".join(part for group in frames for part in group)
    # One frame at a time: after a close or an error, wsproto's events depend on how data was cut.
    expected = run(WSConnection(ConnectionType.CLIENT), [part for g in frames for part in g])
    assert run(ClientEngine(MAX_SIZE), cut(data, sizes)) == expected


@given(st.lists(whole | fragments | control | binary, max_size=8), st.lists(st.integers(1, 300)))
def test_no_byte_is_lost_or_changed(frames: list[list[bytes]], sizes: list[int]) -> None:
    data = b"".join(part for group in frames for part in group)
    splitter = FrameSplitter(MAX_SIZE)
    pieces = [piece for part in cut(data, sizes) for piece in splitter.feed(part)]
    rebuilt = b"".join(p if isinstance(p, bytes) else server_frame(1, p.encode()) for p in pieces)
    assert rebuilt == data


def test_a_frame_in_many_pieces_is_joined_once() -> None:
    """Each piece would otherwise be copied with all pieces before it."""
    splitter = FrameSplitter(2**24)
    data = server_frame(1, b"x" * 2**20)
    for begin in range(0, len(data) - 1, 64):
        assert splitter.feed(data[begin : min(begin + 64, len(data) - 1)]) == []
    assert splitter.feed(data[-1:]) == ["x" * 2**20]


@pytest.mark.parametrize("event", [TextMessage(data="late"), BytesMessage(data=b"late")])
def test_nothing_is_sent_after_the_close(event: Event) -> None:
    engine = ClientEngine(MAX_SIZE)
    opened(engine)
    engine.send(CloseConnection(code=1000))
    with pytest.raises(LocalProtocolError):
        engine.send(event)
