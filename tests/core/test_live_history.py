"""History events while an item grows: some, not one for each delta, and never without the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from support.core import CoreDriver
from trio_realtime import events as ev
from trio_realtime.core import Effect
from trio_realtime.items import item_text
from trio_realtime.wire import structure_server_event

MESSAGE = {"id": "item_1", "type": "message", "role": "assistant", "status": "in_progress"}


class Talk:
    """A conversation with one message that grows."""

    def __init__(self, interval: float = 0.1) -> None:
        self.core = CoreDriver("agent", history_update_interval=interval)
        self.hears("response.created", response={"id": "r", "status": "in_progress", "output": []})
        self.hears("conversation.item.added", item={**MESSAGE, "content": []})

    def hears(self, kind: str, now: float = 0.0, **fields: Any) -> list[Effect]:
        event = structure_server_event({"type": kind, "event_id": "event", **fields})
        return [*self.core.receive(event, now)]

    def says(self, delta: str, now: float) -> list[str]:
        return told(
            self.hears(
                "response.output_audio_transcript.delta",
                now,
                response_id="r",
                item_id="item_1",
                content_index=0,
                delta=delta,
            )
        )

    def ends(self, text: str, now: float, status: str = "completed") -> list[str]:
        part = {"type": "output_audio", "transcript": text}
        item = {**MESSAGE, "status": status, "content": [part]}
        return told(self.hears("conversation.item.done", now, item=item))


def told(effects: Sequence[Effect]) -> list[str]:
    updates = [effect for effect in effects if isinstance(effect, ev.HistoryUpdated)]
    return [item_text(update.item) for update in updates if update.item is not None]


def test_deltas_that_come_close_together_are_told_of_once() -> None:
    talk = Talk()
    assert talk.says("One ", now=0.0) == ["One "]
    assert talk.says("two ", now=0.05) == []
    assert talk.says("three ", now=0.09) == []
    assert talk.says("four", now=0.1) == ["One two three four"]


def test_the_last_delta_is_always_told_of() -> None:
    talk = Talk()
    talk.says("One ", now=0.0)
    assert talk.says("two", now=0.01) == []
    assert talk.ends("One two", now=0.02) == ["One two"]


def test_the_last_delta_is_told_of_also_where_the_final_version_changes_nothing() -> None:
    talk = Talk()
    talk.says("One ", now=0.0)
    talk.says("two", now=0.01)
    assert talk.ends("One two", now=0.02, status="in_progress") == ["One two"]


def test_an_item_that_has_ended_is_told_of_once() -> None:
    talk = Talk()
    talk.says("One", now=0.0)
    talk.ends("One", now=0.02)
    assert talk.ends("One", now=0.03) == []


def test_each_delta_is_told_of_where_that_is_asked_for() -> None:
    talk = Talk(interval=0)
    assert talk.says("One ", now=0.0) == ["One "]
    assert talk.says("two", now=0.0) == ["One two"]


def test_what_the_user_is_heard_to_say_is_told_of_in_the_same_way() -> None:
    talk = Talk()
    part = {"type": "input_audio", "transcript": None}
    user = {"id": "item_2", "type": "message", "role": "user", "content": [part]}
    talk.hears("conversation.item.added", item=user)
    heard = {"item_id": "item_2", "content_index": 0}
    kind = "conversation.item.input_audio_transcription"

    assert told(talk.hears(f"{kind}.delta", 0.0, **heard, delta="Hello ")) == ["Hello "]
    assert told(talk.hears(f"{kind}.delta", 0.05, **heard, delta="there")) == []
    assert told(talk.hears(f"{kind}.completed", 0.06, **heard, transcript="Hello there")) == [
        "Hello there"
    ]


def test_arguments_that_grow_are_an_event_with_the_call_they_are_of() -> None:
    talk = Talk()
    call = {"id": "item_3", "type": "function_call", "name": "look", "call_id": "call_1"}
    talk.hears("conversation.item.added", item={**call, "arguments": "", "status": "in_progress"})
    kind = "response.function_call_arguments.delta"
    effects = talk.hears(kind, response_id="r", item_id="item_3", call_id="call_1", delta='{"a"')

    deltas = [effect for effect in effects if isinstance(effect, ev.ToolArgumentsDelta)]
    assert [(d.tool_name, d.call_id, d.delta, d.response_id) for d in deltas] == [
        ("look", "call_1", '{"a"', "r")
    ]


@pytest.mark.parametrize("known", [True, False])
def test_arguments_of_a_response_beside_the_conversation_are_nobodys_business(
    known: bool,
) -> None:
    talk = Talk()
    if known:
        beside: dict[str, Any] = {
            "id": "r2",
            "status": "in_progress",
            "output": [],
            "conversation_id": None,
        }
        talk.hears("response.created", response={"id": "r3", "conversation_id": "c"})
        talk.hears("response.created", response=beside)
    else:
        talk.hears("response.done", response={"id": "r2", "status": "completed", "output": []})
    kind = "response.function_call_arguments.delta"
    effects = talk.hears(kind, response_id="r2", item_id="item_3", call_id="call_1", delta="{")
    assert effects == []


def test_a_call_that_comes_again_with_other_arguments_is_an_error_and_does_not_run() -> None:
    talk = Talk()
    call = {
        "id": "item_3",
        "type": "function_call",
        "name": "pay",
        "call_id": "call_1",
        "arguments": '{"sum": 1}',
        "status": "completed",
    }
    done = "response.output_item.done"
    talk.hears(done, response_id="r", item=call)
    assert not errors_in(talk.hears(done, response_id="r", item=call))
    again = talk.hears(done, response_id="r", item={**call, "arguments": '{"sum": 2}'})
    other = talk.hears(done, response_id="r", item={**call, "name": "refund"})

    assert ["call_1" in message for message in errors_in(again)] == [True]
    assert ["call_1" in message for message in errors_in(other)] == [True]


def errors_in(effects: Sequence[Effect]) -> list[str]:
    return [str(effect.error) for effect in effects if isinstance(effect, ev.Error)]
