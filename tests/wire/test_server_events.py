"""What is received is liberal: nothing that a server adds, leaves out or garbles costs an event.

Every server event is made with all its fields set, as JSON. Then each value in it, at any depth, is
dropped, nulled or replaced, one at a time. An event becomes an :class:`UnknownEvent` only where it
lacks what it is useless without, by the table here; and every field has a value of its type,
whatever came.
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

# What an event is useless without, and the JSON kind that it has to be.
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
    "response.content_part.done": {**IN_RESPONSE, "part": OBJECT},
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

every_event = pytest.mark.parametrize("cls", SERVER_EVENTS, ids=lambda cls: cls.type)

# --- events with everything in them -------------------------------------------------------------

FREE_OBJECT = {"key": "value"}
STRANGER = {"type": "unheard_of", "id": "strange_1"}
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
    """The kinds in a union, without those that stand for nothing."""
    if not is_union(annotation):
        return [annotation]
    return [kind for kind in get_args(annotation) if kind not in (type(None), Unset)]


def sample(annotation: Any, variant: int) -> Any:
    """A value of this type with all in it; in a union, ``variant`` chooses the member."""
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
        return cls(raw=dict(STRANGER))
    return cls(
        **{
            name: sample(field.type, variant)
            for name, field in fields.items()
            if field.metadata.get("on_the_wire", True)
        }
    )


VARIANTS: Final = range(8)  # as many as there are kinds of items


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of the type that its field has, all the way down."""
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
    """Every place in a JSON value below its root."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in inside:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def damaged(frame: Any, path: tuple[Any, ...], replacement: Any) -> dict[str, Any]:
    result: dict[str, Any] = copy.deepcopy(frame)
    parent = at(result, path[:-1])
    if replacement is DROPPED:
        del parent[path[-1]]
    else:
        parent[path[-1]] = replacement
    return result


def serves_as(kind: str, value: Any) -> bool:
    if kind == OBJECT:
        return isinstance(value, dict)
    # None of the texts in DAMAGE is base64.
    return isinstance(value, str) and kind == TEXT


def is_lost(tag: str, path: tuple[Any, ...], replacement: Any) -> bool:
    """Whether the event cannot be what it was, with this damage."""
    kind = REQUIRED[tag].get(path[0]) if len(path) == 1 else None
    return kind is not None and not serves_as(kind, replacement)


# --- tests --------------------------------------------------------------------------------------


def test_the_table_has_every_event() -> None:
    assert set(REQUIRED) == {cls.type for cls in SERVER_EVENTS}


@every_event
def test_an_event_comes_back_from_its_json(cls: type[ServerEvent]) -> None:
    for variant in VARIANTS:
        event = sample_object(cls, variant)
        assert decode_server_event(json.dumps(unstructure(event))) == event


@every_event
def test_damage_anywhere_costs_no_more_than_what_was_damaged(cls: type[ServerEvent]) -> None:
    frame = unstructure(sample_object(cls, 0))
    del frame["type"]

    for path in paths(frame):
        for replacement in DAMAGE:
            broken = {"type": cls.type, **damaged(frame, path, replacement)}
            event = structure_server_event(broken)
            where = (path, replacement)
            assert is_sound(event), where
            if is_lost(cls.type, path, replacement):
                assert type(event) is UnknownEvent, where
                assert event.raw == broken
                assert event.problem is not None, where
                assert path[0] in event.problem, where
                assert event.wire_type == cls.type
            else:
                assert type(event) is cls, where


@every_event
def test_one_bad_value_leaves_its_neighbours_alone(cls: type[ServerEvent]) -> None:
    whole = sample_object(cls, 0)
    frame = unstructure(whole)

    for name in attrs.fields_dict(cls):
        if name in REQUIRED[cls.type]:
            continue
        event = structure_server_event({**frame, name: None})
        for other in attrs.fields_dict(cls):
            if other != name:
                assert getattr(event, other) == getattr(whole, other), (name, other)


@every_event
def test_unknown_keys_anywhere_are_passed_over(cls: type[ServerEvent]) -> None:
    for variant in VARIANTS:
        event = sample_object(cls, variant)
        frame = unstructure(event)
        objects: list[Any] = [frame, *(at(frame, path) for path in paths(frame))]
        for value in objects:
            if isinstance(value, dict) and value not in (FREE_OBJECT, STRANGER):
                value["obfuscation"] = {"type": "message", "x": [None]}

        assert structure_server_event(frame) == event


@every_event
def test_the_least_that_an_event_can_be_is_enough(cls: type[ServerEvent]) -> None:
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


@every_event
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_of_a_known_type_never_raises(cls: type[ServerEvent], data: st.DataObject) -> None:
    names = st.sampled_from([*attrs.fields_dict(cls), "more"])
    frame = data.draw(st.dictionaries(names, json_values, max_size=6))
    frame["type"] = cls.type

    event = structure_server_event(frame)

    assert type(event) in (cls, UnknownEvent)
    assert is_sound(event)


@given(frame=st.dictionaries(st.sampled_from(["type", "event_id", "x"]), json_values))
@settings(max_examples=60, deadline=None)
def test_an_object_of_no_known_type_is_an_unknown_event(frame: dict[str, Any]) -> None:
    event = structure_server_event(frame)

    assert type(event) is UnknownEvent
    assert event.raw is frame
    assert is_sound(event)
    assert event.wire_type == (frame["type"] if isinstance(frame.get("type"), str) else "")


def test_only_a_broken_event_has_a_problem() -> None:
    new = decode_server_event('{"type":"response.hummed","event_id":"event_1"}')
    typeless = decode_server_event('{"event_id":"event_1"}')

    assert isinstance(new, UnknownEvent)
    assert (new.event_id, new.wire_type, new.problem) == ("event_1", "response.hummed", None)
    assert isinstance(typeless, UnknownEvent)
    assert typeless.problem


def test_kinds_that_are_not_known_here_keep_their_json() -> None:
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


def test_unknown_words_stay_as_they_are() -> None:
    event = structure_server_event(
        {
            "type": "response.done",
            "response": {"id": "resp_1", "status": "evaporated", "output_modalities": ["smell"]},
        }
    )

    assert isinstance(event, ResponseDone)
    assert event.response.status == "evaporated"
    assert event.response.output_modalities == ("smell",)


def test_null_and_absent_are_told_apart_where_it_matters() -> None:
    item = {"type": "message", "role": "user"}
    first = structure_server_event(
        {
            "type": "conversation.item.added",
            "item": item,
            "previous_item_id": None,
        }
    )
    unsaid = structure_server_event({"type": "conversation.item.added", "item": item})

    assert isinstance(first, ConversationItemAdded)
    assert isinstance(unsaid, ConversationItemAdded)
    assert first.previous_item_id is None
    assert unsaid.previous_item_id is UNSET


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


def test_a_bound_for_what_is_sent_does_not_hold_for_what_is_told() -> None:
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
def test_what_a_session_does_not_tell_is_not_known(audio: dict[str, Any]) -> None:
    for session in (Session(), session_with(audio)):
        assert session.output_format is None
        assert session.input_format is None
        assert session.creates_response is False
        assert session.interrupts_response is False
    assert not UNSET
    assert repr(UNSET) == "UNSET"


def test_a_session_tells_its_formats() -> None:
    session = session_with(
        {
            "input": {"format": {"type": "audio/pcmu"}},
            "output": {"format": {"type": "audio/pcm", "rate": 24000}},
        }
    )

    assert session.input_format == AudioFormat(type="audio/pcmu")
    assert session.output_format == AudioFormat(type="audio/pcm", rate=24000)


@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad", "lip_vad"])
@pytest.mark.parametrize("told", [True, False, None])
def test_a_session_tells_what_the_service_does_by_itself(kind: str, told: bool | None) -> None:
    vad = {"type": kind, "create_response": told, "interrupt_response": told}
    session = session_with({"input": {"turn_detection": vad}})

    assert session.creates_response is (told is not False)  # the service's default
    assert session.interrupts_response is (told is True)


def test_large_integers_are_exact() -> None:
    event: Any = structure_server_event(
        {
            "type": "session.updated",
            "session": {"expires_at": 2**60 + 1},
        }
    )

    assert event.session.expires_at == 2**60 + 1


def test_a_call_without_an_id_is_still_a_call() -> None:
    event: Any = structure_server_event(
        {
            "type": "response.output_item.done",
            "response_id": "resp_1",
            "item": {"type": "function_call", "call_id": "", "name": "f", "arguments": "{}"},
        }
    )

    assert event.item == FunctionCallItem(call_id="", name="f", arguments="{}")


# --- against the published schema ---------------------------------------------------------------

# Known to the schema, of no use to a client.
IGNORED = {"object", "obfuscation"}
# The schema has one object for all parts of a role; each kind has a use for some of its keys only.
PART_KEYS = {
    "input_text": {"type", "text"},
    "input_audio": {"type", "audio", "transcript"},
    "input_image": {"type", "image_url", "detail"},
    "output_text": {"type", "text"},
    "output_audio": {"type", "audio", "transcript"},
}


JSON_KINDS: dict[Any, Any] = {"string": "AAAA", "integer": 3, "number": 0.5, "boolean": True}


class Schema:
    """Makes a JSON value with every property that the schema has for it.

    Where it has a choice, it draws lots; the same variant always gives the same event.
    """

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text("utf-8"))
        self._definitions = document["$defs"]
        self._index: dict[str, str] = document["x-event-index"]["server"]

    def event(self, tag: str, variant: int) -> dict[str, Any]:
        self._lots = random.Random(variant)
        value: dict[str, Any] = self._make(self._definitions[self._index[tag]])
        return value

    def _make(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self._make(self._definitions[schema["$ref"].rpartition("/")[2]])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._lots.choice(schema["enum"])
        for union in ("anyOf", "oneOf"):
            if union in schema:
                kinds = [kind for kind in schema[union] if kind != {"type": "null"}]
                return self._make(self._lots.choice(kinds))
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


def missing(sent: Any, kept: Any, path: str = "") -> Iterator[str]:
    """What of a JSON value was not kept."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        for key, value in sent.items():
            if key not in IGNORED:
                yield from missing(value, kept.get(key, DROPPED), f"{path}.{key}")
    elif isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        for index, value in enumerate(sent):
            yield from missing(value, kept[index], f"{path}.{index}")
    elif sent != kept:
        yield f"{path}: {sent!r} became {kept!r}"


@every_event
def test_every_property_of_the_schema_is_kept(schema: Schema, cls: type[ServerEvent]) -> None:
    for variant in range(30):
        frame = schema.event(cls.type, variant)

        event = structure_server_event(frame)

        assert type(event) is cls
        assert [*missing(frame, unstructure(event))] == [], variant
