"""Encoding of client events, validated against the published schema and the ``openai`` package.

Hypothesis generates every client event with all valid values. The frames are validated against two
independent definitions: the JSON Schema of the service's events, and the types of the ``openai``
package with unknown keys forbidden.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from openai.types.realtime.realtime_client_event_param import RealtimeClientEventParam
from openai.types.realtime.response_create_event_with_references_param import (
    ResponseCreateEventWithReferencesParam,
)
from pydantic import ConfigDict, TypeAdapter

from trio_realtime.wire import (
    CLIENT_EVENTS,
    MAX_APPEND_BYTES,
    PCM24K,
    PCMA,
    PCMU,
    UNSET,
    AudioFormat,
    AudioInput,
    AudioOutput,
    AudioSettings,
    ClientEvent,
    ContentPart,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    CustomVoice,
    FunctionCallItem,
    FunctionCallOutputItem,
    FunctionToolSpec,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputImage,
    InputItem,
    InputText,
    Item,
    ItemReference,
    McpApprovalRequestItem,
    McpApprovalResponseItem,
    McpCallItem,
    McpError,
    McpListedTool,
    McpListToolsItem,
    McpToolSpec,
    MessageItem,
    NoiseReduction,
    OutputAudio,
    OutputAudioBufferClear,
    OutputText,
    Reasoning,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
    SemanticVad,
    ServerVad,
    Session,
    SessionUpdate,
    ToolSpec,
    Transcription,
    TurnDetection,
    UnknownItem,
    UnknownToolSpec,
    converter,
    decode_client_event,
    encode,
    unstructure,
)

MANY_EXAMPLES = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

# --- strategies for valid events ----------------------------------------------------------------

text = st.text(max_size=8)
words = st.lists(text, max_size=2).map(tuple)
audio = st.binary(max_size=9)
booleans = st.booleans()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
json_objects = st.dictionaries(text, json_values, max_size=2)


def none_or(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def unset_or(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just(UNSET) | strategy


def clearable(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A setting that may be unset, cleared or set."""
    return st.sampled_from([UNSET, None]) | strategy


statuses = none_or(st.sampled_from(["completed", "incomplete", "in_progress"]))
modalities = st.sampled_from([("text",), ("audio",)])
formats: st.SearchStrategy[AudioFormat] = st.sampled_from(
    [PCM24K, PCMU, PCMA, AudioFormat(type="audio/pcm")]
)
voices = text | st.builds(CustomVoice, id=text)
limits = st.integers(1, 4096) | st.just("inf")
efforts = st.sampled_from(["minimal", "low", "medium", "high", "xhigh"])
metadata = st.dictionaries(st.text(max_size=64), st.text(max_size=9), max_size=3)

turn_detections: st.SearchStrategy[TurnDetection] = st.builds(
    ServerVad,
    threshold=none_or(st.floats(0, 1)),
    prefix_padding_ms=none_or(st.integers(0, 60_000)),
    silence_duration_ms=none_or(st.integers(0, 60_000)),
    idle_timeout_ms=none_or(st.integers(5_000, 30_000)),
    create_response=none_or(booleans),
    interrupt_response=none_or(booleans),
) | st.builds(
    SemanticVad,
    eagerness=none_or(st.sampled_from(["low", "medium", "high", "auto"])),
    create_response=none_or(booleans),
    interrupt_response=none_or(booleans),
)
transcriptions = st.builds(
    Transcription,
    model=none_or(text),
    language=none_or(text),
    languages=none_or(st.lists(text, min_size=1, max_size=2).map(tuple)),
    keywords=none_or(words),
    prompt=none_or(text),
    delay=none_or(st.sampled_from(["minimal", "low", "medium", "high", "xhigh"])),
)
noise_reductions = st.builds(
    NoiseReduction, type=none_or(st.sampled_from(["near_field", "far_field"]))
)
inputs = st.builds(
    AudioInput,
    format=unset_or(formats),
    transcription=clearable(transcriptions),
    noise_reduction=clearable(noise_reductions),
    turn_detection=clearable(turn_detections),
)
outputs = st.builds(
    AudioOutput,
    format=unset_or(formats),
    voice=unset_or(voices),
    speed=unset_or(st.floats(0.25, 1.5)),
)

