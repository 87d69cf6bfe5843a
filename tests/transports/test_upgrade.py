"""The response to an upgrade request: every problem is described in words, and nothing waits."""

from __future__ import annotations

import traceback
from base64 import b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha1
from typing import TypeAlias

import attrs
import pytest
import trio
import trio.testing

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.transports import (
    ConnectOptions,
    HandshakeRejected,
    TransportConnectError,
    TransportError,
    connect_trio_websocket,
)

SECRET = "sk-proj-do-not-show-0123456789"
OPTIONS = ConnectOptions(
    "ws://server.test/v1/realtime?model=m", (("Authorization", f"Bearer {SECRET}"),)
)
STATUS = "HTTP/1.1 101 Switching Protocols"
UPGRADE = "Upgrade: websocket"
CONNECTION = "Connection: keep-alive, Upgrade"
FRAME = b"\x81\x02hi"

Answer: TypeAlias = Callable[[trio.abc.Stream, str], Awaitable[None]]
Connect: TypeAlias = Callable[[Answer, ConnectOptions], Awaitable[str | bytes]]


def accept_for(request: str) -> str:
    key = request.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
    digest = sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return "Sec-WebSocket-Accept: " + b64encode(digest).decode()


def answer_with(data: bytes, *, close: bool = True) -> Answer:
    async def answer(stream: trio.abc.Stream, request: str) -> None:
        await stream.send_all(data)
        if close:
            await stream.aclose()

    return answer


