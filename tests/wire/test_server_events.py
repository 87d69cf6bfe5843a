"""Lenient decoding of server events: additional, missing and invalid values do not cost an event.

Every server event is created with all fields set and converted to JSON. Then each value, at any
depth, is removed, set to null or replaced, one at a time. The event may become an
:class:`UnknownEvent` only if it lacks a required key of the table below. Otherwise every field must
have a value of its type.
"""

from __future__ import annotations

import copy
import json
import random
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from trio_realtime.wire import (
    SERVER_EVENTS,
    UNSET,
    AudioFormat,
    AudioSettings,
    ConversationItemAdded,
    FunctionCallItem,
    InputAudio,
    MessageItem,
    ResponseDone,
    ResponseOutputAudioDelta,
    ServerEvent,
    Session,
    SessionUpdated,
    UnknownEvent,
    UnknownItem,
    UnknownPart,
    UnknownToolSpec,
    UnknownTurnDetection,
    Unset,
    converter,
    decode_server_event,
    structure_server_event,
    unstructure,
)

# The required keys of each event, and the kind of JSON value that each requires.
TEXT, OBJECT, BASE64 = "text", "object", "base64"
IN_RESPONSE = {"response_id": TEXT, "item_id": TEXT}
REQUIRED: dict[str, dict[str, str]] = {
    "session.created": {"session": OBJECT},
    "session.updated": {"session": OBJECT},
    "conversation.created": {},
    "error": {"error": OBJECT},
    "input_audio_buffer.committed": {"item_id": TEXT},
    "input_audio_buffer.cleared": {},
    "input_audio_buffer.speech_started": {},
    "input_audio_buffer.speech_stopped": {},
    "input_audio_buffer.timeout_triggered": {},
    "input_audio_buffer.dtmf_event_received": {"event": TEXT},
    "conversation.item.added": {"item": OBJECT},
    "conversation.item.created": {"item": OBJECT},
    "conversation.item.done": {"item": OBJECT},
    "conversation.item.retrieved": {"item": OBJECT},
    "conversation.item.truncated": {"item_id": TEXT},
    "conversation.item.deleted": {"item_id": TEXT},
    "conversation.item.input_audio_transcription.delta": {"item_id": TEXT},
    "conversation.item.input_audio_transcription.completed": {"item_id": TEXT},
    "conversation.item.input_audio_transcription.failed": {"item_id": TEXT, "error": OBJECT},
    "conversation.item.input_audio_transcription.segment": {"item_id": TEXT},
    "response.created": {"response": OBJECT},
    "response.done": {"response": OBJECT},
    "response.output_item.added": {"response_id": TEXT, "item": OBJECT},
    "response.output_item.done": {"response_id": TEXT, "item": OBJECT},
    "response.content_part.added": {**IN_RESPONSE, "part": OBJECT},
    "response.content_part.done": IN_RESPONSE,
    "response.output_text.delta": {**IN_RESPONSE, "delta": TEXT},
    "response.output_text.done": IN_RESPONSE,
    "response.output_audio.delta": {**IN_RESPONSE, "delta": BASE64},
    "response.output_audio.done": IN_RESPONSE,
    "response.output_audio_transcript.delta": {**IN_RESPONSE, "delta": TEXT},
    "response.output_audio_transcript.done": IN_RESPONSE,
    "response.function_call_arguments.delta": IN_RESPONSE,
    "response.function_call_arguments.done": IN_RESPONSE,
    "mcp_list_tools.in_progress": {"item_id": TEXT},
    "mcp_list_tools.completed": {"item_id": TEXT},
    "mcp_list_tools.failed": {"item_id": TEXT},
    "response.mcp_call_arguments.delta": IN_RESPONSE,
    "response.mcp_call_arguments.done": IN_RESPONSE,
    "response.mcp_call.in_progress": {"item_id": TEXT},
    "response.mcp_call.completed": {"item_id": TEXT},
    "response.mcp_call.failed": {"item_id": TEXT},
    "rate_limits.updated": {},
    "output_audio_buffer.started": {},
    "output_audio_buffer.stopped": {},
    "output_audio_buffer.cleared": {},
}

