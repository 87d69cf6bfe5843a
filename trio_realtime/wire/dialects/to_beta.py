"""Translate GA objects to the beta protocol.

A setting that the beta protocol does not have is refused with its name, because a server would either
reject the whole event or ignore the setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from trio_realtime.wire.base import JsonObject, as_array, as_object

from .names import AUDIO_FORMATS, PART_TYPES, RESPONSE_PATHS, SERVER_EVENT_TYPES, SESSION_PATHS


class UnsupportedByDialect(ValueError):
    """A client event has something that the dialect of the endpoint cannot express."""

    def __init__(self, name: str, dialect: str = "beta") -> None:
        super().__init__(
            f"the {dialect} dialect of this endpoint cannot express {name!r}: leave it unset"
        )


_ITEM_TYPES: Final = frozenset(
    {"message", "function_call", "function_call_output", "item_reference"}
)
_BETA_PARTS: Final = {ga: beta for beta, ga in PART_TYPES.items()}
_BETA_EVENTS: Final = {ga: beta for beta, ga in SERVER_EVENT_TYPES.items()}
FormatNames: TypeAlias = Mapping[tuple[str, int | None], str]
"""The names of audio formats, by type and rate."""

_BETA_FORMATS: Final[FormatNames] = {
    ("audio/pcm", 24_000): "pcm16",
    ("audio/pcmu", None): "g711_ulaw",
    ("audio/pcma", None): "g711_alaw",
}


# --- client events -----------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class FlatShape:
    """The flat form of a session or of the parameters of a response in one dialect.

    Attributes:
        dialect: the name of the dialect, for messages.
        paths: the GA place of each flat key that GA has elsewhere.
        same: the keys that have the same name as in GA.
        values: functions that translate the values of flat keys.
    """

    dialect: str
    paths: Mapping[str, tuple[str, ...]]
    same: frozenset[str]
    values: Mapping[str, Callable[[Any], Any]]

    def flatten(self, nested: JsonObject) -> JsonObject:
        """Move GA keys to their flat places.

        Clearing a setting (``null``) that the dialect does not have needs no key.

        Raises:
            UnsupportedByDialect: The dialect does not have a key or its value.
        """
        flat: JsonObject = {}
        by_path = {path: key for key, path in self.paths.items()}
        for path, value in _leaves(nested):
            key = by_path.get(path, path[0] if path[0] in self.same else None)
            if key is not None:
                translate = self.values.get(key)
                flat[key] = value if value is None or translate is None else translate(value)
            elif value is not None and (path, value) != (("type",), "realtime"):
                raise UnsupportedByDialect(".".join(path), self.dialect)
        for tool in as_array(flat.get("tools")) or ():
            if tool.get("type") != "function":
                raise UnsupportedByDialect(f"tools: {tool.get('type')}", self.dialect)
        return flat


def client_event_to_beta(event: JsonObject) -> JsonObject:
    """Return the beta form of a GA client event.

    Raises:
        UnsupportedByDialect: The beta protocol has no such setting; the message names it.
    """
    return to_flat(event, _SESSION, _RESPONSE)


def to_flat(event: JsonObject, session: FlatShape, response: FlatShape) -> JsonObject:
    """Return a client event with a flat session or response, and with beta names of parts."""
    tag = event["type"]
    inner = as_object(event.get(_OBJECTS.get(tag, "")))
    if inner is None:
        return event
    if tag == "session.update":
        flat = session.flatten(inner)
    elif tag == "conversation.item.create":
        flat = _item_to_beta(inner, session.dialect)
    else:
        flat = response.flatten(inner)
        items = as_array(flat.get("input"))
        if items is not None:
            flat["input"] = [_item_to_beta(item, response.dialect) for item in items]
    return {**event, _OBJECTS[tag]: flat}


_OBJECTS: Final = {
    "session.update": "session",
    "conversation.item.create": "item",
    "response.create": "response",
}


def _item_to_beta(item: JsonObject, dialect: str) -> JsonObject:
    if item.get("type") not in _ITEM_TYPES:
        raise UnsupportedByDialect(f"item.type {item.get('type')}", dialect)
    parts = as_array(item.get("content"))
    if parts is None:
        return item
    if any(part.get("type") == "input_image" for part in parts):
        raise UnsupportedByDialect("input_image", dialect)
    return {**item, "content": [_renamed_part(part) for part in parts]}


def _renamed_part(part: JsonObject) -> JsonObject:
    tag = part.get("type")
    return {**part, "type": _BETA_PARTS[tag]} if tag in _BETA_PARTS else part


_CONTAINERS: Final = frozenset({("audio",), ("audio", "input"), ("audio", "output")})


def _leaves(nested: JsonObject, prefix: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return the settings of a session or response with their paths."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, value in nested.items():
        path = (*prefix, key)
        inner = as_object(value) if path in _CONTAINERS else None
        found += [(path, value)] if inner is None else _leaves(inner, path)
    return found


# --- values ------------------------------------------------------------------------------------


def format_key(value: JsonObject) -> tuple[str, int | None]:
    """Return the type of an audio format, with the rate of PCM."""
    tag = str(value.get("type"))
    return tag, (value.get("rate") or 24_000) if tag == "audio/pcm" else None


def flat_format(value: JsonObject, names: FormatNames, dialect: str) -> str:
    """Return the name of an audio format."""
    key = format_key(value)
    if key not in names:
        raise UnsupportedByDialect(f"audio format {key[0]} at {key[1]} Hz", dialect)
    return names[key]


def flat_modalities(value: list[str]) -> list[str]:
    """Return the modalities: audio always comes with text."""
    return ["text", "audio"] if "audio" in value else value


def _format(value: JsonObject) -> str:
    return flat_format(value, _BETA_FORMATS, "beta")


def _voice(value: Any) -> str:
    if not isinstance(value, str):
        raise UnsupportedByDialect("voice.id")
    return value


def checked_keys(
    name: str, allowed: frozenset[str], dialect: str
) -> Callable[[JsonObject], JsonObject]:
    """Return a function that refuses all keys of an object but these."""

    def check(value: JsonObject) -> JsonObject:
        for key in value.keys() - allowed:
            if value[key] is not None:
                raise UnsupportedByDialect(f"{name}.{key}", dialect)
        return value

    return check


_VALUES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "modalities": flat_modalities,
    "voice": _voice,
    "input_audio_format": _format,
    "output_audio_format": _format,
    "input_audio_transcription": checked_keys(
        "transcription", frozenset({"model", "language", "prompt"}), "beta"
    ),
    "input_audio_noise_reduction": checked_keys("noise_reduction", frozenset({"type"}), "beta"),
    "turn_detection": checked_keys(
        "turn_detection",
        frozenset(
            {
                *("type", "threshold", "prefix_padding_ms", "silence_duration_ms", "eagerness"),
                *("create_response", "interrupt_response"),
            }
        ),
        "beta",
    ),
}
_SESSION: Final = FlatShape(
    dialect="beta",
    paths=SESSION_PATHS,
    same=frozenset({"instructions", "tools", "tool_choice", "tracing"}),
    values=_VALUES,
)
_RESPONSE: Final = FlatShape(
    dialect="beta",
    paths=RESPONSE_PATHS,
    same=frozenset({"instructions", "tools", "tool_choice", "conversation", "metadata", "input"}),
    values=_VALUES,
)


# --- server events -----------------------------------------------------------------------------


def server_event_to_beta(event: JsonObject) -> JsonObject | None:
    """Return the beta form of a GA server event; ``None`` for an event that beta does not have."""
    tag = event["type"]
    if tag == "conversation.item.done":
        return None
    if tag == "conversation.item.added":
        event = {**event, "type": "conversation.item.created"}
    elif tag in _BETA_EVENTS:
        event = {**event, "type": _BETA_EVENTS[tag]}
    item, session, response = (as_object(event.get(key)) for key in ("item", "session", "response"))
    if item is not None:
        event = {**event, "item": _echoed_item(item)}
    if session is not None:
        event = {**event, "session": _echoed(session, SESSION_PATHS)}
    if response is not None:
        flat = _echoed(response, RESPONSE_PATHS)
        flat["output"] = [_echoed_item(item) for item in as_array(flat.get("output")) or ()]
        event = {**event, "response": flat}
    return event


def _echoed_item(item: JsonObject) -> JsonObject:
    parts = as_array(item.get("content"))
    if item.get("role") != "assistant" or parts is None:
        return item
    return {**item, "content": [_renamed_part(part) for part in parts]}


def _echoed(nested: JsonObject, paths: Mapping[str, tuple[str, ...]]) -> JsonObject:
    """Return a session or response as a beta server reports it. Settings without a name are left out."""
    by_path = {path: key for key, path in paths.items()}
    flat: JsonObject = {}
    for path, value in _leaves(nested):
        key = by_path.get(path)
        if key == "modalities":
            flat[key] = flat_modalities(value)
        elif key in ("input_audio_format", "output_audio_format"):
            flat[key] = next((name for name, ga in AUDIO_FORMATS.items() if ga == value), None)
        elif key is not None:
            flat[key] = value
        elif len(path) == 1 and path != ("type",):
            flat[path[0]] = value
    return flat
