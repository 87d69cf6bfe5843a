"""Frames of a server that are unusual or break the protocol, as in the Autobahn test suite.

Both connectors get each sequence of frames over a real socket: at once, and in small pieces.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import attrs
import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection

from trio_realtime.transports import ConnectOptions, Connector, TransportClosed

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
LIMIT = 100_000


def frame(
    opcode: int, payload: bytes = b"", *, final: bool = True, bits: int = 0, mask: bool = False
) -> bytes:
    """Return a frame of a server."""
    size = len(payload)
    masked = 0x80 if mask else 0
    if size < 126:
        length = bytes((masked | size,))
    elif size < 65536:
        length = bytes((masked | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((masked | 127,)) + size.to_bytes(8, "big")
    key = b"\0\0\0\0" if mask else b""
    return bytes(((0x80 if final else 0) | bits | opcode,)) + length + key + payload


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


@attrs.frozen
class Case:
    """What the server sends, and what the client makes of it.

    Attributes:
        name: what is unusual.
        frames: what the server sends.
        messages: what the client receives.
        code: the code with which the connection ends.
    """

    name: str
    frames: Sequence[bytes]
    messages: Sequence[str | bytes]
    code: int


def text(*parts: bytes) -> list[bytes]:
    """Return a text message in fragments."""
    last = len(parts) - 1
    return [frame(TEXT if n == 0 else 0, part, final=n == last) for n, part in enumerate(parts)]


END = close(1000)
SIZES = (0, 1, 125, 126, 127, 128, 65535, 65536, LIMIT)
INVALID_UTF8 = (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xce")
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
FORBIDDEN_CODES = (0, 999, 1004, 1005, 1006, 1015)

CASES = (
    *(Case(f"text of {n}", [frame(TEXT, b"x" * n), END], ["x" * n], 1000) for n in SIZES),
    *(Case(f"binary of {n}", [frame(BINARY, b"x" * n), END], [b"x" * n], 1000) for n in SIZES),
    Case("a longer text than allowed", [frame(TEXT, b"x" * (LIMIT + 1))], [], 1009),
    Case("longer than allowed in parts", text(b"x" * LIMIT, b"x"), [], 1009),
    Case("characters count", [frame(TEXT, "é".encode() * LIMIT), END], ["é" * LIMIT], 1000),
    # pings and pongs
    Case("an empty ping", [frame(PING), *text(b"a"), END], ["a"], 1000),
    Case("a ping of 125", [frame(PING, b"p" * 125), *text(b"a"), END], ["a"], 1000),
    Case("a ping of 126", [*text(b"a"), frame(PING, b"p" * 126)], ["a"], 1002),
    Case("ten pings", [*[frame(PING, b"p")] * 10, *text(b"a"), END], ["a"], 1000),
    Case("an unasked pong", [frame(PONG, b"p"), *text(b"a"), END], ["a"], 1000),
    Case("a fragmented ping", [frame(PING, b"p", final=False)], [], 1002),
    # reserved bits and opcodes
    *(
        Case(f"bits {b:#x}", [*text(b"a"), frame(TEXT, b"b", bits=b)], ["a"], 1002)
        for b in (64, 32, 16)
    ),
    *(Case(f"opcode {n}", [*text(b"a"), frame(n)], ["a"], 1002) for n in (3, 7, 11, 15)),
    Case("a masked frame", [*text(b"a"), frame(TEXT, b"b", mask=True)], ["a"], 1002),
    # sizes
    Case("126 for a short size", [b"\x81\x7e\x00\x05hello"], [], 1002),
    Case("127 for a short size", [b"\x81\x7f" + bytes(7) + b"\x05hello"], [], 1002),
    Case("a size of 2**63", [b"\x81\x7f\x80" + bytes(7)], [], 1002),
    # fragments
    Case("fragments", [*text(b"a", b"", b"b"), END], ["ab"], 1000),
    Case("empty fragments", [*text(b"", b"", b""), END], [""], 1000),
    Case(
        "pings between fragments",
        [frame(TEXT, b"a", final=False), frame(PING, b"p"), frame(0, b"b"), *text(b"c"), END],
        ["ab", "c"],
        1000,
    ),
    Case("a continuation of nothing", [*text(b"a"), frame(0, b"b")], ["a"], 1002),
    Case("a message in a message", [frame(TEXT, b"a", final=False), *text(b"b")], [], 1002),
    Case("a close between fragments", [frame(TEXT, b"a", final=False), END], [], 1000),
    # UTF-8
    Case("a character in two fragments", [*text(b"\xce", b"\xba"), END], ["κ"], 1000),
    *(
        Case(f"no UTF-8: {data!r}", [*text(b"a"), *text(data)], ["a"], 1007)
        for data in INVALID_UTF8
    ),
    Case("no UTF-8 in a fragment", [*text(b"a"), *text(b"b", b"\xff", b"c")], ["a"], 1007),
    # closes
    Case("a close without a code", [close()], [], 1005),
    Case("half a code", [frame(CLOSE, b"\x03")], [], 1002),
    Case("a reason", [close(4001, "ende ✓".encode())], [], 4001),
    Case("a long reason", [close(1000, b"r" * 123)], [], 1000),
    Case("a reason that is no UTF-8", [close(1000, b"\xff")], [], 1007),
    *(Case(f"the code {code}", [close(code)], [], code) for code in CODES),
    *(Case(f"the forbidden code {code}", [close(code)], [], 1002) for code in FORBIDDEN_CODES),
    Case("text after a close", [*text(b"a"), END, *text(b"b")], ["a"], 1000),
    Case("two closes", [END, close(4000)], [], 1000),
    Case("a ping after a close", [END, frame(PING)], [], 1000),
    Case("the end without a close", [*text(b"a"), b""], ["a"], 1006),
    Case("the end in a frame", [*text(b"a"), frame(TEXT, b"b" * 500)[:100], b""], ["a"], 1006),
    Case("the end between fragments", [frame(TEXT, b"a", final=False), b""], [], 1006),
)


@asynccontextmanager
async def serve(pieces: Sequence[bytes]) -> AsyncGenerator[ConnectOptions]:
    """Run a server that sends these pieces after the upgrade. ``b""`` ends its stream."""

    async def handle(stream: trio.SocketStream) -> None:
        wire = WSConnection(ConnectionType.SERVER)
        wire.receive_data(bytes(await stream.receive_some()))
        list(wire.events())
        await stream.send_all(wire.send(AcceptConnection()))
        try:
            for piece in pieces:
                await (stream.send_all(piece) if piece else stream.send_eof())
            async for _ in stream:
                pass
        except trio.BrokenResourceError:
            pass  # the client has seen enough

    async with trio.open_nursery() as nursery:
        start = partial(trio.serve_tcp, handle, 0, host="127.0.0.1")
        [listener] = await nursery.start(start)
        port = listener.socket.getsockname()[1]
        yield ConnectOptions(
            f"ws://127.0.0.1:{port}/",
            max_message_size=LIMIT,
            close_timeout=0.05,
            ping_interval=None,
        )
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("pieces", ["at once", "in small pieces"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_frames_of_a_server(case: Case, pieces: str, connector: Connector) -> None:
    data = [b"".join(case.frames)]
    if pieces != "at once":
        size = 1 if len(data[0]) < 300 else 16_381
        data = [data[0][start : start + size] for start in range(0, len(data[0]), size)]
    if not case.frames[-1]:
        data.append(b"")
    received: list[str | bytes] = []
    with trio.fail_after(10):
        async with serve(data) as options, connector(options) as transport:
            with pytest.raises(TransportClosed) as caught:
                while True:
                    received.append(await transport.receive())
    assert received == list(case.messages)
    assert caught.value.code == case.code