tool_filters = st.fixed_dictionaries(
    {}, optional={"tool_names": st.lists(text, max_size=2), "read_only": booleans}
)
tools: st.SearchStrategy[ToolSpec] = st.builds(
    FunctionToolSpec,
    name=text,
    description=none_or(text),
    parameters=none_or(json_objects),
) | st.builds(
    McpToolSpec,
    server_label=text,
    server_url=none_or(st.just("https://tools.example/mcp")),
    connector_id=none_or(st.just("connector_gmail")),
    tunnel_id=none_or(st.just("tunnel_" + "a1" * 16)),
    authorization=none_or(text),
    server_description=none_or(text),
    headers=none_or(st.dictionaries(text, text, max_size=2)),
    allowed_tools=none_or(st.lists(text, max_size=2) | tool_filters),
    allowed_callers=none_or(st.sampled_from([("direct",), ("direct", "programmatic")])),
    require_approval=none_or(
        st.sampled_from(["always", "never"])
        | st.fixed_dictionaries({}, optional={"always": tool_filters, "never": tool_filters})
    ),
    defer_loading=none_or(booleans),
)
tool_lists = st.lists(tools, max_size=2).map(tuple)
tool_choices = (
    st.sampled_from(["none", "auto", "required"])
    | st.fixed_dictionaries({"type": st.just("function"), "name": text})
    | st.fixed_dictionaries(
        {"type": st.just("mcp"), "server_label": text}, optional={"name": text | st.none()}
    )
)
prompts = st.fixed_dictionaries(
    {"id": text},
    optional={
        "version": none_or(text),
        "variables": none_or(st.dictionaries(text, text, max_size=2)),
    },
)

realtime_sessions = st.builds(
    Session,
    model=unset_or(text),
    output_modalities=unset_or(modalities),
    instructions=unset_or(text),
    tools=unset_or(tool_lists),
    tool_choice=unset_or(tool_choices),
    parallel_tool_calls=unset_or(booleans),
    max_output_tokens=unset_or(limits),
    reasoning=unset_or(st.builds(Reasoning, effort=none_or(efforts))),
    tracing=clearable(
        st.just("auto")
        | st.fixed_dictionaries(
            {}, optional={"workflow_name": text, "group_id": text, "metadata": json_objects}
        )
    ),
    truncation=unset_or(
        st.sampled_from(["auto", "disabled"])
        | st.fixed_dictionaries(
            {"type": st.just("retention_ratio"), "retention_ratio": st.floats(0, 1)},
            optional={"token_limits": st.just({"post_instructions": 100})},
        )
    ),
    prompt=clearable(prompts),
    include=clearable(st.sampled_from([(), ("item.input_audio_transcription.logprobs",)])),
    audio=unset_or(st.builds(AudioSettings, input=unset_or(inputs), output=unset_or(outputs))),
)
transcription_sessions = st.builds(
    Session,
    type=st.just("transcription"),
    include=clearable(st.sampled_from([(), ("item.input_audio_transcription.logprobs",)])),
    audio=unset_or(st.builds(AudioSettings, input=unset_or(inputs))),
)

user_parts: st.SearchStrategy[ContentPart] = (
    st.builds(InputText, text=text)
    | st.builds(InputAudio, audio=none_or(audio), transcript=none_or(text))
    | st.builds(
        InputImage,
        image_url=none_or(st.just("data:image/png;base64,AAAA")),
        detail=none_or(st.sampled_from(["auto", "low", "high"])),
    )
)
assistant_parts: st.SearchStrategy[ContentPart] = st.builds(OutputText, text=text) | st.builds(
    OutputAudio, audio=none_or(audio), transcript=none_or(text)
)
system_parts: st.SearchStrategy[ContentPart] = st.builds(InputText, text=text)


