"""Translate beta objects, and those of Azure Voice Live, to GA.

The functions accept any mixture of the dialects, because some services mix them: xAI uses GA events with
the parts and the flat session of the beta protocol. GA objects stay as they are. A key that GA does not
have stays too. No function changes its argument or raises because of what a server sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from trio_realtime.wire.base import JsonObject, as_array, as_object

from .names import AUDIO_FORMATS, PART_TYPES, RESPONSE_PATHS, SERVER_EVENT_TYPES, SESSION_PATHS


def server_event_to_ga(raw: JsonObject) -> tuple[JsonObject, ...]:
    """Return the GA events that a server event of any dialect stands for."""
    tag = raw.get("type")
    if not isinstance(tag, str):
        return (raw,)
    if tag in SERVER_EVENT_TYPES:
        return ({**raw, "type": SERVER_EVENT_TYPES[tag]},)
    translate = _SERVER_EVENTS.get(tag)
    return (raw,) if translate is None else translate(raw)


def client_event_to_ga(raw: JsonObject) -> JsonObject:
    """Return the GA event of a client event of the beta protocol."""
    match raw.get("type"):
        case "session.update":
            session = as_object(raw.get("session"))
            if session is not None:
                return {**raw, "session": {"type": "realtime", **_session_to_ga(session)}}
        case "conversation.item.create":
            return _with(raw, "item", _item_to_ga)
        case "response.create":
            return _with(raw, "response", _response_to_ga)
        case _:
            pass
    return raw


# --- events ------------------------------------------------------------------------------------


def _with(raw: JsonObject, key: str, translate: Callable[[JsonObject], JsonObject]) -> JsonObject:
    value = as_object(raw.get(key))
    return raw if value is None else {**raw, key: translate(value)}


def _session_event(raw: JsonObject) -> tuple[JsonObject, ...]:
    return (_with(raw, "session", _session_to_ga),)


def _transcription_session_event(raw: JsonObject) -> tuple[JsonObject, ...]:
    tag = str(raw["type"]).removeprefix("transcription_")
    (event,) = _session_event({**raw, "type": tag})
    session = as_object(event.get("session"))
    if session is not None:
        event = {**event, "session": {"type": "transcription", **session}}
    return (event,)


def _item_event(raw: JsonObject) -> tuple[JsonObject, ...]:
    return (_with(raw, "item", _item_to_ga),)


def _item_created(raw: JsonObject) -> tuple[JsonObject, ...]:
    """One event of the beta protocol says that an item was added, and that it is complete."""
    (event,) = _item_event(raw)
    added = {**event, "type": "conversation.item.added"}
    item = as_object(event.get("item"))
    if item is None or not _is_complete(item):
        return (added,)
    return added, {**event, "type": "conversation.item.done"}


def _is_complete(item: JsonObject) -> bool:
    return item.get("status") == "completed" or item.get("type") == "function_call_output"


def _response_event(raw: JsonObject) -> tuple[JsonObject, ...]:
    event = _with(raw, "response", _response_to_ga)
    response, usage = as_object(event.get("response")), as_object(raw.get("usage"))
    if response is not None and usage is not None and not response.get("usage"):
        # xAI reports the usage outside of the response.
        event = {**event, "response": {**response, "usage": usage}}
    return (event,)


_SERVER_EVENTS: Final[Mapping[str, Callable[[JsonObject], tuple[JsonObject, ...]]]] = {
    "session.created": _session_event,
    "session.updated": _session_event,
    "transcription_session.created": _transcription_session_event,
    "transcription_session.updated": _transcription_session_event,
    "conversation.item.created": _item_created,
    "conversation.item.added": _item_event,
    "conversation.item.done": _item_event,
    "conversation.item.retrieved": _item_event,
    "response.output_item.added": _item_event,
    "response.output_item.done": _item_event,
    "response.created": _response_event,
    "response.done": _response_event,
}


# --- items -------------------------------------------------------------------------------------


def _item_to_ga(item: JsonObject) -> JsonObject:
    content = as_array(item.get("content"))
    if item.get("type") != "message" or content is None:
        return item
    return {**item, "content": [_part_to_ga(part) for part in content]}


def _part_to_ga(value: Any) -> Any:
    part = as_object(value)
    tag = None if part is None else part.get("type")
    if part is not None and isinstance(tag, str) and tag in PART_TYPES:
        return {**part, "type": PART_TYPES[tag]}
    return value


# --- sessions and responses --------------------------------------------------------------------


def _session_to_ga(session: JsonObject) -> JsonObject:
    rate = session.get("input_audio_sampling_rate")
    ga = _nest(session, SESSION_PATHS)
    if isinstance(rate, int) and session.get("input_audio_format") == "pcm16":
        settings = _open(ga, ("audio", "input"))
        if settings is not None:
            settings["format"] = {"type": "audio/pcm", "rate": rate}
    _name_formats(ga)
    tools = as_array(ga.get("tools"))
    if tools is not None:
        ga["tools"] = [_tool_to_ga(tool) for tool in tools]
    return ga


def _name_formats(ga: JsonObject) -> None:
    """Replace beta names of audio formats that stand in the GA place."""
    audio = as_object(ga.get("audio")) or {}
    for side in ("input", "output"):
        settings = as_object(audio.get(side)) or {}
        name = (as_object(settings.get("format")) or {}).get("type")
        if not isinstance(name, str) or name not in AUDIO_FORMATS:
            continue
        opened = _open(ga, ("audio", side))
        if opened is not None:
            opened["format"] = AUDIO_FORMATS[name]


def _response_to_ga(response: JsonObject) -> JsonObject:
    ga = _nest(response, RESPONSE_PATHS)
    for key in ("output", "input"):
        items = as_array(ga.get(key))
        if items is not None:
            ga[key] = [
                value if (item := as_object(value)) is None else _item_to_ga(item)
                for value in items
            ]
    return ga


def _nest(flat: JsonObject, paths: Mapping[str, tuple[str, ...]]) -> JsonObject:
    """Move the flat keys to their GA places. A GA key that is present takes precedence."""
    ga: JsonObject = {key: value for key, value in flat.items() if key not in paths}
    for key, path in paths.items():
        if key not in flat:
            continue
        translated = _VALUES.get(key, _unchanged)(flat[key])
        if translated is not _UNKNOWN:
            _set_default(ga, path, translated)
    return ga


def _set_default(target: JsonObject, path: tuple[str, ...], value: Any) -> None:
    parent = _open(target, path[:-1])
    if parent is not None:
        parent.setdefault(path[-1], value)


def _open(target: JsonObject, path: tuple[str, ...]) -> JsonObject | None:
    """Return the object at this path, which is created if there is none.

    The objects on the path are copies, so that adding keys does not change what the server sent.
    ``None`` if a value on the path is not an object.
    """
    for key in path:
        value = target.get(key)
        inner = {} if value is None else as_object(value)
        if inner is None:
            return None
        target[key] = {**inner}
        target = target[key]
    return target


_UNKNOWN: Final = object()


def _unchanged(value: Any) -> Any:
    return value


def _format_to_ga(value: Any) -> Any:
    if isinstance(value, str):
        return AUDIO_FORMATS.get(value, _UNKNOWN)
    return _UNKNOWN if value is None else value


def _modalities_to_ga(value: Any) -> Any:
    modalities = as_array(value)
    if modalities is None:
        return _UNKNOWN
    return ["audio"] if "audio" in modalities else modalities


def _voice_to_ga(value: Any) -> Any:
    """Return the name of a voice. Azure Voice Live has an object with a type and a name."""
    voice = as_object(value)
    if voice is not None:
        return voice["name"] if isinstance(voice.get("name"), str) else voice
    return _UNKNOWN if value is None else value


_VALUES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "modalities": _modalities_to_ga,
    "voice": _voice_to_ga,
    "input_audio_format": _format_to_ga,
    "output_audio_format": _format_to_ga,
}


def _tool_to_ga(value: Any) -> Any:
    """Return a function tool whose declaration may be in a nested object, as with xAI."""
    tool = as_object(value) or {}
    function = as_object(tool.get("function"))
    if tool.get("type") == "function" and function is not None:
        return {"type": "function", **function}
    return value
