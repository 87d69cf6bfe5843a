"""The stream of one client: messages of the client to the session, and the session's events to the client."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, final

import msgspec
import trio

from trio_realtime.errors import RealtimeError, UsageError
from trio_realtime.server.managed import EventReader, EventsMissed
from trio_realtime.server.rpc import PROTOCOL_VERSION, messages as msg
from trio_realtime.server.rpc.parsing import MessageError, parse_client_message

from .early_messages import Action, EarlyMessages
from .error_details import HIDDEN, without_error_details
from .gateway import Gateway, SessionNotFound
from .hosting import HostedSession
from .sockets import ClientGone, ClientSocket, ClientTooSlow, ReadAhead, Sender, close_in_time
from .tokens import TokenRefused

__all__ = ["BAD_HELLO", "NOT_ADMITTED", "NO_HELLO", "NO_SESSION", "REPLACED", "serve_client"]

_log: Final = logging.getLogger("trio_realtime.server.gateway")

# Close codes of the gateway, in the range for applications (RFC 6455, 7.4.2).
BAD_HELLO: Final = 4400
"""The first message is not a valid ``hello``."""
NOT_ADMITTED: Final = 4401
"""The token is not valid, or was used."""
NO_SESSION: Final = 4404
"""The session has ended."""
NO_HELLO: Final = 4408
"""The client sent nothing in time."""
REPLACED: Final = 4409
"""Another client became the owner of the session."""

#: Seconds to carry out what a client has sent before it has gone.
_LAST_MESSAGES_TIMEOUT: Final = 5.0

#: Messages of a type that may wait for tools to end. A client that does not wait for answers cannot start more.
_MAX_WAITING: Final = 8


class _Refused(Exception):
    """A client is not admitted."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


async def serve_client(
    gateway: Gateway, socket: ClientSocket, session_id: str, *, token: str | None = None
) -> None:
    """Serve one client until it has gone or the session has ended. Whatever fails ends only this client.

    Args:
        gateway: the gateway.
        socket: the accepted WebSocket of the client.
        session_id: the session that the client asks for.
        token: the token of the request; by default, the first message has it.
    """
    code, reason = 1000, "the session has ended"
    try:
        hello = await _receive_hello(gateway, socket)
        hosted = _admit(gateway, session_id, hello, token)
        await _Stream(gateway, hosted, socket, hello).run()
    except ClientGone:
        return
    except _Refused as exc:
        code, reason = exc.code, exc.reason
        _log.info("session %.80r: a client was refused: %s", session_id, reason)
    except Exception:  # noqa: BLE001 - the other clients and sessions go on
        code, reason = 1011, "the server failed"
        _log.exception("session %.80r: serving a client failed", session_id)
    await close_in_time(socket, code, reason)


async def _receive_hello(gateway: Gateway, socket: ClientSocket) -> msg.Hello:
    with trio.move_on_after(gateway.settings.hello_timeout):
        received = await socket.receive()
        if isinstance(received, bytes):
            raise _Refused(BAD_HELLO, "the first message must be a hello")
        try:
            message = parse_client_message(received)
        except MessageError as exc:
            raise _Refused(BAD_HELLO, str(exc)) from None
        if not isinstance(message, msg.Hello):
            raise _Refused(BAD_HELLO, "the first message must be a hello")
        if message.protocol != PROTOCOL_VERSION:
            raise _Refused(BAD_HELLO, f"the server speaks protocol {PROTOCOL_VERSION}")
        return message
    raise _Refused(NO_HELLO, "no hello was received in time")


def _admit(gateway: Gateway, session_id: str, hello: msg.Hello, token: str | None) -> HostedSession:
    token = token or hello.token or ""
    try:
        grant = gateway.tokens.redeem(token, session_id, trio.current_time())
    except TokenRefused as exc:
        _log.info("session %.80r: a token was refused: %s", session_id, exc.reason)
        raise _Refused(NOT_ADMITTED, "the token is not valid") from None
    if hello.role == "owner" and grant.role != "owner":
        raise _Refused(NOT_ADMITTED, "the token does not admit an owner")
    try:
        return gateway.find(session_id)
    except SessionNotFound:
        raise _Refused(NO_SESSION, "the session has ended") from None