def messages(role: str, parts: st.SearchStrategy[ContentPart]) -> st.SearchStrategy[MessageItem]:
    return st.builds(
        MessageItem,
        id=none_or(text),
        status=statuses,
        role=st.just(role),
        content=st.lists(parts, max_size=3).map(tuple),
    )


mcp_errors = st.builds(
    McpError,
    type=st.sampled_from(["protocol_error", "http_error"]),
    code=st.integers(-(2**31), 2**31),
    message=text,
) | st.builds(McpError, type=st.just("tool_execution_error"), message=text)
items: st.SearchStrategy[Item] = (
    messages("user", user_parts)
    | messages("assistant", assistant_parts)
    | messages("system", system_parts)
    | st.builds(
        FunctionCallItem,
        id=none_or(text),
        status=statuses,
        call_id=none_or(text),
        name=text,
        arguments=text,
    )
    | st.builds(
        FunctionCallOutputItem, id=none_or(text), status=statuses, call_id=text, output=text
    )
    | st.builds(
        McpListToolsItem,
        id=none_or(text),
        server_label=text,
        tools=st.lists(
            st.builds(
                McpListedTool,
                name=text,
                description=none_or(text),
                input_schema=json_objects,
                annotations=none_or(json_objects),
            ),
            max_size=2,
        ).map(tuple),
    )
    | st.builds(
        McpCallItem,
        id=text,
        server_label=text,
        name=text,
        arguments=text,
        approval_request_id=none_or(text),
        output=none_or(text),
        error=none_or(mcp_errors),
    )
    | st.builds(McpApprovalRequestItem, id=text, server_label=text, name=text, arguments=text)
    | st.builds(
        McpApprovalResponseItem,
        id=text,
        approval_request_id=text,
        approve=booleans,
        reason=none_or(text),
    )
)
input_items: st.SearchStrategy[InputItem] = items | st.builds(ItemReference, id=text)
response_params = st.builds(
    ResponseParams,
    output_modalities=unset_or(modalities),
    instructions=unset_or(text),
    audio=unset_or(
        st.builds(
            ResponseAudio,
            output=unset_or(
                st.builds(ResponseAudioOutput, format=unset_or(formats), voice=unset_or(voices))
            ),
        )
    ),
    tools=unset_or(tool_lists),
    tool_choice=unset_or(tool_choices),
    parallel_tool_calls=unset_or(booleans),
    reasoning=unset_or(st.builds(Reasoning, effort=none_or(efforts))),
    max_output_tokens=unset_or(limits),
    conversation=unset_or(st.sampled_from(["auto", "none"])),
    metadata=none_or(metadata),
    prompt=clearable(prompts),
    input=unset_or(st.lists(input_items, max_size=2).map(tuple)),
)

event_ids = none_or(st.text(max_size=512))
EVENTS: dict[type[ClientEvent], st.SearchStrategy[ClientEvent]] = {
    SessionUpdate: st.builds(
        SessionUpdate, event_id=event_ids, session=realtime_sessions | transcription_sessions
    ),
    InputAudioBufferAppend: st.builds(InputAudioBufferAppend, event_id=event_ids, audio=audio),
    InputAudioBufferCommit: st.builds(InputAudioBufferCommit, event_id=event_ids),
    InputAudioBufferClear: st.builds(InputAudioBufferClear, event_id=event_ids),
    ConversationItemCreate: st.builds(
        ConversationItemCreate, event_id=event_ids, previous_item_id=none_or(text), item=items
    ),
    ConversationItemRetrieve: st.builds(ConversationItemRetrieve, event_id=event_ids, item_id=text),
    ConversationItemTruncate: st.builds(
        ConversationItemTruncate,
        event_id=event_ids,
        item_id=text,
        content_index=st.integers(0, 9),
        audio_end_ms=st.integers(0, 2**53),
    ),
    ConversationItemDelete: st.builds(ConversationItemDelete, event_id=event_ids, item_id=text),
    ResponseCreate: st.builds(
        ResponseCreate, event_id=event_ids, response=none_or(response_params)
    ),
    ResponseCancel: st.builds(ResponseCancel, event_id=event_ids, response_id=none_or(text)),
    OutputAudioBufferClear: st.builds(OutputAudioBufferClear, event_id=event_ids),
}
client_events = st.one_of(*EVENTS.values())


