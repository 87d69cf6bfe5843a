"""HTTP/1.1 on the port of the local server: reads one request, and sends one response.

h11 parses the request. If it asks for a WebSocket, the WebSocket library gets the same bytes once more. A connection carries one request, so each response closes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs
import h11
import msgspec
import trio

from .types import ConnectionRequest, Json

__all__ = ["HttpRequest", "HttpResponse", "read_request", "send_response"]

#: Bytes of the request line and all headers.
MAX_HEAD_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 1024 * 1024
#: Seconds in which a client has to read a response and close the connection.
_RESPONSE_TIMEOUT: Final = 2.0


@attrs.frozen
class HttpRequest:
    """An HTTP request.

    Args:
        method: method in upper case.
        target: path and query. The repr hides it, because it may contain a key.
        headers: pairs of name and value. The repr hides them.
        body: the body. The repr hides it.
    """

    method: str
    target: str = attrs.field(repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=False)

    @property
    def is_upgrade(self) -> bool:
        """Whether the request asks for a WebSocket."""
        return self.method == "GET" and "websocket" in self._values("upgrade")

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The WebSocket subprotocols that the client offers, in order."""
        return tuple(self._values("sec-websocket-protocol", lower=False))

    def connection_request(self, serial: int = 0) -> ConnectionRequest:
        """Return the parts of the request that authorize it, and open a connection."""
        return ConnectionRequest(self.target, self.headers, self.subprotocols, serial)

    def _values(self, name: str, *, lower: bool = True) -> list[str]:
        """Return the elements of a header whose value is a comma-separated list."""
        lines = [value for key, value in self.headers if key.lower() == name]
        values = [value.strip() for line in lines for value in line.split(",")]
        return [value.lower() if lower else value for value in values if value]


@attrs.frozen
class HttpResponse:
    """An HTTP response whose body is JSON.

    Args:
        status: status code.
        body: the body.
        headers: more headers, in lower case.
    """

    status: int
    body: Json = attrs.field(repr=False)
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def error(
        cls, status: int, message: str, *, code: str | None = None, **headers: str
    ) -> HttpResponse:
        """Return an error in the form of the OpenAI API."""
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        return cls(status, {"error": error}, tuple(headers.items()))


class _RequestRejected(Exception):
    """The request cannot be read. Its response says why."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


# -- reading -------------------------------------------------------------------------------------


async def read_request(
    stream: trio.abc.Stream,
) -> tuple[HttpRequest, bytes, bytes] | HttpResponse | None:
    """Read one request.

    Returns:
        The request, and for a WebSocket its bytes and those of the first frames that arrived with it.
        A response if the request is invalid or too large. None if the client closed the connection
        before it sent a request.

    Raises:
        trio.BrokenResourceError: the connection is lost.
    """
    reader = _RequestReader(stream)
    try:
        return await reader.read()
    except _RequestRejected as rejected:
        return rejected.response
    except h11.RemoteProtocolError as exc:
        if not reader.received:
            return None
        message = f"This is not a valid HTTP request: {exc}."
        if exc.error_status_hint == 431:
            message = f"The headers are too large: the maximum is {MAX_HEAD_BYTES} bytes."
        return HttpResponse.error(exc.error_status_hint, message)


class _RequestReader:
    """Reads one request from a stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self.received: bytes = b""

    async def read(self) -> tuple[HttpRequest, bytes, bytes] | None:
        head = await self._next_event(is_head=True)
        if not isinstance(head, h11.Request):
            return None  # the client closed the connection
        request = HttpRequest(_text(head.method), _text(head.target), _decoded(head.headers))
        if request.is_upgrade:
            frames = self._parser.trailing_data[0]
            return request, self.received[: len(self.received) - len(frames)], frames
        return attrs.evolve(request, body=await self._read_body()), b"", b""

    async def _read_body(self) -> bytes:
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                message = f"The body is too large: the maximum is {MAX_BODY_BYTES} bytes."
                raise _RequestRejected(HttpResponse.error(413, message))
        return bytes(body)

    async def _next_event(self, *, is_head: bool = False) -> Any:
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            if self._parser.they_are_waiting_for_100_continue:
                interim = h11.InformationalResponse(status_code=100, headers=[])
                await self._stream.send_all(self._parser.send(interim) or b"")
            data = bytes(await self._stream.receive_some())
            if is_head:
                self.received += data
            self._parser.receive_data(data)
        return event


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((_text(name), _text(value)) for name, value in headers)


def _text(data: bytes) -> str:
    return data.decode("latin-1")


# -- responding ----------------------------------------------------------------------------------


async def send_response(
    stream: trio.abc.Stream, response: HttpResponse, *, method: str = "GET"
) -> None:
    """Send a response, and wait up to two seconds until the client has read it."""
    with trio.move_on_after(_RESPONSE_TIMEOUT):
        try:
            await stream.send_all(_encoded(response, method))
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
            # Closing a socket with unread data resets it, and the client may lose the response.
            while await stream.receive_some():
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client is gone


def _encoded(response: HttpResponse, method: str) -> bytes:
    body = msgspec.json.encode(response.body)
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("connection", "close"),
        *response.headers,
    ]
    writer = h11.Connection(h11.SERVER)
    head = writer.send(h11.Response(status_code=response.status, headers=headers))
    return (head or b"") + (b"" if method == "HEAD" else body)
