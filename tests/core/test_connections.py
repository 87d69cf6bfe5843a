"""From one connection to the next, through the core as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from support.core import (
    SESSION,
    CoreScenario,
    ToolDouble,
    ToolsetDouble,
    answered_calls,
    effects_of,
    resolved_tokens,
)
from trio_realtime import events as ev
from trio_realtime.core import (
    ConnectionLost,
    ConnectionRestored,
    DropConnection,
    Effect,
    Replay,
    ResolveRequest,
)
from trio_realtime.core.inputs import AppendAudio, CommitAudio
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputText,
    MessageItem,
    OutputText,
    ResponseCreate,
    ResponseParams,
    Session,
    SessionUpdate,
    structure_server_event,
)


def server_event(kind: str, **fields: Any) -> Any:
    return structure_server_event({"type": kind, "event_id": "event", **fields})


def report_of(create: ConversationItemCreate) -> Any:
    """Return what a service reports of an item that was created."""
    created: Any = create.item
    item = attrs.evolve(created, id=created.id or f"item_of_{create.event_id}")
    added: Any = server_event("conversation.item.added", item={"type": "message", "id": "x"})
    return attrs.evolve(added, item=item)


class Reconnecting(CoreScenario):
    """A scenario whose connection is lost and replaced."""

    def __init__(self, toolset: ToolsetDouble | None = None, **options: Any) -> None:
        options.setdefault("max_speech", 10.0)
        options.setdefault("max_audio_while_away", 5.0)
        super().__init__(toolset, **options)
        self.replayed: list[ConversationItemCreate] = []

    def lose(self, message: str = "gone", *, is_last: bool = False) -> list[Effect]:
        return [*self.core.handle(ConnectionLost(message=message, is_last=is_last), self.now)]

    def finished_replay(self, *rejected: str) -> Replay:
        """Return the replay after the next connection has taken it."""
        replay = self.core.replay()
        self.replayed = []
        events: list[ClientEvent] = [*replay.begin()]
        replay.handle(server_event("session.created", session=SESSION))
        while events:
            event = events.pop(0)
            if isinstance(event, SessionUpdate):
                events += replay.handle(server_event("session.updated", session=SESSION))
                continue
            assert isinstance(event, ConversationItemCreate)
            self.replayed.append(event)
            if event.item.id in rejected:
                error = {"message": "no", "event_id": event.event_id}
                events += replay.handle(server_event("error", error=error))
            else:
                events += replay.handle(report_of(event))
        assert replay.is_complete
        return replay

    def restore(self, *rejected: str, attempts: int = 1) -> list[Effect]:
        replay = self.finished_replay(*rejected)
        return [*self.core.handle(ConnectionRestored(replay=replay, attempts=attempts), self.now)]

    def reconnect(self) -> list[Effect]:
        return [*self.lose(), *self.restore()]

    def add(self, item_id: str, text: str = "Hello", role: str = "user") -> list[Effect]:
        kind = "output_text" if role == "assistant" else "input_text"
        item = {
            "id": item_id,
            "type": "message",
            "role": role,
            "status": "completed",
            "content": [{"type": kind, "text": text}],
        }
        return self.receive("conversation.item.added", item=item)

    def say(self, mark: bytes = b"a", seconds: float = 1.0) -> list[Effect]:
        event = InputAudioBufferAppend(audio=mark * int(48_000 * seconds))
        effects = [*self.core.handle(AppendAudio(event), self.now)]
        self.now += seconds
        return effects

    def commit(self) -> list[Effect]:
        return [*self.core.handle(CommitAudio(InputAudioBufferCommit()), self.now)]

    def speech_stopped(self) -> list[Effect]:
        return self.receive(
            "input_audio_buffer.speech_stopped", item_id="item_user", audio_end_ms=1000
        )

    def committed(self, item_id: str = "item_user") -> list[Effect]:
        return self.receive("input_audio_buffer.committed", item_id=item_id)

    def accept_settings(self) -> None:
        """Let the service accept the first settings."""
        self.core.update_settings(Session(type="realtime", instructions="Be brief."))
        self.receive("session.updated", session=SESSION)

    @property
    def history_ids(self) -> list[str | None]:
        return [item.id for item in self.core.history.snapshot()]


def created_texts(effects: Sequence[Effect]) -> list[str]:
    """Return the text of each message that is created."""
    items = [create.item for create in effects_of(effects, ConversationItemCreate)]
    return [
        part.text
        for item in items
        if isinstance(item, MessageItem)
        for part in item.content
        if isinstance(part, InputText | OutputText)
    ]


# --- responses -----------------------------------------------------------------------------------


def test_a_running_response_ends_as_disconnected() -> None:
    s = Reconnecting()
    token, create = s.request(until_turn_end=True)
    s.response_created("r1", create)
    s.audio("r1", "item_1")
    effects = s.lose("the cable")
    (interrupted,) = effects_of(effects, ev.AudioInterrupted)
    (end,) = effects_of(effects, ev.ResponseEnd)
    assert len(effects_of(effects, ev.AgentEnd)) == 1
    (resolved,) = effects_of(effects, ResolveRequest)
    assert interrupted.response_id == end.response_id == "r1"
    assert (end.status, end.reason, end.message) == ("failed", "disconnected", "the cable")
    assert resolved.token == token
    assert s.core.is_quiet
    assert effects_of(s.restore(), ResponseCreate) == []


def test_the_last_loss_interrupts_no_audio() -> None:
    s = Reconnecting()
    s.response_created("r1", s.message_create())
    s.audio("r1", "item_1")
    effects = s.lose(is_last=True)
    assert not effects_of(effects, ev.AudioInterrupted)
    assert effects_of(effects, ev.ResponseEnd)


def test_a_create_whose_response_has_not_begun_is_sent_again() -> None:
    s = Reconnecting()
    token, create = s.request()
    assert resolved_tokens(s.lose()) == []
    (again,) = effects_of(s.restore(), ResponseCreate)
    assert again.event_id == create.event_id
    s.response_created("r2", again)
    assert resolved_tokens(s.response_done("r2", again)) == [token]


def test_a_cancelled_create_is_not_sent_again() -> None:
    s = Reconnecting()
    token, _ = s.request()
    s.core.cancel_response(token, s.now)
    assert resolved_tokens(s.lose()) == [token]
    assert not effects_of(s.restore(), ResponseCreate)
    assert s.core.is_quiet


def test_out_of_band_requests_are_sent_again_unless_they_were_cancelled() -> None:
    s = Reconnecting()
    first, create = s.request(ResponseParams(conversation="none"))
    second, _ = s.request(ResponseParams(conversation="none"))
    s.core.cancel_response(second, s.now)
    assert resolved_tokens(s.lose()) == [second]
    third, effects = s.core.create_response(ResponseParams(conversation="none"))
    assert effects == []
    again = effects_of(s.restore(), ResponseCreate)
    assert [c.event_id for c in again] == [create.event_id, third]
    s.response_created("r1", again[0], conversation_id=None)
    assert resolved_tokens(s.response_done("r1", again[0], conversation_id=None)) == [first]


def test_a_request_that_waits_can_be_withdrawn() -> None:
    s = Reconnecting()
    s.lose()
    ordinary, _ = s.core.create_response()
    out_of_band, _ = s.core.create_response(ResponseParams(conversation="none"))
    assert resolved_tokens(s.core.cancel_response(ordinary, s.now)) == [ordinary]
    assert resolved_tokens(s.core.cancel_response(out_of_band, s.now)) == [out_of_band]
    assert not effects_of(s.restore(), ResponseCreate)


def test_nothing_of_the_old_connection_acts_later() -> None:
    """The next service may use the same ids."""
    s = Reconnecting()
    token, create = s.request()
    s.response_created("r1", create)
    s.core.cancel_response(token, s.now)
    s.reconnect()
    _, create = s.request()
    assert s.response_created("r1", create)
    done = effects_of(s.response_done("r1", create), ev.ResponseEnd)
    assert [end.status for end in done] == ["completed"]


def test_only_the_first_loss_counts() -> None:
    s = Reconnecting()
    s.response_created("r1", s.message_create())
    assert s.lose()
    assert s.lose() == []


# --- items ---------------------------------------------------------------------------------------


def test_messages_are_sent_again_until_they_are_acknowledged() -> None:
    s = Reconnecting()
    s.send_message("One")
    s.add("item_1", "One")
    s.send_message("Two")
    s.lose()
    assert s.send_message("Three") == []
    effects = s.restore()
    assert created_texts(s.replayed) == ["One"]
    assert created_texts(effects) == ["Two", "Three"]
    s.add("item_2", "Two")
    assert created_texts(s.reconnect()) == ["Three"]
    assert created_texts(s.replayed) == ["One", "Two"]
    assert s.history_ids == ["item_1", "item_2"]


def test_the_size_of_what_waits_is_known() -> None:
    s = Reconnecting()
    assert s.core.waiting_size == 0
    s.lose()
    item = FunctionCallOutputItem(call_id="call_1", output="x" * 100)
    s.core.send_item(item, respond=False)
    assert s.core.waiting_size == 100
    s.restore()
    assert s.core.waiting_size == 0


def test_what_was_not_restored_is_reported() -> None:
    s = Reconnecting()
    s.add("item_1")
    s.add("item_2")
    s.now = 1.0
    s.lose()
    s.now = 3.5
    (event,) = effects_of(s.restore("item_1", attempts=3), ev.Reconnected)
    assert event == ev.Reconnected(
        attempts=3,
        duration=2.5,
        items_sent=2,
        items_acknowledged=1,
        lost_audio_ms=0,
        state_restored=False,
    )
    assert not s.core.history.is_on_connection("item_1")
    assert s.core.history.is_on_connection("item_2")


def test_an_item_that_grows_ends() -> None:
    s = Reconnecting()
    s.response_created("r1", s.message_create())
    item = {
        "id": "item_1",
        "type": "message",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    s.receive("conversation.item.added", item=item)
    s.receive("response.output_item.added", response_id="r1", output_index=0, item=item)
    s.receive(
        "response.output_text.delta",
        response_id="r1",
        item_id="item_1",
        output_index=0,
        content_index=0,
        delta="Half a sen",
    )
    s.lose()
    (item_after,) = s.core.history.snapshot()
    assert isinstance(item_after, MessageItem)
    assert item_after.status == "incomplete"
    s.restore()
    assert created_texts(s.replayed) == ["Half a sen"]


# --- calls ---------------------------------------------------------------------------------------


def call_scenario() -> Reconnecting:
    s = Reconnecting(ToolsetDouble(ToolDouble("look_up")))
    _, create = s.request(until_turn_end=True)
    s.response_created("r1", create)
    item = {
        "id": "item_call",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "look_up",
        "arguments": "{}",
    }
    s.receive("conversation.item.added", item=item)
    s.call("r1", "call_1", "item_call")
    return s


def test_the_output_of_a_call_goes_to_the_next_connection_with_its_call() -> None:
    s = call_scenario()
    s.response_done("r1")
    s.reconnect()
    assert s.replayed == []
    effects = s.finish_call("call_1")
    call, output = effects_of(effects, ConversationItemCreate)
    assert isinstance(call.item, FunctionCallItem)
    assert call.previous_item_id == "root"
    assert isinstance(output.item, FunctionCallOutputItem)
    assert len(effects_of(effects, ResponseCreate)) == 1


def test_a_call_of_a_response_that_was_cut_goes_on() -> None:
    s = call_scenario()
    assert resolved_tokens(s.lose()) == []
    assert answered_calls(s.finish_call("call_1")) == []
    effects = s.restore()
    assert [type(create.item) for create in s.replayed] == [FunctionCallItem]
    assert answered_calls(effects) == ["call_1"]
    assert len(effects_of(effects, ResponseCreate)) == 1


def test_an_output_that_was_not_acknowledged_is_sent_again() -> None:
    s = call_scenario()
    s.response_done("r1")
    s.reconnect()
    s.finish_call("call_1")
    effects = s.reconnect()
    assert [type(create.item) for create in s.replayed] == [FunctionCallItem]
    assert answered_calls(effects) == ["call_1"]
    assert len(effects_of(effects, ConversationItemCreate)) == 1


# --- settings and edits --------------------------------------------------------------------------


def test_settings_that_were_not_accepted_are_sent_again() -> None:
    s = Reconnecting()
    s.accept_settings()
    token, _ = s.core.update_settings(Session(type="realtime", instructions="Sing."))
    effects = s.reconnect()
    (update,) = effects_of(effects, SessionUpdate)
    assert update.event_id == token
    assert update.session.instructions == "Sing."


def test_settings_may_be_changed_while_away() -> None:
    s = Reconnecting()
    s.accept_settings()
    s.lose()
    _, effects = s.core.update_settings(Session(type="realtime", instructions="Sing."))
    assert effects == []
    assert len(effects_of(s.restore(), SessionUpdate)) == 1


def test_an_edit_is_begun_again() -> None:
    s = Reconnecting()
    s.add("item_1")
    s.add("item_2")
    token, effects = s.core.update_history(s.core.history.snapshot()[1:])
    assert len(effects_of(effects, ConversationItemDelete)) == 1
    effects = s.reconnect()
    assert [d.item_id for d in effects_of(effects, ConversationItemDelete)] == ["item_1"]
    assert resolved_tokens(s.receive("conversation.item.deleted", item_id="item_1")) == [token]


def test_an_edit_that_is_begun_again_keeps_what_was_said_meanwhile() -> None:
    """The edit knew nothing of a message that was reported after it had begun."""
    s = Reconnecting()
    s.add("item_1")
    token, _ = s.core.update_history([])
    s.send_message("By the way")
    s.add("item_2", "By the way")
    s.lose()
    s.restore()
    effects = s.receive("conversation.item.deleted", item_id="item_1")
    assert resolved_tokens(effects) == [token]
    assert s.history_ids == ["item_2"]


def test_an_edit_deletes_what_the_next_connection_does_not_have_at_once() -> None:
    s = call_scenario()
    s.response_done("r1")
    s.reconnect()
    token, effects = s.core.update_history([])
    assert not effects_of(effects, ConversationItemDelete)
    assert resolved_tokens(effects) == [token]
    assert s.history_ids == []


# --- the user's speech ---------------------------------------------------------------------------


def test_speech_ends_and_is_sent_again() -> None:
    s = Reconnecting()
    s.speech_started()
    s.say()
    assert len(effects_of(s.lose(), ev.SpeechStopped)) == 1
    effects = s.restore()
    assert [len(a.audio) for a in effects_of(effects, InputAudioBufferAppend)] == [48_000]
    assert not effects_of(effects, ResponseCreate)


def test_a_response_that_the_service_owed_is_requested() -> None:
    s = Reconnecting()
    s.speech_started()
    s.say()
    s.speech_stopped()
    s.committed()
    s.add("item_user")
    assert len(effects_of(s.reconnect(), ResponseCreate)) == 1


def test_speech_that_was_not_committed_is_answered_by_the_next_service() -> None:
    """A create would be answered before the service has made the speech an item."""
    s = Reconnecting()
    s.speech_started()
    s.say()
    s.speech_stopped()
    effects = s.reconnect()
    assert len(effects_of(effects, InputAudioBufferAppend)) == 1
    assert not effects_of(effects, ResponseCreate)


def test_committed_speech_whose_item_was_not_reported_is_created() -> None:
    s = Reconnecting()
    s.speech_started()
    s.say()
    s.speech_stopped()
    s.committed()
    for _ in range(2):
        effects = s.reconnect()
        (create,) = effects_of(effects, ConversationItemCreate)
        assert isinstance(create.item, MessageItem)
        assert create.item.id == "item_user"
        assert create.item.content == (InputAudio(audio=b"a" * 48_000),)
        assert len(effects_of(effects, ResponseCreate)) == 1


def test_an_item_with_an_id_that_is_too_long_gets_another_one() -> None:
    s = Reconnecting()
    s.say()
    s.committed("item_" + "x" * 40)
    (create,) = effects_of(s.reconnect(), ConversationItemCreate)
    assert create.item.id is None


def test_a_transcript_replaces_the_audio_in_the_replay() -> None:
    s = Reconnecting()
    s.say()
    s.committed()
    item = {
        "id": "item_user",
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    s.receive("conversation.item.added", item=item)
    s.reconnect()
    (create,) = s.replayed
    assert isinstance(create.item, MessageItem)
    assert create.item.content == (InputAudio(audio=b"a" * 48_000),)
    s.receive(
        "conversation.item.input_audio_transcription.completed",
        item_id="item_user",
        content_index=0,
        transcript="Hi",
    )
    s.reconnect()
    assert created_texts(s.replayed) == ["Hi"]


# --- deadlines -----------------------------------------------------------------------------------


def test_a_silent_connection_is_dropped() -> None:
    s = Reconnecting(request_timeout=5.0)
    s.message_create()
    s.now = 5.0
    (drop,) = s.core.deadline_passed(5.0)
    assert isinstance(drop, DropConnection)
    assert s.core.next_deadline == float("inf")


def test_a_request_fails_if_the_service_says_other_things() -> None:
    s = Reconnecting(request_timeout=5.0)
    token, _ = s.request()
    s.receive("rate_limits.updated", rate_limits=[])
    effects = s.core.deadline_passed(5.0)
    assert resolved_tokens(effects) == [token]


def test_no_deadline_of_the_old_connection_remains() -> None:
    s = Reconnecting(request_timeout=5.0)
    s.accept_settings()
    s.request()
    s.request(ResponseParams(conversation="none"))
    s.core.update_settings(Session(type="realtime", instructions="Sing."))
    s.add("item_1")
    s.core.update_history([])
    s.say()
    s.commit()
    assert s.core.next_deadline < 100
    s.lose()
    assert s.core.next_deadline == float("inf")
    s.now = 50.0
    s.restore()
    assert s.core.next_deadline == 55.0


def test_nothing_waits_after_the_end() -> None:
    s = Reconnecting()
    s.request()
    s.lose()
    s.core.create_response()
    s.core.create_response(ResponseParams(conversation="none"))
    s.core.update_settings(Session(type="realtime"))
    s.core.update_history([])
    s.core.disconnected()
    assert s.core.is_quiet
    assert not s.core.link.is_open


# --- the two lifetimes ---------------------------------------------------------------------------

LASTING = {
    "Link",
    "History",
    "Playback",
    "RequestTimer",
    "SettingsState",
    "ToolLedger",
    "ReplyGuard",
    "InputGuard",
    "HistoryUpdater",
    "OutgoingItems",
    "UserAudio",
    "RetainedAudio",
    "AudioStarts",
    "OutOfBandAudio",
    "LimitSettings",
    "SessionLimits",
    "LatencyMeter",
}
"""The components that outlive a connection."""


def components_of(core: Any) -> dict[int, Any]:
    """Return every object of the core's own classes that the conversation refers to."""
    found: dict[int, Any] = {}
    waiting: list[Any] = [*vars(core).values()]
    while waiting:
        value = waiting.pop()
        if id(value) in found:
            continue
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset) or type(value).__name__ == "deque":
            waiting += value
        elif hasattr(value, "__self__"):  # a bound method
            waiting.append(value.__self__)
        elif type(value).__module__.startswith("trio_realtime.core"):
            found[id(value)] = value
            names = [*getattr(value, "__dict__", {})]
            names += [n for c in type(value).__mro__ for n in getattr(c, "__slots__", ())]
            waiting += [getattr(value, name) for name in names if hasattr(value, name)]
    return found


def test_each_connection_has_components_of_its_own() -> None:
    s = call_scenario()
    s.request(ResponseParams(conversation="none"))
    s.audio("r1", "item_1")
    before = components_of(s.core)
    components = {type(value).__name__ for value in before.values()}
    assert {"RunningResponse", "ResponseQueue", "Interruption", *LASTING} <= components
    s.lose()
    shared = {
        type(value).__name__
        for key, value in components_of(s.core).items()
        if key in before and not type(value).__module__.startswith("trio_realtime.core.history")
    }
    values = {
        "ToolCall",
        "_Call",
        "_ResponseCalls",
        "CallState",
        "QueueState",
        "Turn",
        "_TurnTimes",
        "_Samples",
        "ResponseRequest",
        "ResponseOutcome",
    }
    assert shared - LASTING <= values
    assert {"ResponseQueue", "RunningResponses", "RunningResponse", "Interruption"}.isdisjoint(
        shared
    )
