"""HTTP requests and responses on streams in memory."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing

from trio_realtime.local.http_requests import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    HttpRequest,
    HttpResponse,
    read_request,
    send_response,
)

UPGRADE = (
    b"GET /v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n"
)


async def read(
    *pieces: bytes, closes: bool = False
) -> tuple[HttpRequest, bytes, bytes] | HttpResponse | None:
    client, server = trio.testing.memory_stream_pair()
    result: tuple[HttpRequest, bytes, bytes] | HttpResponse | None = None

    async def serve() -> None:
        nonlocal result
        result = await read_request(server)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        for piece in pieces:
            await client.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        if closes:
            await client.aclose()
        with trio.move_on_after(1):
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return result


def request_of(result: object) -> HttpRequest:
    assert isinstance(result, tuple)
    assert isinstance(result[0], HttpRequest)
    return result[0]


def error_of(result: object) -> tuple[int, str]:
    assert isinstance(result, HttpResponse)
    return result.status, result.body["error"]["message"]


async def test_a_request_with_a_body_is_read_in_pieces() -> None:
    head = b"POST /v1/x?a=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-a\r\nContent-Length: 6\r\n\r\n"
    request = request_of(await read(head[:20], head[20:] + b"abc", b"def"))
    assert (request.method, request.target, request.body) == ("POST", "/v1/x?a=1", b"abcdef")
    assert request.connection_request().api_key == "sk-a"
    assert not request.is_upgrade
    assert "sk-a" not in repr(request)


async def test_a_chunked_body_is_read() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert request_of(await read(head, b"3\r\nabc\r\n0\r\n\r\n")).body == b"abc"


async def test_an_upgrade_comes_with_the_frames_that_follow_it() -> None:
    result = await read(UPGRADE + b"\x81\x00")
    request = request_of(result)
    assert request.is_upgrade
    assert result == (request, UPGRADE, b"\x81\x00")


async def test_a_client_that_sends_nothing_is_no_error() -> None:
    assert await read(closes=True) is None


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "not a valid HTTP request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431, str(MAX_HEAD_BYTES)),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n"
            + b"x" * (MAX_BODY_BYTES + 1),
            413,
            str(MAX_BODY_BYTES),
        ),
    ],
    ids=["tls", "host", "head", "body"],
)
async def test_invalid_and_large_requests_are_rejected(
    data: bytes, status: int, message: str
) -> None:
    found, text = error_of(await read(data))
    assert found == status
    assert message in text


async def test_a_request_that_is_cut_off_is_rejected() -> None:
    found, _ = error_of(await read(b"GET / HTTP/1.1\r\nHo", closes=True))
    assert found == 400


async def test_a_client_may_wait_for_100_continue() -> None:
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_request, server)
        await client.send_all(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
        )
        assert (await client.receive_some()).startswith(b"HTTP/1.1 100 ")
        await client.send_all(b"x")


async def test_a_response_is_json_and_closes_the_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_response, server, HttpResponse.error(405, "no", allow="GET"))
        head, _, body = bytes(await client.receive_some()).partition(b"\r\n\r\n")
        assert await client.receive_some() == b""
        # A client that does not close is not waited for.
    assert trio.current_time() == pytest.approx(2.0)
    assert head.startswith(b"HTTP/1.1 405 ")
    assert b"connection: close" in head.lower()
    assert b"allow: GET" in head
    assert json.loads(body)["error"] == {
        "message": "no",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
