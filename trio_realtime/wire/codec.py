"""Convert between JSON text and events with one cattrs converter.

Decoding is lenient. A key that a server adds, omits or sets to ``null`` does not cost an event:

* Unknown keys are ignored, and unknown enum values are preserved.
* ``null``, or a value of the wrong JSON type, counts as absent if the field does not allow it.
* An absent key gets the field's default. An event that lacks a required key becomes an
  :class:`UnknownEvent` with a ``problem``. An event of an unknown type becomes an
  :class:`UnknownEvent` too.
* Items, parts and tools of unknown types contain their JSON.

Events do not contain every key of the frame; a caller that needs all keys must keep the text of the
frame. Audio is base64 in JSON and bytes in events. It is decoded once, in this module.

Encoding is strict. A key is written if it was set. ``UNSET`` omits the key, and so does ``None`` in
a field whose default is ``None``. ``None`` in a field that defaults to ``UNSET`` is sent as
``null``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias, cast

import msgspec
import pybase64

from .base import (
    ClientEvent,
    InvalidValue,
    JsonObject,
    ServerEvent,
    UnknownEvent,
    WireObject,
)
from .client import CLIENT_EVENTS, InputAudioBufferAppend, UnknownClientEvent
from .conversion import converter
from .extra import add_extra, missing_keys, with_extra
from .plain_values import plain_value
from .server import (
    OTHER_SERVER_EVENTS,
    SERVER_EVENTS,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
)

FastHook: TypeAlias = Callable[[JsonObject, Any], Any]


class FrameError(ValueError):
    """The frame is not a JSON object, or not a valid client event."""


def _fast_delta_hook(cls: type[Any], read: Callable[[str], Any]) -> FastHook:
    def structure(raw: JsonObject, _: Any) -> Any:
        event_id, response_id, item_id = raw["event_id"], raw["response_id"], raw["item_id"]
        output_index, content_index = raw["output_index"], raw["content_index"]
        delta = raw["delta"]
        if not (
            type(event_id) is type(response_id) is type(item_id) is type(delta) is str
            and type(output_index) is type(content_index) is int
        ):
            raise InvalidValue
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
    # Strict decoding is faster. If it fails, the lenient hook decodes the event.
    return pybase64.b64decode(text, validate=True)


# Hand-written hooks for the most frequent events. They accept only complete events with values of
# the expected types; for other events, structuring falls back to the lenient hook of the class.
_FAST_HOOKS: dict[str, FastHook] = {
    ResponseOutputAudioDelta.type: _fast_delta_hook(ResponseOutputAudioDelta, _decode_audio),
    ResponseOutputAudioTranscriptDelta.type: _fast_delta_hook(
        ResponseOutputAudioTranscriptDelta, str
    ),
    ResponseOutputTextDelta.type: _fast_delta_hook(ResponseOutputTextDelta, str),
}
_SERVER_CLASSES: dict[str, Any] = {cls.type: cls for cls in (*SERVER_EVENTS, *OTHER_SERVER_EVENTS)}
_CLIENT_CLASSES: dict[str, Any] = {cls.type: cls for cls in CLIENT_EVENTS}


@cache
def _structure_hook(cls: Any) -> Callable[[Any, Any], Any]:
    return converter().get_structure_hook(cls)


def parse_frame(frame: str | bytes) -> JsonObject:
    """Parse a frame and return its JSON object.

    Raises:
        FrameError: The frame is not valid JSON, or not an object.
    """
    try:
        raw = _parse(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise FrameError(f"the frame is not valid JSON: {exc}") from None
    if not isinstance(raw, dict):
        raise FrameError(f"expected the frame to be a JSON object, got {type(raw).__name__}")
    parsed = cast("JsonObject", raw)
    if _is_nested_too_deeply(parsed):
        raise FrameError("the frame is nested too deeply")
    return parsed


_MAX_DEPTH = 200
"""The number of objects and arrays in one another. Comparing and printing values is recursive."""


def _is_nested_too_deeply(raw: JsonObject) -> bool:
    # The frequent events have no objects and no arrays, so the common case is one short loop.
    for value in raw.values():
        if type(value) is dict or type(value) is list:
            return _has_levels(raw, _MAX_DEPTH)
    return False


def _has_levels(value: Any, count: int) -> bool:
    """Return whether a JSON object has more than so many levels of objects and arrays."""
    level = [value]
    for _ in range(count):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _parse(frame: str | bytes) -> Any:
    try:
        return msgspec.json.decode(frame)
    except msgspec.DecodeError as exc:
        text = frame if isinstance(frame, str) else frame.decode()
        # A server that splits text by UTF-16 code units may split a surrogate pair.
        repaired = _replace_lone_surrogates(text)
        try:
            return json.loads(
                repaired, parse_constant=_absent, parse_float=_finite, parse_int=_bounded
            )
        except ValueError:
            raise exc from None


# Numbers that JSON does not allow, or that are too large for any use, count as absent.


def _absent(_: str) -> None:
    return None


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _bounded(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_DIGITS else None


_MAX_DIGITS = 300
_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate pair
    r"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\."
)


def _replace_lone_surrogates(json_text: str) -> str:
    """Replace each escaped lone surrogate in JSON text with U+FFFD."""
    return _ESCAPES.sub(lambda match: "\\ufffd" if match["lone"] else match[0], json_text)


def decode_server_event(frame: str | bytes) -> ServerEvent:
    """Decode a server event from a frame.

    Returns an :class:`UnknownEvent` if the type is unknown or required data is missing.

    Raises:
        FrameError: The frame is not valid JSON, or not an object.
    """
    return structure_server_event(parse_frame(frame))


def structure_server_event(raw: JsonObject) -> ServerEvent:
    """Create a server event from a JSON object. Never raises.

    Returns an :class:`UnknownEvent` if the type is unknown or required data is missing.
    """
    tag = raw.get("type")
    fast_hook = _FAST_HOOKS.get(tag) if isinstance(tag, str) else None
    if fast_hook is not None:
        try:
            event: ServerEvent = fast_hook(raw, None)
        except (KeyError, ValueError, InvalidValue):
            pass
        else:
            return event
    return _structure_leniently(tag, raw)


def _structure_leniently(tag: Any, raw: JsonObject) -> ServerEvent:
    cls = _SERVER_CLASSES.get(tag) if isinstance(tag, str) else None
    if cls is None:
        return _unknown_event(raw, None if isinstance(tag, str) else "it has no type")
    try:
        event: ServerEvent = _structure_hook(cls)(raw, cls)
    except InvalidValue as exc:
        return _unknown_event(raw, str(exc) or "it is not an object")
    return event


def _unknown_event(raw: JsonObject, problem: str | None) -> UnknownEvent:
    event_id = raw.get("event_id")
    return UnknownEvent(
        event_id=event_id if isinstance(event_id, str) else "", raw=raw, problem=problem
    )


def decode_client_event(frame: str | bytes) -> ClientEvent:
    """Decode a client event from a frame, for servers and test doubles.

    Raises:
        FrameError: The frame is not a JSON object, its type is unknown, or it lacks required data.
    """
    return structure_client_event(parse_frame(frame))


def structure_client_event(raw: JsonObject) -> ClientEvent:
    """Create a client event from a JSON object.

    Raises:
        FrameError: The type is unknown, or required data is missing.
    """
    tag = raw.get("type")
    cls = _CLIENT_CLASSES.get(tag) if isinstance(tag, str) else None
    if cls is None:
        raise FrameError(f"unknown client event type {tag!r}")
    try:
        event: ClientEvent = _structure_hook(cls)(raw, cls)
    except InvalidValue as exc:
        raise FrameError(f"{tag}: {exc}") from None
    return event


def raw_client_event(raw: Mapping[str, Any]) -> ClientEvent:
    """Create a client event from a mapping that is to be sent unchanged.

    Keys and values that the library does not know become extra keys. An event of an unknown type, or
    one that lacks required data, becomes an :class:`UnknownClientEvent`.

    Raises:
        ValueError, TypeError: The mapping is not a JSON object with a ``type``.
    """
    copy = json_copy(raw)
    if not isinstance(copy.get("type"), str):
        raise ValueError("a client event must have a 'type' that is a str")  # noqa: TRY004
    try:
        event = structure_client_event(copy)
    except FrameError:
        return UnknownClientEvent(raw=copy)
    return add_extra(event, missing_keys(copy, unstructure(event)))


def json_copy(value: Mapping[str, Any]) -> JsonObject:
    """Return a deep copy of a mapping that is to be sent, as a JSON object.

    Raises:
        ValueError, TypeError: JSON does not have a value in it, such as NaN, or it is nested too deeply.
    """
    try:
        builtin = msgspec.to_builtins(dict(value), str_keys=True, enc_hook=plain_value)
        return parse_frame(json.dumps(builtin, allow_nan=False))
    except RecursionError:
        raise ValueError("the JSON object is nested too deeply") from None


def unstructure(value: WireObject) -> JsonObject:
    """Return the JSON object of an event, an item or any other wire object."""
    result: JsonObject = converter().unstructure(value)
    return result


def encode(event: ClientEvent | ServerEvent) -> str:
    """Encode an event as the text of a frame."""
    if type(event) is InputAudioBufferAppend and event.event_id is None and not event.extra:
        return encode_append(event.audio)  # the most frequent event by far
    return to_json(encoded_object(event))


def encode_append(audio: bytes) -> str:
    """Return the text of a frame that appends audio, the same in every dialect."""
    # Base64 needs no JSON escaping.
    return f'{{"type":"input_audio_buffer.append","audio":"{pybase64.b64encode_as_string(audio)}"}}'


def encoded_object(event: ClientEvent | ServerEvent) -> JsonObject:
    """Return the JSON object of an event as it is sent, with its extra keys."""
    encoded = unstructure(event)
    return with_extra(event, encoded) if isinstance(event, ClientEvent) else encoded


def to_json(value: JsonObject) -> str:
    """Return the text of a JSON object."""
    try:
        return msgspec.json.encode(value, enc_hook=plain_value).decode()
    except UnicodeEncodeError:
        # A lone surrogate cannot be encoded. Replace it and send the rest of the text.
        return _replace_lone_surrogates(json.dumps(value, default=plain_value))
