"""A conversation whose service sends anything, and a session that carries out its effects.

It has no I/O: results of tools, guardrails and approvals return with later inputs. Every effect is used as
a session and its consumers use it: events are read, and client events are encoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

from support.core import ToolDouble, ToolsetDouble
from support.hostile_frames import hostile_text
from trio_realtime import events as ev
from trio_realtime.core import (
    AppendAudio,
    ApprovalDecided,
    CallFinished,
    CancelResponse,
    CheckInput,
    CheckReply,
    ClearAudio,
    Command,
    CommitAudio,
    ConnectionLost,
    ConnectionRestored,
    Conversation,
    CreateResponse,
    DeadlinePassed,
    DropConnection,
    Effect,
    Input,
    InputChecked,
    Interrupt,
    Replay,
    ReplyChecked,
    ReportPlayed,
    SendEncoded,
    SendItem,
    StartCall,
    StopPlaybackReports,
    UpdateHistory,
    UpdateSettings,
)
from trio_realtime.errors import SettingsRejected, UsageError
from trio_realtime.events import GuardrailTrip
from trio_realtime.session.consumers.event_size import size_of
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ErrorDetails,
    ErrorEvent,
    FrameError,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputText,
    MessageItem,
    ResponseParams,
    ServerEvent,
    Session,
    SessionUpdate,
    SessionUpdated,
)
from trio_realtime.wire.dialects import Dialect, UnsupportedByDialect

TOOLS = ToolsetDouble(
    ToolDouble("get_weather"),
    ToolDouble("get_order_status", "finish"),
    ToolDouble("look_up", "background"),
)
MAX_WAITING = 64
"""The number of results that are under way at once. What is above is answered at once."""


def open_conversation(**options: Any) -> Conversation:
    """Return a conversation with every feature that has state."""
    settings: dict[str, Any] = {
        "guardrail_debounce": 20,
        "audio_gate": True,
        "max_history_audio": 4_000,
        "request_timeout": 15.0,
        "max_speech": 30.0,
        "max_audio_while_away": 5.0,
    }
    return Conversation("agent", TOOLS, **(settings | options))


class HostileService:
    """Feeds frames to a conversation, and carries out what it decides.

    Args:
        core: the conversation.
        random: chooses what the session does.
        dialect: the dialect that the endpoint has announced.
    """

    def __init__(self, core: Conversation, random: Random, dialect: Any = "ga") -> None:
        self.core = core
        self.now = 0.0
        self._random = random
        self._dialect = Dialect(dialect)
        self._decoder = self._dialect.decoder()
        self._results: deque[Input] = deque()
        self._tokens = 0

    # --- the service

    def receive(self, frame: str | bytes) -> None:
        """Take a frame of the service. Only the codec may refuse it."""
        for event in self._decoded(frame):
            self.feed(event)

    def _decoded(self, frame: str | bytes) -> Sequence[ServerEvent]:
        try:
            events = self._decoder.decode(frame)
        except FrameError:
            return ()
        repr(events)
        return events

    def receive_any(self) -> None:
        """Take a hostile frame."""
        self.receive(hostile_text(self._random))

    # --- the session

    def feed(self, event: Input) -> None:
        """Feed an input, and carry out its effects."""
        for effect in self.core.handle(event, self.now):
            self._carry_out(effect, event)
        while len(self._results) > MAX_WAITING:
            self.feed(self._results.popleft())

    def _encode(self, event: ClientEvent, cause: Input) -> None:
        assert self.core.link.is_open, f"{event.type} is sent without a connection"
        try:
            self._dialect.encode(event)
        except UnsupportedByDialect:
            if not isinstance(cause, Command):
                details = ErrorDetails(message="not sent", event_id=event.event_id)
                self.feed(ErrorEvent(error=details))

    def _carry_out(self, effect: Effect, cause: Input) -> None:
        match effect:
            case StartCall() | CheckReply() | CheckInput():
                self._results.append(self._result_of(effect))
            case SendEncoded(event=event):
                self._encode(event, cause)
            case ClientEvent():
                self._encode(effect, cause)
            case DropConnection():
                self.lose_connection()
            case ev.HistoryUpdated() | ev.HistoryAdded():
                repr(effect.item)
            case _:
                pass
        if isinstance(effect, ev.SessionEvent):
            size_of(effect)
        repr(effect)

    def _result_of(self, effect: StartCall | CheckReply | CheckInput) -> Input:
        match effect:
            case StartCall(call=call) if call.server_label is not None:
                approve = bool(self._random.randrange(2))
                return ApprovalDecided(item_id=call.call_id, approve=approve)
            case StartCall(call=call):
                return CallFinished(call_id=call.call_id, output="output")
            case CheckReply(response_id=response_id, text=text):
                return ReplyChecked(response_id=response_id, text=text, trips=self._trips())
            case CheckInput(serial=serial, text=text):
                return InputChecked(serial=serial, text=text, trips=self._trips())

    def _trips(self) -> tuple[GuardrailTrip, ...]:
        if self._random.randrange(12):
            return ()
        return (GuardrailTrip(name="guardrail", feedback="no"),)

    def deliver_results(self) -> None:
        """Report the results that are under way, in any order."""
        while self._results:
            self._results.rotate(self._random.randrange(len(self._results)))
            self.feed(self._results.popleft())

    def lose_connection(self) -> None:
        """Lose the connection, and teach another one the conversation."""
        self.feed(ConnectionLost())
        self._decoder = self._dialect.decoder()
        replay = None
        while replay is None:
            with suppress(SettingsRejected):
                replay = self._replay()
        self.feed(ConnectionRestored(replay=replay))

    def _replay(self) -> Replay:
        """Teach a connection the conversation. Its service also sends what nobody asked for."""
        replay = self.core.replay()
        to_answer = deque(replay.begin())
        while to_answer:
            if not self._random.randrange(8):
                for event in self._decoded(hostile_text(self._random)):
                    to_answer += replay.handle(event)
            if to_answer:
                to_answer += replay.handle(self._answer(to_answer.popleft()))
        assert replay.is_complete
        return replay

    def _answer(self, event: ClientEvent) -> ServerEvent:
        if not isinstance(event, SessionUpdate) and not self._random.randrange(8):
            return ErrorEvent(error=ErrorDetails(message="no", event_id=event.event_id))
        match event:
            case SessionUpdate(session=session):
                return SessionUpdated(session=session)
            case ConversationItemCreate(item=item):
                return ConversationItemAdded(item=item)
            case ConversationItemDelete(item_id=item_id):
                return ConversationItemDeleted(item_id=item_id)
            case _:
                raise AssertionError(f"{event.type} is not part of a replay")

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        if self.core.next_deadline <= self.now:
            self.feed(DeadlinePassed())

    def do_something(self) -> None:
        """Let time pass, and do one thing that a session may do at any time."""
        self.pass_time(self._random.choice((0.0, 0.01, 1.0, 16.0)))
        if not self._random.randrange(3):
            self.deliver_results()
        with suppress(UsageError):
            self.feed(self._random.choice(_ACTIONS)(self))
        repr(self.core.history.snapshot())
        _ = (self.core.is_quiet, self.core.unanswered_calls, self.core.usage)
        self.core.is_between_turns(self.now)
        self.core.playback.current(self.now)

    def token(self) -> str:
        """Return the name of a new request."""
        self._tokens += 1
        return f"request_{self._tokens}"

    def some_item(self) -> str:
        """Return the id of some item of the conversation."""
        items = self.core.history.snapshot()
        return (self._random.choice(items).id or "") if items else "item"


def _send(service: HostileService) -> Input:
    message = MessageItem(role="user", content=(InputText(text="Hello"),))
    return SendItem(item=ConversationItemCreate(item=message), respond=True, user_text="Hello")


def _create(service: HostileService) -> Input:
    conversation = service._random.choice(("none", "auto"))
    return CreateResponse(
        token=service.token(),
        params=ResponseParams(conversation=conversation),
        until_turn_end=bool(service._random.randrange(2)),
    )


def _edit(service: HostileService) -> Input:
    items = [*service.core.history.snapshot()]
    if items:
        del items[service._random.randrange(len(items))]
    return UpdateHistory(token=service.token(), items=items)


_ACTIONS: tuple[Callable[[HostileService], Input], ...] = (
    _send,
    _create,
    _edit,
    lambda service: Interrupt(),
    lambda service: ReportPlayed(item_id=service.some_item(), content_index=0, ms=10.0),
    lambda service: StopPlaybackReports(),
    lambda service: CancelResponse(token=f"request_{service._tokens}"),
    lambda service: UpdateSettings(
        token=service.token(), settings=Session(instructions=service.token())
    ),
    lambda service: AppendAudio(InputAudioBufferAppend(audio=bytes(480))),
    lambda service: CommitAudio(InputAudioBufferCommit()),
    lambda service: ClearAudio(InputAudioBufferClear()),
)
