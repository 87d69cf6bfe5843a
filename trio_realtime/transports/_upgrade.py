"""Read and check the response to a WebSocket upgrade request (RFC 6455, section 4.1).

trio-websocket waits for the body of a rejection without a limit, and does not say what is wrong with
a response. Therefore it receives only responses that passed the checks of this module.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1
from urllib.parse import urljoin

import h11
import trio

from trio_realtime._redaction import redact_url

from ._credentials import mask_secrets
from ._http import ReceivesSome, next_event, receive
from .base import ConnectOptions, HandshakeRejected, TransportConnectError, TransportError

__all__ = ["handshake_error", "receive_upgrade"]

_MAX_HEAD_BYTES = 64 * 1024
_MAX_BODY_BYTES = 16 * 1024
_MAX_BODY_CHARS = 4096
_MAX_NAME_CHARS = 80
_BODY_TIMEOUT = 1.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS_LINE = re.compile(rb"HTTP/1\.\d ([2-5]\d\d)\b")
_TLS_RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")


def handshake_error(exc: BaseException) -> TransportError:
    """Return the error to raise when a handshake has raised an exception."""
    if isinstance(exc, TransportError):
        return exc
    if isinstance(exc, trio.BrokenResourceError):
        return TransportConnectError(
            "the server closed the connection before it had read the upgrade request"
        )
    # The message omits the details, because they may quote the request and its key.
    return TransportConnectError(f"the server does not speak WebSocket ({type(exc).__name__})")


async def receive_upgrade(
    stream: ReceivesSome, request: bytes, options: ConnectOptions
) -> tuple[bytes, bytes]:
    """Receive the response to an upgrade request, and check it.

    Args:
        stream: The stream on which the request was sent.
        request: The bytes of the request.
        options: The options of the connection.

    Returns:
        The bytes of the response, and those of the first frames that arrived with it.

    Raises:
        HandshakeRejected: The response has another status than 101. Of its body it has what
            arrived within 1 s.
        TransportConnectError: There is no response, or it is invalid. The message says why.
    """
    asked = _parse_request(request)
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    http.send(asked)
    http.send(h11.EndOfMessage())
    received = bytearray()
    while True:
        event = next_event(http)
        match event:
            case h11.InformationalResponse(status_code=101):
                problem = _find_problem(asked, event, options)
                if problem is not None:
                    raise TransportConnectError(f"the server does not open a WebSocket: {problem}")
                frames = http.trailing_data[0]
                head = bytes(received[: len(received) - len(frames)])
                # At least one `receive` was a checkpoint.
                return head, frames  # noqa: ASYNC910
            case h11.InformationalResponse():
                received = bytearray(http.trailing_data[0])
            case h11.Response():
                raise _rejection(event, await _receive_body(stream, http), options)
            case h11.NEED_DATA:
                data = await receive(stream)
                if not data:
                    raise _incomplete_response_error(received, _describe_end(received))
                received += data
                http.receive_data(data)
            case _:
                raise _incomplete_response_error(received, _describe_non_http(received))


def _parse_request(data: bytes) -> h11.Request:
    http = h11.Connection(h11.SERVER)
    http.receive_data(data)
    request = http.next_event()
    assert isinstance(request, h11.Request)
    return request


def _incomplete_response_error(received: bytearray, problem: str) -> TransportError:
    """Create the error for a response without a complete head. Its status says more, if it has one."""
    status = _STATUS_LINE.match(received)
    return HandshakeRejected(int(status[1])) if status else TransportConnectError(problem)


def _describe_end(received: bytearray) -> str:
    if received:
        return "the server closed the connection in the middle of its answer to the upgrade request"
    return "the server closed the connection without an answer to the upgrade request"


def _describe_non_http(received: bytearray) -> str:
    if _TLS_RECORD.match(received):
        return "the server expects TLS: use a wss:// or https:// URL"
    return "the server does not speak HTTP: check the host and the port of the URL"


# --- rejections ---------------------------------------------------------------------------------


def _rejection(response: h11.Response, body: bytes, options: ConnectOptions) -> HandshakeRejected:
    text = mask_secrets(body.decode("utf-8", "replace"), options)[:_MAX_BODY_CHARS]
    headers: list[tuple[str, str]] = []
    for raw_name, raw_value in response.headers:
        name = raw_name.decode("latin-1")
        value = mask_secrets(raw_value.decode("latin-1"), options)
        # The target may be relative, and may contain the key under another name.
        shown = redact_url(urljoin(options.url, value)) if name == "location" else value
        headers.append((name, shown))
    return HandshakeRejected(response.status_code, text, tuple(headers))


async def _receive_body(stream: ReceivesSome, http: h11.Connection) -> bytes:
    """Return the start of the body. It may never be complete, so time and size are limited."""
    body = bytearray()
    # Less than what is left of the connect timeout, so that a missing body does not hide the status.
    remaining = trio.current_effective_deadline() - trio.current_time()
    with trio.move_on_after(max(0.0, min(_BODY_TIMEOUT, remaining / 2))):
        while len(body) < _MAX_BODY_BYTES:
            event = next_event(http)
            if isinstance(event, h11.Data):
                body += event.data
            elif event is h11.NEED_DATA:
                http.receive_data(await receive(stream))
            else:
                break
    return bytes(body)  # noqa: ASYNC910  # the caller has just received the head


# --- the checks of a 101 response ---------------------------------------------------------------


def _find_problem(
    request: h11.Request, response: h11.InformationalResponse, options: ConnectOptions
) -> str | None:
    if "websocket" not in _tokens(response, b"upgrade"):
        return "its response lacks the header 'Upgrade: websocket'"
    if "upgrade" not in _tokens(response, b"connection"):
        return "its response lacks the header 'Connection: Upgrade'"
    [key] = _values(request, b"sec-websocket-key")
    if _values(response, b"sec-websocket-accept") != [_accept_for(key)]:
        return (
            "the header Sec-WebSocket-Accept of its response does not match the request; a cache "
            "or a proxy may have answered instead"
        )
    extensions = _tokens(response, b"sec-websocket-extensions")
    if extensions:
        name = _shown(extensions[0].partition(";")[0], options)
        return f"it uses the extension {name!r}, which was not offered"
    return _find_subprotocol_problem(response, options)


def _find_subprotocol_problem(
    response: h11.InformationalResponse, options: ConnectOptions
) -> str | None:
    # A server may select none: many ignore the header.
    selected = [value.decode("latin-1") for value in _values(response, b"sec-websocket-protocol")]
    if len(selected) > 1:
        return "its response selects more than one subprotocol"
    if selected and selected[0] not in options.subprotocols:
        return f"it selects the subprotocol {_shown(selected[0], options)!r}, which was not offered"
    return None


def _accept_for(key: bytes) -> bytes:
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def _values(message: h11.Request | h11.InformationalResponse, name: bytes) -> list[bytes]:
    return [value for header, value in message.headers if header == name]


def _tokens(message: h11.InformationalResponse, name: bytes) -> list[str]:
    parts = b",".join(_values(message, name)).decode("latin-1").split(",")
    return [part.strip().lower() for part in parts if part.strip()]


def _shown(name: str, options: ConnectOptions) -> str:
    return mask_secrets(name, options)[:_MAX_NAME_CHARS]
