"""Join the core and the tasks: feed inputs to the core, and carry out its effects in order.

Everything here is synchronous. It is the place where the core's decisions meet the send queue, the
event bus, the tools, the guardrails and the tasks that wait for answers; none of these knows the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count
from typing import Any

import attrs
import trio

from trio_realtime._nursery import OnDemandTask
from trio_realtime.core import (
    AppendAudio,
    CancelCalls,
    CheckInput,
    CheckReply,
    Command,
    ConnectionLost,
    Conversation,
    DeadlinePassed,
    Disconnected,
    DropConnection,
    EndSession,
    HistoryEdited,
    Input,
    Outcome,
    RareEffect,
    ResolveRequest,
    ResponseOutcome,
    SendEncoded,
    StartCall,
    UpdateSettings,
)
from trio_realtime.errors import RealtimeError, UsageError, UserCodeError
from trio_realtime.events import SessionEnded, SessionEvent
from trio_realtime.realtime_model import RealtimeModel, WebSocketModel
from trio_realtime.transports import TransportClosed
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemTruncate,
    ErrorDetails,
    ErrorEvent,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    ResponseCancel,
    Session,
    SessionUpdate,
    encode,
)
from trio_realtime.wire.audio_delta import AudioDelta

from .change_signal import ChangeSignal
from .connection.errors import end_after_failure, end_of_connection
from .connection.send_queue import SendQueue
from .consumers.bus import EventBus
from .ending import EndCause, EndState, failure_of_user_code, limit_reached
from .guardrails import GuardrailRunner
from .run_guard import RunGuard
from .tools.runner import ToolRunner

_URGENT = (ResponseCancel, ConversationItemTruncate)
"""What stops the agent does not wait for the user's audio to be sent."""


def _no_connection(_reason: str) -> None:
    """Drop nothing: there is no connection yet."""


@attrs.define(eq=False)
class PendingRequest:
    """A request that waits for the service's answer.

    Attributes:
        token: the name of the request.
        outcome: the answer, once there is one.
    """

    token: str
    _end: EndState
    outcome: Outcome | None = None
    _resolved: trio.Event = attrs.field(factory=trio.Event)

    @property
    def is_resolved(self) -> bool:
        """Whether the answer has arrived."""
        return self._resolved.is_set()

    def resolve(self, outcome: Outcome) -> None:
        """Take the answer and wake the tasks that wait for it."""
        self.outcome = outcome
        self._resolved.set()

    async def wait(self) -> ResponseOutcome | Session | HistoryEdited:
        """Wait for the answer.

        Raises:
            RealtimeError: the request was rejected, or the session ended before the answer.
        """
        await self._resolved.wait()
        if isinstance(self.outcome, RealtimeError):
            raise self._end.deliver(self.outcome)
        assert self.outcome is not None
        return self.outcome


