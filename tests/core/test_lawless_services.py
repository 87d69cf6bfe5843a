"""Services that keep no order: they say things twice, late, in part or not at all.

A real service does each of these now and then, and a compatible one may do so always. Whatever the
order, every wish for a response ends, no call is lost, and what was interrupted stays silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import pybase64
import pytest

from support.service import function_call_item
from trio_realtime import events as ev
from trio_realtime.core import (
    CancelCalls,
    Conversation,
    Effect,
    ResolveRequest,
    ResponseOutcome,
    StartCall,
)
from trio_realtime.core.responses.queue import METADATA_KEY
from trio_realtime.errors import SettingsRejected
from trio_realtime.items import FunctionCallItem
from trio_realtime.testing import response_object
from trio_realtime.wire import (
    ConversationItemCreate,
    FunctionCallOutputItem,
    InputText,
    MessageItem,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
    Session,
    SessionUpdate,
    structure_server_event,
)

KindT = TypeVar("KindT")

ONE_SECOND = 48_000
ACTIVE = "conversation_already_has_active_response"
BESIDE = ResponseParams(conversation="none")
SESSION: dict[str, Any] = {
    "type": "realtime",
    "audio": {
        "input": {
            "turn_detection": {
                "type": "server_vad",
                "create_response": True,
                "interrupt_response": True,
            }
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}},
    },
}


def of(effects: Sequence[Effect], kind: type[KindT]) -> list[KindT]:
    return [effect for effect in effects if isinstance(effect, kind)]


def settled(effects: Sequence[Effect]) -> list[str]:
    return [settle.token for settle in of(effects, ResolveRequest)]


def cut(effects: Sequence[Effect]) -> set[str]:
    return {event.response_id for event in of(effects, ev.AudioInterrupted)}


def cancelled(effects: Sequence[Effect]) -> list[str | None]:
    return [cancel.response_id for cancel in of(effects, ResponseCancel)]


def started(effects: Sequence[Effect]) -> list[str]:
    return [start.call.call_id for start in of(effects, StartCall)]


def answered(effects: Sequence[Effect]) -> list[str]:
    items = [create.item for create in of(effects, ConversationItemCreate)]
    return [item.call_id for item in items if isinstance(item, FunctionCallOutputItem)]


class Talk:
    """A conversation, and a service that says what it is told to, in whatever order.

    A response that is given the create that it comes of echoes its metadata; without, it is the
    service's own or that of a server which does not echo.
    """

    def __init__(self) -> None:
        self.core = Conversation("agent")
        self.now = 0.0
        self.hears("session.created", session=SESSION)

    def hears(self, kind: str, **fields: Any) -> list[Effect]:
        event = structure_server_event({"type": kind, "event_id": "event", **fields})
        return [*self.core.receive(event, self.now)]

    # --- what the service says

    def begins(
        self, response_id: str, create: ResponseCreate | None = None, **fields: Any
    ) -> list[Effect]:
        return self._tells("created", response_id, create, **fields)

    def ends(
        self,
        response_id: str,
        create: ResponseCreate | None = None,
        status: str = "completed",
        **fields: Any,
    ) -> list[Effect]:
        return self._tells("done", response_id, create, status=status, **fields)

    def _tells(
        self, what: str, response_id: str, create: ResponseCreate | None, **fields: Any
    ) -> list[Effect]:
        metadata = None if create is None else {METADATA_KEY: create.event_id}
        response = response_object(response_id, metadata=metadata, **fields)
        return self.hears(f"response.{what}", response=response)

    def speaks(self, response_id: str, item_id: str, size: int = ONE_SECOND) -> list[Effect]:
        return self.hears(
            "response.output_audio.delta",
            response_id=response_id,
            item_id=item_id,
            output_index=0,
            content_index=0,
            delta=pybase64.b64encode_as_string(bytes(size)),
        )

    def calls(self, response_id: str, call_id: str, item_id: str = "") -> list[Effect]:
        item = function_call_item(item_id or f"item_{call_id}", call_id, "look_up")
        return self.hears("response.output_item.done", response_id=response_id, item=item)

    def user_speaks(self) -> list[Effect]:
        return self.hears(
            "input_audio_buffer.speech_started", item_id="item_user", audio_start_ms=0
        )

    def refuses(self, create: ResponseCreate, winner: str) -> list[Effect]:
        message = f"Conversation already has an active response in progress: {winner}. Wait."
        error = {"code": ACTIVE, "message": message, "event_id": create.event_id}
        return self.hears("error", error=error)

    # --- what the user does

    def say(self, text: str = "Hello?") -> list[Effect]:
        item = MessageItem(role="user", content=(InputText(text=text),))
        return self.core.send_item(item, respond=True)

    def message(self) -> ResponseCreate:
        """A message whose create is sent at once."""
        (create,) = of(self.say(), ResponseCreate)
        return create

    def wish(
        self, params: ResponseParams | None = None, *, through_tools: bool = False
    ) -> tuple[str, ResponseCreate]:
        """A wish that somebody waits for and whose create is sent at once."""
        token, effects = self.core.create_response(params, through_tools=through_tools)
        (create,) = of(effects, ResponseCreate)
        return token, create

    def interrupt(self) -> list[Effect]:
        return self.core.interrupt(self.now)

    def finish(self, call_id: str) -> list[Effect]:
        return self.core.call_finished(call_id, "output", wants_response=True, report=None)

    def after_a_round(self) -> tuple[str, ResponseCreate]:
        """Somebody asked, a call came of it and is answered: what follows is on its way."""
        token, create = self.wish(through_tools=True)
        self.begins("r1", create)
        self.calls("r1", "call_1")
        self.ends("r1", create)
        (following,) = of(self.finish("call_1"), ResponseCreate)
        return token, following


# --- said twice ---------------------------------------------------------------------------------


def test_a_beginning_told_twice_keeps_who_waits() -> None:
    talk = Talk()
    token, create = talk.wish()
    talk.begins("r1", create)

    assert talk.begins("r1", create) == []

    assert settled(talk.ends("r1", create)) == [token]


def test_a_beginning_told_twice_keeps_the_turn() -> None:
    talk = Talk()
    token, create = talk.after_a_round()
    talk.begins("r2", create)

    assert talk.begins("r2", create) == []

    assert settled(talk.ends("r2", create)) == [token]


def test_a_beginning_beside_the_conversation_told_twice_takes_no_slot() -> None:
    talk = Talk()
    token, create = talk.wish(BESIDE)
    talk.begins("r1", create, conversation_id=None)
    talk.begins("r1", create, conversation_id=None)

    assert settled(talk.ends("r1", create, conversation_id=None)) == [token]

    talk.message()


def test_an_end_told_twice_ends_once() -> None:
    talk = Talk()
    _, create = talk.wish()
    talk.begins("r1", create)
    talk.ends("r1", create)

    assert talk.ends("r1", create) == []
    assert talk.begins("r1", create) == []

    assert talk.core.is_quiet


def test_an_end_told_twice_does_not_end_the_next_response() -> None:
    talk = Talk()
    first = talk.message()
    talk.begins("r1", first)
    talk.say("And?")
    (second,) = of(talk.ends("r1", first), ResponseCreate)
    talk.begins("r2", second)

    talk.ends("r1", first)

    assert of(talk.say("So?"), ResponseCreate) == []


def test_a_call_told_twice_and_listed_at_the_end_runs_once() -> None:
    talk = Talk()
    talk.begins("r1")
    assert started(talk.calls("r1", "call_1")) == ["call_1"]

    assert started(talk.calls("r1", "call_1")) == []

    assert (
        started(talk.ends("r1", output=[function_call_item("item_call_1", "call_1", "look_up")]))
        == []
    )


def test_a_call_id_used_again_runs_nothing_and_holds_up_no_turn() -> None:
    talk = Talk()
    _, create = talk.after_a_round()
    talk.begins("r2", create)

    assert started(talk.calls("r2", "call_1", "item_2")) == []

    assert len(of(talk.ends("r2", create), ev.AgentEnd)) == 1
    assert talk.core.is_quiet


# --- not said, or said too late -----------------------------------------------------------------


def test_an_end_without_a_beginning_settles_and_frees_the_slot() -> None:
    talk = Talk()
    token, create = talk.wish()

    assert settled(talk.ends("r1", create)) == [token]

    talk.message()


def test_an_end_without_a_beginning_settles_beside_the_conversation_too() -> None:
    talk = Talk()
    token, create = talk.wish(BESIDE)

    assert settled(talk.ends("r1", create, conversation_id=None)) == [token]


def test_audio_before_the_beginning_keeps_the_turn() -> None:
    talk = Talk()
    token, create = talk.after_a_round()
    talk.speaks("r2", "item_2")
    talk.begins("r2", create)

    assert settled(talk.ends("r2", create)) == [token]


def test_text_before_the_beginning_keeps_who_waits_beside_the_conversation() -> None:
    talk = Talk()
    token, create = talk.wish(BESIDE)
    talk.hears("response.output_text.delta", response_id="r1", item_id="item_1", delta="Hm")
    talk.begins("r1", create, conversation_id=None)

    assert settled(talk.ends("r1", create, conversation_id=None)) == [token]

    talk.message()


def test_a_server_that_never_names_a_conversation_is_understood() -> None:
    talk = Talk()
    for number in range(3):
        create = talk.message()
        talk.begins(f"r{number}", create, conversation_id=None)
        talk.ends(f"r{number}", create, conversation_id=None)
    assert talk.core.is_quiet


def test_an_end_that_names_no_conversation_and_nobody_still_settles() -> None:
    talk = Talk()
    for number in range(3):
        token, create = talk.wish()
        talk.begins(f"r{number}", create)

        assert settled(talk.ends(f"r{number}", conversation_id=None)) == [token]


# --- no echo ------------------------------------------------------------------------------------


def test_without_echo_an_interrupt_before_the_beginning_cancels_by_name() -> None:
    talk = Talk()
    talk.message()
    assert cancelled(talk.interrupt()) == []

    assert cancelled(talk.begins("r1")) == ["r1"]


@pytest.mark.parametrize("runs", [True, False])
def test_without_echo_a_handle_cancels_its_response_by_name(runs: bool) -> None:
    talk = Talk()
    token, _ = talk.wish()
    effects = talk.begins("r1") if runs else []

    effects += talk.core.cancel_response(token, talk.now)
    effects += [] if runs else talk.begins("r1")

    assert cancelled(effects) == ["r1"]
    assert settled(talk.ends("r1", status="cancelled")) == [token]


def test_without_echo_responses_beside_the_conversation_settle_in_order() -> None:
    talk = Talk()
    talk.message()
    talk.begins("r1")
    talk.ends("r1")  # by now it is known that the server names conversations
    first, _ = talk.wish(BESIDE)
    second, _ = talk.wish(BESIDE)
    talk.begins("r2", conversation_id=None)
    talk.begins("r3", conversation_id=None)

    assert settled(talk.ends("r3", conversation_id=None)) == [second]
    assert settled(talk.ends("r2", conversation_id=None)) == [first]


def test_without_echo_a_turn_that_came_to_nothing_takes_no_later_response() -> None:
    talk = Talk()
    talk.hears("input_audio_buffer.speech_stopped", item_id="item_user", audio_end_ms=5)
    token, _ = talk.wish()  # the noise was none of the service's business
    talk.begins("r1")

    assert settled(talk.ends("r1")) == [token]

    talk.message()


def test_without_echo_what_was_interrupted_is_not_remembered_for_ever() -> None:
    talk = Talk()
    for number in range(5):
        talk.message()
        talk.interrupt()
        talk.begins(f"r{number}")
        talk.ends(f"r{number}", status="cancelled")
    assert not talk.core._stop._doomed


# --- refusals -----------------------------------------------------------------------------------


def test_a_refusal_for_a_response_that_has_ended_waits_for_nothing() -> None:
    """The service had not quite finished when our create came; its end was told before."""
    talk = Talk()
    first = talk.message()
    talk.begins("resp_1", first)
    talk.say("And?")
    (second,) = of(talk.ends("resp_1", first), ResponseCreate)

    (again,) = of(talk.refuses(second, winner="resp_1"), ResponseCreate)

    talk.begins("resp_2", again)
    talk.ends("resp_2", again)
    assert talk.core.is_quiet


def test_settings_refused_without_a_name_do_not_hold_up_the_next() -> None:
    talk = Talk()
    first, effects = talk.core.update_settings(Session(instructions="Be brief."))
    assert len(of(effects, SessionUpdate)) == 1
    second, effects = talk.core.update_settings(Session(instructions="Be kind."))
    assert of(effects, SessionUpdate) == []

    effects = talk.hears(
        "error",
        error={
            "code": "cannot_update_voice",
            "message": "Cannot update a conversation's voice if assistant audio is present.",
            "param": "session.audio.output.voice",
            "event_id": None,
        },
    )

    (refused,) = of(effects, ResolveRequest)
    assert refused.token == first
    assert isinstance(refused.outcome, SettingsRejected)
    assert [update.event_id for update in of(effects, SessionUpdate)] == [second]


# --- what is interrupted stays silent -----------------------------------------------------------


@pytest.mark.parametrize("by_voice", [True, False])
def test_a_response_whose_beginning_was_missed_can_be_silenced(by_voice: bool) -> None:
    talk = Talk()
    talk.speaks("r1", "item_1")
    talk.now = 0.1

    effects = talk.user_speaks() if by_voice else talk.interrupt()

    assert cut(effects) == {"r1"}
    # A server that interrupts by itself is not told to.
    assert cancelled(effects) == ([] if by_voice else ["r1"])
    assert of(talk.speaks("r1", "item_1"), ev.Audio) == []


def test_of_two_responses_that_overlap_both_are_silenced() -> None:
    talk = Talk()
    for response_id in ("r1", "r2"):
        talk.begins(response_id)
        talk.speaks(response_id, f"item_{response_id}")
    talk.now = 0.1

    effects = talk.interrupt()

    assert cut(effects) == {"r1", "r2"}
    assert sorted(filter(None, cancelled(effects))) == ["r1", "r2"]
    for response_id in ("r1", "r2"):
        assert of(talk.speaks(response_id, f"item_{response_id}"), ev.Audio) == []


@pytest.mark.parametrize("echoes", [True, False])
def test_speech_while_our_create_is_on_its_way_stops_what_comes_of_it(echoes: bool) -> None:
    """The service did not know of the response yet, and will speak into the user's words."""
    talk = Talk()
    create = talk.message()
    assert cancelled(talk.user_speaks()) == []

    assert cancelled(talk.begins("r1", create if echoes else None)) == ["r1"]


