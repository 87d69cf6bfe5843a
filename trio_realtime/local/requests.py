"""Client events: decoding and validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from . import errors, settings, validation
from .errors import ProtocolError
from .types import Json, is_object
from .validation import Check

__all__ = ["MAX_APPEND_BYTES", "parse_event", "read_message"]

MAX_APPEND_BYTES: Final = 15 * 1024 * 1024
_MAX_TEXT: Final = 256_000
_MAX_EVENT_ID: Final = 512

_ID: Final = validation.string(min_length=1, max_length=512)
_STATUS: Final = validation.one_of("completed", "incomplete", "in_progress")
_TEXT: Final = validation.string(max_length=_MAX_TEXT)
_COMMON: Final[Mapping[str, Check]] = {
    "id": _ID,
    "object": validation.one_of("realtime.item"),
    "type": validation.anything,
    "status": _STATUS,
}


def _image(value: Any, path: str) -> Any:
    url: str = validation.string(min_length=1)(value, path)
    if not url.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")):
        raise errors.invalid_value(
            path, f"Invalid '{path}': expected a base64 data URI of a PNG or JPEG image."
        )
    return url


def _part(fields: Mapping[str, Check], *optional: str) -> Check:
    """Accept a content part. Clients may send the members of other kinds of parts as null."""
    return validation.record(
        {"type": validation.anything, **fields},
        required=[key for key in fields if key not in optional],
        absent=_PART_MEMBERS,
    )


_PART_MEMBERS: Final = ("text", "audio", "transcript", "image_url", "detail")
_TEXT_PART: Final = _part({"text": _TEXT})
_AUDIO_PART: Final = _part(
    {"audio": validation.base64_bytes(max_bytes=MAX_APPEND_BYTES), "transcript": _TEXT},
    "transcript",
)
_IMAGE_PART: Final = _part(
    {"image_url": _image, "detail": validation.one_of("auto", "low", "high")}, "detail"
)
_USER_PARTS: Final = {
    "input_text": _TEXT_PART,
    "input_audio": _AUDIO_PART,
    "input_image": _IMAGE_PART,
}


def _message(parts: Mapping[str, Check]) -> Check:
    return validation.record(
        {
            **_COMMON,
            "role": validation.anything,
            "content": validation.array_of(validation.tagged("type", parts)),
            "phase": validation.string(),
        },
        required=["type", "role", "content"],
    )


_ITEM: Final = validation.tagged(
    "type",
    {
        "message": validation.tagged(
            "role",
            {
                "user": _message(_USER_PARTS),
                "assistant": _message({"output_text": _TEXT_PART}),
                "system": _message({"input_text": _TEXT_PART}),
            },
        ),
        "function_call": validation.record(
            {
                **_COMMON,
                "name": validation.string(min_length=1),
                "call_id": _ID,
                "arguments": _TEXT,
            },
            required=["name", "arguments"],
        ),
        "function_call_output": validation.record(
            {**_COMMON, "call_id": validation.string(min_length=1), "output": validation.string()},
            required=["call_id", "output"],
        ),
        "mcp_approval_response": validation.record(
            {
                **_COMMON,
                "approval_request_id": validation.string(min_length=1),
                "approve": validation.boolean,
                "reason": validation.string(),
            },
            required=["approval_request_id", "approve"],
        ),
    },
)
_REFERENCE: Final = validation.record(
    {"type": validation.anything, "id": validation.string(min_length=1)}, required=["id"]
)


def _input_item(value: Any, path: str) -> Any:
    refers = is_object(value) and value.get("type") == "item_reference"
    return (_REFERENCE if refers else _ITEM)(value, path)


_RESPONSE: Final = validation.record(
    {
        "output_modalities": settings.MODALITIES,
        "instructions": validation.string(),
        "audio": validation.record({"output": settings.AUDIO_OUTPUT}),
        "tools": settings.TOOLS,
        "tool_choice": settings.TOOL_CHOICE,
        "parallel_tool_calls": validation.boolean,
        "reasoning": settings.REASONING,
        "max_output_tokens": settings.MAX_OUTPUT_TOKENS,
        "conversation": validation.one_of("auto", "none"),
        "metadata": validation.text_map(max_pairs=16, max_key=64, max_value=512),
        "prompt": settings.PROMPT,
        "input": validation.array_of(_input_item),
    }
)


def _event(fields: Mapping[str, Check] | None = None, *optional: str) -> Check:
    given = dict(fields or {})
    required = [key for key in given if key not in optional]
    head: dict[str, Check] = {"type": validation.anything, "event_id": validation.anything}
    return validation.record({**head, **given}, required=required)


_ITEM_ID: Final[Mapping[str, Check]] = {"item_id": validation.string()}
_EVENTS: Final[Mapping[str, Check]] = {
    "session.update": _event({"session": validation.anything}),
    "input_audio_buffer.append": _event(
        {"audio": validation.base64_bytes(max_bytes=MAX_APPEND_BYTES)}
    ),
    "input_audio_buffer.commit": _event(),
    "input_audio_buffer.clear": _event(),
    "conversation.item.create": _event(
        {"item": _ITEM, "previous_item_id": validation.string()},
        "previous_item_id",
    ),
    "conversation.item.truncate": _event(
        {**_ITEM_ID, "content_index": validation.integer(0), "audio_end_ms": validation.integer(0)}
    ),
    "conversation.item.delete": _event(_ITEM_ID),
    "conversation.item.retrieve": _event(_ITEM_ID),
    "response.create": _event({"response": _RESPONSE}, "response"),
    "response.cancel": _event({"response_id": validation.string()}, "response_id"),
}


def read_message(message: str | bytes) -> Json:
    """Decode one message.

    Raises:
        ProtocolError: the message is binary, not valid JSON, or not an object.
    """
    if isinstance(message, bytes):
        raise errors.binary_frame()
    try:
        value: Any = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise errors.invalid_json(str(exc)) from None
    if not is_object(value):
        raise ProtocolError("Invalid event: expected a JSON object.", code="invalid_event")
    return value


def event_id_of(event: Json) -> str | None:
    """Return the ``event_id`` for an ``error``; None if it is missing or invalid."""
    event_id = event.get("event_id")
    usable = isinstance(event_id, str) and len(event_id) <= _MAX_EVENT_ID
    return event_id if usable else None


def parse_event(event: Json) -> Json:
    """Validate a client event. Return it with base64 audio decoded to bytes.

    Raises:
        ProtocolError: the event is invalid. Reports the first problem.
    """
    if event.get("event_id") is not None:
        validation.string(max_length=_MAX_EVENT_ID)(event["event_id"], "event_id")
    if "type" not in event:
        raise errors.missing_parameter("type")
    kind = validation.one_of(*_EVENTS)(event["type"], "type")
    parsed: Json = _EVENTS[kind](event, "")
    return parsed