def frame_of(event: ClientEvent) -> dict[str, Any]:
    """Encode an event and parse the frame with the standard library."""
    frame: dict[str, Any] = json.loads(encode(event))
    return frame


# --- validators ---------------------------------------------------------------------------------


@cache
def published_validators(directory: Path) -> dict[str, jsonschema.Draft202012Validator]:
    path = directory / "realtime_events.wire.schema.json"
    schema = json.loads(path.read_text("utf-8"))
    return {
        name: jsonschema.Draft202012Validator(
            {
                "$ref": f"#/$defs/{definition}",
                "$defs": schema["$defs"],
            }
        )
        for name, definition in schema["x-event-index"]["client"].items()
    }


@cache
def openai_validators() -> dict[str, jsonschema.Draft202012Validator]:
    """Build JSON Schemas from the package's typed dicts, because its models allow unknown keys."""
    kinds: Any = RealtimeClientEventParam | ResponseCreateEventWithReferencesParam
    schema = TypeAdapter(kinds, config=ConfigDict(extra="forbid")).json_schema()
    definitions = schema["$defs"]
    found = {
        definition["properties"]["type"]["const"]: name
        for name, definition in definitions.items()
        if name.endswith("EventParam") and "const" in definition["properties"].get("type", {})
    }
    # The package has two types for this event. Only this one allows item references.
    found["response.create"] = "ResponseCreateEventWithReferencesParam"
    return {
        event: jsonschema.Draft202012Validator(
            {
                "$ref": f"#/$defs/{name}",
                "$defs": definitions,
            }
        )
        for event, name in found.items()
    }


# Keys that accept null according to the service's documentation, but not in the package's types.
UNTYPED_NULLS = (
    ("session", "include"),
    ("session", "audio", "input", "transcription"),
    ("session", "audio", "input", "noise_reduction"),
    ("session", "audio", "input", "turn_detection"),
)


def drop_null(frame: dict[str, Any], path: tuple[str, ...]) -> None:
    *parents, key = path
    for parent in parents:
        frame = frame.get(parent, {})
    if key in frame and frame[key] is None:
        del frame[key]


