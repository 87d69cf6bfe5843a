"""One call: a media stream of Twilio as the client of a session.

The tasks of a call:

* the reader takes every message of Twilio, from the beginning of the stream to its end;
* the others live in the block of the session. One sends the caller's audio to the session, one handles keys,
  one follows the session's events, and one sends the agent's audio and clears to Twilio.

The reader never waits for anything but the WebSocket, so a mark or a hang-up is noticed at once. What it
reads goes through bounded buffers. Only one task sends, so a line that takes nothing stops no other one.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias, cast

import attrs
import trio

from trio_realtime import PCMU, RealtimeSession
from trio_realtime.errors import (
    ConfigurationError,
    ConsumerTooSlow,
    RealtimeError,
    SessionClosed,
    UsageError,
)
from trio_realtime.events import Audio, AudioEnd, AudioInterrupted, ResponseEnd, SessionEvent
from trio_realtime.session import EventChannel

from .caller_audio import BYTES_PER_MS, CallerAudio
from .playout import Heard, MediaMessage, Message, Playout
from .settings import CallEnd, CallEndReason, CallStatistics, StreamSettings
from .stream import (
    Dtmf,
    MalformedMessage,
    MarkReturned,
    Media,
    Stop,
    StreamMessage,
    StreamStart,
    clear_message,
    mark_message,
    media_message,
    parse_message,
)
from .voice import TOKEN_PARAMETER, StreamTokens
from .websocket import MediaWebSocket, adapt_websocket

__all__ = ["OnDtmf", "OnSession", "OpenSession", "run_media_stream"]

OpenSession: TypeAlias = Callable[[StreamStart], AbstractAsyncContextManager[RealtimeSession[Any]]]
"""Opens the session of a call."""

OnSession: TypeAlias = Callable[[RealtimeSession[Any]], Awaitable[object]]
"""Runs in a task as long as the call."""

OnDtmf: TypeAlias = Callable[[RealtimeSession[Any], str], Awaitable[object] | None]
"""Called with the session and the key; async or not."""

_logger = logging.getLogger("trio_realtime.server.twilio")

_CLOSED: Final = (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError)
_LOGGED_MESSAGES: Final = 10
"""Malformed messages of a call that are logged as warnings."""

_MAX_INPUT: Final = 64
"""Joined frames of the caller that may wait: at least one second."""

_MAX_KEYS: Final = 64

_CLOSE_CODES: Final[dict[CallEndReason, int]] = {
    "hung_up": 1000,
    "session_ended": 1000,
    "refused": 1008,
    "failed": 1011,
}


async def run_media_stream(
    websocket: Any,
    open_session: OpenSession,
    *,
    on_session: OnSession | None = None,
    on_dtmf: OnDtmf | None = None,
    tokens: StreamTokens | None = None,
    settings: StreamSettings | None = None,
) -> CallEnd:
    """Connect a phone call with a session, until either of them ends.

    The caller's audio goes to the session, the agent's audio to the caller. What the caller has heard is
    reported to the session exactly, from the marks that Twilio returns. An interruption clears Twilio's
    buffer.

    If the caller hangs up, the session ends as ``hung_up``. If the session ends, the caller hears what the
    agent has said, and then the stream is closed; Twilio goes on with the TwiML after ``<Connect>``, or
    hangs up.

    A failure ends this call and nothing else: it is logged, and returned as :attr:`CallEnd.error`.
    Cancelling closes the session and the WebSocket.

    Args:
        websocket: an accepted WebSocket of trio-websocket or Starlette, or a :class:`MediaWebSocket`.
        open_session: opens the session for a call. The session must have µ-law in both directions:
            ``SessionConfig(input_format=PCMU, output_format=PCMU)``. Audio that the agent says before the
            block of the session begins is not played: let ``on_session`` start the conversation.
        on_session: runs in a task as long as the call, for example to ask for a greeting and to follow the
            events. The call goes on when it returns. If it raises, the call fails.
        on_dtmf: called with the session and each key that the caller presses, one after the other.
        tokens: the tokens that :func:`twilio_voice` issues. A stream without a valid one is refused.
        settings: the settings; the defaults suit most calls.

    Returns:
        CallEnd: how the call ended.

    Raises:
        UsageError: ``websocket`` is no WebSocket that is supported.
    """
    line = adapt_websocket(websocket)
    settings = settings if settings is not None else StreamSettings()
    call = _Call(line, settings, open_session, on_session, on_dtmf)
    code = 1011
    try:
        end = await call.run(tokens)
        code = _CLOSE_CODES[end.reason]
    finally:
        with trio.move_on_after(settings.close_timeout, shield=True):
            await line.close(code)
    return end


class _Call:
    """The state of one call."""

    def __init__(
        self,
        line: MediaWebSocket,
        settings: StreamSettings,
        open_session: OpenSession,
        on_session: OnSession | None,
        on_dtmf: OnDtmf | None,
    ) -> None:
        self._line = line
        self._settings = settings
        self._open_session = open_session
        self._on_session = on_session
        self._on_dtmf = on_dtmf
        self._caller = CallerAudio(settings.input_ms)
        self._playout = Playout(max_ahead=settings.max_ahead, mark_ms=settings.mark_ms)
        self._input, self._take_input = trio.open_memory_channel[bytes](_MAX_INPUT)
        self._keys, self._take_keys = trio.open_memory_channel[str](_MAX_KEYS)
        self._stream_sid = ""
        self._session: RealtimeSession[Any] | None = None
        self._session_scope = trio.CancelScope()
        # Set when the caller hangs up, or when the caller has heard the end of a session.
        self._over = trio.Event()
        self._hung_up = False
        # When the session ended, or the last mark after that came back; None while the session runs.
        self._waiting_since: float | None = None
        self._playout_changed = trio.Event()
        self._is_clear_due = False
        self._error: Exception | None = None
        self._dropped_ms = 0.0
        self._malformed = 0
        self._key_count = 0

    async def run(self, tokens: StreamTokens | None) -> CallEnd:
        """Run the call; see :func:`run_media_stream`."""
        try:
            start = await self._receive_start()
        except Exception as exc:
            _logger.exception("a media stream failed before it began")
            return self._end("failed", None, exc)
        if not isinstance(start, StreamStart):
            return start
        refusal = _refusal(start, tokens)
        start = _without_token(start)
        if refusal is not None:
            _logger.warning("refused the media stream of call %s: %s", start.call_sid, refusal)
            return self._end("refused", start, UsageError(refusal))
        self._stream_sid = start.stream_sid
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                await self._converse(start)
                nursery.cancel_scope.cancel(reason="the call is over")
        except* Exception as group:  # noqa: BLE001 - it is logged and returned
            self._error = cast("Exception", _first_leaf(group))
        if self._error is not None:
            _logger.error("call %s failed", start.call_sid, exc_info=self._error)
            if not self._hung_up:
                return self._end("failed", start, self._error)
        return self._end("hung_up" if self._hung_up else "session_ended", start, self._error)

    def _end(
        self, reason: CallEndReason, start: StreamStart | None, error: Exception | None = None
    ) -> CallEnd:
        return CallEnd(
            reason=reason,
            start=start,
            session_end=None if self._session is None else self._session.end,
            error=error,
            statistics=CallStatistics(
                received_ms=self._caller.received_ms,
                lost_ms=self._caller.lost_ms,
                dropped_ms=self._dropped_ms,
                out_of_order=self._caller.out_of_order,
                sent_ms=self._playout.sent_ms,
                heard_ms=self._playout.heard_ms,
                clears=self._playout.clears,
                unknown_marks=self._playout.unknown_marks,
                malformed_messages=self._malformed,
                keys=self._key_count,
            ),
        )

    # --- from Twilio

    async def _receive_start(self) -> StreamStart | CallEnd:
        with trio.move_on_after(self._settings.start_timeout):
            while True:
                match await self._receive():
                    case StreamStart() as start:
                        return start
                    case Stop():
                        return self._end("hung_up", None)
                    case _:
                        pass
        timeout = self._settings.start_timeout
        _logger.warning("refused a media stream that did not begin within %g s", timeout)
        error = UsageError(f"the stream did not begin within {timeout:g} s")
        return self._end("refused", None, error)

    async def _receive(self) -> StreamMessage:
        """Return the next message that is one. A closed WebSocket is a stop."""
        while True:
            try:
                text = await self._line.receive()
            except _CLOSED:
                return Stop()
            try:
                return parse_message(text)
            except MalformedMessage as exc:
                self._malformed += 1
                if self._malformed <= _LOGGED_MESSAGES:
                    _logger.warning("ignored a message of the media stream: %s", exc)

    async def _read(self) -> None:
        """Handle all messages, until the caller hangs up."""
        while True:
            message = await self._receive()
            if isinstance(message, Stop):
                break
            self._handle(message)
        self._hung_up = True
        self._over.set()
        if self._session is None:
            self._session_scope.cancel(reason="the caller has hung up")

    def _handle(self, message: StreamMessage) -> None:
        match message:
            case Media():
                audio = self._caller.add(message)
                if audio is not None:
                    self._put_input(audio)
            case MarkReturned(name=name):
                self._on_mark(name)
            case Dtmf(key=key):
                self._key_count += 1
                try:
                    self._keys.send_nowait(key)
                except trio.WouldBlock:
                    _logger.warning("dropped a key: %d keys wait to be handled", _MAX_KEYS)
            case _:
                pass

    def _put_input(self, audio: bytes) -> None:
        try:
            self._input.send_nowait(audio)
        except trio.WouldBlock:
            self._dropped_ms += len(audio) / BYTES_PER_MS

    def _on_mark(self, name: str) -> None:
        now = trio.current_time()
        heard = self._playout.on_mark(name, now)
        if self._waiting_since is not None:
            self._waiting_since = now
        if heard is not None:
            self._report(heard)
        self._playout_changed.set()

    def _report(self, heard: Heard) -> None:
        if self._session is not None:
            self._session.playback.played(heard.item_id, heard.content_index, heard.ms)

    # --- the session

    async def _converse(self, start: StreamStart) -> None:
        """Hold the conversation until the caller hangs up or has heard the end of the session."""
        with self._session_scope:
            async with self._open_session(start) as session:
                self._session = session
                _check_formats(session)
                with session.subscribe(Audio, AudioEnd, AudioInterrupted, ResponseEnd) as channel:
                    await self._run_tasks(session, channel)

    async def _run_tasks(
        self, session: RealtimeSession[Any], channel: EventChannel[SessionEvent]
    ) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_input, session)
                nursery.start_soon(self._handle_keys, session)
                nursery.start_soon(self._follow, channel)
                nursery.start_soon(self._play)
                if self._on_session is not None:
                    nursery.start_soon(self._run_application, session, self._on_session)
                await self._over.wait()
                if self._hung_up:
                    await session.hang_up()
                nursery.cancel_scope.cancel(reason="the call is over")
        except BaseExceptionGroup as group:
            # The session reports what ended its block, and tells a cancellation from a failure.
            raise _first_leaf(group) from None

    async def _send_input(self, session: RealtimeSession[Any]) -> None:
        async for audio in self._take_input:
            try:
                await session.send_audio(audio)
            except RealtimeError:
                if session.end is None:
                    raise
                return

    async def _handle_keys(self, session: RealtimeSession[Any]) -> None:
        async for key in self._take_keys:
            try:
                await self._handle_key(session, key)
            except Exception as exc:
                if not _is_end_of(session, exc):
                    raise
                return

    async def _handle_key(self, session: RealtimeSession[Any], key: str) -> None:
        if self._on_dtmf is not None:
            result = self._on_dtmf(session, key)
            if inspect.isawaitable(result):
                await result
        text = self._settings.text_for(key)
        if text is not None:
            await session.send_message(text)

    async def _run_application(self, session: RealtimeSession[Any], on_session: OnSession) -> None:
        try:
            await on_session(session)
        except Exception as exc:
            if not _is_end_of(session, exc):
                raise
            # If the session has failed, the caller still hears what the agent has said. SessionClosed is no
            # failure: the caller has hung up, or the session has ended.
            failures = (one for one in _leaves(exc) if not isinstance(one, SessionClosed))
            self._error = self._error if self._error is not None else next(failures, None)

    async def _follow(self, channel: EventChannel[SessionEvent]) -> None:
        """Take audio and interruptions until the session ends, and then limit how long the call goes on.

        It sends nothing, so it does not wait for a line that takes nothing.
        """
        try:
            async for event in channel:
                match event:
                    case Audio():
                        self._add_audio(event)
                    case AudioEnd(item_id=item_id, content_index=content_index):
                        self._playout.end_item(item_id, content_index)
                    case ResponseEnd(response_id=response_id):
                        self._playout.end_response(response_id)
                    case AudioInterrupted(response_id=response_id):
                        if self._playout.interrupt(response_id, trio.current_time()):
                            self._is_clear_due = True
                    case _:
                        pass
                self._playout_changed.set()
        except ConsumerTooSlow:
            raise  # the session goes on, and this call cannot
        except RealtimeError as exc:
            self._error = exc
        self._playout.end_all()
        self._waiting_since = trio.current_time()
        self._playout_changed.set()
        while trio.current_time() < self._give_up_at():
            with trio.move_on_at(self._give_up_at()):  # a mark that comes back moves it
                await self._over.wait()
                return
        _logger.warning("closed a media stream whose marks did not come back")
        self._over.set()

    def _give_up_at(self) -> float:
        if self._waiting_since is None:
            return float("inf")
        left = self._playout.outstanding_ms / 1000
        return self._waiting_since + left + self._settings.mark_timeout

    def _add_audio(self, event: Audio) -> None:
        first = self._playout.add(event.item_id, event.content_index, event.response_id, event.data)
        if first is not None:
            self._report(first)
        if self._playout.outstanding_ms > self._settings.max_buffered * 1000:
            raise ConsumerTooSlow(
                f"more than {self._settings.max_buffered:g} s of audio wait to be played, which is the "
                "limit: raise StreamSettings(max_buffered=...), or let the agent say less"
            )

    # --- to Twilio

    async def _play(self) -> None:
        """Send the agent's audio, and end the call once the end of the session was heard."""
        while True:
            if self._is_clear_due:  # first: what is sent after a clear is not dropped
                self._is_clear_due = False
                await self._send(clear_message(self._stream_sid))
                continue
            now = trio.current_time()
            message = self._playout.next_message(now)
            if message is not None:
                await self._send(self._encode(message))
                continue
            if self._waiting_since is not None and self._playout.is_finished:
                break
            self._playout_changed = trio.Event()
            with trio.move_on_at(self._playout.next_at(now)):
                await self._playout_changed.wait()
        self._over.set()

    def _encode(self, message: Message) -> str:
        if isinstance(message, MediaMessage):
            return media_message(self._stream_sid, message.audio)
        return mark_message(self._stream_sid, message.name)

    async def _send(self, text: str) -> None:
        try:
            await self._line.send(text)
        except _CLOSED:
            # The reader notices that too, and ends the call.
            await self._over.wait()


