"""History updates: events of growing items at intervals, and late events of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from support.core import CoreDriver, CoreScenario, effects_of
from support.service import function_call_item
from trio_realtime import events as ev
from trio_realtime.core import Effect
from trio_realtime.items import FunctionCallItem, item_text
from trio_realtime.wire import structure_server_event

MESSAGE = {"id": "item_1", "type": "message", "role": "assistant", "status": "in_progress"}


class GrowingMessage:
    """A conversation with a message that grows."""

    def __init__(self, interval: float = 0.1) -> None:
        self.core = CoreDriver("agent", history_update_interval=interval)
        self.receive(
            "response.created", response={"id": "r", "status": "in_progress", "output": []}
        )
        self.receive("conversation.item.added", item={**MESSAGE, "content": []})

    def receive(self, kind: str, now: float = 0.0, **fields: Any) -> list[Effect]:
        event = structure_server_event({"type": kind, "event_id": "event", **fields})
        return [*self.core.receive(event, now)]

    def transcript_delta(self, delta: str, now: float) -> list[str]:
        return updated_texts(
            self.receive(
                "response.output_audio_transcript.delta",
                now,
                response_id="r",
                item_id="item_1",
                content_index=0,
                delta=delta,
            )
        )

    def item_done(self, text: str, now: float, status: str = "completed") -> list[str]:
        part = {"type": "output_audio", "transcript": text}
        item = {**MESSAGE, "status": status, "content": [part]}
        return updated_texts(self.receive("conversation.item.done", now, item=item))


def updated_texts(effects: Sequence[Effect]) -> list[str]:
    updates = [effect for effect in effects if isinstance(effect, ev.HistoryUpdated)]
    return [item_text(update.item) for update in updates if update.item is not None]


def test_deltas_within_an_interval_are_reported_once() -> None:
    growing = GrowingMessage()
    assert growing.transcript_delta("One ", now=0.0) == ["One "]
    assert growing.transcript_delta("two ", now=0.05) == []
    assert growing.transcript_delta("three ", now=0.09) == []
    assert growing.transcript_delta("four", now=0.1) == ["One two three four"]


def test_the_last_delta_is_always_reported() -> None:
    growing = GrowingMessage()
    growing.transcript_delta("One ", now=0.0)
    assert growing.transcript_delta("two", now=0.01) == []
    assert growing.item_done("One two", now=0.02) == ["One two"]


def test_the_last_delta_is_reported_although_the_final_version_adds_nothing() -> None:
    growing = GrowingMessage()
    growing.transcript_delta("One ", now=0.0)
    growing.transcript_delta("two", now=0.01)
    assert growing.item_done("One two", now=0.02, status="in_progress") == ["One two"]


def test_a_repeated_final_version_is_not_reported() -> None:
    growing = GrowingMessage()
    growing.transcript_delta("One", now=0.0)
    growing.item_done("One", now=0.02)
    assert growing.item_done("One", now=0.03) == []


def test_with_interval_zero_every_delta_is_reported() -> None:
    growing = GrowingMessage(interval=0)
    assert growing.transcript_delta("One ", now=0.0) == ["One "]
    assert growing.transcript_delta("two", now=0.0) == ["One two"]


def test_transcripts_of_the_user_are_reported_at_intervals() -> None:
    growing = GrowingMessage()
    part = {"type": "input_audio", "transcript": None}
    user = {"id": "item_2", "type": "message", "role": "user", "content": [part]}
    growing.receive("conversation.item.added", item=user)
    place = {"item_id": "item_2", "content_index": 0}
    kind = "conversation.item.input_audio_transcription"

    assert updated_texts(growing.receive(f"{kind}.delta", 0.0, **place, delta="Hello ")) == [
        "Hello "
    ]
    assert updated_texts(growing.receive(f"{kind}.delta", 0.05, **place, delta="there")) == []
    assert updated_texts(
        growing.receive(f"{kind}.completed", 0.06, **place, transcript="Hello there")
    ) == ["Hello there"]


# --- late events --------------------------------------------------------------------------------


def test_argument_deltas_after_the_complete_call_are_dropped() -> None:
    scenario = CoreScenario()
    call = function_call_item("item_1", "call_1", "look_up", "", status="in_progress")
    scenario.receive("conversation.item.added", item=call, previous_item_id=None)
    call = function_call_item("item_1", "call_1", "look_up", '{"a": 1}')
    scenario.receive("conversation.item.done", item=call, previous_item_id=None)

    scenario.receive(
        "response.function_call_arguments.delta",
        response_id="r1",
        item_id="item_1",
        call_id="call_1",
        delta="1}",
    )

    (item,) = scenario.core.history.snapshot()
    assert isinstance(item, FunctionCallItem)
    assert item.arguments == '{"a": 1}'


def test_a_done_event_after_the_deletion_does_not_restore_the_item() -> None:
    scenario = CoreScenario()
    item = {"id": "item_1", "type": "message", "role": "assistant", "status": "in_progress"}
    done = {**item, "status": "completed", "content": [{"type": "output_text", "text": "Hi."}]}
    scenario.response_created("r1")
    scenario.receive("conversation.item.added", item={**item, "content": []}, previous_item_id=None)
    scenario.receive("conversation.item.deleted", item_id="item_1")

    scenario.receive("conversation.item.done", item=done, previous_item_id=None)
    scenario.receive("response.output_item.done", response_id="r1", item=done)

    assert scenario.core.history.snapshot() == ()


def test_a_truncation_is_reported() -> None:
    scenario = CoreScenario()
    part = {"type": "output_audio", "transcript": "A long story."}
    item = {"id": "item_1", "type": "message", "role": "assistant", "status": "completed"}
    scenario.receive(
        "conversation.item.added", item={**item, "content": [part]}, previous_item_id=None
    )

    effects = scenario.receive(
        "conversation.item.truncated", item_id="item_1", content_index=0, audio_end_ms=100
    )

    assert len(effects_of(effects, ev.HistoryUpdated)) == 1