for_every_event = pytest.mark.parametrize("cls", SERVER_EVENTS, ids=lambda cls: cls.type)

# --- complete events ----------------------------------------------------------------------------

FREE_OBJECT = {"key": "value"}
UNKNOWN_OBJECT = {"type": "unknown_type", "id": "strange_1"}
SCALARS: dict[Any, Any] = {
    str: "text",
    int: 6000,
    float: 1.0,
    bool: True,
    bytes: b"\x01\x02\x03",
    Any: 12,
}


def is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def members(annotation: Any) -> list[Any]:
    """Return the members of a union, without ``None`` and ``Unset``."""
    if not is_union(annotation):
        return [annotation]
    return [kind for kind in get_args(annotation) if kind not in (type(None), Unset)]


def sample(annotation: Any, variant: int) -> Any:
    """Create a complete value of this type. ``variant`` selects the member of a union."""
    kinds = members(annotation)
    kind = kinds[variant % len(kinds)]
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return tuple(sample(inner, number) for number in range(len(members(inner))))
    if get_origin(kind) is Mapping:
        return dict(FREE_OBJECT)
    return sample_object(kind, variant) if attrs.has(kind) else SCALARS[kind]


def sample_object(cls: type[Any], variant: int) -> Any:
    attrs.resolve_types(cls)
    fields = attrs.fields_dict(cls)
    if "raw" in fields:
        return cls(raw=dict(UNKNOWN_OBJECT))
    return cls(
        **{
            name: sample(field.type, variant)
            for name, field in fields.items()
            if field.metadata.get("on_the_wire", True)
        }
    )


