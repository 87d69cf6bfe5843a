"""Optional members of client events that are null.

The members come from the schema of the protocol. Each is set to null in an example of its event, and
the server must do what it does without the member. The exceptions are listed below.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from trio_realtime.local import ConnectionRequest
from trio_realtime.local.harness import LOCAL_REQUEST, ProtocolHarness

Json: TypeAlias = dict[str, Any]
#: Keys of objects and indices of arrays, from the event to one of its members.
Place: TypeAlias = tuple[str | int, ...]
#: The schema of an object, by identity, and the key of a member.
Member: TypeAlias = tuple[int, str]

SCHEMA_PATH = Path(__file__).parents[1] / "data" / "realtime_events.wire.schema.json"

AUDIO = base64.b64encode(bytes(9600)).decode()
IMAGE = "data:image/png;base64,AAAA"
FORMATS: list[Json] = [
    {"type": "audio/pcm", "rate": 24000},
    {"type": "audio/pcmu"},
    {"type": "audio/pcma"},
]
FILTER = {"tool_names": ["a"], "read_only": False}
FUNCTION_TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Current weather",
    "parameters": {"type": "object", "properties": {}},
}
MCP_TOOL = {
    "type": "mcp",
    "server_label": "docs",
    "server_url": "https://example.com/mcp",
    "connector_id": "connector_gmail",
    "tunnel_id": "tunnel_1",
    "server_description": "Manuals",
    "authorization": "secret",
    "headers": {"x-key": "secret"},
    "allowed_tools": FILTER,
    "allowed_callers": ["direct"],
    "require_approval": {"always": FILTER, "never": FILTER},
    "defer_loading": False,
}
TOOL_CHOICES: list[Json] = [
    {"type": "function", "name": "get_weather"},
    {"type": "mcp", "server_label": "docs", "name": "find"},
]
TURN_DETECTIONS: list[Json] = [
    {
        "type": "server_vad",
        "threshold": 0.7,
        "prefix_padding_ms": 100,
        "silence_duration_ms": 300,
        "idle_timeout_ms": 6000,
        "create_response": False,
        "interrupt_response": False,
    },
    {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": False,
        "interrupt_response": False,
    },
]
#: Kinds of content parts, each with the member that has the content.
PARTS = {
    "input_text": "text",
    "output_text": "text",
    "input_audio": "audio",
    "input_image": "image_url",
}
PROMPT = {"id": "pmpt_1", "version": "2", "variables": {"city": "Oslo"}}


def _message(role: str, *parts: Json) -> Json:
    return {
        "id": "item_1",
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": role,
        "content": list(parts),
    }


ITEMS: list[Json] = [
    _message(
        "user",
        {"type": "input_text", "text": "Hello"},
        {"type": "input_audio", "audio": AUDIO, "transcript": "Hello"},
        {"type": "input_image", "image_url": IMAGE, "detail": "low"},
    ),
    _message("system", {"type": "input_text", "text": "Be brief."}),
    {**_message("assistant", {"type": "output_text", "text": "Hello"}), "phase": "final_answer"},
    {
        "id": "item_1",
        "object": "realtime.item",
        "type": "function_call",
        "status": "completed",
        "name": "get_weather",
        "call_id": "call_1",
        "arguments": "{}",
    },
    {
        "id": "item_1",
        "object": "realtime.item",
        "type": "function_call_output",
        "status": "completed",
        "call_id": "call_0",
        "output": "Sunny",
    },
    {
        "id": "item_1",
        "type": "mcp_approval_response",
        "approval_request_id": "mcpr_0",
        "approve": False,
        "reason": "no",
    },
]


def _session(number: int, audio_format: Json) -> Json:
    """Return a session with all members; ``number`` selects the alternatives."""
    return {
        "type": "realtime",
        "model": "gpt-realtime",
        "output_modalities": ["text"],
        "instructions": "Be brief.",
        "tools": [FUNCTION_TOOL, MCP_TOOL],
        "tool_choice": TOOL_CHOICES[number],
        "parallel_tool_calls": False,
        "max_output_tokens": 100,
        "tracing": {"workflow_name": "w", "group_id": "g", "metadata": {"k": "v"}},
        "truncation": {
            "type": "retention_ratio",
            "retention_ratio": 0.5,
            "token_limits": {"post_instructions": 100},
        },
        "prompt": PROMPT,
        "reasoning": {"effort": "low"},
        "audio": {
            "input": {
                "format": audio_format,
                "transcription": {
                    "model": "gpt-live-transcribe",
                    "language": "en",
                    "prompt": "names",
                    "languages": ["en"],
                    "keywords": ["Oslo"],
                    "delay": "low",
                },
                "noise_reduction": {"type": "near_field", "strength": 0.5},
                "turn_detection": TURN_DETECTIONS[number],
            },
            "output": {"format": audio_format, "voice": "ash", "speed": 1.25},
        },
        "include": ["item.input_audio_transcription.logprobs"],
    }


def _transcription_session() -> Json:
    session = _session(0, FORMATS[0])
    return {
        "type": "transcription",
        "audio": {"input": session["audio"]["input"]},
        "include": session["include"],
    }


def _response(number: int, audio_format: Json) -> Json:
    session = _session(number, audio_format)
    return {
        "output_modalities": ["text"],
        "instructions": "Be brief.",
        "audio": {"output": {"format": audio_format, "voice": "ash"}},
        "tools": session["tools"],
        "tool_choice": session["tool_choice"],
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "max_output_tokens": 100,
        "conversation": "none",
        "metadata": {"k": "v"},
        "prompt": PROMPT,
        "input": ITEMS,
    }


#: Together these have all members that the local server accepts.
EVENTS: list[Json] = [
    *(
        {"type": "session.update", "session": _session(number % 2, audio_format)}
        for number, audio_format in enumerate(FORMATS)
    ),
    {"type": "session.update", "session": _transcription_session()},
    {"type": "input_audio_buffer.append", "audio": AUDIO},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    *(
        {"type": "conversation.item.create", "previous_item_id": "root", "item": item}
        for item in ITEMS
    ),
    {"type": "conversation.item.retrieve", "item_id": "item_0"},
    {"type": "conversation.item.delete", "item_id": "item_0"},
    {
        "type": "conversation.item.truncate",
        "item_id": "item_0",
        "content_index": 0,
        "audio_end_ms": 0,
    },
    *(
        {"type": "response.create", "response": _response(number % 2, audio_format)}
        for number, audio_format in enumerate(FORMATS)
    ),
    {"type": "response.cancel", "response_id": "resp_0"},
]


# -- members in the schema -----------------------------------------------------------------------


@cache
def schema_of_protocol() -> Json:
    schema: Json = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return schema


def branches(schema: Json) -> Iterator[Json]:
    """Yield the alternatives of a schema, with references resolved."""
    while "$ref" in schema:
        schema = schema_of_protocol()["$defs"][schema["$ref"].rpartition("/")[2]]
    alternatives = [part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, [])]
    if not alternatives:
        yield schema
    for part in alternatives:
        yield from branches(part)


def is_of_kind(schema: Json, value: Json) -> bool:
    """Return whether ``type`` and ``role``, which select an alternative, are those of the schema."""
    members = schema.get("properties", {})
    return all(
        value[key] in known
        for key in ("type", "role")
        if key in value and (known := [v for b in branches(members.get(key, {})) for v in names(b)])
    )


def names(schema: Json) -> list[str]:
    return [schema["const"]] if "const" in schema else schema.get("enum", [])


def optional_members(schema: Json, value: Any, place: Place = ()) -> Iterator[tuple[Place, Member]]:
    """Yield the optional members that the schema has for a value, with their places."""
    for branch in branches(schema):
        if isinstance(value, list):
            for index, part in enumerate(value):
                yield from optional_members(branch.get("items", {}), part, (*place, index))
        elif isinstance(value, dict) and is_of_kind(branch, value):
            for key, inner in branch.get("properties", {}).items():
                if key not in branch.get("required", []):
                    yield (*place, key), (id(branch), key)
                if key in value:
                    yield from optional_members(inner, value[key], (*place, key))


def every_optional_member(schema: Json) -> Iterator[Member]:
    """Yield the optional members that the schema has for any value."""
    for branch in branches(schema):
        yield from every_optional_member(branch["items"]) if "items" in branch else ()
        for key, inner in branch.get("properties", {}).items():
            if key not in branch.get("required", []):
                yield id(branch), key
            yield from every_optional_member(inner)


def schema_of_event(kind: str) -> Json:
    return {"$ref": "#/$defs/" + schema_of_protocol()["x-event-index"]["client"][kind]}


def name_of(event: Json, place: Place) -> str:
    """Return a name such as ``session.tools[mcp].headers``, with the kinds of the objects."""
    name = ""
    value: Any = event
    for step in place[:-1]:
        value = value[step]
        name += f".{step}" if isinstance(step, str) else ""
        if isinstance(value, dict) and (kind := value.get("role") or value.get("type")):
            name += f"[{kind}]"
    return f"{name[1:]}.{place[-1]}" if name else f"{place[-1]} of {event['type']}"


def all_members() -> dict[str, tuple[Json, Place]]:
    """Return each optional member by name: an event with it, and its place there."""
    members: dict[str, tuple[Json, Place]] = {}
    for event in EVENTS:
        for place, _ in optional_members(schema_of_event(event["type"]), event):
            members.setdefault(name_of(event, place), (event, place))
    return members


MEMBERS = all_members()

#: Endings of members that are optional in the schema, but without which the object is useless.
NEEDED = (
    *(f"format[{audio_format['type']}].type" for audio_format in FORMATS),
    *("transcription.model", "tools[function].type", "tools[function].name"),
    *(f"content[{kind}].type" for kind in PARTS),
    *(f"content[{kind}].{key}" for kind, key in PARTS.items()),
)
#: Settings that null turns off. Absence leaves them unchanged.
CLEARABLE = (
    *("transcription", "noise_reduction", "turn_detection"),
    *("tracing", "prompt", "include"),
)


#: Settings for which the schema does not mention null. Clients send it nevertheless.
NOT_NULLABLE_IN_THE_SCHEMA = [
    "audio",
    "audio.input",
    "audio.input.format",
    "audio.input.format[audio/pcm].rate",
    "audio.input.transcription.delay",
    "audio.input.turn_detection[semantic_vad].create_response",
    "audio.input.turn_detection[semantic_vad].eagerness",
    "audio.input.turn_detection[semantic_vad].interrupt_response",
    "audio.input.turn_detection[server_vad].create_response",
    "audio.input.turn_detection[server_vad].interrupt_response",
    "audio.input.turn_detection[server_vad].prefix_padding_ms",
    "audio.input.turn_detection[server_vad].silence_duration_ms",
    "audio.input.turn_detection[server_vad].threshold",
    "audio.output",
    "audio.output.format",
    "audio.output.format[audio/pcm].rate",
    "audio.output.speed",
    "audio.output.voice",
    "instructions",
    "max_output_tokens",
    "model",
    "output_modalities",
    "reasoning.effort",
    "tool_choice",
    "tools",
    "tools[function].description",
    "tools[function].parameters",
    "tools[mcp].allowed_tools.read_only",
    "tools[mcp].allowed_tools.tool_names",
    "tools[mcp].connector_id",
    "tools[mcp].defer_loading",
    "tools[mcp].require_approval.always.read_only",
    "tools[mcp].require_approval.always.tool_names",
    "tools[mcp].require_approval.never.read_only",
    "tools[mcp].require_approval.never.tool_names",
    "tools[mcp].server_description",
    "tools[mcp].server_url",
    "tools[mcp].tunnel_id",
    "tracing.group_id",
    "tracing.metadata",
    "tracing.workflow_name",
    "truncation",
    "truncation[retention_ratio].token_limits.post_instructions",
]


def with_null(event: Json, place: Place) -> Json:
    """Return a copy of the event in which the member is null."""
    changed, parent = copy_of(event, place)
    parent[place[-1]] = None
    return changed


def without(event: Json, place: Place) -> Json:
    """Return a copy of the event without the member."""
    changed, parent = copy_of(event, place)
    parent.pop(place[-1], None)
    return changed


def copy_of(event: Json, place: Place) -> tuple[Json, Any]:
    """Return a copy of the event, and the object in it that has the member."""
    changed: Json = json.loads(json.dumps(event))  # unlike deepcopy, this separates shared parts
    parent: Any = changed
    for step in place[:-1]:
        parent = parent[step]
    return changed, parent


def answer_to(event: Json) -> list[Json]:
    """Return what the server sends for the event as the first one of a conversation."""
    session = event.get("session") or {}
    intent = "&intent=transcription" if session.get("type") == "transcription" else ""
    path = f"/v1/realtime?model=gpt-realtime{intent}"
    harness = ProtocolHarness(ConnectionRequest(path, LOCAL_REQUEST.headers))
    if not intent:
        call = {"type": "function_call", "id": "item_0", "call_id": "call_0"}
        harness.send("conversation.item.create", item={**call, "name": "a", "arguments": "{}"})
    return harness.send_raw(json.dumps(event)) + harness.run()


def errors_in(frames: list[Json]) -> list[Json]:
    return [frame["error"] for frame in frames if frame["type"] == "error"]


@pytest.mark.parametrize("name", [n for n in MEMBERS if not n.endswith((*NEEDED, *CLEARABLE))])
def test_null_means_absent(name: str) -> None:
    event, place = MEMBERS[name]
    frames = answer_to(with_null(event, place))
    assert frames == answer_to(without(event, place))
    for error in errors_in(frames):
        assert error["code"] not in ("invalid_type", "unknown_parameter")


@pytest.mark.parametrize("name", NOT_NULLABLE_IN_THE_SCHEMA)
def test_the_test_above_covers_a_setting(name: str) -> None:
    assert f"session[realtime].{name}" in MEMBERS
    assert not name.endswith((*NEEDED, *CLEARABLE))


def test_the_examples_have_all_members_of_the_schema() -> None:
    reached = {
        member
        for event in EVENTS
        for _, member in optional_members(schema_of_event(event["type"]), event)
    }
    refused_by_server = {
        member
        for name in ("RealtimeMCPToolCall", "RealtimeMCPListTools", "RealtimeMCPApprovalRequest")
        for member in every_optional_member({"$ref": f"#/$defs/{name}"})
    }
    for kind in schema_of_protocol()["x-event-index"]["client"]:
        if kind != "output_audio_buffer.clear":
            members = set(every_optional_member(schema_of_event(kind)))
            assert {key for _, key in members - reached - refused_by_server} == set()


@pytest.mark.parametrize("name", [n for n in MEMBERS if n.endswith(NEEDED)])
def test_null_is_refused_where_the_member_is_needed(name: str) -> None:
    event, place = MEMBERS[name]
    (error,) = errors_in(answer_to(with_null(event, place)))
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_type")
    assert error["message"].endswith("but got null instead.")
    (error,) = errors_in(answer_to(without(event, place)))
    assert error["code"] == "missing_required_parameter"


@pytest.mark.parametrize(
    "event",
    [
        {"type": None},
        {"type": "session.update", "session": None},
        {"type": "session.update", "session": {"type": None}},
        {"type": "input_audio_buffer.append", "audio": None},
        {"type": "conversation.item.create", "item": None},
        {"type": "conversation.item.delete", "item_id": None},
        {"type": "response.create", "response": {"metadata": {"k": None}}},
        {"type": "response.create", "response": {"input": [None]}},
        {"type": "response.create", "response": {"another": None}},
    ],
)
def test_other_nulls_are_refused(event: Json) -> None:
    (error,) = errors_in(answer_to(event))
    assert error["type"] == "invalid_request_error"


def test_null_turns_settings_off() -> None:
    harness = ProtocolHarness()
    settings = _session(0, FORMATS[0])
    harness.update(prompt=settings["prompt"], include=settings["include"])
    harness.update(audio={"input": settings["audio"]["input"]})
    off = {"transcription": None, "noise_reduction": None, "turn_detection": None}
    (updated,) = harness.update(audio={"input": off}, prompt=None, include=None)
    session = updated["session"]
    assert session["audio"]["input"] == {"format": FORMATS[0], **off}
    assert (session["prompt"], session["include"]) == (None, None)
