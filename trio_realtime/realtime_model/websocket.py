"""The default model: the OpenAI Realtime protocol over a WebSocket, in the dialect of the endpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias, cast, final

import trio

from trio_realtime._redaction import SecretMask
from trio_realtime.endpoints import Endpoint
from trio_realtime.errors import ConnectTimeout
from trio_realtime.transports import (
    CallEnded,
    ConnectOptions,
    Connector,
    DirectSender,
    Transport,
    TransportClosed,
    connect_fast,
    connect_trio_websocket,
)
from trio_realtime.wire import ClientEvent, ServerEvent
from trio_realtime.wire.audio_delta import AudioDelta
from trio_realtime.wire.codec import encode_append
from trio_realtime.wire.dialects import Decoder, Dialect

from .base import ConnectionOptions

__all__ = ["WebSocketConnection", "WebSocketModel"]

ReceiveMany: TypeAlias = Callable[[], Awaitable[list[str | bytes]]]


@final
class WebSocketModel:
    """A service that speaks the OpenAI Realtime protocol.

    Args:
        endpoint: the address of the service, the credentials and the dialect.
        connector: opens the WebSocket; by default, with trio-websocket.
    """

    def __init__(self, endpoint: Endpoint, connector: Connector = connect_trio_websocket) -> None:
        self._endpoint = endpoint
        self._connector = connector
        self._dialect = Dialect(endpoint.dialect)

    def __repr__(self) -> str:
        return f"WebSocketModel({self._endpoint!r})"

    @property
    def has_custom_connector(self) -> bool:
        """Whether the connector is the one of a user."""
        return self._connector not in (connect_trio_websocket, connect_fast)

    @property
    def max_duration(self) -> float:
        """Seconds that the service lets a connection live, where it does not say so itself."""
        return self._endpoint.max_duration

    def encode(self, event: ClientEvent) -> str:
        """Return the text of a frame.

        Raises:
            ValueError: the dialect of the endpoint has no such setting, or JSON has no such value.
            TypeError: JSON has no such value.
        """
        return self._dialect.encode(event)

    def encode_audio(self, audio: bytes) -> str:
        """Return the text of a frame that appends the user's audio, for the fast path."""
        return encode_append(audio)

    @asynccontextmanager
    async def connect(self, options: ConnectionOptions) -> AsyncGenerator[WebSocketConnection]:
        """Connect for the duration of the block. The key of the endpoint is requested each time.

        Raises:
            ConnectTimeout: the key did not arrive within ``connect_timeout``.
            ConfigurationError, ConnectFailed: the endpoint has no valid key.
            TransportError: the connection failed.
        """
        connect = await self._resolve(options)
        async with self._connector(connect) as transport:
            mask = SecretMask(
                headers=connect.headers,
                subprotocols=connect.subprotocols,
                urls=[connect.url, *([connect.proxy] if connect.proxy else [])],
            )
            joins_call = self._endpoint.call_id is not None
            yield WebSocketConnection(
                transport, self._dialect.decoder(), mask, joins_call=joins_call
            )

    async def _resolve(self, options: ConnectionOptions) -> ConnectOptions:
        with trio.move_on_at(options.deadline) as scope:
            resolved = await self._endpoint.resolve(options.model)
            return ConnectOptions(
                url=resolved.url,
                headers=resolved.headers,
                subprotocols=resolved.subprotocols,
                ssl_context=resolved.ssl_context,
                proxy=resolved.proxy,
                connect_timeout=max(options.deadline - trio.current_time(), 0.001),
                close_timeout=options.close_timeout,
                max_message_size=options.max_message_size,
                ping_interval=options.ping_interval,
                ping_timeout=options.ping_timeout,
            )
        assert scope.cancelled_caught
        raise ConnectTimeout(
            f"the endpoint's key did not arrive within {options.connect_timeout:g} s"
        )


@final
class WebSocketConnection:
    """A WebSocket that carries events of one dialect.

    Text that comes from the service passes through here. Credentials in it are masked before anything
    else reads it.
    """

    direct: DirectSender | None
    """The transport, if messages can be written to it without waiting."""

    def __init__(
        self,
        transport: Transport,
        decoder: Decoder,
        mask: SecretMask,
        *,
        joins_call: bool = False,
    ) -> None:
        self._joins_call = joins_call
        self._transport = transport
        self._decoder = decoder
        self._mask = mask
        self._receive_many: ReceiveMany | None = getattr(transport, "receive_many", None)
        can_try = hasattr(transport, "try_send")
        self.direct = cast("DirectSender", transport) if can_try else None
        self._frames: deque[str | bytes] = deque()
        self._decoded: list[ServerEvent] = []

    async def send(self, message: str) -> None:
        """Send the text of a frame.

        Raises:
            TransportClosed: the connection is closed.
        """
        await self._transport.send(message)

    async def receive(self) -> ServerEvent:
        """Return the next event.

        Raises:
            TransportClosed: the connection is closed, and all events were returned.
            CallEnded: the same, because the call that the session has joined is over: the service closed
                with code 1000.
            FrameError: a frame is not a JSON object.
        """
        if self.has_message:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await self.wait_message()
        if self._decoded:
            return self._decoded.pop(0)
        first, *others = self._decoder.decode(self._mask.frame(self._frames.popleft()))
        self._decoded.extend(others)
        return first

    @property
    def has_message(self) -> bool:
        """Whether :meth:`receive` would return at once."""
        return bool(self._frames or self._decoded)

    async def wait_message(self) -> None:
        """Wait for the next message. Does not look at those that were not returned yet.

        Raises:
            TransportClosed, CallEnded: see :meth:`receive`.
        """
        closed: TransportClosed
        try:
            if self._receive_many is None:
                self._frames.append(await self._transport.receive())
            else:
                self._frames.extend(await self._receive_many())
        except TransportClosed as exc:
            is_over = isinstance(exc, CallEnded) or (self._joins_call and exc.code == 1000)
            kind = CallEnded if is_over else TransportClosed
            closed = kind(exc.code, self._mask.text(exc.reason))
        else:
            return
        # Raised outside ``except`` to have no context: the text of the original contains its reason.
        raise closed

    def peek_audio(self) -> AudioDelta | None:
        """Return the next message if it is an audio delta in the usual form, decoded by the fast path.

        It remains the next one until :meth:`skip_audio` removes it.
        """
        if self._decoded or not self._frames:
            return None
        return self._decoder.read_audio(self._frames[0], self._mask.is_clean)

    def skip_audio(self) -> None:
        """Remove the message that :meth:`peek_audio` has returned."""
        self._frames.popleft()

    async def aclose(self) -> None:
        """Close the WebSocket; see :meth:`.Transport.aclose`."""
        await self._transport.aclose()