VARIANTS: Final = range(8)  # one for each type of item


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value recursively matches the annotation of its field."""
    if annotation is Any:
        return True
    if is_union(annotation):
        return any(fits(value, kind) for kind in get_args(annotation))
    if get_origin(annotation) is tuple:
        inner = get_args(annotation)[0]
        return type(value) is tuple and all(fits(element, inner) for element in value)
    if get_origin(annotation) is Mapping:
        return isinstance(value, Mapping)
    return type(value) is annotation and (not attrs.has(annotation) or is_sound(value))


def is_sound(value: Any) -> bool:
    attrs.resolve_types(type(value))
    fields = attrs.fields_dict(type(value))
    return all(fits(getattr(value, name), field.type) for name, field in fields.items())


# --- damage -------------------------------------------------------------------------------------

DROPPED: Final = object()
DAMAGE: tuple[Any, ...] = (
    *(DROPPED, None, "new kind", 7, -1.5, 10**400, True, [], {}),
    *([None, 1, "x", {}], {"type": "new kind"}, {"type": ["message"]}),
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value nested in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in inside:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*path, key))


def value_at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def damaged(frame: Any, path: tuple[Any, ...], replacement: Any) -> dict[str, Any]:
    result: dict[str, Any] = copy.deepcopy(frame)
    parent = value_at(result, path[:-1])
    if replacement is DROPPED:
        del parent[path[-1]]
    else:
        parent[path[-1]] = replacement
    return result


def is_valid_for(kind: str, value: Any) -> bool:
    if kind == OBJECT:
        return isinstance(value, dict)
    # None of the strings in DAMAGE is valid base64.
    return isinstance(value, str) and kind == TEXT


def makes_event_unknown(tag: str, path: tuple[Any, ...], replacement: Any) -> bool:
    """Whether this damage turns the event into an unknown event."""
    kind = REQUIRED[tag].get(path[0]) if len(path) == 1 else None
    return kind is not None and not is_valid_for(kind, replacement)


# --- tests --------------------------------------------------------------------------------------


def test_the_table_covers_every_event() -> None:
    assert set(REQUIRED) == {cls.type for cls in SERVER_EVENTS}


@for_every_event
def test_events_round_trip(cls: type[ServerEvent]) -> None:
    for variant in VARIANTS:
        event = sample_object(cls, variant)
        assert decode_server_event(json.dumps(unstructure(event))) == event


@for_every_event
def test_damage_affects_only_the_damaged_value(cls: type[ServerEvent]) -> None:
    frame = unstructure(sample_object(cls, 0))
    del frame["type"]

    for path in paths(frame):
        for replacement in DAMAGE:
            broken = {"type": cls.type, **damaged(frame, path, replacement)}
            event = structure_server_event(broken)
            where = (path, replacement)
            assert is_sound(event), where
            if makes_event_unknown(cls.type, path, replacement):
                assert type(event) is UnknownEvent, where
                assert event.raw == broken
                assert event.problem is not None, where
                assert path[0] in event.problem, where
                assert event.wire_type == cls.type
            else:
                assert type(event) is cls, where


@for_every_event
def test_a_null_does_not_affect_other_fields(cls: type[ServerEvent]) -> None:
    whole = sample_object(cls, 0)
    frame = unstructure(whole)

    for name in attrs.fields_dict(cls):
        if name in REQUIRED[cls.type]:
            continue
        event = structure_server_event({**frame, name: None})
        for other in attrs.fields_dict(cls):
            if other != name:
                assert getattr(event, other) == getattr(whole, other), (name, other)


@for_every_event
def test_unknown_keys_are_ignored(cls: type[ServerEvent]) -> None:
    for variant in VARIANTS:
        event = sample_object(cls, variant)
        frame = unstructure(event)
        objects: list[Any] = [frame, *(value_at(frame, path) for path in paths(frame))]
        for value in objects:
            if isinstance(value, dict) and value not in (FREE_OBJECT, UNKNOWN_OBJECT):
                value["obfuscation"] = {"type": "message", "x": [None]}

        assert structure_server_event(frame) == event


@for_every_event
def test_an_event_needs_only_its_required_keys(cls: type[ServerEvent]) -> None:
    least: dict[str, Any] = {TEXT: "item_1", OBJECT: {}, BASE64: "AAAA"}
    frame = {name: least[kind] for name, kind in REQUIRED[cls.type].items()}

    event = decode_server_event(json.dumps({"type": cls.type, **frame}))

    assert type(event) is cls
    assert is_sound(event)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["message", "function_call", "input_audio", "AAAA", "server_vad", "mcp"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "id type role content item items session audio input output turn_detection tools "
                "delta response item_id response_id text transcript error usage metadata".split()
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@for_every_event
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_arbitrary_values_of_a_known_type_never_raise(
    cls: type[ServerEvent], data: st.DataObject
) -> None:
    names = st.sampled_from([*attrs.fields_dict(cls), "more"])
    frame = data.draw(st.dictionaries(names, json_values, max_size=6))
    frame["type"] = cls.type

    event = structure_server_event(frame)

    assert type(event) in (cls, UnknownEvent)
    assert is_sound(event)


@given(frame=st.dictionaries(st.sampled_from(["type", "event_id", "x"]), json_values))
@settings(max_examples=60, deadline=None)
def test_an_object_of_unknown_type_is_an_unknown_event(frame: dict[str, Any]) -> None:
    event = structure_server_event(frame)

    assert type(event) is UnknownEvent
    assert event.raw is frame
    assert is_sound(event)
    assert event.wire_type == (frame["type"] if isinstance(frame.get("type"), str) else "")


def test_only_an_invalid_event_has_a_problem() -> None:
    new = decode_server_event('{"type":"response.hummed","event_id":"event_1"}')
    typeless = decode_server_event('{"event_id":"event_1"}')

    assert isinstance(new, UnknownEvent)
    assert (new.event_id, new.wire_type, new.problem) == ("event_1", "response.hummed", None)
    assert isinstance(typeless, UnknownEvent)
    assert typeless.problem


def test_objects_of_unknown_types_contain_their_json() -> None:
    hologram = {"type": "hologram", "id": "item_1", "status": "completed", "depth": [1, None]}
    part = {"type": "input_smell", "rose": 0.5}
    tool = {"type": "web_search", "name": "search"}
    vad = {"type": "lip_vad", "interrupt_response": True}

    added = structure_server_event({"type": "conversation.item.added", "item": hologram})
    message = structure_server_event(
        {
            "type": "conversation.item.added",
            "item": {"type": "message", "role": "user", "content": [part]},
        }
    )
    updated = structure_server_event(
        {
            "type": "session.updated",
            "session": {"tools": [tool], "audio": {"input": {"turn_detection": vad}}},
        }
    )

    assert isinstance(added, ConversationItemAdded)
    assert added.item == UnknownItem(raw=hologram)
    assert (added.item.id, added.item.status) == ("item_1", "completed")
    assert isinstance(message, ConversationItemAdded)
    assert isinstance(message.item, MessageItem)
    assert message.item.content == (UnknownPart(raw=part),)
    assert isinstance(updated, SessionUpdated)
    assert updated.session.tools == (UnknownToolSpec(raw=tool),)
    assert updated.session.interrupts_response is True
    assert isinstance(updated.session.audio, AudioSettings)
    assert updated.session.audio.input
    assert updated.session.audio.input.turn_detection == UnknownTurnDetection(raw=vad)


def test_unknown_enum_values_are_preserved() -> None:
    event = structure_server_event(
        {
            "type": "response.done",
            "response": {"id": "resp_1", "status": "evaporated", "output_modalities": ["smell"]},
        }
    )

    assert isinstance(event, ResponseDone)
    assert event.response.status == "evaporated"
    assert event.response.output_modalities == ("smell",)


def test_null_and_absent_are_distinguished_for_previous_item_id() -> None:
    item = {"type": "message", "role": "user"}
    first = structure_server_event(
        {
            "type": "conversation.item.added",
            "item": item,
            "previous_item_id": None,
        }
    )
    absent = structure_server_event({"type": "conversation.item.added", "item": item})

    assert isinstance(first, ConversationItemAdded)
    assert isinstance(absent, ConversationItemAdded)
    assert first.previous_item_id is None
    assert absent.previous_item_id is UNSET


def test_audio_is_decoded_once_to_bytes() -> None:
    delta = decode_server_event(
        '{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"i",'
        '"output_index":0,"content_index":0,"delta":"AQID"}'
    )
    retrieved: Any = decode_server_event(
        '{"type":"conversation.item.retrieved","item":{"type":"message","role":"user",'
        '"content":[{"type":"input_audio","audio":"AQID"}]}}'
    )

    assert isinstance(delta, ResponseOutputAudioDelta)
    assert delta.delta == b"\x01\x02\x03"
    assert retrieved.item.content == (InputAudio(audio=b"\x01\x02\x03"),)


def test_limits_for_sent_values_do_not_apply_to_received_values() -> None:
    session = converter.structure(
        {
            "audio": {
                "input": {"turn_detection": {"type": "server_vad", "threshold": 40.0}},
                "output": {"speed": 9},
            }
        },
        Session,
    )

    assert session.audio
    assert session.audio.output
    assert session.audio.output.speed == 9.0
    assert session.audio.input
    assert session.audio.input.turn_detection
    assert unstructure(session.audio.input.turn_detection)["threshold"] == 40.0


def session_with(audio: dict[str, Any]) -> Session:
    session: Session = converter.structure({"audio": audio}, Session)
    return session


@pytest.mark.parametrize("audio", [{}, {"input": {}, "output": {}}, {"input": None}])
def test_missing_session_settings_are_unknown(audio: dict[str, Any]) -> None:
    for session in (Session(), session_with(audio)):
        assert session.output_format is None
        assert session.input_format is None
        assert session.creates_response is False
        assert session.interrupts_response is False
    assert not UNSET
    assert repr(UNSET) == "UNSET"


def test_a_session_has_its_audio_formats() -> None:
    session = session_with(
        {
            "input": {"format": {"type": "audio/pcmu"}},
            "output": {"format": {"type": "audio/pcm", "rate": 24000}},
        }
    )

    assert session.input_format == AudioFormat(type="audio/pcmu")
    assert session.output_format == AudioFormat(type="audio/pcm", rate=24000)


@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad", "lip_vad"])
@pytest.mark.parametrize("flag", [True, False, None])
def test_a_session_has_the_turn_detection_flags(kind: str, flag: bool | None) -> None:
    vad = {"type": kind, "create_response": flag, "interrupt_response": flag}
    session = session_with({"input": {"turn_detection": vad}})

    assert session.creates_response is (flag is not False)  # the service's default
    assert session.interrupts_response is (flag is True)


def test_large_integers_are_exact() -> None:
    event: Any = structure_server_event(
        {
            "type": "session.updated",
            "session": {"expires_at": 2**60 + 1},
        }
    )

    assert event.session.expires_at == 2**60 + 1


def test_a_function_call_without_an_id_is_accepted() -> None:
    event: Any = structure_server_event(
        {
            "type": "response.output_item.done",
            "response_id": "resp_1",
            "item": {"type": "function_call", "call_id": "", "name": "f", "arguments": "{}"},
        }
    )

    assert event.item == FunctionCallItem(call_id="", name="f", arguments="{}")


# --- against the published schema ---------------------------------------------------------------

# Keys of the schema that the library ignores.
IGNORED = {"object", "obfuscation"}
# The schema has one object for all parts of a role, but each type of part uses only some keys.
PART_KEYS = {
    "input_text": {"type", "text"},
    "input_audio": {"type", "audio", "transcript"},
    "input_image": {"type", "image_url", "detail"},
    "output_text": {"type", "text"},
    "output_audio": {"type", "audio", "transcript"},
}


JSON_KINDS: dict[Any, Any] = {"string": "AAAA", "integer": 3, "number": 0.5, "boolean": True}


class Schema:
    """Generates JSON values that contain every property of the published schema.

    Alternatives are chosen at random, with the variant as seed.
    """

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text("utf-8"))
        self._definitions = document["$defs"]
        self._index: dict[str, str] = document["x-event-index"]["server"]

    def event(self, tag: str, variant: int) -> dict[str, Any]:
        self._random = random.Random(variant)
        value: dict[str, Any] = self._make(self._definitions[self._index[tag]])
        return value

    def _make(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self._make(self._definitions[schema["$ref"].rpartition("/")[2]])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        for union in ("anyOf", "oneOf"):
            if union in schema:
                kinds = [kind for kind in schema[union] if kind != {"type": "null"}]
                return self._make(self._random.choice(kinds))
        return self._of_type(schema)

    def _of_type(self, schema: dict[str, Any]) -> Any:
        match schema.get("type"):
            case "object":
                properties = schema.get("properties", {})
                made = {name: self._make(inner) for name, inner in properties.items()}
                keys = PART_KEYS.get(made.get("type", ""), made)
                return {name: value for name, value in made.items() if name in keys}
            case "array":
                return [self._make(schema["items"]) for _ in range(3)]
            case kind:
                return JSON_KINDS[kind]


@pytest.fixture(scope="module")
def schema(data_dir: Path) -> Schema:
    return Schema(data_dir / "realtime_events.wire.schema.json")


def missing(original: Any, decoded: Any, path: str = "") -> Iterator[str]:
    """Yield the differences between a JSON value and its decoded copy."""
    if isinstance(original, dict) and isinstance(decoded, dict):
        for key, value in original.items():
            if key not in IGNORED:
                yield from missing(value, decoded.get(key, DROPPED), f"{path}.{key}")
    elif isinstance(original, list) and isinstance(decoded, list) and len(original) == len(decoded):
        for index, value in enumerate(original):
            yield from missing(value, decoded[index], f"{path}.{index}")
    elif original != decoded:
        yield f"{path}: {original!r} became {decoded!r}"


@for_every_event
def test_every_property_of_the_schema_is_decoded(schema: Schema, cls: type[ServerEvent]) -> None:
    for variant in range(30):
        frame = schema.event(cls.type, variant)

        event = structure_server_event(frame)

        assert type(event) is cls
        assert [*missing(frame, unstructure(event))] == [], variant
