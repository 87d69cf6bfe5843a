"""Serves a client that speaks the OpenAI Realtime protocol, as if the gateway were the service."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, final
from uuid import uuid4

import msgspec
import trio

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.errors import ConsumerTooSlow, InternalError, RealtimeError, UsageError
from trio_realtime.events import Audio, RawModelEvent, SessionEvent
from trio_realtime.server.managed import ManagedSession
from trio_realtime.session import EventChannel
from trio_realtime.wire import SessionUpdate, TurnDetection, structure_client_event

from .admission import NotAdmitted
from .gateway import Gateway
from .json_values import is_object
from .openai_view import (
    ChangeSettings,
    InterruptAgent,
    OpenAIView,
    RequestRefused,
    SendAudioBytes,
    SendEvent,
    TruncateItem,
    request_of,
    session_for_client,
)
from .sockets import ClientGone, ClientSocket, ClientTooSlow, ReadAhead, Sender, close_in_time

__all__ = ["serve_openai_client"]

_log: Final = logging.getLogger("trio_realtime.server.gateway")

#: Seconds that a client has to read why it is closed.
_ERROR_TIMEOUT: Final = 5.0


async def serve_openai_client(
    gateway: Gateway, socket: ClientSocket, *, tenant: str, model: str
) -> None:
    """Serve one client until it has gone or its session has ended. Whatever fails ends only this client.

    The client gets a session of its own, which ends with its connection: this protocol has no resuming.

    Args:
        gateway: the gateway.
        socket: the accepted WebSocket of the client.
        tenant: whose session it is.
        model: the model that the client asks for: the name of an agent, or any other name for the default
            agent.
    """
    code, reason = 1000, "the session has ended"
    try:
        await _serve(gateway, socket, tenant, model)
    except (ClientTooSlow, ConsumerTooSlow):
        # It would not read an error either.
        await close_in_time(socket, 1013, "the client reads too slowly")
        return
    except ClientGone:
        return
    except NotAdmitted as exc:
        code, reason = 1013, str(exc)
    except RealtimeError as exc:
        code, reason = 1011, "the session failed"
        _log.warning("a session for a client of the OpenAI protocol failed: %s", exc)
    except Exception:  # noqa: BLE001 - the other clients and sessions go on
        code, reason = 1011, "the server failed"
        _log.exception("serving a client of the OpenAI protocol failed")
    if code != 1000:
        failure = RequestRefused(reason, code="server_error").event(None)
        with suppress(ClientGone), trio.move_on_after(_ERROR_TIMEOUT):
            await socket.send(msgspec.json.encode(failure).decode())
    await close_in_time(socket, code, reason)


async def _serve(gateway: Gateway, socket: ClientSocket, tenant: str, model: str) -> None:
    agent = model if model in gateway.specs else None
    created = await gateway.create_session(tenant=tenant, agent=agent, transport="openai")
    hosted = gateway.find(created.session_id)
    received = ReadAhead(socket)
    is_gone = False
    async with open_bare_nursery(InternalError) as nursery:

        async def read() -> None:
            nonlocal is_gone
            await received.run()
            is_gone = True
            nursery.cancel_scope.cancel(reason="the client has gone")

        nursery.start_soon(read)
        async with hosted.owned(nursery.cancel_scope) as session:
            sender = Sender(socket, gateway.settings.send_timeout)
            await _OpenAIClient(session, sender, received, model).run()
    if is_gone:
        raise ClientGone


@final
class _OpenAIClient:
    """A client, and the session that it speaks with."""

    def __init__(
        self,
        session: ManagedSession,
        sender: Sender,
        received: ReadAhead,
        model: str,
    ) -> None:
        self._session = session
        self._sender = sender
        self._received = received
        self._model = model
        self._view = OpenAIView()

    async def run(self) -> None:
        """Serve the client until it has gone or the session has ended.

        Raises:
            ClientGone: the client has gone, or does not read.
            ConsumerTooSlow: the client reads more slowly than the service sends.
            RealtimeError: the session has failed.
        """
        with self._session.session.subscribe(RawModelEvent, Audio) as events:
            await self._send_session("session.created")
            failures: list[Exception] = []
            async with trio.open_nursery() as nursery:

                async def run_until_end(part: Callable[[], Awaitable[None]]) -> None:
                    try:
                        await part()
                    except (ClientGone, RealtimeError) as exc:
                        failures.append(exc)
                    nursery.cancel_scope.cancel(reason="the client or the session has ended")

                nursery.start_soon(run_until_end, self._receive_events)
                await run_until_end(partial(self._send_events, events))
        if failures:
            raise failures[0]
        end = self._session.session.end
        if end is not None and isinstance(end.error, RealtimeError):
            raise end.error

    # --- to the client

    async def _send_events(self, events: EventChannel[SessionEvent]) -> None:
        try:
            async for event in events:
                if isinstance(event, Audio):
                    await self._send(self._view.audio(event))
                elif isinstance(event, RawModelEvent):
                    shown = self._view.event(dict(event.json()))
                    if shown is not None:
                        await self._send(shown)
        except ConsumerTooSlow:
            raise
        except RealtimeError:
            if self._session.session.end is None:
                raise  # otherwise, the end says what has failed

    async def _send_session(self, kind: str) -> None:
        settings = self._session.session.settings
        session = session_for_client(settings, self._model)
        await self._send({"type": kind, "event_id": f"event_{uuid4().hex}", "session": session})

    async def _send(self, event: dict[str, Any]) -> None:
        await self._sender.send(msgspec.json.encode(event).decode())

    # --- from the client

    async def _receive_events(self) -> None:
        while True:
            message = await self._received.receive()
            event: Any = None
            try:
                event = msgspec.json.decode(message)
                if not is_object(event):
                    raise RequestRefused("an event is a JSON object", code="invalid_json")
                await self._carry_out(event)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                await self._send(RequestRefused("the event is not valid JSON").event(None))
            except RequestRefused as exc:
                await self._send(exc.event(_id_of(event)))
            except UsageError as exc:
                await self._send(RequestRefused(str(exc)).event(_id_of(event)))
            except ConsumerTooSlow:
                raise
            except RealtimeError as exc:
                if self._session.session.end is not None:
                    return
                await self._send(RequestRefused(str(exc), code="failed").event(_id_of(event)))

    async def _carry_out(self, event: dict[str, Any]) -> None:
        session = self._session.session
        match request_of(event):
            case SendAudioBytes(audio=audio):
                await self._session.send_audio(audio)
            case SendEvent(event=allowed):
                self._view.sent(allowed.get("event_id"))
                await session.send_raw(allowed)
            case ChangeSettings(changes=changes):
                if "turn_detection" in changes:
                    changes["turn_detection"] = _turn_detection(changes["turn_detection"])
                if changes:
                    await session.update_settings(**changes)
                await self._send_session("session.updated")
            case TruncateItem(item_id=item_id, content_index=index, played_ms=played_ms):
                await self._truncate(item_id, index, played_ms)
            case InterruptAgent():
                await session.interrupt()

    async def _truncate(self, item_id: str, index: int, played_ms: float) -> None:
        """Cut an item where the client has stopped playing, unless the session has cut it already."""
        session = self._session.session
        playing = {(item.item_id, item.content_index) for item in session.playback.positions()}
        if (item_id, index) not in playing:
            return
        self._session.report_played(item_id, index, played_ms)
        await session.interrupt()
        session.playback.stop_reports()


def _id_of(event: Any) -> str | None:
    found: Any = event.get("event_id") if is_object(event) else None
    return found if isinstance(found, str) else None


def _turn_detection(value: Any) -> TurnDetection | None:
    update = {"type": "realtime", "audio": {"input": {"turn_detection": value}}}
    try:
        event = structure_client_event({"type": "session.update", "session": update})
    except ValueError as exc:
        raise RequestRefused(str(exc), param="session.audio.input.turn_detection") from None
    assert isinstance(event, SessionUpdate)
    audio = event.session.audio
    detection = audio.input.turn_detection if audio and audio.input else None
    return detection or None
