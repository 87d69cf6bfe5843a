"""Raw client events: what they change is known to the core as if a method had sent them."""

from __future__ import annotations

from typing import Any

import pytest

from support.core import (
    CoreScenario,
    answered_calls,
    cancelled_responses,
    effects_of,
    interrupted_responses,
    started_calls,
)
from trio_realtime import events as ev
from trio_realtime.core import CancelCalls, Effect
from trio_realtime.core.responses.queue import METADATA_KEY
from trio_realtime.errors import UsageError
from trio_realtime.wire import ClientEvent, ResponseCreate, SessionUpdate, encode, parse_frame


def sent(effects: list[Effect]) -> list[dict[str, Any]]:
    """Return the frames that are sent."""
    return [parse_frame(encode(e)) for e in effects if isinstance(e, ClientEvent)]


# --- response.create ------------------------------------------------------------------------------


def test_a_raw_create_keeps_its_keys_and_is_attributed() -> None:
    scenario = CoreScenario()
    response = {"instructions": "Be brief.", "seed": 7, "metadata": {"a": "b"}}
    event = {"type": "response.create", "event_id": "mine", "response": response, "group": "g"}

    effects = scenario.core.send_raw(event)

    (frame,) = sent(effects)
    metadata = {"a": "b", METADATA_KEY: "mine"}
    assert frame == {**event, "response": {**response, "metadata": metadata}}
    (create,) = effects_of(effects, ResponseCreate)
    scenario.response_created("r1", create)
    assert scenario.core._queue.outstanding is None
    scenario.response_done("r1", create)
    assert scenario.core.is_quiet


def test_a_raw_create_waits_while_a_response_runs() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    event = {"type": "response.create", "response": {"instructions": "x"}}

    assert scenario.core.send_raw(event) == []
    assert scenario.core.send_raw(event) == []

    first = sent(scenario.response_done("r1"))
    assert [frame["type"] for frame in first] == ["response.create"]


def test_a_rejected_raw_create_is_sent_again() -> None:
    scenario = CoreScenario()
    (create,) = effects_of(scenario.core.send_raw({"type": "response.create"}), ResponseCreate)
    scenario.response_created("other")
    scenario.reject(create, "other")

    (again,) = effects_of(scenario.response_done("other"), ResponseCreate)

    assert again == create


def test_a_raw_create_that_the_service_rejects_is_an_event_with_its_id() -> None:
    scenario = CoreScenario()
    scenario.core.send_raw({"type": "response.create", "event_id": "mine"})
    details = {"code": "invalid_value", "message": "no", "event_id": "mine"}
    (event,) = effects_of(scenario.receive("error", error=details), ev.Error)
    assert getattr(event.error, "event_id", None) == "mine"
    assert scenario.core.is_quiet


def test_a_raw_out_of_band_create_is_sent_at_once() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    event = {"type": "response.create", "response": {"conversation": "none"}}
    (create,) = effects_of(scenario.core.send_raw(event), ResponseCreate)
    scenario.response_created("r2", create, conversation_id=None)
    assert effects_of(scenario.response_done("r2", create, conversation_id=None), ev.AgentEnd) == []


@pytest.mark.parametrize("conversation", ["none", "auto"])
def test_an_event_id_is_not_used_again_before_its_answer(conversation: str) -> None:
    """Its metadata names the create that caused a response."""
    scenario = CoreScenario()
    response = {"conversation": conversation}
    event = {"type": "response.create", "event_id": "mine", "response": response}
    (create,) = effects_of(scenario.core.send_raw(event), ResponseCreate)
    with pytest.raises(UsageError, match="event_id 'mine' belongs to"):
        scenario.core.send_raw(event)
    named: dict[str, Any] = {"conversation_id": None} if conversation == "none" else {}
    scenario.response_created("r1", create, **named)
    scenario.response_done("r1", create, **named)
    assert len(effects_of(scenario.core.send_raw(event), ResponseCreate)) == 1


# --- response.cancel ------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_a_raw_cancel_interrupts(named: bool) -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    scenario.call("r1", "call_1")
    scenario.audio("r1", "item_1")
    event = {"type": "response.cancel", **({"response_id": "r1"} if named else {})}

    effects = scenario.core.send_raw(event)

    assert effects[0] == next(e for e in effects if isinstance(e, ClientEvent))
    assert sent(effects)[0].items() >= event.items()
    assert cancelled_responses(effects) == ["r1" if named else None]  # once
    assert interrupted_responses(effects) == {"r1"}
    assert [c.call_ids for c in effects_of(effects, CancelCalls)] == [("call_1",)]
    assert effects_of(scenario.audio("r1", "item_1"), ev.Audio) == []


def test_a_raw_cancel_of_an_unknown_response_is_only_sent() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    event = {"type": "response.cancel", "response_id": "r0"}
    (frame,) = sent(scenario.core.send_raw(event))
    assert frame.items() >= event.items()
    assert len(effects_of(scenario.audio("r1", "item_1"), ev.Audio)) == 1