def nulls(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the paths of all nulls, with ``*`` for list indices."""
    if value is None:
        yield ".".join(path)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from nulls(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from nulls(inner, (*path, "*"))


# --- tests --------------------------------------------------------------------------------------


def test_there_is_a_strategy_for_every_client_event() -> None:
    assert set(EVENTS) == set(CLIENT_EVENTS)


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.type)
@given(data=st.data())
@settings(MANY_EXAMPLES, max_examples=60)
def test_frames_match_the_published_schema(
    data_dir: Path, cls: type[ClientEvent], data: st.DataObject
) -> None:
    event = data.draw(EVENTS[cls])

    published_validators(data_dir)[event.type].validate(frame_of(event))


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.type)
@given(data=st.data())
@settings(MANY_EXAMPLES, max_examples=60)
def test_frames_match_the_types_of_the_openai_package(
    cls: type[ClientEvent], data: st.DataObject
) -> None:
    event = data.draw(EVENTS[cls])
    frame = frame_of(event)
    for path in UNTYPED_NULLS:
        drop_null(frame, path)

    openai_validators()[event.type].validate(frame)


def test_the_openai_validators_cover_all_events_and_reject_unknown_keys() -> None:
    validators = openai_validators()
    assert set(validators) == {cls.type for cls in CLIENT_EVENTS}
    with pytest.raises(jsonschema.ValidationError):
        validators["session.update"].validate(
            {
                "type": "session.update",
                "session": {"type": "realtime", "voice": "alloy"},
            }
        )


@given(event=EVENTS[SessionUpdate])
@MANY_EXAMPLES
def test_null_is_sent_only_for_settings_that_can_be_cleared(event: SessionUpdate) -> None:
    frame = frame_of(event)
    session = frame["session"]
    for free in ("tools", "tool_choice", "truncation", "prompt", "tracing"):
        if session.get(free) is not None:
            del session[free]  # JSON values of the user, which may contain nulls

    assert set(nulls(frame)) <= {
        "session.include",
        "session.prompt",
        "session.tracing",
        "session.audio.input.transcription",
        "session.audio.input.noise_reduction",
        "session.audio.input.turn_detection",
    }


@pytest.mark.parametrize("name", ["transcription", "noise_reduction", "turn_detection"])
def test_none_clears_a_setting_and_unset_omits_it(name: str) -> None:
    nothing: dict[str, Any] = {name: None}
    cleared = AudioInput(**nothing)
    untouched = AudioInput()

    assert unstructure(cleared) == {name: None}
    assert unstructure(untouched) == {}


@pytest.mark.parametrize(
    "event",
    [
        InputAudioBufferAppend(audio=b""),
        InputAudioBufferCommit(),
        ConversationItemCreate(item=MessageItem()),
        ConversationItemCreate(item=FunctionCallItem()),
        ConversationItemCreate(item=McpCallItem()),
        ResponseCreate(),
        ResponseCreate(response=ResponseParams()),
        ResponseCancel(),
        SessionUpdate(session=Session()),
    ],
    ids=lambda event: event.type,
)
def test_unset_fields_are_not_sent(event: ClientEvent) -> None:
    assert not [*nulls(frame_of(event))]


@given(event=client_events)
@MANY_EXAMPLES
def test_client_events_round_trip(event: ClientEvent) -> None:
    assert decode_client_event(encode(event)) == event


@given(item=items)
@MANY_EXAMPLES
def test_items_round_trip(item: Item) -> None:
    any_item: Any = Item

    assert converter.structure(json.loads(json.dumps(unstructure(item))), any_item) == item


def test_unknown_items_and_tools_are_sent_unchanged() -> None:
    item = UnknownItem(raw={"type": "hologram", "id": "item_1", "depth": None})
    tool = UnknownToolSpec(raw={"type": "web_search", "depth": [1, None]})

    assert frame_of(ConversationItemCreate(item=item))["item"] == item.raw
    assert frame_of(SessionUpdate(session=Session(tools=(tool,))))["session"]["tools"] == [tool.raw]


@given(pcm=audio, event_id=event_ids)
def test_audio_is_sent_as_plain_base64(pcm: bytes, event_id: str | None) -> None:
    frame = frame_of(InputAudioBufferAppend(audio=pcm, event_id=event_id))

    assert frame.pop("audio") == base64.b64encode(pcm).decode()
    assert frame == {
        "type": "input_audio_buffer.append",
        **({} if event_id is None else {"event_id": event_id}),
    }


def test_text_with_a_lone_surrogate_can_be_sent() -> None:
    # A tool may return a file name that is not UTF-8.
    text_with_lone_surrogate = "name\udc80 \\udc80 \N{GRINNING FACE}"
    event = ConversationItemCreate(
        item=FunctionCallOutputItem(call_id="call_1", output=text_with_lone_surrogate)
    )

    frame = encode(event).encode("utf-8")

    sent = msgspec.json.decode(frame)["item"]["output"]
    assert sent == "name\N{REPLACEMENT CHARACTER} \\udc80 \N{GRINNING FACE}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: InputAudioBufferAppend(audio=bytes(MAX_APPEND_BYTES + 1)),
        lambda: ConversationItemTruncate(item_id="item_1", audio_end_ms=-1),
        lambda: InputAudioBufferCommit(event_id="x" * 513),
        lambda: ResponseParams(metadata={str(n): "" for n in range(17)}),
        lambda: ResponseParams(metadata={"k" * 65: ""}),
        lambda: ResponseParams(metadata={"k": "v" * 513}),
        lambda: AudioOutput(speed=0.2),
        lambda: AudioOutput(speed=1.6),
        lambda: ServerVad(threshold=1.1),
        lambda: ServerVad(idle_timeout_ms=4_999),
        lambda: ServerVad(idle_timeout_ms=30_001),
    ],
)
def test_values_outside_the_service_limits_raise(make: Any) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        make()
