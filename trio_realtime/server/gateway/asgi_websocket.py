"""Serves the WebSockets of an ASGI application, on the WebSockets of this library.

Hypercorn offers to compress all messages, and browsers accept that. Audio hardly becomes smaller by it, but every
message takes time, and every connection memory. Here nothing is compressed, and a message that the operating
system takes at once is written without a further task.
"""

from __future__ import annotations

import logging
from typing import Any, Final, cast, final
from urllib.parse import unquote

import attrs
import h11
import trio
from starlette.types import ASGIApp, Message, Scope
from starlette.websockets import WebSocketDisconnect
from trio_websocket import ConnectionClosed, WebSocketRequest
from wsproto.utilities import LocalProtocolError

from trio_realtime.transports.keepalive import Keepalive
from trio_realtime.transports.server import ServerConnection, read_upgrade

__all__ = ["FirstRequest", "read_first_request", "serve_websocket"]

_log: Final = logging.getLogger("trio_realtime.server.gateway")

#: Bytes of the request line and all headers.
_MAX_HEAD: Final = 16 * 1024
#: Messages of a client that wait for the application.
_WAITING_MESSAGES: Final = 4
#: Seconds between two pings to each client. They also stop proxies from closing the connection.
_PING_INTERVAL: Final = 20.0
#: Seconds in which a client has to answer a ping.
_PING_TIMEOUT: Final = 20.0
#: Seconds for the two handshakes, of opening and of closing.
_HANDSHAKE_TIMEOUT: Final = 10.0

_LOST_CLIENT: Final = (
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    LocalProtocolError,  # a ping that arrives during the close handshake
)


# --- the first request of a connection ------------------------------------------------------------


@attrs.frozen
class FirstRequest:
    """What a connection has received first.

    Attributes:
        head: the bytes of the request, as far as they were received.
        frames: the bytes after the head, if the request opens a WebSocket.
        upgrade: the request, if it opens a WebSocket.
    """

    head: bytes = attrs.field(repr=False)
    frames: bytes = attrs.field(repr=False, default=b"")
    upgrade: h11.Request | None = attrs.field(repr=False, default=None)

    def to_scope(self, stream: trio.SocketStream, *, is_tls: bool, state: dict[str, Any]) -> Scope:
        """Return the scope of the upgrade for an ASGI application.

        Args:
            stream: the socket of the connection.
            is_tls: whether it has TLS.
            state: the state of the lifespan of the application.

        Raises:
            trio.BrokenResourceError: the connection is lost.
        """
        assert self.upgrade is not None
        try:
            client, server = stream.socket.getpeername()[:2], stream.socket.getsockname()[:2]
        except OSError as exc:
            raise trio.BrokenResourceError("the client has gone") from exc
        raw_path, _, query = self.upgrade.target.partition(b"?")
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_tls else "ws",
            "path": unquote(raw_path.decode("latin-1")),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": list(self.upgrade.headers),
            "client": client,
            "server": server,
            "subprotocols": _values(self.upgrade, b"sec-websocket-protocol"),
            "state": dict(state),
            "extensions": {"websocket.http.response": {}},
        }


async def read_first_request(stream: trio.abc.Stream) -> FirstRequest:
    """Read the head of the first request. A request that is not valid, or incomplete, is none that upgrades.

    Raises:
        trio.BrokenResourceError: the connection is lost.
    """
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
    received = b""
    while data := bytes(await stream.receive_some()):
        received += data
        try:
            parser.receive_data(data)
            event = parser.next_event()
        except h11.RemoteProtocolError:
            break
        if event is h11.NEED_DATA:
            continue
        if isinstance(event, h11.Request) and _is_upgrade(event):
            frames = parser.trailing_data[0]
            return FirstRequest(received[: len(received) - len(frames)], frames, event)
        break
    return FirstRequest(received)