def test_an_interrupt_spares_what_was_asked_for_between_two() -> None:
    """What waits its turn has not begun to speak: there is nothing to stop."""
    talk = Talk()
    first = talk.message()
    talk.begins("r1", first)
    talk.speaks("r1", "item_1")
    talk.interrupt()
    talk.say("Something else.")
    talk.interrupt()
    (second,) = of(talk.ends("r1", first, status="cancelled"), ResponseCreate)

    assert cancelled(talk.begins("r2", second)) == []


# --- calls of what is interrupted ---------------------------------------------------------------


def test_a_call_that_only_a_cancelled_end_lists_is_answered_and_not_run() -> None:
    talk = Talk()
    talk.begins("r1")

    effects = talk.ends(
        "r1", status="cancelled", output=[function_call_item("item_1", "call_1", "look_up")]
    )

    assert started(effects) == []
    assert answered(effects) == ["call_1"]
    assert talk.core.is_quiet


def test_a_call_that_only_a_cancelled_end_lists_does_not_strand_its_sibling() -> None:
    talk = Talk()
    talk.begins("r1")
    talk.calls("r1", "call_1")
    listed = [
        function_call_item(f"item_{call_id}", call_id, "look_up")
        for call_id in ("call_1", "call_2")
    ]

    effects = talk.ends("r1", status="cancelled", output=listed)

    assert started(effects) == []
    assert answered(effects) == ["call_2"]
    assert [cancel.call_ids for cancel in of(effects, CancelCalls)] == [("call_1",)]
    assert answered(talk.finish("call_1")) == ["call_1"]
    assert talk.core.is_quiet