class SessionRuntime:
    """Feeds the core and carries out its effects.

    Args:
        model: encodes client events.

    Attributes:
        core: the conversation.
        end: the end of the session.
        bus: delivers events to consumers.
        send_queue: takes client events.
        tools: runs calls.
        guardrails: runs checks.
        emit: delivers an event that does not come from the core.
        guard: refuses callers of another trio run.
        drop_connection: ends the current connection, which is dead although it is open.
        last_warning: the last warning of the service, which may explain why the session does not open.
    """

    def __init__(
        self,
        model: RealtimeModel,
        core: Conversation,
        end: EndState,
        guard: RunGuard,
        bus: EventBus,
        send_queue: SendQueue,
        tools: ToolRunner,
        guardrails: GuardrailRunner,
    ) -> None:
        self.guard = guard
        # The clock of the run, whose method is one call.
        self._now: Callable[[], float] = trio.lowlevel.current_clock().current_time
        self._model = model
        self._encode_audio: Callable[[bytes], Any] = (
            model.encode_audio if isinstance(model, WebSocketModel) else self._encode_append
        )
        self.core = core
        self.end = end
        self.bus = bus
        self.send_queue = send_queue
        self.tools = tools
        self.guardrails = guardrails
        self.emit: Callable[[SessionEvent], None] = bus.emit
        self.drop_connection: Callable[[str], None] = _no_connection
        self.last_warning: str | None = None
        self._inputs: list[Input] = []
        self._pending: dict[str, PendingRequest] = {}
        self._numbers = count(1)
        self._changed = ChangeSignal()
        self._waiting = trio.CancelScope()
        self._deadlines = OnDemandTask()

    # --- sending

    def encode(self, event: ClientEvent) -> Any:
        """Encode an event as the model sends it.

        Raises:
            UsageError: the event cannot be sent. The message says why.
        """
        try:
            return self._model.encode(event)
        except (ValueError, TypeError) as exc:
            raise UsageError(str(exc)) from None

    def send(self, event: ClientEvent) -> None:
        """Queue an event for the writer.

        Raises:
            UsageError: the event cannot be sent.
        """
        self._put(event, self.encode(event))

    def _put(self, event: ClientEvent, message: Any) -> None:
        if isinstance(event, InputAudioBufferAppend):
            self.send_queue.put(message, audio=len(event.audio))
            return
        text = message if isinstance(message, str | bytes) else encode(event)
        if isinstance(event, InputAudioBufferClear):
            self.send_queue.discard_last_audio()
        self.send_queue.put(message, text=len(text), urgent=isinstance(event, _URGENT))

    # --- inputs and effects

    def feed(self, event: Input) -> None:
        """Feed an input to the core and carry out its effects, in order.

        An effect that causes another input queues it: all effects of one input are carried out before
        the next input enters.

        Raises:
            UsageError: a command cannot be carried out. Nothing has changed.
        """
        self._inputs.append(event)
        if len(self._inputs) > 1:
            return  # the caller that feeds the first input goes on with this one
        try:
            while self._inputs:
                for effect in self.core.handle(self._inputs[0], self._now()):
                    if isinstance(effect, SessionEvent):
                        self.bus.emit(effect)
                    elif isinstance(effect, ClientEvent):
                        self._send_effect(effect)
                    else:
                        self._run_effect(effect)
                del self._inputs[0]
        finally:
            self._inputs.clear()
        if self.core.next_deadline != self._waiting.deadline:
            self._waiting.deadline = self.core.next_deadline
            self._deadlines.start()
        self._changed.notify_all()

    def play(self, delta: AudioDelta | None) -> bool:
        """Take an audio delta by the fast path: past :meth:`feed`, with the same effects.

        Consumers of raw events do not get it, and ``core.can_play`` must be true.

        Returns:
            Whether it was taken. If not, :meth:`feed` must take the event.
        """
        if delta is None:
            return False
        audio = self.core.play(delta, self._now())
        if audio is None:
            return False
        self.bus.emit(audio)
        self._changed.notify_all()
        return True

    def send_audio(self, audio: bytes) -> None:
        """Send audio of the user, by the fast path if nothing needs it but the memory for a lost connection.

        Raises:
            UsageError: the model cannot send it.
        """
        if self._inputs or not self.core.can_append:
            self.feed(AppendAudio(InputAudioBufferAppend(audio=audio)))
        elif self.core.append_audio(audio, self._now()):
            self.send_queue.put(self._encode_audio(audio), audio=len(audio))

    def _encode_append(self, audio: bytes) -> Any:
        return self.encode(InputAudioBufferAppend(audio=audio))

    def _send_effect(self, event: ClientEvent) -> None:
        """Send an event of the core.

        One that cannot be sent is an error of the command that caused it. If no command did, the
        request fails as if the service had rejected it.
        """
        try:
            self.send(event)
        except UsageError as exc:
            if isinstance(self._inputs[0], Command):
                raise
            details = ErrorDetails(
                code="not_sent",
                message=f"{event.type} was not sent: {exc}",
                event_id=event.event_id,
            )
            self.feed(ErrorEvent(error=details))

    def attach(self, start: Callable[[], None]) -> None:
        """Start the task of :meth:`watch_deadlines` with this function, now or with the next deadline."""
        self._deadlines.attach(start, is_needed=self.core.next_deadline < math.inf)

    def stop_watching(self) -> None:
        """Watch no more deadlines: the session is over."""
        self._deadlines.stop()

    async def watch_deadlines(self) -> None:
        """Tell the core when a request was not answered in time."""
        while True:
            with trio.CancelScope(deadline=self.core.next_deadline) as self._waiting:
                await trio.sleep_forever()
            self.feed(DeadlinePassed())

    def _run_effect(self, effect: RareEffect) -> None:
        match effect:
            case StartCall(call=call):
                self.tools.start(call)
            case CancelCalls(call_ids=call_ids):
                self.tools.cancel(call_ids)
            case CheckReply() | CheckInput():
                self.guardrails.start(effect, self)
            case SendEncoded(event=event, message=message):
                self._put(event, message)
            case EndSession(limit=limit):
                self.end.request(limit_reached(limit))
            case ResolveRequest(token=token, outcome=outcome):
                request = self._pending.pop(token, None)
                if request is not None:
                    request.resolve(outcome)
            case DropConnection(reason=reason):
                self.drop_connection(reason)

    @property
    def current_agent(self) -> Any:
        """The agent that the next response begins with."""
        return self.core.agent

    # --- requests

    def new_id(self, kind: str) -> str:
        """Return an id that no other request or item of this session has."""
        return f"{kind}_request_{next(self._numbers)}"

    def track_request(self, kind: str) -> PendingRequest:
        """Return a request with a new token. It is resolved when the core resolves the token."""
        request = PendingRequest(self.new_id(kind), self.end)
        if self.end.is_set:
            request.resolve(self.end.sender_error)
        else:
            self._pending[request.token] = request
        return request

    def forget_request(self, token: str) -> None:
        """Forget a request that was not made."""
        self._pending.pop(token, None)

    def fail_pending(self, error: RealtimeError) -> None:
        """Fail every request that waits for an answer."""
        for request in self._pending.values():
            request.resolve(error)
        self._pending.clear()

    async def change_settings(
        self, settings: Session, agent: Any = None, toolset: Any = None
    ) -> Session:
        """Change settings; return the effective session when the service has accepted them.

        Args:
            settings: the settings to reach.
            agent: the agent that becomes current with them; ``None`` for no change.
            toolset: the tools that they declare; ``None`` for no change.

        Raises:
            SettingsRejected: the service rejected them. Nothing has changed.
            UsageError: they cannot be sent.
            RealtimeError: the session ended first.
        """
        self.encode(SessionUpdate(session=settings))
        request = self.track_request("settings")
        self.feed(
            UpdateSettings(token=request.token, settings=settings, agent=agent, toolset=toolset)
        )
        accepted = await request.wait()
        assert isinstance(accepted, Session)
        return accepted

    async def wait_for_text_space(self) -> None:
        """Wait until a message may be queued: there is space, for the connection or for the next one.

        Always a checkpoint.

        Raises:
            RealtimeError: the session has ended.
        """
        await self.send_queue.wait_for_text_space()
        while self.core.waiting_size >= self.send_queue.max_text:
            await self.wait_change()
            self.end.raise_if_set()

    # --- waiting for changes

    def notify(self) -> None:
        """Wake :meth:`wait_change`: something has changed that is not an effect of the core."""
        self._changed.notify_all()

    async def wait_change(self) -> None:
        """Wait until an input was handled, a call has ended, or the session ends."""
        await self._changed.wait()

    # --- the end

    def connection_ended(self, closed: TransportClosed) -> None:
        """End the session: the connection is gone for good.

        Args:
            closed: how it ended.
        """
        self.finish(end_of_connection(closed, self.core.last_error, self.end.expected))
        self.send_queue.clear()

    def connection_lost(self, message: str) -> None:
        """Tell the core that the connection is gone and another one will follow."""
        self.send_queue.clear()
        self.feed(ConnectionLost(message=message))

    def connection_failed(self, error: RealtimeError) -> None:
        """End the session: no further connection could be opened."""
        is_user_code = isinstance(error, UserCodeError)
        self.finish(failure_of_user_code(error) if is_user_code else end_after_failure(error))
        self.send_queue.clear()

    def fail(self, error: RealtimeError) -> None:
        """End the session: a tool or a model failed. Frames that are queued are still sent."""
        self.finish(failure_of_user_code(error))

    def finish(self, cause: EndCause) -> None:
        """End the session; the first end counts. Its event is the last one of every consumer."""
        if not self.end.is_set:
            now = trio.current_time()
            end = self.end.set(
                cause,
                unanswered_calls=self.core.unanswered_calls,
                unsent_frames=self.send_queue.waiting,
                unheard_audio_ms=round((self.core.playback.finishes_at(now) - now) * 1000),
            )
            self.fail_pending(self.end.sender_error)
            if cause.loss is not None:
                self.feed(ConnectionLost(message=str(cause.loss), is_last=True))
            self.feed(Disconnected())
            self.bus.end_channels(SessionEnded(end=end))
        self.send_queue.wake()
        self.tools.cancel_all()
        self.fail_pending(self.end.sender_error)
        self.notify()