def _is_upgrade(request: h11.Request) -> bool:
    """Return whether a request opens a WebSocket (RFC 6455, section 4.2.1)."""
    names = {name for name, _ in request.headers}
    return (
        request.method == b"GET"
        and request.http_version == b"1.1"
        and "websocket" in _values(request, b"upgrade", lower=True)
        and "upgrade" in _values(request, b"connection", lower=True)
        and _values(request, b"sec-websocket-version") == ["13"]
        and b"sec-websocket-key" in names
        and not names & {b"content-length", b"transfer-encoding"}
    )


def _values(request: h11.Request, name: bytes, *, lower: bool = False) -> list[str]:
    """Return the elements of a header whose value is a comma-separated list."""
    lines = [value.decode("latin-1") for key, value in request.headers if key == name]
    values = [value.strip() for line in lines for value in line.split(",")]
    return [value.lower() if lower else value for value in values if value]


# --- the application ------------------------------------------------------------------------------


async def serve_websocket(
    app: ASGIApp,
    scope: Scope,
    stream: trio.abc.Stream,
    first: FirstRequest,
    *,
    max_message_size: int,
    send_timeout: float,
) -> None:
    """Let an application serve a WebSocket, until it returns.

    An exception of the application is logged, and closes the WebSocket with code 1011.

    Args:
        app: the application.
        scope: the scope of the request, of :meth:`FirstRequest.to_scope`.
        stream: the connection. The caller closes it.
        first: the request.
        max_message_size: bytes of one message of the client.
        send_timeout: seconds that the client may take to read a message. Then the connection is closed.
    """
    try:
        async with trio.open_nursery() as nursery:
            upgrade: tuple[WebSocketRequest, Keepalive] | None = None
            with trio.move_on_after(_HANDSHAKE_TIMEOUT):
                upgrade = await read_upgrade(
                    nursery,
                    stream,
                    first.head,
                    first.frames,
                    message_queue_size=_WAITING_MESSAGES,
                    max_message_size=max_message_size,
                )
            if upgrade is not None:
                socket = _AsgiWebSocket(*upgrade, nursery, stream, send_timeout)
                try:
                    await app(scope, socket.receive, socket.send)
                except* (_ClientGone, WebSocketDisconnect):
                    pass
                except* Exception:  # noqa: BLE001 - the other connections go on
                    _log.exception("the application failed")
                await socket.end()
            nursery.cancel_scope.cancel(reason="the connection ended")
    except* _LOST_CLIENT as group:
        _log.debug("a client was lost: %r", group.exceptions[0])


class _ClientGone(OSError):
    """The client does not receive what the application sends. ASGI demands an ``OSError``."""