def test_a_call_that_comes_after_the_interrupt_is_answered_at_once() -> None:
    talk = Talk()
    talk.begins("r1")
    talk.calls("r1", "call_1")
    talk.interrupt()

    effects = talk.calls("r1", "call_2")

    assert started(effects) == []
    assert answered(effects) == ["call_2"]


# --- playing ------------------------------------------------------------------------------------


def test_reports_that_stop_just_short_of_the_end_are_of_all() -> None:
    """A player tells whole frames of 20 ms; the last one may be cut off."""
    talk = Talk()
    for number, heard in enumerate((980, 1000), 1):
        talk.begins(f"r{number}")
        talk.speaks(f"r{number}", f"item_{number}")
        talk.ends(f"r{number}")
        talk.core.report_played(f"item_{number}", 0, heard, talk.now)

    assert talk.core.playback_ends_at(10.0) == 10.0


def test_reports_that_stop_well_before_the_end_leave_a_rest() -> None:
    talk = Talk()
    talk.begins("r1")
    talk.speaks("r1", "item_1")
    talk.ends("r1")

    talk.core.report_played("item_1", 0, 900, talk.now)

    assert talk.core.playback_ends_at(10.0) == pytest.approx(10.1)


def test_the_first_report_does_not_unhear_what_was_heard_before_it() -> None:
    talk = Talk()
    talk.begins("r1")
    talk.speaks("r1", "item_1")
    talk.ends("r1")
    talk.now = 5.0
    talk.begins("r2")
    talk.speaks("r2", "item_2")

    talk.core.report_played("item_2", 0, 100, talk.now)
    talk.now = 5.1
    effects = talk.interrupt()

    told = [(event.item_id, event.played_ms) for event in of(effects, ev.AudioInterrupted)]
    assert told == [("item_2", 100)]


