"""JSON text to events and back: one cattrs converter, liberal on the way in, strict on the way out.

On the way in nothing that a server adds, leaves out or sets to ``null`` costs an event:

* unknown keys are passed over, unknown enum values stay as they are;
* ``null``, or a value of the wrong JSON type, stands for "absent" where the field has no ``None``;
* an absent key takes the field's default; an event that lacks what it is useless without becomes an
  :class:`UnknownEvent` with its ``problem``, as does one of an unknown type;
* items, parts and tools of unknown kinds keep their JSON.

Whoever wants every key keeps the text of the frame. Audio is base64 on the wire and bytes in the
events; it is decoded here, once.

On the way out a key is written if it was set: ``UNSET`` leaves it out, and so does ``None`` in a
field whose default is ``None``; ``None`` in a field that defaults to ``UNSET`` is sent as ``null``.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin

import attrs
import msgspec
import pybase64
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from .base import (
    UNSET,
    ClientEvent,
    JsonObject,
    ServerEvent,
    UnknownEvent,
    Unset,
    WireObject,
)
from .client import CLIENT_EVENTS, InputAudioBufferAppend
from .items import (
    KNOWN_ITEMS,
    KNOWN_PARTS,
    ContentPart,
    Item,
    ItemReference,
    UnknownItem,
    UnknownPart,
)
from .response import InputItem
from .server import (
    SERVER_EVENTS,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
)
from .settings import (
    FunctionToolSpec,
    McpToolSpec,
    SemanticVad,
    ServerVad,
    ToolSpec,
    TurnDetection,
    UnknownToolSpec,
    UnknownTurnDetection,
)

T = TypeVar("T")
Hook: TypeAlias = Callable[[Any, Any], Any]


class FrameError(ValueError):
    """A frame is not a JSON object, so it is no event at all."""


class _Misfit(Exception):
    """A JSON value does not fit a field; the field takes its default."""


# --- values ------------------------------------------------------------------------------------


def _text(value: Any, _: Any) -> str:
    if isinstance(value, str):
        return value
    raise _Misfit


def _integer(value: Any, _: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise _Misfit


def _number(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Misfit
    try:
        return float(value)
    except OverflowError:  # JSON has no largest integer, floats have
        raise _Misfit from None


def _truth(value: Any, _: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _Misfit


def _audio(value: Any, _: Any) -> bytes:
    try:
        return pybase64.b64decode(value)
    except (ValueError, TypeError):
        raise _Misfit from None


def _as_is(value: Any, _: Any) -> Any:
    return value


def _mapping(value: Any, _: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    raise _Misfit


def _tuple_hook(annotation: Any, converter: Converter) -> Hook:
    (element, _dots) = get_args(annotation)
    hook = converter.get_structure_hook(element)

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise _Misfit
        return tuple(_fitting(hook, element, value))

    return structure


def _fitting(hook: Hook, element: Any, values: Any) -> Any:
    for value in values:
        try:
            yield hook(value, element)
        except _Misfit:
            continue


# --- objects -----------------------------------------------------------------------------------


def _liberal_hook(cls: type[Any], converter: Converter) -> Hook:
    """Structure an attrs class from JSON, field by field, with defaults for what does not fit."""
    attrs.resolve_types(cls)
    readers = [_field_reader(field, converter) for field in attrs.fields(cls) if _travels(field)]

    def structure(value: Any, _: Any) -> Any:
        source = _mapping(value, None)
        arguments: dict[str, Any] = {}
        for read in readers:
            read(source, arguments)
        return _construct(cls, arguments)

    return structure


def _construct(cls: type[T], arguments: dict[str, Any]) -> T:
    try:
        return cls(**arguments)
    except (ValueError, TypeError):
        # A bound that holds for what we send does not hold for what we are told.
        with attrs.validators.disabled():
            return cls(**arguments)


def _travels(field: attrs.Attribute[Any]) -> bool:
    return bool(field.metadata.get("on_the_wire", True))


def _field_reader(
    field: attrs.Attribute[Any], converter: Converter
) -> Callable[[Mapping[str, Any], dict[str, Any]], None]:
    name, annotation = field.name, field.type
    required = field.default is attrs.NOTHING
    nullable = annotation is Any or type(None) in get_args(annotation)
    hook = converter.get_structure_hook(annotation) if annotation is not Any else _as_is

    def read(source: Mapping[str, Any], arguments: dict[str, Any]) -> None:
        value = source.get(name, UNSET)
        if value is None and nullable:
            arguments[name] = None
            return
        if value is not UNSET and value is not None:
            try:
                arguments[name] = hook(value, annotation)
                return
            except _Misfit:
                pass
        if required:
            raise _Misfit(f"{name} is missing or not of its type")

    return read


def _tagged_hook(
    classes: tuple[type[WireObject], ...],
    unknown: type[Any],
    converter: Converter,
) -> Hook:
    by_tag: dict[str, tuple[Hook, type[WireObject]]] = {
        cls.type: (converter.get_structure_hook(cls), cls)  # type: ignore[attr-defined]
        for cls in classes
    }

    def structure(value: Any, _: Any) -> Any:
        source = _mapping(value, None)
        tag = source.get("type")
        found = by_tag.get(tag) if isinstance(tag, str) else None
        if found is not None:
            return found[0](source, found[1])
        return unknown(raw=source)

    return structure


def _union_hook(annotation: Any, converter: Converter) -> Hook:
    """Unions of JSON kinds with ``None`` and ``UNSET``: the first member that fits."""
    members = [m for m in get_args(annotation) if m is not type(None) and m is not Unset]
    if frozenset(members) in _TAGGED:
        return converter.get_structure_hook(_TAGGED[frozenset(members)])
    if len(members) == 1:
        return converter.get_structure_hook(members[0])
    hooks = [(converter.get_structure_hook(member), member) for member in members]

    def structure(value: Any, _: Any) -> Any:
        for hook, member in hooks:
            try:
                return hook(value, member)
            except _Misfit:
                continue
        raise _Misfit

    return structure


def _origin(annotation: Any) -> Any:
    return get_origin(annotation)


def _is_union(annotation: Any) -> bool:
    return _origin(annotation) in (Union, types.UnionType)


_TAGGED: dict[frozenset[Any], Any] = {
    frozenset(get_args(union)): union for union in (Item, ContentPart, ToolSpec, TurnDetection)
}


# --- the converter -----------------------------------------------------------------------------


def _register_values(converter: Converter) -> None:
    values: tuple[tuple[Any, Hook], ...] = (
        (str, _text),
        (int, _integer),
        (float, _number),
        (bool, _truth),
        (bytes, _audio),
    )
    for kind, hook in values:
        converter.register_structure_hook(kind, hook)

    def tuple_of(kind: Any) -> Hook:
        return _tuple_hook(kind, converter)

    def mapping(_kind: Any) -> Hook:
        return _mapping

    converter.register_structure_hook_factory(lambda kind: _origin(kind) is tuple, tuple_of)
    converter.register_structure_hook_factory(lambda kind: _origin(kind) is Mapping, mapping)


def _register_objects(converter: Converter) -> None:
    def union_of(kind: Any) -> Hook:
        return _union_hook(kind, converter)

    def object_of(kind: Any) -> Hook:
        return _liberal_hook(kind, converter)

    converter.register_structure_hook_factory(_is_union, union_of)
    converter.register_structure_hook_factory(attrs.has, object_of)
    kinds: tuple[tuple[Any, tuple[type[WireObject], ...], type[Any]], ...] = (
        (ContentPart, KNOWN_PARTS, UnknownPart),
        (Item, KNOWN_ITEMS, UnknownItem),
        (InputItem, (*KNOWN_ITEMS, ItemReference), UnknownItem),
        (ToolSpec, (FunctionToolSpec, McpToolSpec), UnknownToolSpec),
        (TurnDetection, (ServerVad, SemanticVad), UnknownTurnDetection),
    )
    for union, classes, unknown in kinds:
        hook = _tagged_hook(classes, unknown, converter)
        converter.register_structure_hook_func(_is_exactly(union), hook)


def _is_exactly(union: Any) -> Callable[[Any], bool]:
    return lambda annotation: annotation == union


def _strict_unstructure(cls: type[Any], converter: Converter) -> Callable[[Any], JsonObject]:
    if "raw" in attrs.fields_dict(cls):
        return lambda value: dict(value.raw)
    attrs.resolve_types(cls)
    overrides = {
        field.name: override(omit_if_default=True) if _travels(field) else override(omit=True)
        for field in attrs.fields(cls)
        if field.default is None or field.default is UNSET
    }
    plain: Callable[[Any], JsonObject] = make_dict_unstructure_fn(cls, converter, **overrides)  # type: ignore[arg-type]
    tag = getattr(cls, "type", None)
    if not isinstance(tag, str):
        return plain
    return lambda value: {"type": tag, **plain(value)}


def _make_converter() -> Converter:
    converter = Converter(detailed_validation=False)
    _register_values(converter)
    _register_objects(converter)
    converter.register_unstructure_hook(bytes, pybase64.b64encode_as_string)
    converter.register_unstructure_hook(Unset, lambda _: None)

    def strict(cls: type[Any]) -> Callable[[Any], JsonObject]:
        return _strict_unstructure(cls, converter)

    def by_value(_kind: Any) -> Callable[[Any], Any]:
        return converter.unstructure

    converter.register_unstructure_hook_factory(attrs.has, strict)
    converter.register_unstructure_hook_factory(_is_union, by_value)
    return converter


converter: Converter = _make_converter()
"""The codec's converter, for whoever wants single objects: ``converter.structure(json, Session)``."""