def test_the_refusal_of_a_raw_cancel_does_not_end_a_response_that_was_cancelled_otherwise() -> None:
    """Without an event id, the refusal could answer either cancel."""
    scenario = CoreScenario()
    scenario.response_created("r1")
    (frame,) = sent(scenario.core.send_raw({"type": "response.cancel", "response_id": "r0"}))
    scenario.interrupt()

    refusal = {"code": "response_cancel_not_active", "event_id": frame.get("event_id")}
    effects = scenario.receive("error", error={**refusal, "message": "no active response"})

    assert effects_of(effects, ev.ResponseEnd) == []
    assert not scenario.core.is_quiet


# --- items ----------------------------------------------------------------------------------------


def test_a_raw_item_that_asks_for_the_first_place_gets_it() -> None:
    scenario = CoreScenario()

    def message(item_id: str) -> dict[str, Any]:
        part = {"type": "input_text", "text": item_id, "language": "en"}
        return {"id": item_id, "type": "message", "role": "user", "content": [part]}

    event = {
        "type": "conversation.item.create",
        "event_id": "e",
        "previous_item_id": "root",
        "item": message("first"),
    }
    assert sent(scenario.core.send_raw(event)) == [event]

    for item_id in ("a", "first"):
        scenario.receive("conversation.item.added", previous_item_id=None, item=message(item_id))
    assert [item.id for item in scenario.core.history.snapshot()] == ["first", "a"]


def output(call_id: str) -> dict[str, Any]:
    item = {"type": "function_call_output", "call_id": call_id, "output": "by hand"}
    return {"type": "conversation.item.create", "item": item}


def test_a_raw_output_answers_an_open_call_once() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    assert started_calls(scenario.call("r1", "call_1")) == ["call_1"]
    scenario.response_done("r1")
    assert not scenario.core.is_quiet

    effects = scenario.core.send_raw(output("call_1"))

    assert answered_calls(effects) == ["call_1"]
    assert len(effects_of(effects, ev.AgentEnd)) == 1
    assert scenario.core.is_quiet
    report = ev.SessionWarning(message="the tool has ended")
    late = scenario.core.call_finished("call_1", "late", wants_response=True, report=report)
    assert late == [report]


def test_a_raw_output_of_a_call_that_is_not_open_is_only_sent() -> None:
    scenario = CoreScenario()
    assert answered_calls(scenario.core.send_raw(output("call_9"))) == ["call_9"]
    assert scenario.core.is_quiet


def test_a_raw_approval_answers_the_hosted_call() -> None:
    scenario = CoreScenario()
    scenario.response_created("r1")
    request = {"id": "a1", "type": "mcp_approval_request", "server_label": "shop"}
    request |= {"name": "buy", "arguments": "{}"}
    effects = scenario.receive("conversation.item.done", item=request)
    assert started_calls(effects) == ["a1"]
    scenario.response_done("r1")
    assert not scenario.core.is_quiet
    item = {"type": "mcp_approval_response", "approval_request_id": "a1", "approve": True}
    event = {"type": "conversation.item.create", "item": item}

    effects = scenario.core.send_raw(event)

    assert [frame["item"] for frame in sent(effects)] == [item]
    assert scenario.core.is_quiet
    assert sent(scenario.core.approval_decided("a1", approve=False)) == []


# --- settings and the rest ------------------------------------------------------------------------


def test_raw_settings_wait_for_their_turn_and_a_rejection_is_an_event() -> None:
    scenario = CoreScenario()
    session = {"type": "realtime", "instructions": "x", "temperature": 0.5}
    event = {"type": "session.update", "event_id": "one", "session": session, "group": "g"}
    assert sent(scenario.core.send_raw(event)) == [event]
    assert scenario.core.send_raw({**event, "event_id": "two", "session": {"speed": 2}}) == []

    effects = scenario.receive("error", error={"message": "no", "event_id": "one"})

    (error,) = effects_of(effects, ev.Error)
    assert getattr(error.error, "event_id", None) == "one"
    (update,) = effects_of(effects, SessionUpdate)
    assert (update.event_id, update.session.extra) == ("two", {"speed": 2})


def test_raw_settings_without_changes_are_sent_if_the_event_has_unknown_keys() -> None:
    scenario = CoreScenario()
    session = {"type": "realtime", "instructions": "x"}
    scenario.core.send_raw({"type": "session.update", "session": session})
    scenario.receive("session.updated", session={})

    (frame,) = sent(
        scenario.core.send_raw({"type": "session.update", "session": session, "group": "g"})
    )

    assert (frame["session"], frame["group"]) == ({"type": "realtime"}, "g")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "conversation.item.retrieve", "item_id": "i"},
        {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0}
        | {"audio_end_ms": 5, "note": [1]},
        {"type": "output_audio_buffer.clear"},
        {"type": "session.avatar.connect", "client_sdp": "v=0"},
        {"type": "conversation.item.delete"},  # the service says what is missing
        {"type": "conversation.item.create", "item": {"type": "song", "id": None}},
    ],
)
def test_any_other_event_is_sent_as_it_is(event: dict[str, Any]) -> None:
    frames = sent(CoreScenario().core.send_raw(event))
    assert [{k: v for k, v in frame.items() if k != "event_id"} for frame in frames] == [event]