def test_what_was_reported_to_its_end_costs_no_memory() -> None:
    talk = Talk()
    for number in range(50):
        talk.begins(f"r{number}")
        talk.speaks(f"r{number}", f"item_{number}")
        talk.core.report_played(f"item_{number}", 0, 1000, talk.now)
        talk.now += 10
        talk.ends(f"r{number}")
    assert len(talk.core.playback._tracks) <= 1


# --- history ------------------------------------------------------------------------------------


def test_arguments_that_trickle_in_after_the_call_is_complete_are_dropped() -> None:
    talk = Talk()
    call = function_call_item("item_1", "call_1", "look_up", "", status="in_progress")
    talk.hears("conversation.item.added", item=call, previous_item_id=None)
    call = function_call_item("item_1", "call_1", "look_up", '{"a": 1}')
    talk.hears("conversation.item.done", item=call, previous_item_id=None)

    talk.hears(
        "response.function_call_arguments.delta",
        response_id="r1",
        item_id="item_1",
        call_id="call_1",
        delta="1}",
    )

    (item,) = talk.core.history.snapshot()
    assert isinstance(item, FunctionCallItem)
    assert item.arguments == '{"a": 1}'


def test_an_item_that_is_done_after_it_was_deleted_stays_deleted() -> None:
    talk = Talk()
    item = {"id": "item_1", "type": "message", "role": "assistant", "status": "in_progress"}
    done = {**item, "status": "completed", "content": [{"type": "output_text", "text": "Hi."}]}
    talk.begins("r1")
    talk.hears("conversation.item.added", item={**item, "content": []}, previous_item_id=None)
    talk.hears("conversation.item.deleted", item_id="item_1")

    talk.hears("conversation.item.done", item=done, previous_item_id=None)
    talk.hears("response.output_item.done", response_id="r1", item=done)

    assert talk.core.history.snapshot() == ()