def answer_lines(*lines: str) -> Answer:
    """Answer with a head; the line ``accept`` stands for the right header."""

    async def answer(stream: trio.abc.Stream, request: str) -> None:
        head = [accept_for(request) if line == "accept" else line for line in lines]
        await stream.send_all("\r\n".join([*head, "", ""]).encode() + FRAME)

    return answer


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Connect to a server that answers the upgrade request, and return its first message."""

    async def connect(answer: Answer, options: ConnectOptions) -> str | bytes:
        near, far = trio.testing.memory_stream_pair()

        async def open_stream(_: ConnectOptions) -> trio.abc.Stream:
            return near

        async def serve() -> None:
            await answer(far, bytes(await far.receive_some()).decode())

        monkeypatch.setattr("trio_realtime.transports._connect.open_tunnel_stream", open_stream)
        async with open_bare_nursery(AssertionError) as nursery:
            nursery.start_soon(serve)
            async with connect_trio_websocket(options) as transport:
                return await transport.receive()

    return connect


async def error_of(
    connect: Connect, answer: Answer, options: ConnectOptions = OPTIONS
) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await connect(answer, attrs.evolve(options, close_timeout=0.001))
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert SECRET not in shown
    return caught.value


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ((UPGRADE, CONNECTION, "Sec-WebSocket-Accept: d3Jvbmc="), "Sec-WebSocket-Accept"),
        ((UPGRADE, CONNECTION), "Sec-WebSocket-Accept"),
        ((CONNECTION, "accept"), "lacks the header 'Upgrade: websocket'"),
        (("Upgrade: h2c", CONNECTION, "accept"), "lacks the header 'Upgrade: websocket'"),
        ((UPGRADE, "accept"), "lacks the header 'Connection: Upgrade'"),
        ((UPGRADE, "Connection: close", "accept"), "lacks the header 'Connection: Upgrade'"),
        (
            (UPGRADE, CONNECTION, "accept", "Sec-WebSocket-Extensions: permessage-deflate; a=1"),
            "the extension 'permessage-deflate', which was not offered",
        ),
        (
            (UPGRADE, CONNECTION, "accept", "Sec-WebSocket-Protocol: chat"),
            "the subprotocol 'chat', which was not offered",
        ),
        (
            (UPGRADE, CONNECTION, "accept", f"Sec-WebSocket-Protocol: chat.{SECRET}"),
            "the subprotocol 'chat.***', which was not offered",
        ),
        (
            (
                *(UPGRADE, CONNECTION, "accept"),
                *("Sec-WebSocket-Protocol: realtime", "Sec-WebSocket-Protocol: realtime"),
            ),
            "more than one subprotocol",
        ),
    ],
)
async def test_an_invalid_upgrade_says_what_is_wrong(
    lines: tuple[str, ...], says: str, connect: Connect
) -> None:
    options = attrs.evolve(OPTIONS, subprotocols=("realtime",))
    failure = await error_of(connect, answer_lines(STATUS, *lines), options)
    assert type(failure) is TransportConnectError
    assert says in str(failure)


@pytest.mark.parametrize(
    "lines",
    [
        (STATUS, UPGRADE, CONNECTION, "accept"),
        # RFC 6455 allows to select none, and many servers ignore what was offered.
        (STATUS, "upgrade: WebSocket", "connection: UPGRADE", "accept"),
        (STATUS, UPGRADE, CONNECTION, "accept", "Sec-WebSocket-Protocol: realtime"),
        ("HTTP/1.1 103 Early Hints", "Link: a", "", STATUS, UPGRADE, CONNECTION, "accept"),
    ],
    ids=["plain", "other case", "subprotocol", "informational response"],
)
async def test_a_valid_upgrade_is_accepted_with_the_first_frame(
    lines: tuple[str, ...], connect: Connect
) -> None:
    options = attrs.evolve(OPTIONS, subprotocols=("realtime",), close_timeout=0.001)
    assert await connect(answer_lines(*lines), options) == "hi"


async def test_a_valid_upgrade_may_arrive_byte_by_byte(connect: Connect) -> None:
    async def answer(stream: trio.abc.Stream, request: str) -> None:
        head = "\r\n".join([STATUS, UPGRADE, CONNECTION, accept_for(request), "", ""])
        for byte in head.encode() + FRAME:
            await stream.send_all(bytes([byte]))

    assert await connect(answer, attrs.evolve(OPTIONS, close_timeout=0.001)) == "hi"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 101 Switching", "in the middle of its answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "does not speak HTTP"),
        (f"GET / HTTP/1.1\r\nAuthorization: {SECRET}\r\n\r\n".encode(), "does not speak HTTP"),
        (b"HTTP/1.1 101 Switching\r\nA: " + b"x" * 70_000, "does not speak HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "expects TLS"),
    ],
    ids=["empty", "cut off", "SSH", "echo", "too long", "TLS"],
)
async def test_an_answer_that_is_not_http_is_described(
    data: bytes, says: str, connect: Connect
) -> None:
    failure = await error_of(connect, answer_with(data))
    assert type(failure) is TransportConnectError
    assert says in str(failure)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 401 Unauthorized\r\nContent-", b"HTTP/1.1 401 No\r\nbad header\r\n\r\n"]
)
async def test_a_rejection_with_a_broken_head_has_its_status(head: bytes, connect: Connect) -> None:
    failure = await error_of(connect, answer_with(head))
    assert isinstance(failure, HandshakeRejected)
    assert failure.status == 401


async def test_a_status_of_success_is_no_upgrade(connect: Connect) -> None:
    answer = answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", close=False)
    failure = await error_of(connect, answer)
    assert isinstance(failure, HandshakeRejected)
    assert (failure.status, failure.body) == (200, "ok")
    assert "instead of opening a WebSocket" in str(failure)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"Content-Length: 100\r\n\r\nwrong key", "wrong key"),
        (b"Content-Length: 100\r\n\r\n", ""),
        (b"Transfer-Encoding: chunked\r\n\r\n9\r\nwrong key\r\n", "wrong key"),
        (b"\r\nwrong key", "wrong key"),
        (f"\r\nwrong key {SECRET}".encode()[:-8], "wrong key ***"),
    ],
    ids=["short body", "no body", "chunk", "until the end", "half of a secret"],
)
@pytest.mark.parametrize(("timeout", "waits"), [(10.0, 1.0), (0.5, 0.25)])
async def test_a_body_that_never_ends_does_not_hide_the_status(
    data: bytes,
    body: str,
    timeout: float,
    waits: float,
    connect: Connect,
    autojump_clock: trio.testing.MockClock,
) -> None:
    answer = answer_with(b"HTTP/1.1 401 Unauthorized\r\n" + data, close=False)
    started = trio.current_time()
    failure = await error_of(connect, answer, attrs.evolve(OPTIONS, connect_timeout=timeout))
    assert isinstance(failure, HandshakeRejected)
    assert (failure.status, failure.body) == (401, body)
    assert trio.current_time() - started == pytest.approx(waits)


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 9\r\n\r\nwrong key",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n4\r\n key\r\n0\r\n\r\n",
    ],
)
async def test_a_complete_body_is_not_waited_for(
    data: bytes, connect: Connect, autojump_clock: trio.testing.MockClock
) -> None:
    started = trio.current_time()
    answer = answer_with(b"HTTP/1.1 401 Unauthorized\r\n" + data, close=False)
    failure = await error_of(connect, answer)
    assert isinstance(failure, HandshakeRejected)
    assert failure.body == "wrong key"
    assert trio.current_time() == started


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (f"https://me:{SECRET}@other.test/v1?model=m&t=1", "https://***@other.test/v1?model=m&***"),
        ("/v2/realtime?model=m&key=123", "ws://server.test/v2/realtime?model=m&***"),
        (f"https://other.test/{SECRET}", "https://other.test/***"),
    ],
)
async def test_a_redirect_is_refused_and_names_its_target(
    location: str, shown: str, connect: Connect
) -> None:
    head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    failure = await error_of(connect, answer_with(head.encode()))
    assert isinstance(failure, HandshakeRejected)
    assert failure.location == shown
    assert f"redirects to {shown} (HTTP status 307)" in str(failure)


async def test_a_rejection_has_the_seconds_of_retry_after(connect: Connect) -> None:
    answer = answer_with(b"HTTP/1.1 429 Slow\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n")
    failure = await error_of(connect, answer)
    assert isinstance(failure, HandshakeRejected)
    assert failure.retry_after == 20.0