# --- events ------------------------------------------------------------------------------------


def _hot_delta(cls: type[Any], read: Callable[[str], Any]) -> Hook:
    def structure(raw: JsonObject, _: Any) -> Any:
        event_id, response_id, item_id = raw["event_id"], raw["response_id"], raw["item_id"]
        output_index, content_index = raw["output_index"], raw["content_index"]
        delta = raw["delta"]
        if not (
            type(event_id) is type(response_id) is type(item_id) is type(delta) is str
            and type(output_index) is type(content_index) is int
        ):
            raise _Misfit
        return cls(
            event_id=event_id,
            response_id=response_id,
            item_id=item_id,
            output_index=output_index,
            content_index=content_index,
            delta=read(delta),
        )

    return structure


def _decode_audio(text: str) -> bytes:
    # Strict decoding is the fast one; what it refuses goes the liberal way.
    return pybase64.b64decode(text, validate=True)


# The events of which there are thousands. Written out for the usual case; anything unusual (a
# missing key, another type) falls through to the liberal hook of the same class.
_HOT: dict[str, Hook] = {
    ResponseOutputAudioDelta.type: _hot_delta(ResponseOutputAudioDelta, _decode_audio),
    ResponseOutputAudioTranscriptDelta.type: _hot_delta(ResponseOutputAudioTranscriptDelta, str),
    ResponseOutputTextDelta.type: _hot_delta(ResponseOutputTextDelta, str),
}
_SERVER: dict[str, tuple[Hook, type[ServerEvent]]] = {
    cls.type: (converter.get_structure_hook(cls), cls) for cls in SERVER_EVENTS
}
_CLIENT: dict[str, tuple[Hook, type[ClientEvent]]] = {
    cls.type: (converter.get_structure_hook(cls), cls) for cls in CLIENT_EVENTS
}