def test_a_truncation_is_told() -> None:
    talk = Talk()
    part = {"type": "output_audio", "transcript": "A long story."}
    item = {"id": "item_1", "type": "message", "role": "assistant", "status": "completed"}
    talk.hears("conversation.item.added", item={**item, "content": [part]}, previous_item_id=None)

    effects = talk.hears(
        "conversation.item.truncated", item_id="item_1", content_index=0, audio_end_ms=100
    )

    assert len(of(effects, ev.HistoryUpdated)) == 1


def test_a_cancelled_end_is_the_outcome_of_who_waits() -> None:
    """Also where nothing else of the response was told."""
    talk = Talk()
    token, create = talk.wish()

    (settle,) = of(talk.ends("r1", create, status="cancelled"), ResolveRequest)

    assert settle.token == token
    assert isinstance(settle.outcome, ResponseOutcome)
    assert settle.outcome.status == "cancelled"


def test_one_beside_settles_while_it_is_open_whose_the_running_one_is() -> None:
    talk = Talk()
    token, beside = talk.wish(BESIDE)
    talk.message()
    talk.begins("r1")  # ours, or the service's own: no echo has told yet
    talk.begins("r2", beside, conversation_id=None)

    assert settled(talk.ends("r2", beside, conversation_id=None)) == [token]