@final
class _AsgiWebSocket:
    """The ``receive`` and ``send`` of an ASGI application, for one WebSocket."""

    def __init__(
        self,
        request: WebSocketRequest,
        keepalive: Keepalive,
        nursery: trio.Nursery,
        stream: trio.abc.Stream,
        send_timeout: float,
    ) -> None:
        self._request = request
        self._keepalive = keepalive
        self._nursery = nursery
        self._stream = stream
        self._send_timeout = send_timeout
        self._connection: ServerConnection | None = None
        self._is_announced = False
        self._answered = trio.Event()
        # The time for a message does not include the wait for those of other tasks.
        self._sending = trio.Lock()
        self._denial: Message | None = None
        self._denial_body = b""

    # --- for the application

    async def receive(self) -> Message:
        """Return the next message for the application."""
        if not self._is_announced:
            self._is_announced = True
            await trio.lowlevel.checkpoint()
            return {"type": "websocket.connect"}
        await self._answered.wait()  # nothing is read before that
        if self._connection is None:
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        try:
            message: str | bytes = await self._connection.get_message()
        except ConnectionClosed:
            closed = self._connection.closed
            code, reason = (1006, None) if closed is None else (closed.code, closed.reason)
            return {"type": "websocket.disconnect", "code": code, "reason": reason or ""}
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", kind: message}

    async def send(self, message: Message) -> None:
        """Carry out a message of the application.

        Raises:
            OSError: the client has gone.
            RuntimeError: the application may not send this now.
        """
        kind = message["type"]
        if self._connection is not None:
            if kind == "websocket.send":
                data = message.get("bytes")
                await self._send(message["text"] if data is None else bytes(data))
            elif kind == "websocket.close":
                await self._close(message.get("code", 1000), message.get("reason") or "")
            else:
                raise RuntimeError(f"the application sent {kind!r} on an open WebSocket")
        elif self._answered.is_set():
            raise RuntimeError(f"the application sent {kind!r} after it has refused the WebSocket")
        elif kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            await self._reject(403)
        elif kind == "websocket.http.response.start":
            self._denial = message
            await trio.lowlevel.checkpoint()
        elif kind == "websocket.http.response.body" and self._denial is not None:
            self._denial_body += message.get("body", b"")
            if not message.get("more_body", False):
                headers = [
                    (bytes(name), bytes(value)) for name, value in self._denial.get("headers", ())
                ]
                await self._reject(self._denial["status"], headers, self._denial_body)
        else:
            raise RuntimeError(
                f"the application sent {kind!r} before it has accepted the WebSocket"
            )

    async def end(self) -> None:
        """Answer and close what the application has left open."""
        if self._connection is not None:
            await self._close(1011, "")
        elif not self._answered.is_set():
            await self._reject(500)

    # --- the connection

    async def _accept(self, message: Message) -> None:
        headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        try:
            accepted = await self._request.accept(
                subprotocol=message.get("subprotocol"), extra_headers=headers
            )
        except ConnectionClosed:
            raise _ClientGone("the client has gone") from None
        except LocalProtocolError as exc:
            raise RuntimeError(f"the WebSocket cannot be accepted: {exc}") from None
        self._connection = cast("ServerConnection", accepted)
        self._answered.set()
        self._nursery.start_soon(self._keepalive.send_pongs, self._connection)
        self._nursery.start_soon(self._close_if_lost, self._connection)

    async def _close_if_lost(self, connection: ServerConnection) -> None:
        async with trio.open_nursery() as pings:
            await self._keepalive.wait_lost(
                connection, pings, interval=_PING_INTERVAL, timeout=_PING_TIMEOUT
            )
            pings.cancel_scope.cancel(reason="the client is lost")
        await trio.aclose_forcefully(self._stream)

    async def _reject(
        self, status: int, headers: list[tuple[bytes, bytes]] | None = None, body: bytes = b""
    ) -> None:
        self._answered.set()
        if headers is None:
            headers = [(b"content-length", b"0")]
        with trio.move_on_after(self._send_timeout):
            try:
                await self._request.reject(
                    status, extra_headers=[*headers, (b"connection", b"close")], body=body
                )
            except ConnectionClosed:
                raise _ClientGone("the client has gone") from None

    async def _send(self, data: str | bytes) -> None:
        connection = self._connection
        assert connection is not None
        if isinstance(data, str):
            is_written = connection.try_send(data)
        else:
            is_written = connection.try_send_binary(data)
        if is_written and not connection.has_rest:
            await trio.lowlevel.checkpoint()
            return
        async with self._sending:
            try:
                # A message that is cut short breaks the stream. So the end of the time is the end of the connection.
                with trio.move_on_after(self._send_timeout) as sending:
                    await (connection.flush() if is_written else connection.send_message(data))
            except ConnectionClosed:
                raise _ClientGone("the client has gone") from None
        if sending.cancelled_caught:
            await trio.aclose_forcefully(self._stream)
            raise _ClientGone("the client reads too slowly")

    async def _close(self, code: int, reason: str) -> None:
        assert self._connection is not None
        with trio.move_on_after(_HANDSHAKE_TIMEOUT):
            await self._connection.aclose(code, reason or None)
            await self._connection.wait_closed()