def parse_frame(frame: str | bytes) -> JsonObject:
    """The JSON object in a frame.

    Raises:
        FrameError: it is not JSON, or not an object. Nothing of it can be used.
    """
    try:
        raw = _parse(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise FrameError(f"a frame is not JSON: {exc}") from None
    if not isinstance(raw, dict):
        raise FrameError(f"a frame is not a JSON object but {type(raw).__name__}")
    return cast("JsonObject", raw)


def _parse(frame: str | bytes) -> Any:
    try:
        return msgspec.json.decode(frame)
    except msgspec.DecodeError:
        # A server that cuts text into deltas by UTF-16 units can cut an emoji in two.
        text = frame if isinstance(frame, str) else frame.decode()
        mended = _without_halves(text)
        if mended == text:
            raise
        return msgspec.json.decode(mended)


_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair: one character
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\."
)


def _without_halves(json_text: str) -> str:
    """JSON text with a replacement character for each escaped half of a surrogate pair."""
    return _ESCAPES.sub(lambda found: "\\ufffd" if found["half"] else found[0], json_text)


def decode_server_event(frame: str | bytes) -> ServerEvent:
    """The server event in a frame; an :class:`UnknownEvent` where it is none that is known.

    Raises:
        FrameError: see :func:`parse_frame`.
    """
    return structure_server_event(parse_frame(frame))


def structure_server_event(raw: JsonObject) -> ServerEvent:
    """The server event in a JSON object. Never raises."""
    tag = raw.get("type")
    hot = _HOT.get(tag) if isinstance(tag, str) else None
    if hot is not None:
        try:
            event: ServerEvent = hot(raw, None)
        except (KeyError, ValueError, _Misfit):
            pass
        else:
            return event
    return _structure_liberally(tag, raw)


def _structure_liberally(tag: Any, raw: JsonObject) -> ServerEvent:
    found = _SERVER.get(tag) if isinstance(tag, str) else None
    if found is None:
        return _unknown(raw, None if isinstance(tag, str) else "it has no type")
    try:
        event: ServerEvent = found[0](raw, found[1])
    except _Misfit as exc:
        return _unknown(raw, str(exc) or "it is not an object")
    return event


def _unknown(raw: JsonObject, problem: str | None) -> UnknownEvent:
    event_id = raw.get("event_id")
    return UnknownEvent(
        event_id=event_id if isinstance(event_id, str) else "", raw=raw, problem=problem
    )


def decode_client_event(frame: str | bytes) -> ClientEvent:
    """The client event in a frame, for servers and test doubles.

    Raises:
        FrameError: it is no client event that is known.
    """
    raw = parse_frame(frame)
    tag = raw.get("type")
    found = _CLIENT.get(tag) if isinstance(tag, str) else None
    if found is None:
        raise FrameError(f"no client event has the type {tag!r}")
    try:
        event: ClientEvent = found[0](raw, found[1])
    except _Misfit as exc:
        raise FrameError(f"{tag}: {exc}") from None
    return event


def unstructure(value: WireObject) -> JsonObject:
    """The JSON object of an event, an item or any other wire object."""
    result: JsonObject = converter.unstructure(value)
    return result


def encode(event: ClientEvent | ServerEvent) -> str:
    """The frame of an event."""
    if type(event) is InputAudioBufferAppend and event.event_id is None:
        # The one event of which there are thousands; base64 needs no JSON escaping.
        audio = pybase64.b64encode_as_string(event.audio)
        return f'{{"type":"input_audio_buffer.append","audio":"{audio}"}}'
    return _dump(unstructure(event))


def _dump(value: JsonObject) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        # Half a surrogate pair is no Unicode text; the rest of the text is worth sending.
        return _without_halves(json.dumps(value))