def _check_formats(session: RealtimeSession[Any]) -> None:
    """Check that the session speaks µ-law.

    Raises:
        ConfigurationError: it does not.
    """
    formats = (session.input_format.type, session.output_format.type)
    if formats != (PCMU.type, PCMU.type):
        raise ConfigurationError(
            "a phone line carries µ-law: open its session with SessionConfig(input_format=PCMU, "
            f"output_format=PCMU), not with {formats[0]} and {formats[1]}"
        )


def _refusal(start: StreamStart, tokens: StreamTokens | None) -> str | None:
    """Return why a stream is refused; ``None`` if it is not."""
    if (start.encoding, start.sample_rate, start.channels) != ("audio/x-mulaw", 8000, 1):
        return "its audio is not mu-law at 8000 Hz with one channel"
    if tokens is None:
        return None
    token = start.parameters.get(TOKEN_PARAMETER, "")
    if not tokens.redeem(token, trio.current_time(), start.call_sid):
        return f"its parameter {TOKEN_PARAMETER!r} is missing, expired, used or of another call"
    return None


def _without_token(start: StreamStart) -> StreamStart:
    parameters = {
        name: value for name, value in start.parameters.items() if name != TOKEN_PARAMETER
    }
    return attrs.evolve(start, parameters=parameters)


def _is_end_of(session: RealtimeSession[Any], exc: Exception) -> bool:
    """Return whether a function of the application raised this because the session has ended."""
    return session.end is not None and all(isinstance(one, RealtimeError) for one in _leaves(exc))


def _leaves(exc: Exception) -> list[Exception]:
    """Return the exceptions of a group of groups: nurseries of the application make them."""
    if not isinstance(exc, ExceptionGroup):
        return [exc]
    group = cast("ExceptionGroup[Exception]", exc)
    return [leaf for one in group.exceptions for leaf in _leaves(one)]


def _first_leaf(exc: BaseException) -> BaseException:
    """Return the first exception of a group of groups, or the exception if it is no group."""
    while isinstance(exc, BaseExceptionGroup):
        exc = cast("BaseExceptionGroup[BaseException]", exc).exceptions[0]
    return exc
