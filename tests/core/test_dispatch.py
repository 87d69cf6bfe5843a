"""The dispatch table: every input has its handlers, and an impossible command changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import attrs
import pytest

from support.core import CoreScenario, effects_of, resolved_tokens
from trio_realtime import wire
from trio_realtime.core import Conversation, HistoryEdited, ResolveRequest, UpdateHistory, inputs
from trio_realtime.core.dispatch import dispatch_table
from trio_realtime.core.inputs import Command, Result
from trio_realtime.errors import UsageError
from trio_realtime.items import HistoryItem
from trio_realtime.wire import (
    ConversationItemCreate,
    ConversationItemDelete,
    FunctionCallOutputItem,
    InputText,
    McpListToolsItem,
    MessageItem,
    OutputAudio,
    ServerEvent,
    UnknownEvent,
    structure_server_event,
)

INPUTS: tuple[type, ...] = (*get_args(Command), *get_args(Result))

# Server events that no component handles: consumers find them among the raw events.
NOT_HANDLED: set[type] = {
    wire.UnknownEvent,
    wire.ConversationItemCreated,  # the dialects translate it
    wire.ConversationCreated,
    wire.InputAudioTranscriptionSegment,
    wire.McpListToolsInProgress,
    wire.McpListToolsCompleted,
    # their content is in the deltas and in the item
    wire.ResponseMcpCallArgumentsDelta,
    wire.ResponseMcpCallArgumentsDone,
    # WebRTC and SIP only
    wire.OutputAudioBufferStarted,
    wire.OutputAudioBufferStopped,
    wire.OutputAudioBufferCleared,
}


def handlers_of(kind: type) -> Sequence[Any]:
    conversation = Conversation("agent", max_history_audio=1)
    return dispatch_table(conversation._components).get(kind, ())


# --- the table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", INPUTS)
def test_every_command_and_result_has_a_handler(kind: type) -> None:
    assert handlers_of(kind)


def test_every_input_class_is_a_command_or_a_result() -> None:
    own = {value for value in vars(inputs).values() if isinstance(value, type)}
    declared = {kind for kind in own if attrs.has(kind) and kind.__module__ == inputs.__name__}
    assert declared == set(INPUTS)


def test_every_server_event_is_handled_or_listed_as_not_handled() -> None:
    exported = {value for value in vars(wire).values() if isinstance(value, type)}
    events = {kind for kind in exported if issubclass(kind, ServerEvent)} - {ServerEvent}
    assert {kind for kind in events if not handlers_of(kind)} == NOT_HANDLED


@pytest.mark.parametrize("retention", [0, 1])
def test_the_table_contains_only_inputs(retention: int) -> None:
    conversation = Conversation("agent", max_history_audio=retention)
    table = dispatch_table(conversation._components)
    for kind in table:
        assert kind in INPUTS or issubclass(kind, ServerEvent), kind
    assert all(table.values())


def test_without_retention_its_handlers_are_left_out() -> None:
    conversation = Conversation("agent", max_history_audio=0)
    table = dispatch_table(conversation._components)
    assert len(table[wire.ResponseOutputAudioDelta]) == 1
    assert len(handlers_of(wire.ResponseOutputAudioDelta)) == 2


# --- unknown events -----------------------------------------------------------------------------


UNKNOWN_FRAMES: list[dict[str, Any]] = [
    {"type": "hologram.projected", "event_id": "event_1", "response_id": "r1"},
    {"type": "response.done", "response": None},
    {"type": "response.output_audio.delta"},
    {},
]


@pytest.mark.parametrize("frame", UNKNOWN_FRAMES)
def test_an_unknown_event_has_no_handler_and_no_effects(frame: dict[str, Any]) -> None:
    event = structure_server_event(frame)
    assert isinstance(event, UnknownEvent)
    assert not handlers_of(UnknownEvent)

    scenario = CoreScenario()
    scenario.response_created("r1")
    assert [*scenario.core.handle(event, 0.0)] == []
    assert not scenario.core.is_quiet


# --- commands that cannot be carried out --------------------------------------------------------


def message(text: str, **fields: Any) -> MessageItem:
    return MessageItem(role="user", content=(InputText(text=text),), **fields)


IMPOSSIBLE: dict[str, tuple[HistoryItem, ...]] = {
    "assistant audio": (
        MessageItem(role="assistant", content=(OutputAudio(transcript="Hello."),)),
    ),
    "an item of the service": (McpListToolsItem(id="tools"),),
    "an output before its call": (FunctionCallOutputItem(call_id="call_1", output="1"),),
    "an id twice": (message("a", id="same"), message("b", id="same")),
    "invalid after valid items": (message("a"), McpListToolsItem(id="tools")),
}


@pytest.mark.parametrize("items", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
@pytest.mark.parametrize("editing", [False, True])
def test_an_impossible_edit_raises_and_changes_nothing(
    items: tuple[HistoryItem, ...], editing: bool
) -> None:
    scenario = CoreScenario()
    known = {"id": "item_1", "type": "message", "role": "user", "status": "completed"}
    content = [{"type": "input_text", "text": "Hello"}]
    scenario.receive("conversation.item.added", item={**known, "content": content})
    before = scenario.core.history.snapshot()
    if editing:  # another edit is outstanding
        edit, _ = scenario.core.update_history(())

    with pytest.raises(UsageError):
        scenario.core.handle(UpdateHistory(token="impossible", items=items), 0.0)

    assert scenario.core.history.snapshot() is before
    assert scenario.core.is_quiet
    if not editing:
        # The slot for edits is free: the next edit is sent at once.
        edit, effects = scenario.core.update_history(())
        assert len(effects_of(effects, ConversationItemDelete)) == 1
    effects = scenario.receive("conversation.item.deleted", item_id="item_1")
    assert resolved_tokens(effects) == [edit]
    assert not effects_of(effects, ConversationItemCreate)
    (resolved,) = effects_of(effects, ResolveRequest)
    assert resolved.outcome == HistoryEdited(history=())
