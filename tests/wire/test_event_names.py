"""All 46 server and 11 client events have a class named after their type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trio_realtime import wire
from trio_realtime.wire import CLIENT_EVENTS, SERVER_EVENTS, ClientEvent, ServerEvent

CLIENT_NAMES = """
    conversation.item.create conversation.item.delete conversation.item.retrieve
    conversation.item.truncate input_audio_buffer.append input_audio_buffer.clear
    input_audio_buffer.commit output_audio_buffer.clear response.cancel response.create
    session.update
""".split()

SERVER_NAMES = """
    conversation.created conversation.item.added conversation.item.created
    conversation.item.deleted conversation.item.done
    conversation.item.input_audio_transcription.completed
    conversation.item.input_audio_transcription.delta
    conversation.item.input_audio_transcription.failed
    conversation.item.input_audio_transcription.segment
    conversation.item.retrieved conversation.item.truncated error input_audio_buffer.cleared
    input_audio_buffer.committed input_audio_buffer.dtmf_event_received
    input_audio_buffer.speech_started input_audio_buffer.speech_stopped
    input_audio_buffer.timeout_triggered mcp_list_tools.completed mcp_list_tools.failed
    mcp_list_tools.in_progress output_audio_buffer.cleared output_audio_buffer.started
    output_audio_buffer.stopped rate_limits.updated response.content_part.added
    response.content_part.done response.created response.done
    response.function_call_arguments.delta response.function_call_arguments.done
    response.mcp_call.completed response.mcp_call.failed response.mcp_call.in_progress
    response.mcp_call_arguments.delta response.mcp_call_arguments.done
    response.output_audio.delta response.output_audio.done
    response.output_audio_transcript.delta response.output_audio_transcript.done
    response.output_item.added response.output_item.done response.output_text.delta
    response.output_text.done session.created session.updated
""".split()

ALL_CLASSES = [*CLIENT_EVENTS, *SERVER_EVENTS]


def event_types(classes: tuple[type[ClientEvent | ServerEvent], ...]) -> list[str]:
    return sorted(cls.type for cls in classes)


def test_every_client_event_has_one_class() -> None:
    assert len(CLIENT_NAMES) == 11
    assert event_types(CLIENT_EVENTS) == sorted(CLIENT_NAMES)


def test_every_server_event_has_one_class() -> None:
    assert len(SERVER_NAMES) == 46
    assert event_types(SERVER_EVENTS) == sorted(SERVER_NAMES)


def test_the_types_match_the_published_schema(data_dir: Path) -> None:
    path = data_dir / "realtime_events.wire.schema.json"
    index = json.loads(path.read_text("utf-8"))["x-event-index"]

    assert event_types(CLIENT_EVENTS) == sorted(index["client"])
    assert event_types(SERVER_EVENTS) == sorted(index["server"])


@pytest.mark.parametrize("cls", ALL_CLASSES, ids=lambda cls: cls.type)
def test_a_class_is_public_and_named_after_its_type(
    cls: type[ClientEvent | ServerEvent],
) -> None:
    words = cls.type.replace("_", ".").split(".")
    camel = "".join(word.capitalize() for word in words)

    # Names with "transcription" omit a redundant prefix, and "error" has the suffix "Event".
    short = camel.removeprefix("ConversationItem") if "transcription" in cls.type else camel
    assert cls.__name__ in (short, f"{short}Event")
    assert getattr(wire, cls.__name__) is cls
    assert cls.__name__ in wire.__all__