@final
class _Stream:
    """An attached client."""

    def __init__(
        self, gateway: Gateway, hosted: HostedSession, socket: ClientSocket, hello: msg.Hello
    ) -> None:
        self._gateway = gateway
        self._hosted = hosted
        self._session = hosted.session
        self._received = ReadAhead(socket)
        self._hello = hello
        self._sender = Sender(socket, gateway.settings.send_timeout)
        self._detach_reason = "closed"
        self._waiting = Counter[str]()
        self._early = EarlyMessages()

    async def run(self) -> None:
        """Serve the client until it has gone or the session has ended.

        Raises:
            ClientGone: the client has gone.
        """
        reader = self._open_reader()
        scope = trio.CancelScope()
        client = self._hosted.attach(self._hello.role, scope)
        try:
            with scope:
                await self._serve(reader)
        finally:
            self._hosted.detach(client, self._detach_reason)
        if scope.cancelled_caught:
            raise _Refused(REPLACED, "another client became the owner")

    def _open_reader(self) -> EventReader:
        after = self._hello.last_seq
        if after is None and self._hello.role == "owner":
            after = 0
        try:
            return self._session.stream_events(after)
        except UsageError as exc:
            raise _Refused(BAD_HELLO, str(exc)) from None

    async def _serve(self, reader: EventReader) -> None:
        await self._send_message(self._welcome())
        is_gone = False
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                await self._received.run()
                leave()

            def leave() -> None:
                nonlocal is_gone
                is_gone = True
                deadline = trio.current_time() + self._time_to_leave()
                nursery.cancel_scope.deadline = min(nursery.cancel_scope.deadline, deadline)

            async def receive() -> None:
                try:
                    await self._receive_messages(nursery)
                except ClientGone:
                    leave()
                await self._early.wait_over()
                nursery.cancel_scope.cancel(reason="the client has gone")

            async def carry_out_early() -> None:
                try:
                    await self._early.carry_out(self._session)
                except ClientGone:
                    leave()

            nursery.start_soon(read)
            nursery.start_soon(receive)
            nursery.start_soon(carry_out_early)
            try:
                await self._send_events(reader)
                nursery.cancel_scope.cancel(reason="the session has ended")
            except ClientGone:
                leave()
        if is_gone:
            raise ClientGone

    def _time_to_leave(self) -> float:
        """Return how many seconds what the client has sent may take, now that it gets nothing more."""
        return 0.0 if self._detach_reason == "too_slow" else _LAST_MESSAGES_TIMEOUT

    # --- to the client

    def _welcome(self) -> msg.Welcome:
        session, role = self._session, self._hello.role
        return msg.Welcome(
            session_id=session.session_id,
            run_id=session.run_id,
            role=role,
            resume_token=self._gateway.issue_resume_token(session, role),
            last_seq=session.last_seq,
            input_format=session.input_format,
            output_format=session.output_format,
            grace=self._hosted.grace,
        )

    async def _send_events(self, reader: EventReader) -> None:
        settings = self._gateway.settings
        async for event in reader:
            if isinstance(event, EventsMissed):
                await self._send_message(msg.EventsMissed(first=event.first, last=event.last))
                continue
            if event.type in settings.hidden_events:
                continue
            if not settings.error_details:
                event = without_error_details(event)  # noqa: PLW2901 - what the client gets of it
            if event.audio is None or self._hello.audio == "base64":
                await self._send(msgspec.json.encode(event.to_dict()).decode())
            elif self._hello.audio == "binary":
                await self._send(event.to_frame())

    async def _send_message(self, message: msg.ServerMessage) -> None:
        await self._send(msgspec.json.encode(message.to_dict()).decode())

    async def _send(self, message: str | bytes) -> None:
        """Send a message. A client that does not read for ``send_timeout`` is detached."""
        try:
            await self._sender.send(message)
        except ClientTooSlow:
            self._detach_reason = "too_slow"
            raise

    # --- from the client

    async def _receive_messages(self, nursery: trio.Nursery) -> None:
        while True:
            received = await self._received.receive()
            if isinstance(received, bytes):
                await self._put(len(received), None, partial(self._session.send_audio, received))
                continue
            try:
                message = parse_client_message(received)
            except MessageError as exc:
                await self._refuse(exc.id, exc.code, str(exc))
                continue
            if isinstance(message, msg.Ping):
                await self._reply(msg.Pong(id=message.id))
            elif isinstance(message, msg.Interrupt | msg.End):
                # These wait for tools to end, and the client may send more meanwhile.
                if self._waiting[message.type] < _MAX_WAITING:
                    self._waiting[message.type] += 1
                    nursery.start_soon(self._answer_waiting, message)
                else:
                    text = (
                        f"{_MAX_WAITING} messages of this type wait for tools to end: send it later"
                    )
                    await self._refuse(message.id, "invalid_request", text)
            else:
                await self._put(len(received), message.id, self._action_of(message))

    async def _put(self, size: int, id_: str | None, action: Action) -> None:
        if self._early.is_over or self._hello.role != "owner":
            await self._answer(id_, action)
        else:
            await self._early.put(size, partial(self._answer, id_, action))

    async def _answer_waiting(self, message: msg.Interrupt | msg.End) -> None:
        with suppress(ClientGone):  # the receiving task notices it too
            await self._answer(message.id, self._action_of(message))
        self._waiting[message.type] -= 1

    async def _answer(self, id_: str | None, action: Action) -> None:
        """Carry out what a message asks for, and answer it."""
        if self._hello.role != "owner":
            await self._refuse(id_, "not_owner", "an observer only receives events")
            return
        try:
            await action()
        except UsageError as exc:
            await self._refuse(id_, "invalid_request", str(exc))
        except RealtimeError as exc:
            details = self._gateway.settings.error_details
            await self._refuse(id_, "failed", str(exc) if details else HIDDEN)
        else:
            if id_ is not None:
                await self._reply(msg.Ack(id=id_))

    async def _refuse(self, id_: str | None, code: str, text: str) -> None:
        await self._reply(msg.ErrorReply(id=id_, code=code, message=text))

    async def _reply(self, message: msg.ServerMessage) -> None:
        """Answer a message. A client that has gone does not stop what else it has sent."""
        try:
            await self._send_message(message)
        except ClientGone:
            if self._detach_reason == "too_slow":
                raise

    def _action_of(self, message: msg.ClientMessage) -> Action:  # noqa: C901 - one case each
        session = self._session
        match message:
            case msg.SendText(text=text):
                return partial(session.send_text, text)
            case msg.SendAudio(audio=audio, commit=commit):
                return partial(session.send_audio, audio, commit=commit)
            case msg.Commit():
                return session.commit_audio
            case msg.Clear():
                return session.clear_audio
            case msg.Interrupt():
                return session.interrupt
            case msg.Approve(call_id=call_id, always=always):
                return partial(session.approve_tool_call, call_id, always=always)
            case msg.Reject(call_id=call_id, always=always, message=text):
                return partial(session.reject_tool_call, call_id, always=always, message=text)
            case msg.ToolResult(call_id=call_id, output=output, is_error=is_error):
                answer = partial(session.answer_tool_call, is_error=is_error)
                return _async(answer, call_id, output)
            case msg.Playback(item_id=item_id, content_index=index, played_ms=played_ms):
                return _async(session.report_played, item_id, index, played_ms)
            case msg.Mute(muted=muted):
                return _async(session.mute, muted)
            case msg.End():
                return partial(session.stop, "client_ended")
            case msg.Hello() | msg.Ping():
                return _async(_refuse_hello)


def _async(function: Callable[..., object], *arguments: object) -> Action:
    """Return an action that calls a function that is not async."""

    async def action() -> None:
        function(*arguments)
        await trio.lowlevel.checkpoint()

    return action


def _refuse_hello() -> None:
    raise UsageError("only the first message may be a hello")
